"""What an operation may cost, and whether somebody still waits for its answer: to be asked wherever work is long."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final, Self

from pacsd.errors import OperationCancelled, OperationTooCostly, RetrieveCancelled

__all__ = ["LOOKS", "Effort", "now_and_then"]

LOOKS: Final = 0.05
"""Seconds between two looks whether it was cancelled."""


def _never() -> bool:
    return False


def now_and_then(is_cancelled: Callable[[], bool]) -> Callable[[], None]:
    """Return what to call between the steps of long work for a retrieve: it raises RetrieveCancelled.

    It may be called often, as it asks `is_cancelled` only each `LOOKS` seconds.
    """
    next_look = 0.0

    def look() -> None:
        nonlocal next_look
        if (now := time.monotonic()) >= next_look:
            if is_cancelled():
                raise RetrieveCancelled("the retrieve was cancelled")
            next_look = now + LOOKS

    return look


class Effort:
    """One operation's: a context manager around each piece of its work, whose time counts.

    Several threads may work for it; one at a time looks what its peer has sent.
    """

    def __init__(
        self,
        *,
        seconds: float = math.inf,
        is_cancelled: Callable[[], bool] = _never,
        peer_has_spoken: Callable[[], bool] = _never,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow so many seconds of work. `is_cancelled` reads what the peer has sent, and may raise what that means.

        `peer_has_spoken` says without reading whether there is something.
        """
        self._seconds = seconds
        self._is_cancelled = is_cancelled
        self._peer_has_spoken = peer_has_spoken
        self._clock = clock
        self._lock = threading.Lock()
        self._at_work = 0
        self._since = 0.0
        self._spent = 0.0
        self._next_look = clock() + LOOKS
        self._end: BaseException | None = None
        self.is_away = False
        """The peer is being answered just now: only its own thread may look what it has sent."""

    def __enter__(self) -> Self:
        with self._lock:
            if not self._at_work:
                self._since = self._clock()
            self._at_work += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._at_work -= 1
            if not self._at_work:
                self._spent += self._clock() - self._since

    @property
    def is_over(self) -> bool:
        """Whether it is to end, as far as is known; may be asked from any thread."""
        if self._end is None and self._is_exceeded():
            self._end = OperationTooCostly(
                f"the operation takes more than {self._seconds:g} s of work; ask for less"
            )
        return self._end is not None

    def _is_exceeded(self) -> bool:
        # Without the lock: what is a moment old will do.
        now_spent = self._clock() - self._since if self._at_work else 0.0
        return self._spent + now_spent > self._seconds

    @property
    def peer_has_spoken(self) -> bool:
        """Whether there is something that `look` would read; may be asked from any thread."""
        try:
            return not self.is_away and self._peer_has_spoken()
        except Exception:
            return True  # `look` will say what it is

    def look(self) -> bool:
        """Look whether the peer, or the time, ends it, and return that; `raise_if_over` then raises why.

        For the peer's own thread, and for others while that one waits for them.
        """
        if self._end is None:
            try:
                if self._is_cancelled():
                    self.abandon()
            except Exception as error:
                self._end = error
        return self.is_over

    def abandon(self) -> None:
        """Let it end, as nobody waits for it any more."""
        self._end = self._end or OperationCancelled("nobody waits for the operation any more")

    def check(self) -> None:
        """Raise OperationCancelled or OperationTooCostly, or what the peer's end means; looks now and then only."""
        now = self._clock()
        if self._end is None and now >= self._next_look:
            self._next_look = now + LOOKS
            _ = self.is_over if self.is_away else self.look()
        self.raise_if_over()

    def raise_if_over(self) -> None:
        """Raise as `check` does, but what is known already."""
        if self._end is not None:
            raise self._end
