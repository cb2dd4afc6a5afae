"""Index records of files that are in the store already."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Final, Protocol

from pacsd.errors import DatasetInvalid
from pacsd.model import InstanceRecord
from pacsd.storage.charsets import decode_attributes
from pacsd.storage.checksums import new_checksum
from pacsd.storage.header import examine
from pacsd.storage.part10 import read_part10

__all__ = ["ReadableStore", "record_of_file"]

_CHUNK_LENGTH: Final = 1 << 20


class ReadableStore(Protocol):
    """Where files are read from; see `storage.filesystem.FileStore`."""

    def open_dataset(self, relative_path: str, /) -> io.FileIO:
        """Open a stored file for reading, unbuffered."""


def record_of_file(store: ReadableStore, path: str, *, checksum_algorithm: str) -> InstanceRecord:
    """Return what the index should say of a published file, from the file alone.

    The date of receipt is its time of modification, the calling AE title the one noted in its file meta
    information. Raises DatasetInvalid for a file that is no complete instance, StorageUnavailable for one that
    cannot be read.
    """
    with store.open_dataset(path) as file:
        meta = read_part10(file)
        status = os.fstat(file.fileno())
        offset = meta.dataset_offset
        scan = examine(
            b"",
            status.st_size - offset,
            lambda position, length: os.pread(file.fileno(), length, offset + position),
            meta.transfer_syntax_uid,
        )
        checksum = _checksum(file.fileno(), offset, checksum_algorithm)
    attributes = decode_attributes(scan)
    try:
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
            checksum=checksum,
            received_at=datetime.fromtimestamp(status.st_mtime, UTC),
            calling_ae_title=meta.source_ae_title,
        )
    except KeyError as error:
        raise DatasetInvalid(f"no {error.args[0]}", keywords=(str(error.args[0]),)) from error


def _checksum(descriptor: int, offset: int, algorithm: str) -> str:
    checksum = new_checksum(algorithm)
    while chunk := os.pread(descriptor, _CHUNK_LENGTH, offset):
        checksum.update(chunk)
        offset += len(chunk)
    return f"{algorithm}:{checksum.hexdigest()}"
