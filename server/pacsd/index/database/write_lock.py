"""The write lock: of all processes that write one SQLite database, one at a time, woken when it is its turn.

A lock on a file (flock) instead of SQLite's busy handler, which polls with growing pauses and lets writers
starve. The kernel frees the lock when its holder dies, so a killed worker never leaves the others waiting.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pacsd.errors import IndexUnavailable
from pacsd.permissions import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["WriteLock"]


class _Waiter:
    """Waits for the lock in a thread of its own, since flock knows no deadline; never keeps it unwanted.

    The thread stays for the next wait. The descriptor is the waiter's to close.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._is_waiting = False
        self._is_wanted = False
        self._is_closed = False
        self._error: OSError | None = None
        threading.Thread(target=self._run, name="index-turn", daemon=True).start()

    @property
    def is_waiting(self) -> bool:
        """Whether a wait goes on that nobody may want any more; until it ends, the lock is only to be had by it."""
        # Under the lock, or it could end between our look and our asking for the lock, and free what we just got.
        with self._changed:
            return self._is_waiting

    def wait(self, timeout: float) -> bool:
        """Wait for the lock, by a wait that goes on already if there is one; False, and not wanted, at the deadline.

        Raises OSError if the kernel refuses the lock.
        """
        with self._changed:
            self._is_waiting = self._is_wanted = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_waiting, timeout)
            self._is_wanted = False
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return not self._is_waiting

    def close(self) -> None:
        """End the thread, if need be after a wait that nobody wants any more, and close the descriptor."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._is_asked():
            error = self._lock()
            with self._changed:
                self._is_waiting = False
                if self._is_wanted:
                    self._error = error
                    self._changed.notify_all()
                elif error is None:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def _is_asked(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_waiting or self._is_closed)
            return self._is_waiting

    def _lock(self) -> OSError | None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            return error
        return None


class WriteLock:
    """One lock file's turns: for the threads of this process and all processes that name the same file."""

    def __init__(
        self,
        path: Path,
        *,
        timeout: float,
        observe_wait: Callable[[float], None] = lambda _: None,
        observe_turn: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`observe_wait` is told how long each turn was waited for, in seconds.

        `observe_turn` is told whether the turn is held now.
        """
        self._path: Final = path
        self._timeout: Final = timeout
        self._observe_wait: Final = observe_wait
        self._observe_turn: Final = observe_turn
        self._mine: Final = threading.Lock()
        self._descriptor: int | None = None
        self._waiter: _Waiter | None = None

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold the turn for the length of a `with` block; IndexUnavailable after `timeout` seconds without one.

        To be taken first in the process that uses it: a lock inherited through a fork would be its parent's
        as well.
        """
        began = time.monotonic()
        deadline = began + self._timeout
        if not self._mine.acquire(timeout=self._timeout):
            raise self._timed_out()
        try:
            descriptor = self._lock(deadline)
            self._observe_turn(True)
            self._observe_wait(time.monotonic() - began)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                self._observe_turn(False)
        finally:
            self._mine.release()

    def close(self) -> None:
        """Let go of the lock file; a later turn opens it again."""
        with self._mine:
            if self._waiter is not None:
                self._waiter.close()
            elif self._descriptor is not None:
                os.close(self._descriptor)
            self._waiter = self._descriptor = None

    def _lock(self, deadline: float) -> int:
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not self._lock_at_once(self._descriptor) and not self._lock_by(deadline, self._descriptor):
                raise self._timed_out()
        except OSError as error:
            # The reason first: a peer is shown 64 characters.
            raise IndexUnavailable(
                f"the index cannot be locked: {reason(error, 'write to its folder')} ({self._path})"
            ) from error
        return self._descriptor

    def _lock_at_once(self, descriptor: int) -> bool:
        if self._waiter is not None and self._waiter.is_waiting:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _lock_by(self, deadline: float, descriptor: int) -> bool:
        if self._waiter is None:
            self._waiter = _Waiter(descriptor)
        return self._waiter.wait(max(0.0, deadline - time.monotonic()))

    def _timed_out(self) -> IndexUnavailable:
        return IndexUnavailable(
            f"no turn to write to the index within {self._timeout:g} s: another process holds it",
            was_reached=False,
        )
