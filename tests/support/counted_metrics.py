"""What the services count, kept in lists."""

from __future__ import annotations

from dataclasses import dataclass, field

from pacsd.model import CommitOutcome


@dataclass(slots=True)
class CountedMetrics:
    """`failures` may hold, under "observed", what counting a commit shall raise."""

    failures: dict[str, Exception] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    outcomes: list[CommitOutcome] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """By what it was noticed."""
    scrubs: list[float] = field(default_factory=list)

    def commit_batch(self, size: int, seconds: float) -> None:
        assert seconds >= 0.0
        self.batches.append(size)
        if "observed" in self.failures:
            raise self.failures["observed"]

    def instance_stored(self, outcome: CommitOutcome) -> None:
        self.outcomes.append(outcome)

    def instance_damaged(self, noticed: str) -> None:
        self.damaged.append(noticed)

    def scrubbed(self, timestamp: float) -> None:
        self.scrubs.append(timestamp)
