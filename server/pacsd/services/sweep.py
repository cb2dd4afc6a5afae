"""Making the index know every stored file: after a start, and after a worker was killed.

Which days have to be looked at is recorded, by the store and the index, and so is how far the work has come; it goes on
where it was ended. A server may store meanwhile: what it is about to commit is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import structlog

from pacsd.errors import DatasetInvalid, InstanceDamaged, StorageUnavailable
from pacsd.model import (
    CommitOutcome,
    CommitResult,
    DuplicatePolicy,
    InstanceRecord,
    StoredInstance,
    WorkProgress,
)
from pacsd.services.ports import BlobStore, Catalogue
from pacsd.services.verification import open_instance, verify_file

__all__ = ["SWEEP", "complete_index", "remove_half_files", "sweep_days"]

_log = structlog.get_logger()

SWEEP: Final = "sweep"
"""The name of this work's progress in the index."""
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Sweeping:
    """What a sweep works with. `index` must keep the first of duplicates; `policy` is the configured one."""

    store: BlobStore
    index: Catalogue
    read_record: Callable[[str], InstanceRecord]
    """Makes an index record from a published file."""
    policy: DuplicatePolicy
    is_stopped: Callable[[], bool] = lambda: False
    """Asked between batches; once it says so, the sweep ends and can be taken up again."""
    report: Callable[[int, int], None] = lambda _done, _total: None
    """Told how many of how many files have been looked at."""


def remove_half_files(store: BlobStore) -> int:
    """Remove what was being received when the processes ended; before any worker runs. Returns how many files."""
    return sum(store.remove(path) for path in list(store.leftovers()))


