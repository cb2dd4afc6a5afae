"""The items and sub-items of A-ASSOCIATE PDUs and the fields in them (PS3.8 §9.3.2): taking them apart.

A length or a UID that cannot be raises `RemoteProtocolError` with INVALID_PDU_PARAMETER_VALUE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dicomnet.errors import RemoteProtocolError
from dicomnet.upper_layer.pdu import UID_MAXIMUM_LENGTH, AbortReason, ItemType

__all__ = [
    "Items",
    "first",
    "first_uid",
    "invalid_value",
    "is_uid",
    "needed_uid",
    "read_items",
    "split",
    "split_prefixed",
    "text",
    "uid",
]

Items = Mapping[int, Sequence[memoryview]]
"""What stands in each item of a run, by item type, in order of appearance."""

_ITEM_HEADER: Final = struct.Struct(">BxH")


def invalid_value(message: str) -> RemoteProtocolError:
    """Make the error for a PDU whose lengths or values cannot be right."""
    return RemoteProtocolError(message, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE)


def read_items(content: memoryview, budget: Iterator[object]) -> Items:
    """Take a run of items apart; each takes one from `budget`, which all the runs of one PDU share."""
    items = dict[int, list[memoryview]]()
    while content:
        header, rest = split(content, _ITEM_HEADER.size)
        item_type, length = _ITEM_HEADER.unpack(header)
        if next(budget, None) is None:
            raise invalid_value("an A-ASSOCIATE PDU has more items than the limit")
        item, content = split(rest, length)
        items.setdefault(item_type, []).append(item)
    return items


def first(items: Items, item_type: ItemType) -> memoryview | None:
    """Return the first item of a type, which counts where only one may stand; None if there is none."""
    return next(iter(items.get(item_type, ())), None)


def first_uid(items: Items, item_type: ItemType) -> str:
    """Return the UID in the first item of a type, empty if there is none."""
    content = first(items, item_type)
    return "" if content is None else uid(content)


def split(content: memoryview, length: int) -> tuple[memoryview, memoryview]:
    """Split off a field of `length` bytes: the field and what follows it."""
    if len(content) < length:
        raise invalid_value(f"{len(content)} bytes stand where an item or field of {length} should")
    return content[:length], content[length:]


def split_prefixed(content: memoryview) -> tuple[memoryview, memoryview]:
    """Split off a field that has its 2-byte length in front."""
    length, rest = split(content, 2)
    return split(rest, int.from_bytes(length, "big"))


def needed_uid(content: memoryview) -> str:
    """Decode a UID that must not be empty."""
    if not (value := uid(content)):
        raise invalid_value("a sub-item's UID is empty")
    return value


def uid(content: memoryview) -> str:
    """Decode a UID without its padding; its grammar is left to those who compare it (PS3.5 §9.1)."""
    value = text(content)
    if not is_uid(value):
        raise invalid_value(f"a UID is longer than {UID_MAXIMUM_LENGTH} characters or not printable ASCII")
    return value


def is_uid(value: str) -> bool:
    """Tell whether a UID's field can hold this; an empty one can."""
    return len(value) <= UID_MAXIMUM_LENGTH and value.isascii() and value.isprintable()


def text(content: bytes | memoryview) -> str:
    """Decode characters without padding at either end; cannot fail."""
    # ISO 8859-1 gives every byte a character, so that what a policy refuses can at least be named.
    return str(content, "latin-1").strip(" \0")
