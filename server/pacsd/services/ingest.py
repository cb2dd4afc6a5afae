"""Taking an instance in: durable on disk and in the index before anybody is told of success.

The order is the promise: file written and synced, published under its name, directory entries synced, row
committed, answer. A crash in between leaves a file without a row, which a sweep finds; it never leaves a
row without a file, nor loses what was acknowledged. What is kept already is acknowledged again only after a look at
its file, and gives way where that is missing or damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from dicomnet import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacsd.dataset.part10 import part10_header
from pacsd.dataset.sources import MAXIMUM_INFLATED
from pacsd.dataset.uids import verify_keepable
from pacsd.errors import (
    DatasetInvalid,
    DuplicateInstance,
    IndexUnavailable,
    InstanceDamaged,
    StorageFull,
    StorageUnavailable,
)
from pacsd.model import CommitOutcome, CommitResult, InstanceRecord, StoredInstance
from pacsd.services.group_commit import GroupCommit
from pacsd.services.ports import BlobStore, Catalogue, Fragment, IncomingObject, Metrics
from pacsd.services.records import (
    attributes_of_dataset,
    checksum_of_file,
    differing_attributes,
    have_same_dataset,
)
from pacsd.services.verification import open_instance, verify_file

__all__ = ["IncomingInstance", "Ingest", "ReceivedInstance"]

_log = structlog.get_logger()

_VERIFIED_FILES: Final = 100_000
"""Remembered as whole; when there are more, the memory starts anew, which costs some reading."""
_DECISIONS: Final = 5
"""On one duplicate, while others change what is kept."""
_REFUSED: Final = frozenset((CommitOutcome.KEPT_FIRST, CommitOutcome.REJECTED))
_NOT_KEPT: Final = _REFUSED | {CommitOutcome.IDENTICAL}
_OTHER_CONTENT: Final = _REFUSED | {CommitOutcome.REPLACED}
_NAMING: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""By whose values an instance is found and fetched, and its file is named."""
_MOST_NAMED: Final = 30
"""Of the attributes in which two objects differ, besides the last, which may be their pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingInstance:
    """What the sender says about an instance before its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    default_character_set: str = ""
    """What the sender uses without saying so, see `dataset.charsets.character_set_in_effect`."""
    may_correct: bool = False
    """As `InstanceRecord` has it."""


@dataclass(slots=True)
class ReceivedInstance:
    """An instance that was received whole, and how far it has come since."""

    file: IncomingObject
    record: InstanceRecord
    """Its path is "" until the file is published."""
    has_valid_uids: bool
    """Whether those of its study, its series and itself are (PS3.5 §9.1)."""
    committed: Callable[[], CommitResult] | None = None
    """Waits for the commit that the instance was handed in for."""
    failure: Exception | None = None
    """Why it was not handed in."""


