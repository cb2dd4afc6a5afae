"""Index records: what identifies an instance, and the records of files that are in the store already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

import structlog

from pacsd.dataset.checksums import new_checksum
from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.differences import differing, element_checksums, is_same_dataset
from pacsd.dataset.header import DEFLATED, HeaderScan, examine, scan_long_values, scan_readable_part
from pacsd.dataset.part10 import FileMetaInformation, meta_information_of
from pacsd.dataset.sources import MAXIMUM_INFLATED, ReadAt
from pacsd.dataset.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    NATIVE_TRANSFER_SYNTAXES,
    is_unknown_transfer_syntax,
)
from pacsd.errors import DatasetInvalid
from pacsd.model import LONGER_THAN_KEPT, InstanceRecord
from pacsd.services.ports import OpenedObject, ReadableStore

__all__ = [
    "DefaultCharacterSet",
    "attributes_of_dataset",
    "attributes_of_file",
    "checksum_of_file",
    "differing_attributes",
    "have_same_dataset",
    "long_values_of_file",
    "record_of_file",
]

_log = structlog.get_logger()

_CHUNK_LENGTH: Final = 1 << 20
_IDENTIFYING: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TRIED: Final = (
    *NATIVE_TRANSFER_SYNTAXES,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
"""As what a data set in an unknown transfer syntax is read."""

DefaultCharacterSet = Callable[[str], str]
"""Returns what the AE of a title uses without saying so, see `dataset.charsets.character_set_in_effect`."""


def _nothing_known(_ae_title: str) -> str:
    return ""


def attributes_of_dataset(
    prefix: bytes,
    size: int,
    read_at: ReadAt,
    *,
    transfer_syntax_uid: str,
    sop_class_uid: str,
    sop_instance_uid: str,
    default_character_set: str = "",
    maximum_inflated: int = MAXIMUM_INFLATED,
) -> dict[str, str]:
    """Return what the index should say of a whole data set; raises DatasetInvalid where it is not one of an instance.

    Of a deflated one no more than `maximum_inflated` bytes are inflated; see `header.examine`.

    One in an unknown transfer syntax may be unreadable. Then it is what its sender calls it, by `sop_class_uid` and
    `sop_instance_uid`, and as much of its header as can be read. Where that does not say the study or series, the
    instance is one by itself, under its SOP Instance UID.
    """
    is_unknown = is_unknown_transfer_syntax(transfer_syntax_uid)
    try:
        scan = examine(prefix, size, read_at, transfer_syntax_uid, maximum_inflated=maximum_inflated)
    except DatasetInvalid:
        if not is_unknown:
            raise
    else:
        if not scan.is_to_the_end:
            _log.warning("deflated-data-set-not-read-to-its-end", sop_instance_uid=sop_instance_uid)
        attributes = decode_attributes(scan, default_character_set)
        if attributes.get("SOPInstanceUID") or not is_unknown:
            _verify_identifying(attributes)
            return attributes
    readable = _readable_part(
        partial(scan_readable_part, prefix, size, read_at, maximum_inflated=maximum_inflated),
        sop_instance_uid,
        default_character_set,
    )
    said = {
        "SOPClassUID": sop_class_uid,
        "SOPInstanceUID": sop_instance_uid,
        "StudyInstanceUID": sop_instance_uid,
        "SeriesInstanceUID": sop_instance_uid,
    }
    return {**readable, **{keyword: readable.get(keyword) or uid for keyword, uid in said.items()}}


def _readable_part(
    scan_as: Callable[[str], HeaderScan], sop_instance_uid: str, default_character_set: str
) -> dict[str, str]:
    """Return what can be read in the encoding in which the instance is the expected one; nothing if there is none."""
    for transfer_syntax_uid in _TRIED:
        attributes = decode_attributes(scan_as(transfer_syntax_uid), default_character_set)
        if attributes.get("SOPInstanceUID") == sop_instance_uid:
            return attributes
    return {}


def _verify_identifying(attributes: Mapping[str, str]) -> None:
    missing = tuple(keyword for keyword in _IDENTIFYING if not attributes.get(keyword))
    if missing:
        raise DatasetInvalid(f"no value for {', '.join(missing)}", keywords=missing)


def record_of_file(
    store: ReadableStore,
    path: str,
    *,
    checksum_algorithm: str,
    default_character_set: DefaultCharacterSet = _nothing_known,
    maximum_inflated: int = MAXIMUM_INFLATED,
) -> InstanceRecord:
    """Return what the index should say of a published file, from the file alone.

    The calling AE title is the one noted in its file meta information, the date of receipt is the store's. Raises
    DatasetInvalid for a file that is no complete instance, StorageUnavailable for one that cannot be read.
    """
    with store.open_object(path) as file:
        return _record_of(file, path, checksum_algorithm, default_character_set, maximum_inflated)


def attributes_of_file(
    store: ReadableStore,
    path: str,
    *,
    default_character_set: DefaultCharacterSet = _nothing_known,
    maximum_inflated: int = MAXIMUM_INFLATED,
) -> dict[str, str]:
    """Return what the index should say of a published file's header; raises as `record_of_file` does."""
    with store.open_object(path) as file:
        return _attributes(file, meta_information_of(file), default_character_set, maximum_inflated)


