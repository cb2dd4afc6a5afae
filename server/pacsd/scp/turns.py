"""Turns of a caller's operations: some are worked on at once, the others wait, so that all callers get their share."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from pacsd.effort import LOOKS
from pacsd.errors import OperationTooCostly

__all__ = ["CallerTurns", "Turns", "WhileWaiting"]


class _OfThread(threading.local):
    held: CallerTurns | None = None
    nested = 0
    """Blocks inside the one that has taken the turn."""


_THREAD: Final = _OfThread()


class CallerTurns:
    """One caller's: a context manager around work on one of its operations; inside another one it does nothing.

    Raises OperationTooCostly where the turn does not come. While a thread waits for a peer (`WhileWaiting`), another
    one has the turn.
    """

    __slots__ = ("_free", "_lock", "_longest_wait", "_note_refusal", "_waiting", "users")

    def __init__(self, at_once: int, longest_wait: float, note_refusal: Callable[[], None]) -> None:
        self._longest_wait: Final = longest_wait
        self._lock = threading.Lock()
        self._free = None if at_once == sys.maxsize else [None] * at_once
        """An entry for each turn that is free: taken and given back without a lock, as long as nobody waits."""
        self._waiting: deque[threading.Lock] = deque()
        self._note_refusal = note_refusal
        self.users = 0
        """Associations; for `Turns`."""

    def enter(self, timeout: float | None = None, look: Callable[[], None] | None = None) -> None:
        """As a `with` block begins, but wait so many seconds (-1: as long as it takes); `leave` ends it.

        While it waits it calls `look`, which may raise what ends that.
        """
        if _THREAD.held is not None:
            _THREAD.nested += 1
            return
        if not self.take(self._longest_wait if timeout is None else timeout, look):
            self._note_refusal()
            raise OperationTooCostly("too many operations of this caller are under way; try again later")
        _THREAD.held = self

    def leave(self, *_: object) -> None:
        """End what `enter` began."""
        if _THREAD.nested:
            _THREAD.nested -= 1
        else:
            _THREAD.held = None
            self.give_back()

    __enter__ = enter
    __exit__ = leave

    def take(self, timeout: float = -1, look: Callable[[], None] | None = None) -> bool:
        """Wait for a turn, for so many seconds or as long as it takes; return whether it has come.

        While it waits it calls `look`, which may raise what ends that.
        """
        if self._free is None:
            return True
        if not self._waiting:
            try:
                self._free.pop()
            except IndexError:
                pass
            else:
                return True
        waiting = threading.Lock()
        waiting.acquire()
        with self._lock:
            self._waiting.append(waiting)
            # One may have been given back before anybody could see that we wait.
            self._hand_over(self._free)
        try:
            has_come = _acquired(waiting, timeout, look)
        except BaseException:
            if not self._give_up(waiting):
                self.give_back()
            raise
        return has_come or not self._give_up(waiting)

    def _give_up(self, waiting: threading.Lock) -> bool:
        """Wait no more; return False where the turn has come at the last moment."""
        with self._lock:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                return True
        return False

    def give_back(self) -> None:
        """Let the next one have the turn."""
        if self._free is None:
            return
        self._free.append(None)
        if self._waiting:
            with self._lock:
                self._hand_over(self._free)

    def _hand_over(self, free: list[None]) -> None:
        while self._waiting and free:
            try:
                free.pop()
            except IndexError:
                return  # somebody was quicker, and will give it back
            self._waiting.popleft().release()


def _acquired(lock: threading.Lock, timeout: float, look: Callable[[], None] | None) -> bool:
    if look is None:
        return lock.acquire(timeout=timeout)
    deadline = math.inf if timeout < 0 else time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        if lock.acquire(timeout=min(left, LOOKS)):
            return True
        look()
    return False


class WhileWaiting:
    """A context manager around each wait for a peer: the thread's turn is somebody else's meanwhile."""

    def __enter__(self) -> None:
        held = _THREAD.held
        if held is not None:
            held.give_back()

    def __exit__(self, *_: object) -> None:
        held = _THREAD.held
        if held is not None:
            held.take()


class Turns:
    """The turns of all callers that have associations with this process."""

    def __init__(self, at_once: int, *, longest_wait: float, note_refusal: Callable[[str], None]) -> None:
        """`at_once` is for each caller, 0 for as many as come; `note_refusal` is told whose turn has not come.

        `longest_wait` is in seconds. It has to be longer than the database may be away, as those who store wait for it
        in their turn.
        """
        self._longest_wait = longest_wait
        self._at_once = at_once or sys.maxsize
        self._note_refusal = note_refusal
        self._lock = threading.Lock()
        self._callers: dict[str, CallerTurns] = {}
        self.of_nobody: Final = CallerTurns(sys.maxsize, 0.0, lambda: None)

    def enter(self, caller: str) -> CallerTurns:
        """Return what all associations of a caller share; to be followed by a `leave`."""
        with self._lock:
            turns = self._callers.get(caller)
            if turns is None:
                turns = CallerTurns(self._at_once, self._longest_wait, partial(self._note_refusal, caller))
                self._callers[caller] = turns
            turns.users += 1
            return turns

    def leave(self, caller: str) -> None:
        """An association of the caller has ended."""
        with self._lock:
            turns = self._callers[caller]
            turns.users -= 1
            if not turns.users:
                del self._callers[caller]
