"""Queries that wait for the database are watched: their own threads cannot look whether they are to end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

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
    """A query on a connection of the driver's."""

    __slots__ = ("_watch", "connection", "effort", "interrupted", "turn")

    def __init__(self, watch: Watch, connection: Any, effort: Effort) -> None:
        self._watch = watch
        self.connection = connection
        self.effort = effort
        self.turn = threading.Lock()
        """Held by who looks at the peer while the query waits for the database."""
        self.interrupted: float | None = None
        """When PostgreSQL was asked to end it."""

    def wait_for(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Make a call that waits for the database; it fails where the query is to end."""
        watch = self._watch
        watch.watched.add(self)
        try:
            if watch.is_asleep:
                watch.wake()
            return call(*arguments)
        finally:
            watch.watched.discard(self)
            with self.turn:
                pass  # until nobody looks any more


class Away:
    """A query whose cursor stays open while its peer is given a page, from now on until `end`."""

    __slots__ = ("_watch", "effort", "is_over", "put_aside", "since", "turn")

    def __init__(self, watch: Watch, put_aside: Callable[[], None], effort: Effort) -> None:
        self._watch = watch
        self.put_aside = put_aside
        self.effort = effort
        self.since = time.monotonic()
        self.turn = threading.Lock()
        """Held by who uses the cursor; nobody does at first."""
        self.is_over = False
        effort.is_away = True
        effort.pause()
        watch.away.add(self)
        if watch.is_asleep:
            watch.wake()

    def end(self) -> None:
        """The peer has its page. Wait until nothing is put aside any more."""
        self._watch.away.discard(self)
        while not self.turn.acquire(timeout=LOOKS):
            self.effort.look()  # what puts the rest aside ends where this says so
        self.is_over = True
        self.turn.release()
        self.effort.is_away = False
        self.effort.go_on()


class Watch:
    """Watches a process's queries, in a thread that it has from the first one on.

    Most queries are over before it looks: they only put themselves into a set, and wake the thread where it sleeps.
    A second thread for a moment is taken where a peer has said something, as its message may not have come whole, and
    where matches are to be put aside.
    """

    def __init__(self) -> None:
        self.watched: set[Watched] = set()
        self.away: set[Away] = set()
        self.is_asleep = True
        """Whether who adds to these sets has to `wake` it."""
        # The thread waits for these in C, so that to wake it hardly delays a query.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._closing: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watching(self, connection: Any, effort: Effort) -> Watched:
        """Return what watches a query."""
        return Watched(self, connection, effort)

    def while_away(self, put_aside: Callable[[], None], effort: Effort) -> Away:
        """Watch how long a peer takes for a page that it is given from now on.

        Where that takes long, `put_aside` is called on another thread.
        """
        return Away(self, put_aside, effort)

    def wake(self) -> None:
        """Look, as there is something to watch."""
        self.start()
        self._calls.put(None)

    def close(self) -> None:
        """End the thread; a later query starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.put(None)
            self._calls.put(None)
            thread.join()

    def start(self) -> None:
        """Have the thread now already."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="index-watch", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        self._sleep()
        while not self._is_closed_within(_INTERVAL):
            watched, away = self.watched.copy(), self.away.copy()
            # Without room for a thread, which RuntimeError says, it is done at the next look.
            for each in watched:
                with suppress(RuntimeError):
                    self._look_at(each)
            for every in away:
                with suppress(RuntimeError):
                    self._help(every)
            self._sleep()
        self.is_asleep = True

    def _is_closed_within(self, seconds: float) -> bool:
        with suppress(Empty):
            self._closing.get(timeout=seconds)
            return True
        return False

    def _sleep(self) -> None:
        """Wait until there is something to watch, if there is nothing, or this is closed."""
        self.is_asleep = True
        # Whoever comes after this line calls us; who came before it is seen. A call too many wakes us in vain.
        if not (self.watched or self.away):
            self._calls.get()
        self.is_asleep = False

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
        # Since it was seen, it may have ended waiting, and look at the peer itself.
        is_waiting = watched in self.watched
        if is_waiting and not effort.is_over and effort.peer_has_spoken:
            _start_with_turn(_hear, watched)
            return
        try:
            if is_waiting and effort.is_over:
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
    away.effort.go_on()
    try:
        away.put_aside()
    finally:
        away.effort.pause()
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