def long_values_of_file(
    store: ReadableStore, path: str, keywords: Collection[str], *, default_character_set: DefaultCharacterSet
) -> dict[str, str]:
    """Return attributes of a published file that the index has as LONGER_THAN_KEPT; raises as `record_of_file` does.

    What the file does not have, or is longer than 64 MiB (1 MiB, of a sequence), is not among them.
    """
    with store.open_object(path) as file:
        meta = meta_information_of(file)
        scan = scan_long_values(*_dataset_of(file, meta), meta.transfer_syntax_uid, keywords)
    attributes = decode_attributes(scan, default_character_set(meta.source_ae_title))
    return {
        keyword: value
        for keyword, value in attributes.items()
        if keyword in keywords and value != LONGER_THAN_KEPT
    }


def checksum_of_file(store: ReadableStore, record: InstanceRecord, algorithm: str) -> str:
    """Return the checksum of a published file's data set by another algorithm; raises StorageUnavailable."""
    with store.open_object(record.path) as file:
        return _checksum(file, record.dataset_offset, algorithm)


def differing_attributes(
    store: ReadableStore, path: str, other_path: str, *, maximum_inflated: int = MAXIMUM_INFLATED
) -> list[str]:
    """Return the names of the attributes in which two published files differ, pixels as "pixel data" and last.

    In one transfer syntax these are all top-level elements; between two, or if it is a deflated one, the attributes
    that the index knows. Raises DatasetInvalid and StorageUnavailable where a file cannot be read.
    """
    with store.open_object(path) as file, store.open_object(other_path) as other:
        metas = meta_information_of(file), meta_information_of(other)
        if metas[0].transfer_syntax_uid == metas[1].transfer_syntax_uid and (
            metas[0].transfer_syntax_uid not in DEFLATED
        ):
            return differing(_element_checksums(file, metas[0]), _element_checksums(other, metas[1]))
        return differing(
            _all_said(file, metas[0], maximum_inflated), _all_said(other, metas[1], maximum_inflated)
        )


def have_same_dataset(store: ReadableStore, path: str, other_path: str) -> bool:
    """Say whether two published files hold the same, as `is_same_dataset` has it; raises StorageUnavailable."""
    with store.open_object(path) as file, store.open_object(other_path) as other:
        return is_same_dataset(file, other)


def _element_checksums(file: OpenedObject, meta: FileMetaInformation) -> dict[str, str]:
    return element_checksums(*_dataset_of(file, meta), meta.transfer_syntax_uid)


def _all_said(file: OpenedObject, meta: FileMetaInformation, maximum_inflated: int) -> dict[str, str]:
    attributes = _attributes(file, meta, _nothing_known, maximum_inflated)
    return {**attributes, "TransferSyntaxUID": meta.transfer_syntax_uid}


def _dataset_of(file: OpenedObject, meta: FileMetaInformation) -> tuple[int, ReadAt]:
    """Return the length of a file's data set, and what reads from it while the file is open."""
    offset = meta.dataset_offset
    return (
        file.size - offset,
        lambda position, length: file.read_at(offset + position, length),
    )


def _attributes(
    file: OpenedObject,
    meta: FileMetaInformation,
    default_character_set: DefaultCharacterSet,
    maximum_inflated: int,
) -> dict[str, str]:
    return attributes_of_dataset(
        b"",
        *_dataset_of(file, meta),
        transfer_syntax_uid=meta.transfer_syntax_uid,
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        default_character_set=default_character_set(meta.source_ae_title),
        maximum_inflated=maximum_inflated,
    )


def _record_of(
    file: OpenedObject,
    path: str,
    checksum_algorithm: str,
    default_character_set: DefaultCharacterSet,
    maximum_inflated: int,
) -> InstanceRecord:
    meta = meta_information_of(file)
    attributes = _attributes(file, meta, default_character_set, maximum_inflated)
    offset = meta.dataset_offset
    return InstanceRecord(
        sop_instance_uid=attributes["SOPInstanceUID"],
        sop_class_uid=attributes["SOPClassUID"],
        study_instance_uid=attributes["StudyInstanceUID"],
        series_instance_uid=attributes["SeriesInstanceUID"],
        transfer_syntax_uid=meta.transfer_syntax_uid,
        attributes=attributes,
        path=path,
        size=file.size,
        dataset_offset=offset,
        checksum=_checksum(file, offset, checksum_algorithm),
        received_at=file.received_at,
        calling_ae_title=meta.source_ae_title,
    )


def _checksum(file: OpenedObject, offset: int, algorithm: str) -> str:
    checksum = new_checksum(algorithm)
    while chunk := file.read_at(offset, _CHUNK_LENGTH):
        checksum.update(chunk)
        offset += len(chunk)
    return f"{algorithm}:{checksum.hexdigest()}"
