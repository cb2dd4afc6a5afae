"""Room for what is being received: no object is begun, or goes on, that would touch what is to be kept free."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from pacsd.errors import StorageFull
from pacsd.storage.disk import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacsd.storage.disk import WatchedDisk

__all__ = ["DiskRoom"]

LOOK_SECONDS: Final = 1.0
"""For which a look holds that has found plenty."""
PLENTY: Final = 10_000_000_000
"""Bytes above what is to be kept free: no disk is written to as fast as to take them within `LOOK_SECONDS`."""


class DiskRoom:
    """One process's share of what all processes are about to write to a store.

    Who is about to write reserves first, then looks at the disk: whatever others have not written yet is among their
    reservations, so together they never take more than there is. Safe for several threads.
    """

    def __init__(
        self,
        disk: WatchedDisk,
        *,
        reserved: memoryview,
        slot: int = 0,
        others: tuple[WatchedDisk, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`others` must not be full either.

        `reserved` begins with how many slots are used, as to add them all up would take long; then each has a number,
        this process's being that of `slot`.
        """
        self._disk = disk
        self._others = others
        self._reserved = reserved
        self._place = 1 + slot
        reserved[0] = max(reserved[0], 1 + slot)
        self._clock = clock
        self._lock = threading.Lock()
        self._plenty_until = float("-inf")
        self._others_until = float("-inf")

    def reserve(self, count: int) -> None:
        """Reserve bytes for what is about to be written; raises StorageFull, and then nothing is reserved."""
        with self._lock:
            self._reserved[self._place] += count
            now = self._clock()
            try:
                if now >= self._plenty_until:
                    self._look(now)
                if now >= self._others_until:
                    self._look_at_others(now)
            except BaseException:
                self._reserved[self._place] -= count
                raise

    def release(self, count: int) -> None:
        """Give back what was reserved: it is written, or will never be."""
        with self._lock:
            self._reserved[self._place] -= count

    def _look(self, now: float) -> None:
        with storage_errors("look at the free space of the storage root"):
            free = self._disk.free()
        reserved = self._total()
        if shortage := self._disk.shortage(free, reserved):
            raise StorageFull(f"disk full, {shortage}")
        if not self._disk.shortage(free, reserved + PLENTY):
            self._plenty_until = now + LOOK_SECONDS

    def _total(self) -> int:
        return sum(self._reserved[1 : 1 + self._reserved[0]])

    def _look_at_others(self, now: float) -> None:
        for disk in self._others:
            with storage_errors("look at the free space of the index's disk"):
                free = disk.free()
            if shortage := disk.shortage(free):
                raise StorageFull(f"disk full, {shortage}")
        self._others_until = now + LOOK_SECONDS
