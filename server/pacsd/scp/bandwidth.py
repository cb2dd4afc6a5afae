"""Bandwidth: how many bytes a caller's associations may receive and send in a second, where that is limited."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from dicomnet import DicomNet

__all__ = ["Bandwidth", "Meter"]

_BURST: Final = 1.0
"""Seconds whose bytes a caller that was silent may have at once."""
_SHARE_HOLDS: Final = 1.0
"""Seconds until it is asked again which share of a caller's associations this process has."""


class _Bucket:
    """One caller's in this process: what it may have, which becomes more with time (a token bucket)."""

    def __init__(self, rate: Callable[[], float], clock: Callable[[], float]) -> None:
        self._rate_now = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._since = self._share_holds_until = clock()
        self._rate = 1.0
        self._left = math.inf
        """As much as there may be, to begin with."""
        self.users = 0
        """Associations; for `Bandwidth`."""

    def take(self, count: int) -> float:
        """Take so many bytes that have passed; return for how many seconds their connection is to wait."""
        with self._lock:
            now = self._clock()
            self._left += (now - self._since) * self._rate
            self._since = now
            if now >= self._share_holds_until:
                self._rate = max(1.0, self._rate_now())
                self._share_holds_until = now + _SHARE_HOLDS
            self._left = min(self._rate * _BURST, self._left) - count
            return max(0.0, -self._left / self._rate)


class Bandwidth:
    """The limit for the callers of one process.

    `share_of` says which part of a caller's associations, of those in all processes, this one has: it gets as much of
    the limit. So all together never get more, but for the moment in which shares change; and they get less where the
    associations of one process are silent.
    """

    def __init__(
        self,
        bytes_per_second: float,
        share_of: Callable[[str], float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._share_of = share_of
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self.has_stopped: Final = threading.Event()
        """Nobody waits any more."""

    def meter(self, while_waiting: AbstractContextManager[object]) -> Meter:
        """Return what counts a new connection's bytes, to be its `NetConfiguration.while_waiting` instead."""
        return Meter(self, while_waiting)

    def enter(self, caller: str) -> _Bucket:
        """Return what all associations of a caller share; to be followed by a `leave`."""
        with self._lock:
            bucket = self._buckets.get(caller)
            if bucket is None:
                bucket = self._buckets[caller] = _Bucket(
                    lambda: self._bytes_per_second * self._share_of(caller), self._clock
                )
            bucket.users += 1
            return bucket

    def leave(self, caller: str) -> None:
        """An association of the caller has ended."""
        with self._lock:
            bucket = self._buckets[caller]
            bucket.users -= 1
            if not bucket.users:
                del self._buckets[caller]

    def stop(self) -> None:
        """Let everybody go on without waiting, as the process is to end."""
        self.has_stopped.set()


class Meter:
    """A context manager around each wait for a peer in an operation, which it makes longer where bytes were too many.

    Nothing is read meanwhile, so that the peer has to wait as well. What comes between operations is counted by the
    next wait. Before `begin` it only passes on to the one that it stands for.
    """

    def __init__(self, bandwidth: Bandwidth, while_waiting: AbstractContextManager[object]) -> None:
        self._bandwidth = bandwidth
        self._while_waiting = while_waiting
        self._net: DicomNet | None = None
        self._caller = ""
        self._bucket: _Bucket | None = None
        self._counted = 0

    def begin(self, net: DicomNet, caller: str) -> None:
        """Count what passes on a connection, for this caller."""
        self._net, self._caller, self._bucket = net, caller, self._bandwidth.enter(caller)

    def end(self) -> None:
        """Count no more; may be called again."""
        if self._bucket is not None:
            self._bucket = None
            self._bandwidth.leave(self._caller)

    def __enter__(self) -> None:
        self._while_waiting.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None and self._bucket is not None and self._net is not None:
                passed = self._net.bytes_received + self._net.bytes_sent
                count, self._counted = passed - self._counted, passed
                if count and (seconds := self._bucket.take(count)):
                    self._bandwidth.has_stopped.wait(seconds)
        finally:
            self._while_waiting.__exit__(None, None, None)
