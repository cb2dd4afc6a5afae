"""Turns: of all processes that write one SQLite database, one at a time, woken when it is its turn.

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Turns"]


class _Waiter:
    """Waits for the lock in a thread of its own, since flock knows no deadline; never keeps it unwanted."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._wanted = True
        self._ended = False
        self._error: OSError | None = None
        threading.Thread(target=self._wait, name="index-turn", daemon=True).start()

    def _wait(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._changed:
            self._ended = True
            if not self._wanted and self._error is None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._changed.notify_all()

    def want(self) -> bool:
        """Ask again after giving up; False if that wait has ended and the lock must be asked for anew."""
        with self._changed:
            self._wanted = not self._ended
            return self._wanted

    def granted(self, timeout: float) -> bool:
        """Wait for the lock; at the deadline it is no longer wanted.

        Raises OSError if the kernel refuses the lock.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout)
            if self._error is not None:
                raise self._error
            self._wanted = self._ended
            return self._ended


class Turns:
    """One lock file's turns: for the threads of this process and all processes that name the same file."""

    def __init__(
        self, path: Path, *, timeout: float, observe_wait: Callable[[float], None] = lambda _: None
    ) -> None:
        """`observe_wait` is told how long each turn was waited for, in seconds."""
        self._path: Final = path
        self._timeout: Final = timeout
        self._observe_wait: Final = observe_wait
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
            self._observe_wait(time.monotonic() - began)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._mine.release()

    def close(self) -> None:
        """Let go of the lock file; a later turn opens it again."""
        with self._mine:
            # While a waiter sits on the descriptor its number must not be given to another file.
            if self._descriptor is not None and self._waiter is None:
                os.close(self._descriptor)
                self._descriptor = None

    def _lock(self, deadline: float) -> int:
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not self._lock_at_once(self._descriptor) and not self._lock_by(deadline, self._descriptor):
                raise self._timed_out()
        except OSError as error:
            raise IndexUnavailable(f"the index's lock file cannot be used: {error.strerror}") from error
        return self._descriptor

    def _lock_at_once(self, descriptor: int) -> bool:
        if self._waiter is not None and self._waiter.want():
            return False
        self._waiter = None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _lock_by(self, deadline: float, descriptor: int) -> bool:
        if self._waiter is None:
            self._waiter = _Waiter(descriptor)
        granted = self._waiter.granted(max(0.0, deadline - time.monotonic()))
        if granted:
            self._waiter = None
        return granted

    def _timed_out(self) -> IndexUnavailable:
        return IndexUnavailable(
            f"no turn to write to the index within {self._timeout:g} s: another process holds it"
        )
