"""How long to wait before a process that died is replaced."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(slots=True)
class Backoff:
    """Of a process and those that take its place, one after the other; all in seconds.

    The first death is mended at once, each further one in a row after twice the time.
    """

    first: float = 0.5
    longest: float = 30.0
    healthy_after: float = 60.0
    """One that lived so long did not die of how it was started: the row ends."""
    failures: int = 0

    def delay(self, lived: float) -> float:
        """Seconds until the replacement of one that died after `lived` seconds."""
        if lived >= self.healthy_after:
            self.failures = 0
        delay = min(self.first * 2.0 ** (self.failures - 1), self.longest) if self.failures else 0.0
        # Enough to reach the longest delay; more would only make the number overflow one day.
        self.failures = min(self.failures + 1, 64)
        return delay