class Ingest:
    """Takes instances in; one object per process, used by all its associations at once, each by an `Intake`.

    `observe_commit` is told when a commit begins and ends. `read_only` says why nothing can be stored, if so. With
    `strict_uids` an instance whose UIDs are not valid (PS3.5 §9.1) is refused. `maximum_inflated` is as in
    `records.attributes_of_dataset`.
    """

    def __init__(
        self,
        store: BlobStore,
        index: Catalogue,
        *,
        metrics: Metrics,
        observe_commit: Callable[[bool], None] = lambda _: None,
        read_only: str = "",
        strict_uids: bool = False,
        maximum_inflated: int = MAXIMUM_INFLATED,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._index = index
        self._metrics = metrics
        self._strict_uids = strict_uids
        self._maximum_inflated = maximum_inflated
        self._now = now
        self._clock = clock
        self._group: GroupCommit[InstanceRecord, CommitResult] = GroupCommit(self._commit, observe_commit)
        self._read_only = read_only
        self._verified: dict[str, Hashable] = {}
        """Of kept files that were found whole: their version then."""

    def receive(self, incoming: IncomingInstance, dataset: Iterable[Fragment]) -> ReceivedInstance:
        """Write one instance down; raises as `Intake.receive` does, and then nothing is left of it."""
        if self._read_only:
            raise StorageFull(self._read_only)
        received_at = self._now()
        header = part10_header(
            sop_class_uid=incoming.sop_class_uid,
            sop_instance_uid=incoming.sop_instance_uid,
            transfer_syntax_uid=incoming.transfer_syntax_uid,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            # A title that is none (PS3.5 §6.2) cannot stand in the file; no reason to refuse its instances.
            calling_ae_title=incoming.calling_ae_title if incoming.calling_ae_title.isascii() else "",
        )
        file = self._store.begin(header)
        try:
            for fragment in dataset:
                file.write(fragment)
            attributes = attributes_of_dataset(
                file.prefix,
                file.size,
                file.read_at,
                transfer_syntax_uid=incoming.transfer_syntax_uid,
                sop_class_uid=incoming.sop_class_uid,
                sop_instance_uid=incoming.sop_instance_uid,
                default_character_set=incoming.default_character_set,
                maximum_inflated=self._maximum_inflated,
            )
            _verify_agreement(incoming, attributes)
            uids = {keyword: attributes[keyword] for keyword in _NAMING}
            has_valid_uids = verify_keepable(uids, strict=self._strict_uids)
            record = _record(incoming, attributes, file, len(header), received_at)
            file.complete()
        except BaseException:
            file.close()
            raise
        return ReceivedInstance(file, record, has_valid_uids)

    def hand_in(self, instances: Sequence[ReceivedInstance]) -> None:
        """Make the files durable, publish them, and hand the instances in for the next commit.

        Raises nothing of what is wrong with one of them: `finish` does.
        """
        failures = self._store.make_durable([received.file for received in instances])
        for received, failure in zip(instances, failures, strict=True):
            received.failure = failure or self._publish(received)
        for received in instances:
            if received.failure is None:
                received.committed = self._group.submit(received.record)

    def _publish(self, received: ReceivedInstance) -> Exception | None:
        try:
            path = received.file.publish(received.record)
        except (StorageFull, StorageUnavailable) as failure:
            return failure
        received.record = replace(received.record, path=path)
        return None

    def finish(self, received: ReceivedInstance) -> CommitOutcome:
        """Wait for the commit of an instance that was handed in; raises as `Intake.receive` says."""
        try:
            return self._finish(received)
        finally:
            # Only now: until then its name under incoming/ says that it is about to be committed.
            self._close(received)

    def _finish(self, received: ReceivedInstance) -> CommitOutcome:
        if received.committed is None:
            raise received.failure or ValueError("the instance was not handed in")
        record = received.record
        try:
            record, result = self._decided(record, received.committed())
        except IndexUnavailable as error:
            if error.may_be_written:
                # Its row may be there, or come yet, and must never be without its file.
                _log.warning("file-left-for-next-start", path=record.path)
            elif error.was_reached:
                self._withdraw(record.path)
            else:
                # Devices try again and again while the index is away: their files must not fill the disk.
                self._discard(record.path)
            raise
        except Exception:
            self._withdraw(record.path)
            raise
        if result.outcome is CommitOutcome.STORED:  # nearly all are
            self._metrics.instance_stored(result.outcome)
            return result.outcome
        # Where what is kept is damaged or missing, nothing vouches for it; its name may even be the new file's.
        may_be_same = result.outcome in _REFUSED and record.distrusted is None
        if may_be_same and self._is_kept_otherwise(record):
            result = replace(result, outcome=CommitOutcome.IDENTICAL)
        if result.outcome in _OTHER_CONTENT:
            # While both files are there.
            self._report_other_content(record, result)
        if result.obsolete_path is not None:
            self._give_up(result.obsolete_path, result.outcome)
        self._metrics.instance_stored(result.outcome)
        if result.outcome is CommitOutcome.HEALED:
            _log.warning("instance-healed", sop_instance_uid=record.sop_instance_uid, path=record.path)
        if result.outcome in _REFUSED:
            raise DuplicateInstance("another object with this SOP Instance UID is kept")
        return result.outcome

    def _decided(self, record: InstanceRecord, result: CommitResult) -> tuple[InstanceRecord, CommitResult]:
        """Look at what is kept, where that is why the index did not take an instance, and have it decide again.

        Returns the record with what was found out about what is kept.
        """
        for _ in range(_DECISIONS):
            if result.obsolete_path is None or result.outcome not in _NOT_KEPT:
                return record, result
            kept = self._index.find_by_sop_instance_uid(record.sop_instance_uid)
            if kept is not None:
                # What is damaged and stays all the same has been looked at already.
                is_decided = record.distrusted == kept or self._is_whole(kept)
                is_compared = result.outcome is CommitOutcome.IDENTICAL or _has_checksum_like(record, kept)
                if is_decided and is_compared:
                    return record, result
                if not is_compared:
                    checksum = checksum_of_file(self._store, record, kept.checksum.partition(":")[0])
                    record = replace(record, other_checksums=record.other_checksums | {checksum})
                if not is_decided:
                    record = replace(record, distrusted=kept)
            result = self._group.submit(record)()
        raise IndexUnavailable("others change what is kept under this SOP Instance UID all the time")

    def _is_whole(self, kept: StoredInstance) -> bool:
        """Whether a kept file is what the index says; read once, and again when it is not the same file any more."""
        try:
            with open_instance(self._store, kept) as file:
                same = file.version
                if self._verified.get(kept.path) != same:
                    verify_file(file, kept, by="checksum")
        except (InstanceDamaged, StorageUnavailable) as error:
            if isinstance(error, StorageUnavailable) and error.lacks_resources:
                raise  # it may well be whole
            _log.error(
                "instance-damaged",
                sop_instance_uid=kept.sop_instance_uid,
                path=kept.path,
                reason=str(error),
                consequence="what was sent again takes its place",
            )
            self._metrics.instance_damaged("store")
            self._verified.pop(kept.path, None)
            return False
        if len(self._verified) >= _VERIFIED_FILES:
            self._verified.clear()
        self._verified[kept.path] = same
        return True

    def _give_up(self, path: str, outcome: CommitOutcome) -> None:
        """Take a file away that no row names any more; one that was found damaged stays for people to look at."""
        try:
            if outcome in (CommitOutcome.HEALED, CommitOutcome.REPLACED):
                # It may be of an earlier day, which no sweep would look at if we died here.
                self._store.note_day(path)
            if outcome is not CommitOutcome.HEALED:
                self._discard(path)
                return
            self._store.quarantine(path, "it was damaged or unreadable when its instance was sent again")
        except (StorageFull, StorageUnavailable) as error:
            _log.warning("file-not-quarantined", path=path, reason=str(error))

    def _close(self, received: ReceivedInstance) -> None:
        try:
            received.file.close()
        except (StorageFull, StorageUnavailable) as error:
            _log.warning("file-not-removed", path="incoming", reason=str(error))

    def _commit(self, records: Sequence[InstanceRecord]) -> Sequence[CommitResult | Exception]:
        started = self._clock()
        self._store.make_names_durable([record.path for record in records])
        results = self._index.commit(records)
        self._metrics.commit_batch(len(records), self._clock() - started)
        return results

    def _withdraw(self, path: str) -> None:
        """Remove a file that the index did not take, but only if the index itself says so.

        Whatever went wrong may have done so behind the commit, as when the connection breaks at its end. Where
        the index cannot say, the file stays, for the next start to find or to index.
        """
        try:
            is_kept = self._index.has_path(path)
        except IndexUnavailable:
            _log.warning("file-left-for-next-start", path=path)
            return
        if not is_kept:
            self._discard(path)

    def _discard(self, path: str) -> None:
        """Remove a file that no row names; that it cannot be removed changes nothing about the instance."""
        try:
            self._store.remove(path)
        except (StorageFull, StorageUnavailable) as error:
            _log.warning("file-not-removed", path=path, reason=str(error))

    def _is_kept_otherwise(self, record: InstanceRecord) -> bool:
        """Whether what is kept is the same data set, differently encoded: toolkits write what they read anew."""
        try:
            kept_path = self._kept_path(record)
            return kept_path is not None and have_same_dataset(self._store, kept_path, record.path)
        except (DatasetInvalid, IndexUnavailable, StorageUnavailable):
            return False

    def _report_other_content(self, record: InstanceRecord, result: CommitResult) -> None:
        """Log that other content came under a known UID, and which attributes differ; never their values."""
        differing: Sequence[str] = ()
        try:
            replaced = result.obsolete_path if result.outcome is CommitOutcome.REPLACED else None
            kept_path = replaced or self._kept_path(record)
            if kept_path is not None:
                differing = differing_attributes(
                    self._store, kept_path, record.path, maximum_inflated=self._maximum_inflated
                )
        except (DatasetInvalid, IndexUnavailable, StorageUnavailable) as error:
            _log.info("duplicate-not-compared", sop_instance_uid=record.sop_instance_uid, reason=str(error))
        _log.warning(
            "duplicate-with-other-content",
            outcome=result.outcome.value,
            sop_instance_uid=record.sop_instance_uid,
            differing=[*differing[:_MOST_NAMED], *differing[_MOST_NAMED:][-1:]],
            count=len(differing),
        )

    def _kept_path(self, record: InstanceRecord) -> str | None:
        kept = self._index.find_by_sop_instance_uid(record.sop_instance_uid)
        return None if kept is None else kept.path


def _has_checksum_like(record: InstanceRecord, kept: StoredInstance) -> bool:
    """Say whether a record has a checksum by the algorithm of what is kept."""
    algorithm = kept.checksum.partition(":")[0]
    return any(each.startswith(f"{algorithm}:") for each in (record.checksum, *record.other_checksums))


def _record(
    incoming: IncomingInstance,
    attributes: dict[str, str],
    file: IncomingObject,
    dataset_offset: int,
    received_at: datetime,
) -> InstanceRecord:
    """Return what the index is to know of an instance."""
    return InstanceRecord(
        sop_instance_uid=incoming.sop_instance_uid,
        sop_class_uid=incoming.sop_class_uid,
        study_instance_uid=attributes["StudyInstanceUID"],
        series_instance_uid=attributes["SeriesInstanceUID"],
        transfer_syntax_uid=incoming.transfer_syntax_uid,
        attributes=attributes,
        path="",
        size=dataset_offset + file.size,
        dataset_offset=dataset_offset,
        checksum=file.checksum,
        received_at=received_at,
        calling_ae_title=incoming.calling_ae_title,
        may_correct=incoming.may_correct,
    )


def _verify_agreement(incoming: IncomingInstance, attributes: dict[str, str]) -> None:
    """Make sure that a data set says the same as the command did (PS3.4 §B.2.3)."""
    announced = {"SOPClassUID": incoming.sop_class_uid, "SOPInstanceUID": incoming.sop_instance_uid}
    contradicting = tuple(keyword for keyword, uid in announced.items() if attributes[keyword] != uid)
    if contradicting:
        raise DatasetInvalid(
            f"{', '.join(contradicting)} differs from the C-STORE request",
            keywords=contradicting,
            mismatch=True,
        )
