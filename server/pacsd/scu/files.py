"""Which instances there are in files and folders that somebody wants to send."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.uid import MediaStorageDirectoryStorage

from pacsd.dataset.header import HeaderIncomplete, scan
from pacsd.dataset.part10 import MAXIMUM_META_LENGTH, FileMetaInformation, read_part10
from pacsd.dataset.uids import is_keepable_uid, is_valid_uid
from pacsd.errors import DatasetInvalid
from pacsd.model import StoredInstance

__all__ = ["FoundFiles", "find_instances"]

_PREFIX: Final = b"DICM"
_PREFIX_POSITION: Final = 128
_HEADER_LENGTH: Final = 65536
_IDENTIFYING_GROUP: Final = 0x0008
"""Bytes of a data set that are searched for what the file meta information does not say."""


@dataclass(slots=True)
class FoundFiles:
    """What a search has found, in order."""

    instances: list[StoredInstance] = field(default_factory=list)
    """`path` is the file's, as the search came to it."""
    skipped: int = 0
    """Files in folders that are no instances: not DICOM, or a DICOMDIR."""
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    """What should be sent and cannot be read, and why."""

    @property
    def size(self) -> int:
        """Of all instances' files together, bytes."""
        return sum(instance.size for instance in self.instances)


def find_instances(paths: Iterable[Path]) -> FoundFiles:
    """Look through files, and folders with all that is below them, in order of names; links to folders are left out.

    A file in a folder is passed over if it is no instance; one that is named itself must be one.
    """
    found = FoundFiles()
    for path in paths:
        if path.is_dir():
            for below in _files_below(path, found):
                _take(below, found, named=False)
        else:
            _take(path, found, named=True)
    return found


def _files_below(folder: Path, found: FoundFiles) -> Iterator[Path]:
    def note(error: OSError) -> None:
        found.unreadable.append((Path(error.filename or folder), error.strerror or "unreadable"))

    for directory, folders, names in os.walk(folder, onerror=note):
        folders.sort()
        yield from (Path(directory, name) for name in sorted(names))


def _take(path: Path, found: FoundFiles, *, named: bool) -> None:
    try:
        instance = _read_instance(path) if path.is_file() else None
    except DatasetInvalid as error:
        found.unreadable.append((path, str(error)))
    except OSError as error:
        found.unreadable.append((path, error.strerror or "unreadable"))
    else:
        if instance is not None:
            found.instances.append(instance)
        elif named:
            found.unreadable.append((path, "no DICOM instance"))
        else:
            found.skipped += 1


def _read_instance(path: Path) -> StoredInstance | None:
    """Return the instance in a file, None if there is none; raises DatasetInvalid if there is a damaged one."""
    with path.open("rb") as file:
        file.seek(_PREFIX_POSITION)
        if file.read(len(_PREFIX)) != _PREFIX:
            return None
        file.seek(0)
        meta = read_part10(file.read(MAXIMUM_META_LENGTH))
        sop_class_uid, sop_instance_uid = meta.sop_class_uid, meta.sop_instance_uid
        if not (sop_class_uid and sop_instance_uid):
            file.seek(meta.dataset_offset)
            sop_class_uid, sop_instance_uid = _uids_of(file.read(_HEADER_LENGTH), meta)
        size = os.fstat(file.fileno()).st_size
    if sop_class_uid == MediaStorageDirectoryStorage:
        return None
    if not (is_valid_uid(sop_class_uid) and is_keepable_uid(sop_instance_uid)):
        raise DatasetInvalid("it has no SOP Class UID and SOP Instance UID")
    return StoredInstance(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        path=str(path),
        size=size,
        dataset_offset=meta.dataset_offset,
    )


def _uids_of(head: bytes, meta: FileMetaInformation) -> tuple[str, str]:
    """Return SOP Class UID and SOP Instance UID from the data set, for writers that leave them out of group 0002."""
    try:
        is_complete = len(head) < _HEADER_LENGTH
        values = scan(
            head, meta.transfer_syntax_uid, complete=is_complete, last_group=_IDENTIFYING_GROUP
        ).values
    except HeaderIncomplete as error:
        raise DatasetInvalid("its header is not readable") from error
    raw = (values.get(keyword, ("UI", b""))[1] for keyword in ("SOPClassUID", "SOPInstanceUID"))
    sop_class_uid, sop_instance_uid = (value.decode("latin-1").strip(" \0") for value in raw)
    return sop_class_uid, sop_instance_uid
