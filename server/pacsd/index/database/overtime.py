"""An end to what PostgreSQL does not come back from: a frozen leader, a synchronous standby that is away for long."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Overtime", "cut"]

_INTERVAL: Final = 0.5
_TO_CANCEL: Final = 3.0
_AFTER_CANCEL: Final = 3.0
"""Seconds between two looks, for the server to take a cancellation, and then to answer what was cancelled."""


@dataclass(slots=True, eq=False)
class _Limit:
    connection: Any
    until: float
    is_cancelled: bool = False


class Overtime:
    """Ends statements and commits that last too long, in a thread that it has once there is something to watch.

    They are cancelled first, so that they do not go on in the server. Where it does not answer, the connection is cut.
    """

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._limits: set[_Limit] = set()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limiting(self, connection: Any, until: float) -> Iterator[None]:
        """Give what psycopg's connection does in the `with` block time until then (of `time.monotonic`)."""
        limit = _Limit(connection, until)
        with self._lock:
            self._limits.add(limit)
            if self._thread is None:
                self._closed.clear()
                self._thread = threading.Thread(target=self._run, name="index-overtime", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._limits.discard(limit)

    def end_by(self, until: float) -> None:
        """Give what is going on no more time than until then."""
        with self._lock:
            for limit in self._limits:
                limit.until = min(limit.until, until)

    def close(self) -> None:
        """End the thread; a later limit starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._closed.set()
            thread.join()

    def _run(self) -> None:
        while not self._closed.wait(_INTERVAL):
            now = time.monotonic()
            with self._lock:
                exceeded = [limit for limit in self._limits if now >= limit.until]
            for limit in exceeded:
                _enforce(limit)


def _enforce(limit: _Limit) -> None:
    if not limit.is_cancelled:
        limit.is_cancelled = True
        try:
            limit.connection.cancel_safe(timeout=_TO_CANCEL)
        except Exception:  # whatever the driver raises: the server cannot be asked
            cut(limit.connection)
        limit.until = time.monotonic() + _AFTER_CANCEL
    else:
        cut(limit.connection)


def cut(connection: Any) -> None:
    """Cut psycopg's connection, whoever waits for it."""
    # The thread that waits for it closes it. It may just have ended by itself.
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
