"""Places that threads wait for in turn: decoder processes, or bytes of memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pacsd.errors import RetrieveCancelled, TranscodingFailed

__all__ = ["LOOK_INTERVAL", "Places"]

LOOK_INTERVAL: Final = 0.05
"""Seconds between looks whether whoever waits has been cancelled, and whether another process has gone on."""


class Places:
    """So many places. Of a process's threads, who comes first gets them first, however many the others want.

    `taken` are the numbers of places that each process holds, where several share them (`supervision.shared_numbers`):
    this one's is at `slot`.
    """

    def __init__(self, count: int, *, what: str, taken: memoryview | None = None, slot: int = 0) -> None:
        """`what` there is too little of when somebody has waited too long."""
        self._count = count
        self._what = what
        self._taken = memoryview(bytearray(8)).cast("q") if taken is None else taken
        self._slot = slot
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def own(self) -> int:
        """How many this process holds."""
        return int(self._taken[self._slot])

    @property
    def waiting(self) -> int:
        """How many of its threads wait."""
        return len(self._waiting)

    @contextmanager
    def held(self, count: int, *, is_cancelled: Callable[[], bool], within: float) -> Iterator[None]:
        """Hold `count` places for the length of the block, or all of them where there are fewer.

        Raises TranscodingFailed where there are not enough `within` so many seconds, RetrieveCancelled.
        """
        count = min(count, self._count)
        self._take(count, is_cancelled, time.monotonic() + within)
        try:
            yield
        finally:
            with self._changed:
                self._taken[self._slot] -= count
                self._changed.notify_all()

    def _take(self, count: int, is_cancelled: Callable[[], bool], deadline: float) -> None:
        turn = object()
        with self._changed:
            self._waiting.append(turn)
        try:
            while True:
                with self._changed:
                    if self._waiting[0] is turn and self._has_taken(count):
                        return
                    self._changed.wait(LOOK_INTERVAL)
                # Outside of the lock: it may wait for the association.
                if is_cancelled():
                    raise RetrieveCancelled("the retrieve was cancelled")
                if time.monotonic() >= deadline:
                    raise TranscodingFailed(f"not convertible now: {self._what}")
        finally:
            with self._changed:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def _has_taken(self, count: int) -> bool:
        """Take so many and say True, or False: of two processes that ask for the last ones, both may be told that."""
        self._taken[self._slot] += count
        if sum(self._taken) <= self._count:
            return True
        self._taken[self._slot] -= count
        return False
