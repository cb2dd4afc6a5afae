"""A kernel that refuses, dawdles or kills: strace's fault injection on the processes of a server under test."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.peers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.server import PacsdServer


@contextmanager
def injected(
    server: PacsdServer,
    calls: str,
    fault: str,
    *,
    on: Path | None = None,
    processes: Sequence[int] | None = None,
) -> Iterator[None]:
    """In all workers, or other `processes`, let system calls end in `fault`, such as "error=EIO"; on one path alone.

    Without strace, or where processes cannot be traced, the test ends here (see `missing`).
    """
    options = [
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{fault}",
        "-e",
        "signal=none",
        "-o",
        "/dev/null",
    ]
    if on:
        options += ["-P", str(on)]
    with traced(server.storing_workers() if processes is None else processes, options):
        yield


@contextmanager
def traced(processes: Sequence[int], options: Sequence[str]) -> Iterator[None]:
    """Have strace look at processes and all their threads; ends as `injected` does where it cannot."""
    command = [strace(), "-f", *options]
    for pid in processes:
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            _wait_until_attached(tracer, set(processes))
            yield
        finally:
            # It lets go of the processes before it ends; told to do so while they die, it would wait for ever.
            if not all(map(has_ended, processes)):
                tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=30)


def strace() -> str:
    """Its path; without it the test ends here (see `missing`)."""
    found = shutil.which("strace")
    if found is None:
        missing("strace is not installed (Debian package strace)")
    return found


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or dead and not reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _wait_until_attached(tracer: subprocess.Popen[str], processes: set[int]) -> None:
    assert tracer.stderr is not None
    said = ""
    while processes:
        line = tracer.stderr.readline()
        if not line:
            missing(f"processes cannot be traced here: {said}")
        said += line
        processes -= {pid for pid in processes if f"Process {pid} attached" in line}
