"""A kernel that refuses or dawdles: strace's fault injection on the processes of a server under test."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.peers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
    """In all workers let system calls end in `fault`, such as "error=EIO"; only those on one path, if given.

    `processes` are others of the server, instead of the workers.

    Without strace, or where processes cannot be traced, the test ends here (see `missing`).
    """
    strace = shutil.which("strace")
    if strace is None:
        missing("strace is not installed (Debian package strace)")
    workers = server.storing_workers() if processes is None else processes
    command = [strace, "-f", "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}", "-e", "signal=none"]
    command += ["-o", "/dev/null", *(["-P", str(on)] if on else [])]
    for pid in workers:
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            _wait_until_attached(tracer, set(workers))
            yield
        finally:
            # It lets go of the processes before it ends.
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=30)


def _wait_until_attached(tracer: subprocess.Popen[str], workers: set[int]) -> None:
    assert tracer.stderr is not None
    said = ""
    while workers:
        line = tracer.stderr.readline()
        if not line:
            missing(f"processes cannot be traced here: {said}")
        said += line
        workers -= {pid for pid in workers if f"Process {pid} attached" in line}
