"""What an operation may cost, and whether somebody still waits for its answer: to be asked wherever work is long."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

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
    """One operation's; the time from each `go_on` to the next `pause` counts.

    Several threads may work for it, one at a time; and one at a time looks what its peer has sent.
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
        self._since: float | None = None
        """When work went on; None in a pause."""
        self._spent = 0.0
        """Before that."""
        self._next_look = clock() + LOOKS
        self._end: BaseException | None = None
        self.is_away = False
        """The peer is being answered just now: only its own thread may look what it has sent."""

    def go_on(self) -> None:
        """Count the time from now on."""
        self._since = self._clock()

    def pause(self) -> None:
        """Count no time until `go_on`."""
        since, self._since = self._since, None
        if since is not None:
            self._spent += self._clock() - since

    def ask_instead(self, is_cancelled: Callable[[], bool]) -> None:
        """Ask `is_cancelled` from now on: others read what the peer has sent too, and it takes turns with them."""
        self._is_cancelled = is_cancelled

    @property
    def is_over(self) -> bool:
        """Whether it is to end, as far as is known; may be asked from any thread."""
        if self._end is None and self._is_exceeded():
            self._end = OperationTooCostly(
                f"the operation takes more than {self._seconds:g} s of work; ask for less"
            )
        return self._end is not None

    def _is_exceeded(self) -> bool:
        # In this order, as another thread may begin a pause just now: nothing is counted twice.
        spent, since = self._spent, self._since
        return spent + (0.0 if since is None else self._clock() - since) > self._seconds

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
