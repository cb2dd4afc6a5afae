"""Queries that wait for the database are watched: their own threads cannot look whether they are to end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pacsd.effort import LOOKS
from pacsd.index.database.overtime import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacsd.effort import Effort

__all__ = ["Away", "Watch", "Watched"]

_T = TypeVar("_T")
_Q = TypeVar("_Q", "Watched", "Away")

_INTERVAL: Final = 0.04
_AWAY: Final = 1.0
"""Seconds that a cursor may wait for a peer that is given a page."""
_TO_CANCEL: Final = 3.0
"""Seconds for the server to take a cancellation."""
_AFTER_CANCEL: Final = 3.0
"""Seconds for the server to answer what was cancelled, before the connection is cut."""


class Watched:
    """A query on a connection of the driver's: a context manager around all that it does there."""

    __slots__ = ("_watch", "connection", "effort", "interrupted", "turn")

    def __init__(self, watch: Watch, connection: Any, effort: Effort) -> None:
        self._watch = watch
        self.connection = connection
        self.effort = effort
        self.turn = threading.Lock()
        """Held by the query's own thread, but for while it waits for the database: then others may look at the peer."""
        self.interrupted: float | None = None
        """When PostgreSQL was asked to end it."""

    def __enter__(self) -> Self:
        self.turn.acquire()
        self._watch.watched.add(self)
        self._watch.wake()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.watched.discard(self)

    def wait_for(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Make a call that waits for the database; it fails where the query is to end."""
        self.turn.release()
        try:
            return call(*arguments)
        finally:
            self.turn.acquire()


class Away:
    """A query whose cursor stays open while its peer is given a page: a context manager around that."""

    __slots__ = ("_watch", "effort", "is_over", "put_aside", "since", "turn")

    def __init__(self, watch: Watch, put_aside: Callable[[], None], effort: Effort) -> None:
        self._watch = watch
        self.put_aside = put_aside
        self.effort = effort
        self.since = time.monotonic()
        self.turn = threading.Lock()
        """Held by who uses the cursor; nobody does at first."""
        self.is_over = False

    def __enter__(self) -> Self:
        self.effort.is_away = True
        self._watch.away.add(self)
        self._watch.wake()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.effort.abandon()
        self._watch.away.discard(self)
        while not self.turn.acquire(timeout=LOOKS):
            self.effort.look()  # what puts the rest aside ends where this says so
        self.is_over = True
        self.turn.release()
        self.effort.is_away = False


class Watch:
    """Watches a process's queries, in a thread that it has from the first one on.

    A second thread for a moment is taken where a peer has said something, as its message may not have come whole, and
    where matches are to be put aside.
    """

    def __init__(self) -> None:
        self.watched: set[Watched] = set()
        self.away: set[Away] = set()
        self._has_some = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watching(self, connection: Any, effort: Effort) -> Watched:
        """Return what watches a query."""
        return Watched(self, connection, effort)

    def while_away(self, put_aside: Callable[[], None], effort: Effort) -> Away:
        """Return a context manager to give a peer a page in.

        Where that takes long, `put_aside` is called on another thread; the block ends when that is done. Where it ends
        by an exception, nobody waits for the query any more.
        """
        return Away(self, put_aside, effort)

    def wake(self) -> None:
        """Look, as there is something to watch."""
        if self._thread is None:
            self.start()
        if not self._has_some.is_set():
            self._has_some.set()

    def close(self) -> None:
        """End the thread; a later query starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._closed.set()
            self._has_some.set()
            thread.join()

    def start(self) -> None:
        """Have the thread now already."""
        with self._lock:
            if self._thread is None:
                self._closed.clear()
                self._thread = threading.Thread(target=self._run, name="index-watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(_INTERVAL):
            # Whoever comes after this line wakes us again, also who closes.
            self._has_some.clear()
            if self._closed.is_set():
                return
            watched, away = self.watched.copy(), self.away.copy()
            # Without room for a thread, which RuntimeError says, it is done at the next look.
            for each in watched:
                with suppress(RuntimeError):
                    self._look_at(each)
            for every in away:
                with suppress(RuntimeError):
                    self._help(every)
            if not watched and not away:
                self._has_some.wait()

    def _help(self, away: Away) -> None:
        if time.monotonic() - away.since < _AWAY or not away.turn.acquire(blocking=False):
            return
        if away.is_over:
            away.turn.release()
            return
        _start_with_turn(_put_aside, away)

    def _look_at(self, watched: Watched) -> None:
        if not watched.turn.acquire(blocking=False):
            return
        effort = watched.effort
        if not effort.is_over and effort.peer_has_spoken:
            _start_with_turn(_hear, watched)
            return
        try:
            if effort.is_over:
                _interrupt(watched)
        finally:
            watched.turn.release()


def _start_with_turn(target: Callable[[_Q], None], query: _Q) -> None:
    """Have something done on another thread, which gives the query's turn back; as soon as there is room for one."""
    try:
        threading.Thread(target=target, args=(query,), name="index-query", daemon=True).start()
    except RuntimeError:
        query.turn.release()
        raise


def _hear(watched: Watched) -> None:
    """Look what the peer has said; the turn is ours already."""
    try:
        if watched.effort.look():
            _interrupt(watched)
    finally:
        watched.turn.release()


def _put_aside(away: Away) -> None:
    """Let the query put aside what is left; the turn is ours already."""
    away.is_over = True
    try:
        with away.effort:
            away.put_aside()
    finally:
        away.turn.release()


def _interrupt(watched: Watched) -> None:
    if hasattr(watched.connection, "interrupt"):
        watched.connection.interrupt()
        return
    now = time.monotonic()
    if watched.interrupted is None:
        watched.interrupted = now
        # Whatever the driver raises: the server cannot be asked, and is cut off in time.
        with suppress(Exception):
            watched.connection.cancel_safe(timeout=_TO_CANCEL)
    elif now - watched.interrupted > _AFTER_CANCEL:
        cut(watched.connection)
