"""The sub-operations of a C-MOVE or C-GET, and how they are counted (PS3.4 §C.4.2, §C.4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from pacsd.model import StoredInstance

__all__ = ["Progress", "Sent", "SubOperation"]


class SubOperation(Enum):
    """How sending one instance went."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sent:
    """How sending one instance went; `reason` says why, where it is not `COMPLETED`."""

    instance: StoredInstance
    outcome: SubOperation
    reason: str = ""


@dataclass(slots=True)
class Progress:
    """The counts of a retrieve; remaining + completed + failed + warning is always the total."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_sop_instance_uids: list[str] = field(default_factory=list)
    reason: str = ""
    """Why the first that failed, or was answered with a warning, did."""

    def count(self, sent: Sent) -> None:
        """Count one sub-operation that has ended."""
        self.remaining -= 1
        self.reason = self.reason or sent.reason
        match sent.outcome:
            case SubOperation.COMPLETED:
                self.completed += 1
            case SubOperation.WARNING:
                self.warning += 1
            case SubOperation.FAILED:
                self.fail(sent.instance)

    def fail(self, instance: StoredInstance) -> None:
        """Note an instance as failed without taking it off the remaining ones."""
        self.failed += 1
        self.failed_sop_instance_uids.append(instance.sop_instance_uid)

    def fail_remaining(self, instances: Sequence[StoredInstance]) -> None:
        """Count all that were not sent as failed: their way is gone."""
        for instance in instances[len(instances) - self.remaining :]:
            self.fail(instance)
        self.remaining = 0
