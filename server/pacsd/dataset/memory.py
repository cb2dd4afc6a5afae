"""How much memory there is for what has to be in memory as a whole.

Who takes more is ended by the kernel, with all the associations that are served beside it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["make_sure_of_memory", "total_memory"]

LOOKED_AT: Final = 256_000_000
"""Bytes from which on it is worth a look."""
_SYSTEM: Final = Path("/")


def make_sure_of_memory(needed: int, *, system: Path = _SYSTEM) -> None:
    """Return if so many bytes can be taken, as far as the system says; else raise DatasetInvalid.

    `system` is where /proc and /sys are. What others take at the same time is not known.
    """
    if needed < LOOKED_AT:
        return
    available = [each for each in (_of_machine(system), _of_group(system)) if each is not None]
    if available and needed > min(available):
        raise DatasetInvalid(
            f"{needed // 1_000_000} MB of memory are needed, {max(0, min(available)) // 1_000_000} MB are free"
        )


def total_memory(*, system: Path = _SYSTEM) -> int | None:
    """Return how many bytes there are, or what our container or service is limited to; None where nothing is known."""
    kilobytes = _numbers(system / "proc/meminfo").get("MemTotal:")
    found = [] if kilobytes is None else [kilobytes * 1024]
    for folder, limit_file, _ in _groups(system):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            found.append(int((folder / limit_file).read_text("ascii")))
    return min(found, default=None)


def _of_machine(system: Path) -> int | None:
    kilobytes = _numbers(system / "proc/meminfo").get("MemAvailable:")
    return None if kilobytes is None else kilobytes * 1024


def _of_group(system: Path) -> int | None:
    """Return what our control group has left, as a container or a service has one; None where nothing is known."""
    for folder, limit_file, used_file in _groups(system):
        try:
            limit = int((folder / limit_file).read_text("ascii"))
            used = int((folder / used_file).read_text("ascii"))
        except (OSError, ValueError):
            continue  # "max" is no number
        # Cached pages of files count as used, and are given up where memory is short.
        found = _numbers(folder / "memory.stat")
        names = ("inactive_file", "active_file")
        cached = sum(found.get(f"total_{name}", found.get(name, 0)) for name in names)
        return limit - used + cached
    return None


def _groups(system: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield where the limit of our group may be, and the files with limit and use: of cgroup v2, and of v1."""
    try:
        lines = (system / "proc/self/cgroup").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folder, files = system / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif controllers == "memory":
            folder, files = (
                system / "sys/fs/cgroup/memory",
                ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            )
        else:
            continue
        # A container may be told its path on the host, and see its own group at the top.
        yield folder / path.lstrip("/"), *files
        yield folder, *files


def _numbers(file: Path) -> dict[str, int]:
    """Return the numbers of a file that has a name and a number in each line, and perhaps a unit."""
    try:
        lines = file.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return {}
    words = [line.split() for line in lines]
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}
