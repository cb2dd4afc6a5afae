"""The archive's lock: one server with all its processes, and no other, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from pacsd.errors import ArchiveInUse, StorageUnavailable
from pacsd.ownership import lock_files, own
from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLD = """
import sys
from pathlib import Path
from pacsd.ownership import own
with own([Path(file) for file in sys.argv[1:]]):
    print("held", flush=True)
    sys.stdin.read()
"""
FORK_AND_DIE = """
import os, sys
from pathlib import Path
from pacsd.ownership import own
with own([Path(file) for file in sys.argv[1:]]):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    os._exit(9)
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return lock_files(tmp_path / "store", tmp_path / "index.db")


@contextlib.contextmanager
def running(script: str, files: list[Path]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with this script, and the line that it says when it is so far; it ends with its input."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()


def test_store_and_index_are_locked(tmp_path: Path) -> None:
    root, index = tmp_path / "store", tmp_path / "index.db"
    assert lock_files(root, index) == [root / "lock", tmp_path / "index.db.server-lock"]
    assert lock_files(root, None) == [root / "lock"], "PostgreSQL has locks of its own"


def test_it_can_be_taken_again_and_again(files: list[Path]) -> None:
    for _ in range(3):
        with own(files):
            pass
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_a_second_server_is_told_who_has_it(files: list[Path]) -> None:
    with (
        running(HOLD, files) as (holder, _),
        pytest.raises(ArchiveInUse) as refused,
        own(files, wait=60.0),
    ):
        pass
    assert str(files[0]) in str(refused.value)
    assert f"process {holder.pid} on {socket.gethostname()}" in str(refused.value)
    assert "stop that one first" in str(refused.value)


@pytest.mark.parametrize("shared", [0, 1])
def test_one_half_in_common_is_enough(files: list[Path], tmp_path: Path, shared: int) -> None:
    """Another index with the same store, and another store with the same index."""
    other = [tmp_path / "other", tmp_path / "another"]
    other[shared] = files[shared]
    with running(HOLD, files), pytest.raises(ArchiveInUse, match=files[shared].name), own(other):
        pass
    with own(other):
        pass


def test_a_refusal_holds_nothing(files: list[Path]) -> None:
    """The first lock is given back where the second one is not to be had."""
    with running(HOLD, files[1:]):
        with pytest.raises(ArchiveInUse), own(files):
            pass
        with own(files[:1]):
            pass


def test_a_living_server_is_not_waited_for(files: list[Path]) -> None:
    """It would serve for years. The clock says so: no second look at it is made."""
    looks: list[float] = []

    def clock() -> float:
        looks.append(0.0)
        return 0.0

    with running(HOLD, files), pytest.raises(ArchiveInUse), own(files, wait=1e9, clock=clock):
        pass
    assert len(looks) == 2


def test_a_child_holds_it_after_its_parent(files: list[Path]) -> None:
    """As a worker that drains; another one's start waits for it, and takes the lock in the moment it ends."""
    with running(FORK_AND_DIE, files) as (process, child):
        assert process.wait(30) == 9
        with pytest.raises(ArchiveInUse, match=f"process {process.pid}"), own(files):
            pass
        end_after(2, lambda: os.kill(int(child), signal.SIGKILL), waiting := [])
        with capture_logs() as logs, own(files, wait=30.0, clock=ticking(waiting)):
            pass
    (line,) = logs
    assert line["event"] == "waiting-for-processes-of-an-earlier-server"
    assert line["pid"] == process.pid


def end_after(looks: int, end: Callable[[], None], waiting: list[Callable[[], None]]) -> None:
    waiting += [lambda: None] * looks + [end]


def ticking(waiting: list[Callable[[], None]]) -> Callable[[], float]:
    """A clock that stands still, and does the next of these things each time that it is looked at."""
    left = iter(waiting)

    def clock() -> float:
        next(left, lambda: None)()
        return 0.0

    return clock


def test_draining_processes_are_waited_for_no_longer_than_that(files: list[Path]) -> None:
    with running(FORK_AND_DIE, files) as (process, child):
        process.wait(30)
        times = iter([0.0, 1.0, 2.0, 3.5])
        with (
            pytest.raises(ArchiveInUse, match="or wait for its processes to end"),
            own(files, wait=3.0, clock=lambda: next(times)),
        ):
            pass
        os.kill(int(child), signal.SIGKILL)
    assert next(times, None) is None


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{",
        "[]",
        '{"pid": "x"}',
        '{"pid": 1, "host": "h", "began": "0", "processes": "of another container"}',
    ],
)
def test_a_holder_that_is_not_known_is_not_taken_for_dead(files: list[Path], told: str) -> None:
    with running(HOLD, files):
        files[0].write_text(told)
        with pytest.raises(ArchiveInUse, match="is locked"), own(files, wait=1e9, clock=lambda: 0.0):
            pass


def test_a_process_number_that_is_used_again_is_another_process(files: list[Path]) -> None:
    with running(HOLD, files) as (holder, _):
        said: dict[str, Any] = json.loads(files[0].read_text())
        assert said["pid"] == holder.pid
        files[0].write_text(json.dumps({**said, "began": "1"}))
        times = iter([0.0, 1.0, 99.0])
        with (
            capture_logs() as logs,
            pytest.raises(ArchiveInUse),
            own(files, wait=9, clock=lambda: next(times)),
        ):
            pass
    assert [line["event"] for line in logs] == ["waiting-for-processes-of-an-earlier-server"]


def test_a_full_disk_does_not_keep_the_archive_from_being_read(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with own(files):
        pass
    monkeypatch.setattr(Path, "write_text", fail)
    with own(files), pytest.raises(ArchiveInUse), own(files):
        pass


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    with (
        pytest.raises(StorageUnavailable, match=r"the lock .* cannot be made"),
        own([tmp_path / "store/lock"]),
    ):
        pass


def test_the_lock_of_the_index_is_not_taken_for_the_stores(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("no folder")
    with (
        pytest.raises(StorageUnavailable, match=r"cannot use the index: the lock .* cannot be made"),
        own(lock_files(tmp_path / "store", tmp_path / "index/index.db")),
    ):
        pass


def test_a_file_system_without_locks_is_told(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "none")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(StorageUnavailable, match="cannot be used: No locks available"), own(files):
        pass


def test_the_lock_ends_with_the_last_process(files: list[Path]) -> None:
    with running(HOLD, files) as (holder, _):
        holder.kill()
        holder.wait(30)

        def is_free() -> bool:
            with contextlib.suppress(ArchiveInUse), own(files):
                return True
            return False

        wait_until(is_free, within=5, what="the kernel has freed the lock")
