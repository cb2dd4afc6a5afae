"""Small data sets in memory, read as a whole with their sequences (PS3.5 §7); values are left as they are.

For identifiers, and for the sequences of a header; a header itself may have any size, and goes through `header`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from pacsd.dataset.encodings import (
    LONG_VRS,
    SHORT_VRS,
    Encoding,
    encoding_within_unknown,
    read_header,
)
from pacsd.errors import DatasetInvalid

__all__ = ["MAXIMUM_DEPTH", "RawDataset", "RawItems", "read_dataset", "read_items"]

MAXIMUM_DEPTH: Final = 16
"""Sequences within one another; a data set that has more is not read."""

RawItems = list["RawDataset"]
RawDataset = dict[int, tuple[str, "bytes | RawItems"]]
"""Tag → VR, and the value as received or a sequence's items.

The VR is the element's own, or the data dictionary's where it has none or UN; of several, as in "US or SS", the
first. Group lengths and what is none of a data set's (groups below 0008) are left out.
"""

_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_FIRST_GROUP: Final = 0x0008
_PADDING: Final = bytes(8)
_ITEM_GROUP: Final = 0xFFFE
_ITEM: Final = 0xE000
_ITEM_DELIMITATION: Final = 0xE00D
_SEQUENCE_DELIMITATION: Final = 0xE0DD


def read_dataset(data: bytes, encoding: Encoding) -> RawDataset:
    """Return all elements of a data set, in the order of their tags; of two with one tag the last.

    Zeros behind the last element are padding. Raises DatasetInvalid for malformed data, also where they end within
    an element or item, and for sequences deeper than `MAXIMUM_DEPTH`.
    """
    try:
        return _read_elements(data, 0, len(data), encoding, depth=0, delimited=False)[0]
    except struct.error:
        raise _ends_within_header() from None


def read_items(data: bytes, encoding: Encoding) -> RawItems:
    """Return the items of a sequence's value, which has no delimitation item; raises as `read_dataset` does."""
    try:
        return _read_items(data, 0, len(data), encoding, depth=1, delimited=False)[0]
    except struct.error:
        raise _ends_within_header() from None


def _ends_within_header() -> DatasetInvalid:
    return DatasetInvalid("the data set is truncated: it ends within an element's header")


def _read_elements(
    data: bytes, position: int, end: int, encoding: Encoding, *, depth: int, delimited: bool
) -> tuple[RawDataset, int]:
    """Read up to `end`, or, in an item of undefined length, up to its delimitation item; return where that ends."""
    values: RawDataset = {}
    last, in_order = -1, True
    while position < end:
        if end - position < 8 or data.startswith(_PADDING, position):
            if depth or any(data[position:end]):
                raise DatasetInvalid(
                    "the data set is malformed: an item or the data set ends within an element"
                )
            break
        group, element, _ = encoding.unpack_item(data, position)
        if group == _ITEM_GROUP:
            if not (delimited and element == _ITEM_DELIMITATION):
                raise DatasetInvalid(
                    "the data set is malformed: an item or delimiter where an element is due"
                )
            return _ordered(values, in_order=in_order), position + 8
        tag = group << 16 | element
        own_vr, length, header_length = read_header(data, position, encoding)
        vr = _vr(tag, own_vr)
        value, position = _value(data, position + header_length, end, encoding, own_vr, vr, length, depth)
        if element and group >= _FIRST_GROUP:
            values[tag] = (vr if isinstance(value, bytes) else "SQ", value)
            in_order = in_order and tag > last
            last = tag
    if delimited:
        raise DatasetInvalid("the data set is truncated: an item has no end")
    return _ordered(values, in_order=in_order), end


def _ordered(values: RawDataset, *, in_order: bool) -> RawDataset:
    return values if in_order else dict(sorted(values.items()))


def _value(
    data: bytes, position: int, end: int, encoding: Encoding, own_vr: str, vr: str, length: int, depth: int
) -> tuple[bytes | RawItems, int]:
    """Return a value, and where the next element begins."""
    is_sequence = vr == "SQ" or length == _UNDEFINED_LENGTH
    if length != _UNDEFINED_LENGTH:
        behind = position + length
        if behind > end:
            raise DatasetInvalid("the data set is truncated: an element goes on behind its last byte")
        if not is_sequence:
            return data[position:behind], behind
        end = behind
    elif vr not in ("SQ", "UN"):
        raise DatasetInvalid("the data set is malformed: a value of undefined length that is no sequence")
    if own_vr == "UN":
        encoding = encoding_within_unknown(data[position : position + 14], encoding)
    return _read_items(data, position, end, encoding, depth + 1, delimited=length == _UNDEFINED_LENGTH)


def _read_items(
    data: bytes, position: int, end: int, encoding: Encoding, depth: int, *, delimited: bool
) -> tuple[RawItems, int]:
    if depth > MAXIMUM_DEPTH:
        raise DatasetInvalid(f"the data set has more than {MAXIMUM_DEPTH} sequences within one another")
    items: RawItems = []
    while position < end:
        group, element, length = encoding.unpack_item(data, position)
        position += 8
        if group == _ITEM_GROUP and element == _SEQUENCE_DELIMITATION and delimited and position <= end:
            return items, position
        undefined = length == _UNDEFINED_LENGTH
        item_end = end if undefined else position + length
        if group != _ITEM_GROUP or element != _ITEM or item_end > end:
            raise DatasetInvalid("the data set is malformed: no item where a sequence's next is due")
        item, position = _read_elements(data, position, item_end, encoding, depth=depth, delimited=undefined)
        items.append(item)
    if delimited:
        raise DatasetInvalid("the data set is truncated: a sequence has no end")
    return items, end


@lru_cache(maxsize=4096)
def _vr(tag: int, vr: str) -> str:
    if vr in ("", "UN"):
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    vr = vr.partition(" ")[0]
    return vr if vr.encode() in SHORT_VRS or vr.encode() in LONG_VRS else "UN"
