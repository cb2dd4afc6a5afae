"""Whether two data sets differ, and in which attributes, by name and never by value."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from pacsd.dataset.checksums import new_checksum
from pacsd.dataset.elements import Walk
from pacsd.dataset.encodings import encoding_of
from pacsd.dataset.indexed_attributes import keyword_of
from pacsd.dataset.sources import StoredSource
from pacsd.dataset.transcode import normalized
from pacsd.errors import TranscodingFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pacsd.dataset.part10 import DicomFile
    from pacsd.dataset.sources import ReadAt

__all__ = ["differing", "element_checksums", "is_same_dataset"]

PIXEL_DATA: Final = "pixel data"
"""What differing pixels are called, whichever element they are in."""
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_PIECE_LENGTH: Final = 1 << 20
_COMPARED: Final = 64_000_000
"""Bytes of a file, and of a deflated data set; larger ones are not compared, as each is taken into memory."""
_MOST_ELEMENTS: Final = 10_000
"""Real data sets have some hundred; no sender decides how much memory they take."""


def element_checksums(size: int, read_at: ReadAt, transfer_syntax_uid: str) -> dict[str, str]:
    """Return a checksum of each top-level value of a data set that is not deflated, as it is encoded.

    By keyword, or as "(gggg,eeee)" where there is none. All of the data set is read. Raises DatasetInvalid where it
    cannot be.
    """
    encoding = encoding_of(transfer_syntax_uid)
    checksums: dict[str, str] = {}
    for tag, start, length in Walk(StoredSource(b"", size, read_at)).elements(encoding):
        checksum = new_checksum("xxh3_128")
        for position in range(start, start + length, _PIECE_LENGTH):
            checksum.update(read_at(position, min(_PIECE_LENGTH, start + length - position)))
        checksums[_name(tag)] = checksum.hexdigest() if length else ""
        if len(checksums) >= _MOST_ELEMENTS:
            break
    return checksums


def _name(tag: int) -> str:
    if tag in _PIXELS:
        return PIXEL_DATA
    return keyword_of(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the names whose values differ, by the alphabet and pixels last; none is the same as an empty one."""
    names = {name for name in one.keys() | other.keys() if one.get(name, "") != other.get(name, "")}
    return sorted(names, key=lambda name: (name == PIXEL_DATA, name))


def is_same_dataset(file: DicomFile, other: DicomFile) -> bool:
    """Say whether two files hold the same elements with the same values, however they are encoded.

    What does not matter is what `normalized` takes away. False also for what cannot be compared.
    """
    if any(each.size > _COMPARED for each in (file, other)):
        return False
    try:
        return _digest(file) == _digest(other)
    except TranscodingFailed:
        return False


def _digest(file: DicomFile) -> tuple[str, bytes]:
    """Return the transfer syntax, and a digest that nobody can forge: both data sets at once are much memory."""
    uid, data = normalized(file, maximum_inflated=_COMPARED)
    return uid, hashlib.sha256(data).digest()