def complete_index(
    sweeping: Sweeping,
    *,
    swept_generation: int,
    generation: int,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> bool:
    """Index all files without a row that came in `swept_generation` or since; note that the index is complete then.

    `generation` is that of the server that does so. How far it is gets remembered after each day of receipt, so that
    it goes on there, whoever ends it and how often. Returns False where `is_stopped` ended it.
    """
    days = sweeping.store.received_days(swept_generation)
    if days is None:
        days = sweeping.store.days()
    is_latest_first = sweeping.policy is DuplicatePolicy.REPLACE
    if is_latest_first:
        days.reverse()  # of several files under one UID the last is the one to be kept
    progress = sweeping.index.progress_of(SWEEP)
    beginning = _Position(generation, is_latest_first)
    done = _Position.of(progress.position) if progress and progress.ended_at is None else beginning
    if progress is None or progress.ended_at or done.is_latest_first != is_latest_first:
        done = beginning
        progress = WorkProgress(began_at=now(), position=done.text)
    # Whatever came since the sweep began may lack its row again.
    since = sweeping.store.noted_days(done.generation)
    pending = [day for day in days if since is None or day in since or not _is_done(day, done)]
    files = {day: sum(1 for _ in sweeping.store.published([day])) for day in pending}
    looked_at = progress.done if len(pending) < len(days) else 0
    progress = replace(progress, done=looked_at, total=looked_at + sum(files.values()))
    sweeping.index.note_progress(SWEEP, progress)
    sweeping.report(progress.done, progress.total or 0)
    if files:
        _log.info("index-is-completed", files=progress.total, done=progress.done, days=len(pending))
    indexed = 0
    for day in pending:
        found = sweep_days(sweeping, [day], done=progress.done, total=progress.total or 0)
        if found is None:
            return False
        indexed += found
        position = replace(done, day=day)
        progress = replace(progress, position=position.text, done=progress.done + files[day])
        sweeping.index.note_progress(SWEEP, progress)
    sweeping.index.note_swept(generation)
    sweeping.index.note_progress(SWEEP, replace(progress, ended_at=now()))
    _log.info("index-complete", files_looked_at=progress.done, files_indexed=indexed)
    return True


@dataclass(frozen=True, slots=True)
class _Position:
    """Up to which day a sweep has come that began in a generation, in which order."""

    generation: int
    is_latest_first: bool
    day: str = ""

    @property
    def text(self) -> str:
        return f"{self.generation} {'latest' if self.is_latest_first else 'earliest'} {self.day}".strip()

    @classmethod
    def of(cls, text: str) -> _Position:
        generation, order, *day = text.split()
        return cls(int(generation), order == "latest", day[0] if day else "")


def _is_done(day: str, done: _Position) -> bool:
    if not done.day:
        return False
    return day >= done.day if done.is_latest_first else day <= done.day


def sweep_days(sweeping: Sweeping, days: Collection[str], *, done: int = 0, total: int = 0) -> int | None:
    """Index the files of these days that lack a row; returns how many, None where `is_stopped` ended it."""
    indexed = 0
    paths = sweeping.store.published(days)
    while batch := list(islice(paths, _BATCH)):
        if sweeping.is_stopped():
            return None
        orphans = [path for path in sweeping.index.unknown_paths(batch) if _is_orphan(path, sweeping)]
        indexed += _index_files(orphans, sweeping)
        done += len(batch)
        sweeping.report(done, total)
    return indexed


def _is_orphan(path: str, sweeping: Sweeping) -> bool:
    """Whether nobody is about to commit a file that had no row a moment ago, and nobody has."""
    return not sweeping.store.is_incoming(path) and bool(sweeping.index.unknown_paths([path]))


def _index_files(paths: Sequence[str], sweeping: Sweeping) -> int:
    withdrawn = sweeping.store.withdrawn() if paths else {}
    for path in withdrawn.keys() & set(paths):
        announcement = withdrawn[path]
        if announcement is not None:
            # Its row went by command, and the command was ended before the file did.
            sweeping.store.complete_quarantine(announcement, path)
        else:
            sweeping.store.quarantine(
                path, "it had been taken out of service before, and came back from a backup"
            )
        _log.warning("quarantine-completed", path=path)
    paths = [path for path in paths if path not in withdrawn]
    records = [record for path in paths if (record := _readable(path, sweeping)) is not None]
    if not records:
        return 0
    sweeping.store.make_names_durable([record.path for record in records])
    return sum(
        _settle(record, result, sweeping)
        for record, result in zip(records, sweeping.index.commit(records), strict=True)
    )


def _readable(path: str, sweeping: Sweeping) -> InstanceRecord | None:
    try:
        return sweeping.read_record(path)
    except StorageUnavailable as error:
        # One bad sector shall not keep the archive from working.
        _log.warning("file-not-indexed", path=path, reason=str(error))
    except DatasetInvalid as error:
        _log.warning("file-not-indexed", path=path, reason=str(error))
        _set_aside(path, sweeping)
    return None


def _set_aside(path: str, sweeping: Sweeping) -> None:
    """Quarantine a file that is no complete instance, if the index names a whole one for the UID in its name.

    So is left what a healed instance had, where the worker died before it was moved.
    """
    uid = sweeping.store.sop_instance_uid_of(path)
    kept = sweeping.index.find_by_sop_instance_uid(uid) if uid else None
    if kept is None or kept.path == path or not _is_abandoned(path, kept, sweeping):
        return
    if _look_at(kept, sweeping.store) is not None:
        sweeping.store.quarantine(
            path, "it is no complete instance, and the index names another file for its instance"
        )


def _settle(record: InstanceRecord, result: CommitResult | DatasetInvalid, sweeping: Sweeping) -> bool:
    """Decide what becomes of a file whose UID may have another; returns whether the file is indexed now."""
    if isinstance(result, DatasetInvalid):
        _log.warning("file-not-indexed", path=record.path, reason=str(result))
        return False
    if result.obsolete_path is None:
        return True
    kept = sweeping.index.find_by_sop_instance_uid(record.sop_instance_uid)
    if kept is None or kept.path == record.path:
        return kept is not None
    if not _is_abandoned(record.path, kept, sweeping):
        return False
    found = _look_at(kept, sweeping.store)
    if found is None:
        return _take_over(
            record, kept, "it was missing or damaged when another file of its instance was found", sweeping
        )
    if result.outcome is CommitOutcome.IDENTICAL:
        # The index names another file with the same content, which was read just now.
        sweeping.store.remove(record.path)
        return False
    if _gives_way(kept, found, record, sweeping):
        return _take_over(
            record, kept, "another version of its instance was found that was acknowledged after it", sweeping
        )
    sweeping.store.quarantine(
        record.path, "the index names another file, with other content, for its instance"
    )
    return False


def _gives_way(
    kept: StoredInstance, received_at: datetime, record: InstanceRecord, sweeping: Sweeping
) -> bool:
    """Whether a server that saw both files come, the kept one at `received_at`, would have kept the other one."""
    is_later = record.received_at > received_at
    if sweeping.policy is DuplicatePolicy.REPLACE:
        return is_later and record.may_correct
    if sweeping.policy is not DuplicatePolicy.REPLACE_OWN:
        return False
    sender = sweeping.read_record(kept.path).calling_ae_title
    is_own = record.may_correct and sender == record.calling_ae_title
    return is_later if is_own else record.received_at < received_at


def _is_abandoned(path: str, kept: StoredInstance, sweeping: Sweeping) -> bool:
    """Whether nobody is about to remove a file without a row because another one is kept.

    Who has brought that one does so before its name under `incoming/` goes.
    """
    return not sweeping.store.is_incoming(kept.path) and _is_orphan(path, sweeping)


def _look_at(kept: StoredInstance, store: BlobStore) -> datetime | None:
    """Return when a kept file was written if it is whole, else None."""
    try:
        with open_instance(store, kept) as file:
            verify_file(file, kept, by="checksum")
            return file.received_at
    except (InstanceDamaged, StorageUnavailable) as error:
        _log.error(
            "instance-damaged", sop_instance_uid=kept.sop_instance_uid, path=kept.path, reason=str(error)
        )
        return None


def _take_over(record: InstanceRecord, kept: StoredInstance, reason: str, sweeping: Sweeping) -> bool:
    """Have the index name this file instead of the kept one, which is quarantined once that is durable."""
    (result,) = sweeping.index.commit([replace(record, distrusted=kept)])
    if isinstance(result, DatasetInvalid) or result.outcome is not CommitOutcome.HEALED:
        return False  # somebody else was quicker; the next sweep looks again
    _log.warning(
        "instance-healed", sop_instance_uid=record.sop_instance_uid, path=record.path, instead_of=kept.path
    )
    sweeping.store.quarantine(kept.path, reason)
    return True
