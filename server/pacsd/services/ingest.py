"""Taking an instance in: durable on disk and in the index before anybody is told of success.

The order is the promise: file written and synced, published under its name, directory entries synced, row
committed, answer. A crash in between leaves a file without a row, which the next start finds; it never leaves a
row without a file, nor loses what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from dicomnet import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacsd.errors import (
    DatasetInvalid,
    DuplicateInstance,
    IndexUnavailable,
    StorageFull,
    StorageUnavailable,
)
from pacsd.model import CommitOutcome, CommitResult, InstanceRecord
from pacsd.services.group_commit import GroupCommit
from pacsd.storage.charsets import decode_attributes
from pacsd.storage.header import examine
from pacsd.storage.layout import instance_path
from pacsd.storage.part10 import part10_header

__all__ = ["IncomingInstance", "Ingest", "InstanceIndex", "InstanceStore"]

_log = structlog.get_logger()

Fragment = bytes | bytearray | memoryview


class InstanceFile(Protocol):
    """A file on its way in; see `storage.incoming.IncomingFile`."""

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""

    @property
    def prefix(self) -> bytes:
        """The data set's beginning."""

    @property
    def checksum(self) -> str:
        """Of the data set so far."""

    def write(self, fragment: Fragment, /) -> None:
        """Append a fragment."""

    def read_at(self, position: int, length: int, /) -> bytes:
        """Return a part of the data set."""

    def finish(self) -> None:
        """Make the content durable."""

    def publish(self, relative_path: str, /) -> str:
        """Put the file into its final place and return that."""


class InstanceStore(Protocol):
    """Where files are kept; see `storage.filesystem.FileStore`."""

    def begin(self, header: bytes, /) -> AbstractContextManager[InstanceFile]:
        """Return a new file that vanishes unless it is published."""

    def sync_directories(self, relative_paths: Iterable[str], /) -> None:
        """Make the names of published files durable."""

    def remove(self, relative_path: str, /) -> bool:
        """Remove a published file."""


class InstanceIndex(Protocol):
    """What knows of all instances; see `index.repository.Index`."""

    def commit(self, records: Sequence[InstanceRecord], /) -> Sequence[CommitResult | DatasetInvalid]:
        """Keep a batch in one transaction; a result, or what is wrong with it, for each."""

    def has_path(self, path: str, /) -> bool:
        """Say whether a row names this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingInstance:
    """What the sender says about an instance before its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str


class Ingest:
    """Takes instances in; one object per process, used by all its associations at once.

    `observe_batch` is told each commit's size and its duration in seconds, `observe_outcome` each instance's
    outcome.
    """

    def __init__(
        self,
        store: InstanceStore,
        index: InstanceIndex,
        *,
        observe_batch: Callable[[int, float], None],
        observe_outcome: Callable[[CommitOutcome], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._index = index
        self._observe_batch = observe_batch
        self._observe_outcome = observe_outcome
        self._now = now
        self._clock = clock
        self._group: GroupCommit[InstanceRecord, CommitResult] = GroupCommit(self._commit)

    def receive(self, incoming: IncomingInstance, dataset: Iterable[Fragment]) -> Callable[[], CommitOutcome]:
        """Write one instance down from the fragments of its data set; the function returned finishes it.

        That is to be called once, and says what became of the instance: when it returns, the instance (or, for a
        duplicate, the one kept) survives a power cut. Several that were received first are finished together. Both
        raise DatasetInvalid, DuplicateInstance, StorageFull, StorageUnavailable or IndexUnavailable, and this
        whatever `dataset` raises; then nothing of the instance is left behind, unless the index failed
        while it committed.
        """
        record = self._write(incoming, dataset)
        committed = self._group.submit(record)
        return lambda: self._finish(record, committed)

    def _finish(self, record: InstanceRecord, committed: Callable[[], CommitResult]) -> CommitOutcome:
        try:
            result = committed()
        except IndexUnavailable as error:
            if error.may_be_written:
                # A row may yet come back at the next start, and must not come back without its file.
                _log.warning("file-left-for-next-start", path=record.path)
            else:
                self._withdraw(record.path)
            raise
        except Exception:
            self._withdraw(record.path)
            raise
        if result.obsolete_path is not None:
            self._discard(result.obsolete_path)
        self._observe_outcome(result.outcome)
        self._report(record, result)
        return result.outcome

    def _write(self, incoming: IncomingInstance, dataset: Iterable[Fragment]) -> InstanceRecord:
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
        with self._store.begin(header) as file:
            for fragment in dataset:
                file.write(fragment)
            scan = examine(file.prefix, file.size, file.read_at, incoming.transfer_syntax_uid)
            attributes = decode_attributes(scan)
            _verify_identity(incoming, attributes)
            study_instance_uid = attributes["StudyInstanceUID"]
            series_instance_uid = attributes["SeriesInstanceUID"]
            path = instance_path(
                received_at, study_instance_uid, series_instance_uid, incoming.sop_instance_uid
            )
            file.finish()
            return InstanceRecord(
                sop_instance_uid=incoming.sop_instance_uid,
                sop_class_uid=incoming.sop_class_uid,
                study_instance_uid=study_instance_uid,
                series_instance_uid=series_instance_uid,
                transfer_syntax_uid=incoming.transfer_syntax_uid,
                attributes=attributes,
                path=file.publish(path),
                size=len(header) + file.size,
                dataset_offset=len(header),
                checksum=file.checksum,
                received_at=received_at,
                calling_ae_title=incoming.calling_ae_title,
            )

    def _commit(self, records: Sequence[InstanceRecord]) -> Sequence[CommitResult | Exception]:
        started = self._clock()
        self._store.sync_directories([record.path for record in records])
        results = self._index.commit(records)
        self._observe_batch(len(records), self._clock() - started)
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

    def _report(self, record: InstanceRecord, result: CommitResult) -> None:
        if result.outcome in (CommitOutcome.KEPT_FIRST, CommitOutcome.REPLACED, CommitOutcome.REJECTED):
            _log.warning(
                "duplicate-with-other-content",
                outcome=result.outcome.value,
                sop_instance_uid=record.sop_instance_uid,
            )
        if result.outcome is CommitOutcome.REJECTED:
            raise DuplicateInstance("another object with this SOP Instance UID is stored already")


def _verify_identity(incoming: IncomingInstance, attributes: dict[str, str]) -> None:
    """Make sure that a data set says what it is, and the same as the command did (PS3.4 §B.2.3)."""
    missing = tuple(
        keyword
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        if not attributes.get(keyword)
    )
    if missing:
        raise DatasetInvalid(f"no value for {', '.join(missing)}", keywords=missing)
    contradicting = tuple(_contradictions(incoming, attributes))
    if contradicting:
        raise DatasetInvalid(
            f"{', '.join(contradicting)} differs from the C-STORE request",
            keywords=contradicting,
            mismatch=True,
        )


def _contradictions(incoming: IncomingInstance, attributes: dict[str, str]) -> Iterator[str]:
    if attributes["SOPClassUID"] != incoming.sop_class_uid:
        yield "SOPClassUID"
    if attributes["SOPInstanceUID"] != incoming.sop_instance_uid:
        yield "SOPInstanceUID"
