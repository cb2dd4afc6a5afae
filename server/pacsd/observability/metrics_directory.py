"""Where the processes of one server keep their metrics, and what else they tell each other, while it runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["metrics_directory"]

MEMORY: Final = Path("/dev/shm")  # noqa: S108  a directory of our own is made in it
"""Preferred: the files are mapped into memory, and on a disk that is full writing to one would kill the process."""
PREFIX: Final = "pacsd-metrics-"
LOCK: Final = "owner.lock"


@contextmanager
def metrics_directory(parent: Path | None = None) -> Iterator[Path]:
    """A new directory for this server, gone at the end; those that killed servers have left go at the beginning.

    It is in memory where that can be, else among the temporary files, unless `parent` says where.
    """
    if parent is None:
        parent = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as name:
        descriptor = _own(Path(name))
        try:
            yield Path(name)
        finally:
            os.close(descriptor)


def _own(directory: Path) -> int:
    """Lock the directory for as long as this process or a forked one lives; the kernel unlocks it then."""
    made, final = directory / "new", directory / LOCK
    descriptor = os.open(made, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Under its name only when it is locked: another server that starts now must not think it abandoned.
    made.rename(final)
    return descriptor


def _remove_abandoned(parent: Path) -> None:
    for directory in parent.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            # Another user's, or being made or removed at this moment.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(descriptor)
