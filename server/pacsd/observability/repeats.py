"""Lines that a peer can provoke as often as it likes: the first ones in full, then one a minute with their number."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

__all__ = ["Repeats"]

LIMITED: Final = frozenset(
    {
        "association-rejected",
        "association-aborted",
        "connection-ended-without-association",
        "operation-refused",
    }
)
"""Events. None of them is all that an administrator gets to know of an instance: see `_SAME`."""
_SAME: Final = ("calling_ae_title", "address", "reason", "comment", "service", "sop_instance_uid")
"""Facts that must be equal for a line to be a repetition: each refused instance is told of."""
_OF_ONE: Final = frozenset({"association", "event", "milliseconds"})
"""Facts of a single occurrence."""
IN_FULL: Final = 10
PERIOD: Final = 60.0
"""Seconds."""
MOST_KEYS: Final = 1000
"""Kinds of line that are told apart; further ones of an event count as one."""


@dataclass(slots=True)
class _Kind:
    began: float
    seen: int = 0
    in_full: int = IN_FULL
    repeated: int = 0
    method: str = ""
    last: dict[str, Any] = field(default_factory=dict)


class Repeats:
    """A structlog processor that drops repetitions; `tell` logs their number and is to be called each second or so."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        self._lock = threading.Lock()

    def __call__(
        self, logger: object, method_name: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Let a line pass, or raise DropEvent."""
        del logger
        name = event.get("event")
        if name not in LIMITED or "repeated" in event:
            return event
        key = (name, *(event.get(fact) for fact in _SAME))
        with self._lock:
            kind = self._kinds.get(key)
            if kind is None and len(self._kinds) >= MOST_KEYS:
                key = (name,)
                kind = self._kinds.get(key)
            if kind is None:
                kind = self._kinds[key] = _Kind(self._clock())
            kind.seen += 1
            if kind.seen <= kind.in_full:
                return event
            kind.repeated += 1
            kind.method, kind.last = method_name, dict(event)
        raise structlog.DropEvent

    def tell(self, *, all_of_them: bool = False) -> None:
        """Log the number of each line that was repeated, once a minute; or, before a process ends, right now."""
        now = self._clock()
        told = []
        with self._lock:
            for key, kind in list(self._kinds.items()):
                if not all_of_them and now < kind.began + PERIOD:
                    continue
                if kind.repeated:
                    told.append(kind)
                    self._kinds[key] = _Kind(now, in_full=0)
                else:
                    del self._kinds[key]
        log = structlog.get_logger()
        for kind in told:
            facts = {name: value for name, value in kind.last.items() if name not in _OF_ONE}
            getattr(log, kind.method)(kind.last["event"], **facts, repeated=kind.repeated)
