"""Processor time and memory of a process with all its descendants, from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(root: int) -> dict[int, int]:
    """Return the processor ticks, reaped children included, of a process and its descendants by process ID."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for name in os.listdir(_PROC):  # noqa: PTH208 - a Path for each process would be most of the sampler's cost
        if name.isdigit() and (found := _parent_and_ticks(int(name))):
            children.setdefault(found[0], []).append(int(name))
            ticks[int(name)] = found[1]
    members, to_see = {}, [root]
    while to_see:
        pid = to_see.pop()
        if pid in ticks:
            members[pid] = ticks[pid]
        to_see += children.get(pid, [])
    return members


def _parent_and_ticks(pid: int) -> tuple[int, int] | None:
    try:
        raw = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:  # it has ended in the meantime
        return None
    fields = raw[raw.rindex(b")") + 2 :].split()
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15])


def cpu_seconds(root: int) -> float:
    """Return user and system time of a process with its descendants."""
    return sum(tree(root).values()) / _TICK


def status_number(pid: int, key: str, file: str = "status") -> int:
    """Return a number of /proc/PID/status or smaps_rollup; 0 where the process has ended."""
    try:
        lines = (_PROC / str(pid) / file).read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def memory(pids: Iterable[int]) -> tuple[int, int]:
    """Return the sums of RSS and of PSS (shared pages counted once) in bytes."""
    pids = list(pids)
    rss = sum(status_number(pid, "Rss", "smaps_rollup") for pid in pids)
    return rss * 1024, sum(status_number(pid, "Pss", "smaps_rollup") for pid in pids) * 1024


class Sampler(threading.Thread):
    """Samples the memory of a process tree until `finish`."""

    def __init__(self, root: int, period: float = 0.2) -> None:
        super().__init__(daemon=True)
        self._root, self._period = root, period
        self._peak_pss = self._peak_rss = self._peak_processes = self._high_water = 0
        self._finished = threading.Event()

    def run(self) -> None:
        """Take a sample each period."""
        while not self._finished.wait(self._period):
            self._sample()

    def _sample(self) -> None:
        pids = list(tree(self._root))
        rss, pss = memory(pids)
        self._peak_rss = max(self._peak_rss, rss)
        self._peak_pss = max(self._peak_pss, pss)
        self._peak_processes = max(self._peak_processes, len(pids))
        self._high_water = max([self._high_water, *(status_number(pid, "VmHWM") * 1024 for pid in pids)])

    def finish(self) -> dict[str, float]:
        """Return the peaks of the sums, and the largest high-water mark of one process."""
        self._finished.set()
        self.join()
        self._sample()
        return {
            "peak_pss_mb": round(self._peak_pss / 1e6, 1),
            "peak_rss_sum_mb": round(self._peak_rss / 1e6, 1),
            "max_vmhwm_mb": round(self._high_water / 1e6, 1),
            "processes": self._peak_processes,
        }
