"""Requests that come while another one of their association is served, and what they may take of the memory."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from dicomnet.dimse.events import MessageReceived
from dicomnet.limits import Limits

__all__ = ["HELD_IN_ALL", "Held", "HeldRequests"]

_LITTLE: Final = 1 << 14
"""Bytes that a request may have, and the other ones together, when the process has no room any more."""


class _Room:
    """Bytes that the connections of this process share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0

    def take(self, count: int, most: int) -> bool:
        with self._lock:
            if self.taken + count > most:
                return False
            self.taken += count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self.taken -= count


HELD_IN_ALL: Final = _Room()


class Held(NamedTuple):
    """A request and its data set."""

    received: MessageReceived
    data: bytes
    counted: int
    """Bytes that were taken of `HELD_IN_ALL`."""


class HeldRequests:
    """The requests of one association that wait, in their order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: list[Held] = []
        self._bytes = 0
        self._reserved = 0

    def __len__(self) -> int:
        return len(self._requests)

    def reserve(self) -> bool:
        """Make sure of room for one more, of any length that is allowed; False where there is none."""
        limits = self._limits
        if self._reserved:
            return True
        if len(self) >= limits.deferred_requests or self._bytes >= limits.deferred_bytes:
            return False
        if not HELD_IN_ALL.take(limits.identifier_length, limits.deferred_bytes_in_all):
            return False
        self._reserved = limits.identifier_length
        return True

    @property
    def longest(self) -> int:
        """Bytes that the data set of the next one may have: few, but not none, without a reservation."""
        if self._reserved:
            return self._reserved
        return _LITTLE if len(self) < self._limits.deferred_requests and self._bytes < _LITTLE else 0

    def add(self, received: MessageReceived, data: bytes) -> None:
        """Keep one, and give back what was reserved for it and is not needed."""
        counted = len(data) if self._reserved else 0
        HELD_IN_ALL.give_back(self._reserved - counted)
        self._reserved = 0
        self._bytes += len(data)
        self._requests.append(Held(received, data, counted))

    def pop(self) -> Held:
        """Take the first one out."""
        held = self._requests.pop(0)
        self._bytes -= len(held.data)
        HELD_IN_ALL.give_back(held.counted)
        return held

    def clear(self) -> None:
        """Drop all of them, and what is reserved."""
        while self._requests:
            self.pop()
        HELD_IN_ALL.give_back(self._reserved)
        self._reserved = 0
