"""Where a process can be killed: on its way into any call that changes what others see, found by recording it once."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crash.system_calls import RECORDED
from support.deadline import wait_until
from support.injection import has_ended, injected, strace, traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.server import PacsdServer

_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_CHANGES_NOTHING = re.compile(r"server\.log|/dev/null|anon_inode|pipe:|eventfd|UNIX")
_MAY_ONLY_OPEN = ("open", "openat")


@dataclass(frozen=True, slots=True)
class KillPoint:
    """Just before a thread's call of this name takes effect, when it makes it for this time."""

    call: str
    time: int
    what: str
    """The call, for whoever reads of a failure."""

    def __str__(self) -> str:
        return f"{self.call} {self.time}: {self.what}"

    @property
    def fault(self) -> str:
        """As strace's injection takes it."""
        return f"signal=SIGKILL:when={self.time}"


@contextmanager
def recorded(processes: Sequence[int], output: Path) -> Iterator[None]:
    """Have strace write down for `kill_points` what processes, and those that they start, do within the block."""
    with traced(processes, [*recording_options(output)]):
        yield


def recording_options(output: Path) -> list[str]:
    """Of strace, for `kill_points`."""
    return ["-y", "-s", "80", "-e", f"trace={RECORDED}", "-e", "signal=none", "-o", str(output)]


def recording(output: Path) -> list[str]:
    """What precedes a command that is to be recorded for `kill_points`."""
    return [strace(), "-D", "-f", "--seccomp-bpf", "-q", *recording_options(output)]


def killing(point: KillPoint) -> list[str]:
    """What precedes a command of which the process that comes to the point is to be killed."""
    options = ["-e", f"trace={point.call}", "-e", f"inject={point.call}:{point.fault}"]
    return [strace(), "-D", "-f", "--seccomp-bpf", "-qq", *options, "-e", "signal=none", "-o", "/dev/null"]


def kill_points(output: Path) -> list[KillPoint]:
    """All points of a recording, in order; threads count for themselves, and the first to come to a point dies."""
    times: Counter[tuple[str, str]] = Counter()
    found: dict[tuple[str, int], KillPoint] = {}
    for line in output.read_text(errors="replace").splitlines():
        matched = _LINE.match(line)
        if matched is None:
            continue  # a call that is resumed, or a process that ends
        thread, call, arguments = matched.groups()
        times[thread, call] += 1
        if call in _MAY_ONLY_OPEN and "O_CREAT" not in arguments and "O_TRUNC" not in arguments:
            continue
        if not _CHANGES_NOTHING.search(arguments):
            time = times[thread, call]
            found.setdefault((call, time), KillPoint(call, time, arguments[:160]))
    return list(found.values())


@contextmanager
def killed_at(server: PacsdServer, point: KillPoint, processes: Sequence[int]) -> Iterator[None]:
    """Kill whichever of the processes comes to the point within the block."""
    with injected(server, point.call, point.fault, processes=processes):
        yield


@contextmanager
def answered_by(server: PacsdServer, worker: int) -> Iterator[None]:
    """Let just this worker take the connections that are made within the block."""
    others = [pid for pid in server.storing_workers() if pid != worker]
    _signal_all(others, signal.SIGSTOP)
    wait_until(lambda: all(map(_is_stopped, others)), within=5, what="the other workers stand still")
    try:
        yield
    finally:
        _signal_all(others, signal.SIGCONT)


def _signal_all(processes: Sequence[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_stopped(pid: int) -> bool:
    return has_ended(pid) or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
