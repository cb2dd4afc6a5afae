"""The sub-operations of a C-MOVE or C-GET: what is sent, and how they are counted (PS3.4 §C.4.2, §C.4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import structlog

from pacsd.effort import now_and_then
from pacsd.errors import IndexUnavailable, InstanceDamaged, StorageUnavailable, TranscodingFailed
from pacsd.model import StoredInstance
from pacsd.selected import uids_from
from pacsd.services.ports import InstanceLookup, Metrics, OpenedObject, ReadableStore
from pacsd.services.verification import DatasetBuffer, VerifyBy, load_verified, open_instance

__all__ = ["KeptInstances", "OpenedInstance", "Progress", "Sent", "SubOperation"]

_log = structlog.get_logger()

_ATTEMPTS: Final = 8
"""Files that are opened for one sub-operation at most: each but the first because the one before was replaced."""


@dataclass(frozen=True, slots=True)
class OpenedInstance:
    """A kept instance that was verified and is ready to be sent."""

    instance: StoredInstance
    """As the index has it now, which may be another version than the one that was asked for."""
    file: OpenedObject
    dataset: memoryview | None
    """The verified data set where it was small enough to be held, in the caller's buffer; else read `file`."""


class KeptInstances:
    """The archive's instances as retrieves need them; one object per process, used by all its associations at once."""

    def __init__(
        self,
        files: ReadableStore,
        index: InstanceLookup,
        *,
        verify_by: VerifyBy,
        metrics: Metrics,
    ) -> None:
        self._files = files
        self._index = index
        self._verify_by = verify_by
        self._metrics = metrics

    @contextmanager
    def opened(
        self,
        instance: StoredInstance,
        buffer: DatasetBuffer,
        *,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[OpenedInstance]:
        """Open and verify an instance for the length of the block, whose errors of reading are noted as damage.

        The file stays whole for the block even where the instance is replaced meanwhile. Where it was replaced
        before, as the index says, the new one is opened. Raises InstanceDamaged where the index still names a file
        that is not what it says; StorageUnavailable where the file cannot be read, or the instance is gone;
        RetrieveCancelled where `is_cancelled` says so while it is verified.
        """
        current, file, dataset = self._open(instance, buffer, now_and_then(is_cancelled))
        with file:
            try:
                yield OpenedInstance(current, file, dataset)
            except StorageUnavailable as error:
                self._note_damage(current, error, str(error))
                raise
            except TranscodingFailed as error:
                if isinstance(error.__cause__, StorageUnavailable):
                    self._note_damage(current, error.__cause__, str(error))
                raise

    def _open(
        self, instance: StoredInstance, buffer: DatasetBuffer, look: Callable[[], None]
    ) -> tuple[StoredInstance, OpenedObject, memoryview | None]:
        for _ in range(_ATTEMPTS):
            try:
                return instance, *self._open_verified(instance, buffer, look)
            except (InstanceDamaged, StorageUnavailable) as error:
                instance = self._successor(instance, error)
        raise StorageUnavailable("the instance is replaced again and again")

    def _open_verified(
        self, instance: StoredInstance, buffer: DatasetBuffer, look: Callable[[], None]
    ) -> tuple[OpenedObject, memoryview | None]:
        file = open_instance(self._files, instance)
        try:
            return file, load_verified(file, instance, buffer, by=self._verify_by, look=look)
        except BaseException:
            file.close()
            raise

    def _successor(
        self, instance: StoredInstance, error: InstanceDamaged | StorageUnavailable
    ) -> StoredInstance:
        """Return what the index has instead of an instance that could not be opened or verified.

        Raises `error` where it has the same still, or cannot be asked.
        """
        try:
            current = self._index.find_by_sop_instance_uid(instance.sop_instance_uid)
        except IndexUnavailable:
            raise error from None  # whether it is damaged or was replaced, nobody can say
        if current is None:
            raise StorageUnavailable("the instance is not kept any more") from error
        # Not only the path: earlier versions gave the name of a file that was removed to a later one.
        if current == instance:
            self._note_damage(instance, error, str(error))
            raise error
        return current

    def _note_damage(
        self, instance: StoredInstance, error: InstanceDamaged | StorageUnavailable, reason: str
    ) -> None:
        if isinstance(error, StorageUnavailable) and error.lacks_resources:
            return  # it may well be whole
        self._metrics.instance_damaged("retrieve")
        _log.error(
            "instance-damaged",
            noticed="retrieve",
            sop_instance_uid=instance.sop_instance_uid,
            path=instance.path,
            reason=reason,
        )


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
                self.fail(sent.instance.sop_instance_uid)

    def fail(self, sop_instance_uid: str) -> None:
        """Note an instance as failed without taking it off the remaining ones."""
        self.failed += 1
        self.failed_sop_instance_uids.append(sop_instance_uid)

    def fail_remaining(self, instances: Sequence[StoredInstance]) -> None:
        """Count all that were not sent as failed: their way is gone."""
        for uid in uids_from(instances, len(instances) - self.remaining):
            self.fail(uid)
        self.remaining = 0
