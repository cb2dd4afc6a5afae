"""The lock that one server, with all of its processes, holds on its store and its index.

It is a lock on open files, which forked processes inherit: the kernel frees it when the last of them is gone. So no
second server, and no server that is started while another one's workers still finish, touches what those write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from pacsd.errors import ArchiveInUse, StorageUnavailable
from pacsd.permissions import give_to_owner, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["lock_files", "own"]

_LOCK: Final = "lock"
_POLL_SECONDS: Final = 0.1

_log = structlog.get_logger()


def lock_files(root: Path, index_file: Path | None) -> list[Path]:
    """Return the files to lock: the store's, and that of an index in SQLite."""
    files = [root / _LOCK]
    if index_file is not None:
        files.append(index_file.with_name(f"{index_file.name}.server-lock"))
    return files


@contextlib.contextmanager
def own(
    files: Sequence[Path], *, wait: float = 0.0, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Hold the locks for the length of a `with` block, and in each process that is forked in it until that ends.

    Waits up to `wait` seconds for processes whose server is dead, which still finish what they do; never for a server
    that lives. Raises ArchiveInUse, saying who holds it, and StorageUnavailable where a lock cannot be made.
    """
    deadline = clock() + wait
    with contextlib.ExitStack() as stack:
        for file in files:
            descriptor = _opened(file)
            stack.callback(os.close, descriptor)
            _lock(descriptor, file, deadline, clock)
        for file in files:
            # For messages only, and a disk that is full must not keep the archive from being read.
            with contextlib.suppress(OSError):
                file.write_text(json.dumps(_myself()) + "\n", "utf-8")
        yield


def _opened(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        # Not for writing: a file system with such an open file cannot be remounted read-only.
        descriptor = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if is_new:
            give_to_owner(file, file.parent)
    except OSError as error:
        is_store = file.name == _LOCK
        why = reason(error, "write to the storage root" if is_store else "write to its folder")
        raise StorageUnavailable(
            f"cannot use the {'storage root' if is_store else 'index'}: the lock {file} cannot be made: {why}"
        ) from error
    return descriptor


def _lock(descriptor: int, file: Path, deadline: float, clock: Callable[[], float]) -> None:
    waits = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            if clock() >= deadline or not _is_dead(holder):
                raise ArchiveInUse(_in_use(file, holder)) from None
        except OSError as error:
            if error.errno == errno.EBADF and not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_RDWR:
                _open_for_writing(descriptor, file)
                continue
            raise StorageUnavailable(
                f"the lock {file} cannot be used: {os.strerror(error.errno or 0)}"
            ) from error
        else:
            return
        if not waits:
            _log.warning("waiting-for-processes-of-an-earlier-server", lock=str(file), pid=holder.get("pid"))
            waits = True
        time.sleep(_POLL_SECONDS)


def _open_for_writing(descriptor: int, file: Path) -> None:
    """Open the lock's file anew under its descriptor, as network file systems lock only what may be written."""
    try:
        writable = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        why = reason(error, "write to it")
        raise StorageUnavailable(f"the lock {file} cannot be used: {why}") from error
    os.dup2(writable, descriptor, inheritable=False)
    os.close(writable)


def _in_use(file: Path, holder: dict[str, object]) -> str:
    pid, host = holder.get("pid"), holder.get("host")
    who = f"process {pid} on {host}" if pid and host else "another process"
    return (
        f"{file} is locked: {who} serves this archive, or finishes what it began. Only one server may use a store "
        "and its index: stop that one first, or wait for its processes to end"
    )


def _myself() -> dict[str, object]:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "began": _began(pid), "processes": _process_ids_of()}


def _holder(file: Path) -> dict[str, object]:
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # it has the lock and is about to say who it is
    return told if isinstance(told, dict) else {}


def _is_dead(holder: dict[str, object]) -> bool:
    """Whether the process that took the lock is gone for certain; only its children hold it then."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or holder.get("processes") != _process_ids_of():
        return False  # in another container: its number says nothing here
    return _began(pid) != holder.get("began")


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks since the boot; "" for one that is not there or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _process_ids_of() -> str:
    """Whose process numbers ours are: of which boot and of which container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except OSError:
        boot = ""  # a service manager may hide it
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
