"""Index records: what identifies an instance, and the records of files that are in the store already."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Protocol

from pacsd.errors import DatasetInvalid, StorageUnavailable
from pacsd.model import InstanceRecord
from pacsd.storage.checksums import new_checksum
from pacsd.storage.decoding import decode_attributes
from pacsd.storage.header import examine
from pacsd.storage.part10 import FileMetaInformation, read_part10

__all__ = ["ReadableStore", "attributes_of_file", "checksum_of_file", "record_of_file", "verify_identifying"]

_CHUNK_LENGTH: Final = 1 << 20
_IDENTIFYING: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class ReadableStore(Protocol):
    """Where files are read from; see `storage.filesystem.FileStore`."""

    def open_dataset(self, relative_path: str, /) -> io.FileIO:
        """Open a stored file for reading, unbuffered."""


def verify_identifying(attributes: Mapping[str, str]) -> None:
    """Make sure that a data set says which instance it is; raises DatasetInvalid, naming what is missing."""
    missing = tuple(keyword for keyword in _IDENTIFYING if not attributes.get(keyword))
    if missing:
        raise DatasetInvalid(f"no value for {', '.join(missing)}", keywords=missing)


def record_of_file(store: ReadableStore, path: str, *, checksum_algorithm: str) -> InstanceRecord:
    """Return what the index should say of a published file, from the file alone.

    The date of receipt is its time of modification, the calling AE title the one noted in its file meta
    information. Raises DatasetInvalid for a file that is no complete instance, StorageUnavailable for one that
    cannot be read.
    """
    with _opened(store, path) as file:
        return _record_of(file, path, checksum_algorithm)


def attributes_of_file(store: ReadableStore, path: str) -> dict[str, str]:
    """Return what the index should say of a published file's header; raises as `record_of_file` does."""
    with _opened(store, path) as file:
        return _attributes(file, read_part10(file))


def checksum_of_file(store: ReadableStore, record: InstanceRecord, algorithm: str) -> str:
    """Return the checksum of a published file's data set by another algorithm; raises StorageUnavailable."""
    with _opened(store, record.path) as file:
        return _checksum(file.fileno(), record.dataset_offset, algorithm)


@contextmanager
def _opened(store: ReadableStore, path: str) -> Iterator[io.FileIO]:
    with store.open_dataset(path) as file:
        try:
            yield file
        except OSError as error:
            raise StorageUnavailable(f"cannot read a stored object: {error.strerror or error}") from error


def _attributes(file: io.FileIO, meta: FileMetaInformation) -> dict[str, str]:
    offset = meta.dataset_offset
    scan = examine(
        b"",
        os.fstat(file.fileno()).st_size - offset,
        lambda position, length: os.pread(file.fileno(), length, offset + position),
        meta.transfer_syntax_uid,
    )
    attributes = decode_attributes(scan)
    verify_identifying(attributes)
    return attributes


def _record_of(file: io.FileIO, path: str, checksum_algorithm: str) -> InstanceRecord:
    meta = read_part10(file)
    attributes = _attributes(file, meta)
    status = os.fstat(file.fileno())
    offset = meta.dataset_offset
    return InstanceRecord(
        sop_instance_uid=attributes["SOPInstanceUID"],
        sop_class_uid=attributes["SOPClassUID"],
        study_instance_uid=attributes["StudyInstanceUID"],
        series_instance_uid=attributes["SeriesInstanceUID"],
        transfer_syntax_uid=meta.transfer_syntax_uid,
        attributes=attributes,
        path=path,
        size=status.st_size,
        dataset_offset=offset,
        checksum=_checksum(file.fileno(), offset, checksum_algorithm),
        received_at=datetime.fromtimestamp(status.st_mtime, UTC),
        calling_ae_title=meta.source_ae_title,
    )


def _checksum(descriptor: int, offset: int, algorithm: str) -> str:
    checksum = new_checksum(algorithm)
    while chunk := os.pread(descriptor, _CHUNK_LENGTH, offset):
        checksum.update(chunk)
        offset += len(chunk)
    return f"{algorithm}:{checksum.hexdigest()}"
