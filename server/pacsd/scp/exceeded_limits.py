"""Limits that callers exceed: each time is counted, and once a minute for each limit and caller it is logged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

__all__ = ["ExceededLimits"]

_log = structlog.get_logger()

_INTERVAL: Final = 60.0
_CALLERS_TOLD_APART: Final = 500
_OTHERS: Final = "others"


class ExceededLimits:
    """What one process says of limits that are exceeded. Safe to call from any thread."""

    def __init__(self, count: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        """`count` is told the name of the limit each time."""
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._unsaid: dict[tuple[str, str], int] = {}
        """How often since it was said last, by limit and caller; who is not here has to wait for nothing."""
        self._due = 0.0
        """When the next minute begins."""

    def note(self, limit: str, caller: str) -> None:
        """Somebody was refused; `limit` is one of few constant names, `caller` an address or an AE title."""
        self._count(limit)
        with self._lock:
            now = self._clock()
            said = []
            if now >= self._due:
                self._due = now + _INTERVAL
                said = [(each, times) for each, times in self._unsaid.items() if times]
                self._unsaid.clear()
            if (limit, caller) not in self._unsaid and len(self._unsaid) >= _CALLERS_TOLD_APART:
                caller = _OTHERS
            if (limit, caller) in self._unsaid:
                self._unsaid[limit, caller] += 1
            else:
                self._unsaid[limit, caller] = 0
                said.append(((limit, caller), 1))
        # Somebody else's lines say nothing of the connection that is served just now.
        context = structlog.contextvars.get_contextvars()
        structlog.contextvars.clear_contextvars()
        for (each, who), times in said:
            _log.warning("limit-exceeded", limit=each, caller=who, times=times)
        structlog.contextvars.bind_contextvars(**context)
