"""Preamble and file meta information of a DICOM file (PS3.10 §7.1): written and, cheaply, read."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, Protocol

from pacsd.dataset.encodings import LONG_VRS, SHORT_VRS
from pacsd.errors import DatasetInvalid

__all__ = [
    "MAXIMUM_META_LENGTH",
    "DicomFile",
    "FileMetaInformation",
    "meta_information_of",
    "part10_header",
    "read_part10",
]

PREAMBLE: Final = bytes(128) + b"DICM"
MAXIMUM_META_LENGTH: Final = 1 << 16
"""Bytes of preamble and file meta information that are read; real ones have a few hundred."""

_short_header = Struct("<HH2sH")
_long_header = Struct("<HH2s2xI")
_unsigned_long = Struct("<I")


class DicomFile(Protocol):
    """A whole DICOM file, wherever it is kept."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_at(self, position: int, length: int, /) -> bytes:
        """Return so many bytes from a position on, less only at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMetaInformation:
    """What a file says of itself (PS3.10 Table 7.1-1); "" where it says nothing."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    source_ae_title: str = ""
    dataset_offset: int
    """Where the data set begins in the file, bytes."""


FIELDS: Final = {
    0x0002: "sop_class_uid",
    0x0003: "sop_instance_uid",
    0x0010: "transfer_syntax_uid",
    0x0012: "implementation_class_uid",
    0x0013: "implementation_version_name",
    0x0016: "source_ae_title",
}
"""Element number in group 0002 → field."""


def part10_header(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    implementation_class_uid: str,
    implementation_version_name: str,
    calling_ae_title: str = "",
) -> bytes:
    """Return everything that stands before the data set in a DICOM file.

    `calling_ae_title` becomes Source Application Entity Title and is left out if empty. Raises
    `DatasetInvalid` if a value is not ASCII, as a UID, AE title or version name must be.
    """
    elements = b"".join((
        _long_header.pack(0x0002, 0x0001, b"OB", 2) + b"\x00\x01",
        _element(0x0002, b"UI", sop_class_uid),
        _element(0x0003, b"UI", sop_instance_uid),
        _element(0x0010, b"UI", transfer_syntax_uid),
        _element(0x0012, b"UI", implementation_class_uid),
        _element(0x0013, b"SH", implementation_version_name),
        _element(0x0016, b"AE", calling_ae_title) if calling_ae_title else b"",
    ))  # fmt: skip
    group_length = _short_header.pack(0x0002, 0x0000, b"UL", 4) + _unsigned_long.pack(len(elements))
    return PREAMBLE + group_length + elements


def _element(number: int, vr: bytes, value: str) -> bytes:
    try:
        encoded = value.encode("ascii")
    except UnicodeEncodeError as error:
        raise DatasetInvalid(f"the value for file meta element (0002,{number:04X}) is not ASCII") from error
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return _short_header.pack(0x0002, number, vr, len(encoded)) + encoded


def read_part10(head: bytes, *, fallback_transfer_syntax_uid: str | None = None) -> FileMetaInformation:
    """Read a file's meta information, and nothing of its data set, from its first `MAXIMUM_META_LENGTH` bytes.

    A file without preamble or transfer syntax is taken for a data set in `fallback_transfer_syntax_uid`;
    without a fallback, and for unreadable meta information, raises `DatasetInvalid`.
    """
    begin = len(PREAMBLE) if head[128:132] == b"DICM" else 0
    values, offset = _read_group(head, begin)
    transfer_syntax_uid = values.pop("transfer_syntax_uid", "") or fallback_transfer_syntax_uid
    if not transfer_syntax_uid:
        what = "its file meta information names no transfer syntax" if begin else "it has no preamble"
        raise DatasetInvalid(f"not a DICOM file (PS3.10 7.1): {what}", keywords=("TransferSyntaxUID",))
    return FileMetaInformation(transfer_syntax_uid=transfer_syntax_uid, dataset_offset=offset, **values)


def meta_information_of(file: DicomFile) -> FileMetaInformation:
    """Return what `read_part10` reads from the beginning of a file."""
    return read_part10(file.read_at(0, MAXIMUM_META_LENGTH))


def _read_group(head: bytes, offset: int) -> tuple[dict[str, str], int]:
    """Return the known values of group 0002 and where the next group begins.

    Goes by the elements and not by the group length, which some writers get wrong or leave out.
    """
    values: dict[str, str] = {}
    while head[offset : offset + 2] == b"\x02\0":
        if len(head) - offset < 12:
            raise _unreadable()
        _, number, vr, length = _short_header.unpack_from(head, offset)
        if vr in SHORT_VRS:
            offset += 8
        elif vr in LONG_VRS:
            length = _long_header.unpack_from(head, offset)[3]
            offset += 12
        else:
            raise _unreadable()
        if offset + length > len(head):
            raise _unreadable()
        if number in FIELDS:
            values[FIELDS[number]] = head[offset : offset + length].decode("latin-1").strip(" \0")
        offset += length
    return values, offset


def _unreadable() -> DatasetInvalid:
    return DatasetInvalid("the file meta information is truncated or malformed (PS3.10 7.1)")
