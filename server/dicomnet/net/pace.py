"""Whether a peer keeps up: a deadline for silence alone lets a byte a minute hold a thread for ever."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Bytes against the seconds that we waited for them; what we do ourselves in between does not count."""

    __slots__ = ("_bytes", "_period", "_slowest", "_waited")

    def __init__(self, slowest: float, period: float) -> None:
        """Ask for `slowest` bytes per second over each `period` seconds of waiting; 0 asks for nothing."""
        self._slowest = slowest
        self._period = period
        self.restart()

    def restart(self) -> None:
        """Begin a new period."""
        self._bytes = 0
        self._waited = 0.0

    def keeps_up(self, count: int, seconds: float) -> bool:
        """Count bytes that took `seconds` of waiting; False when a period ends with too few."""
        self._bytes += count
        self._waited += seconds
        if self._waited < self._period:
            return True
        kept_up = self._bytes >= self._slowest * self._waited
        self.restart()
        return kept_up
