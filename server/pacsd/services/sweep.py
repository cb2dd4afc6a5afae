"""Putting right, at start, what a crash has left: half files go, whole files without a row are indexed.

A file without a row can only have come about since the last sweep, so only what was received since then is
looked at; unless the index is empty, as when the database was lost: then everything is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Protocol

import structlog

from pacsd.errors import DatasetInvalid, StorageUnavailable
from pacsd.model import CommitResult, InstanceRecord

__all__ = ["SweptIndex", "SweptStore", "sweep"]

_log = structlog.get_logger()

_BATCH: Final = 200
_CLOCK_MARGIN: Final = timedelta(days=2)
"""How far the clock may have been set back since the last sweep."""


class SweptStore(Protocol):
    """The file store before any worker runs; see `storage.filesystem.FileStore`."""

    def leftovers(self) -> Iterator[str]:
        """Yield the files that never were published."""

    def published(self, since: datetime | None, /) -> Iterator[str]:
        """Yield the published files received since a day."""

    def remove(self, relative_path: str, /) -> bool:
        """Remove a file."""

    def sync_directories(self, relative_paths: Iterable[str], /) -> None:
        """Make the names of published files durable."""

    @property
    def last_sweep(self) -> datetime | None:
        """When the last sweep began that came to its end."""

    def note_sweep(self, began: datetime, /) -> None:
        """Remember that a sweep that began then has come to its end."""


class SweptIndex(Protocol):
    """The index; see `index.repository.Index`."""

    def has_path(self, path: str, /) -> bool:
        """Say whether a row names this file."""

    def paths(self) -> Iterator[str]:
        """Yield the files of all rows."""

    def commit(self, records: Sequence[InstanceRecord], /) -> Sequence[CommitResult | DatasetInvalid]:
        """Keep a batch."""


def sweep(
    store: SweptStore,
    index: SweptIndex,
    *,
    read_record: Callable[[str], InstanceRecord],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Run once before the workers start; `read_record` makes an index record from a published file.

    A file that cannot be read as what it should be stays where it is and is named in the log. `index` must keep
    the first of duplicates: a whole file without a row, under a UID that is kept, is one that was never
    acknowledged, or one that gave way to what is kept, and so it goes.
    """
    began = now()
    half = [path for path in store.leftovers() if store.remove(path)]
    missing = (path for path in store.published(_begin(store, index)) if not index.has_path(path))
    indexed = 0
    while paths := list(islice(missing, _BATCH)):
        indexed += _index_files(paths, store, index, read_record)
    store.note_sweep(began)
    _log.info("sweep-finished", half_files_removed=len(half), files_indexed=indexed)


def _begin(store: SweptStore, index: SweptIndex) -> datetime | None:
    """Return since when a file may lack a row: since the last sweep, or ever, if the index is a new one."""
    last = store.last_sweep
    if last is None or next(index.paths(), None) is None:
        return None
    return last - _CLOCK_MARGIN


def _index_files(
    paths: Sequence[str], store: SweptStore, index: SweptIndex, read_record: Callable[[str], InstanceRecord]
) -> int:
    records = [record for path in paths if (record := _readable(path, read_record)) is not None]
    store.sync_directories([record.path for record in records])
    indexed = 0
    for record, result in zip(records, index.commit(records), strict=True):
        if isinstance(result, DatasetInvalid):
            _log.warning("file-not-indexed", path=record.path, reason=str(result))
            continue
        if result.obsolete_path is None:
            indexed += 1
        else:
            store.remove(result.obsolete_path)
    return indexed


def _readable(path: str, read_record: Callable[[str], InstanceRecord]) -> InstanceRecord | None:
    try:
        return read_record(path)
    except (DatasetInvalid, StorageUnavailable) as error:
        # One bad sector shall not keep the archive from starting; nothing without a row was ever acknowledged.
        _log.warning("file-not-indexed", path=path, reason=str(error))
        return None
