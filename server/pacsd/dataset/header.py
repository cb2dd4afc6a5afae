"""The fast header scan: index attributes from a data set in any transfer syntax, and whether it is complete.

`examine` does both in one pass and is what a received object goes through; `scan` and `verify_complete` are
its halves. None of them decodes a value, touches pixel bytes, recurses or holds more than one window of the
data; malformed input ends in `DatasetInvalid` (or `HeaderIncomplete` for a prefix) and nothing else.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pacsd.dataset.elements import RawValues, Walk
from pacsd.dataset.encodings import (
    EXPLICIT_LITTLE_ENDIAN,
    Encoding,
    collecting,
    encoding_of,
)
from pacsd.dataset.indexed_attributes import LAST_INDEXED_GROUP, for_reading
from pacsd.dataset.sources import (
    MAXIMUM_INFLATED,
    DeflatedSource,
    HeaderIncomplete,
    InflatesTooFar,
    PrefixSource,
    ReadAt,
    Source,
    StoredSource,
)
from pacsd.dataset.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Collection

    from pacsd.dataset.indexed_attributes import IndexedAttribute

__all__ = [
    "DEFLATED",
    "DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN",
    "HeaderIncomplete",
    "HeaderScan",
    "examine",
    "least_inflated_length",
    "scan",
    "scan_long_values",
    "scan_readable_part",
    "verify_complete",
]

Data = bytes | bytearray | memoryview | mmap.mmap

DEFLATED: Final = frozenset({
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
    "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
})  # fmt: skip
EVERY_GROUP: Final = 0xFFFF
LAST_BEFORE_PIXELS: Final = 0x7FDF
GLANCE_LENGTH: Final = 1 << 20
"""Bytes, of which all but the pixels of nearly every data set have fewer."""


@dataclass(frozen=True, slots=True)
class HeaderScan:
    """The indexed top-level attributes of one data set, raw; `decoding.decode_attributes` decodes them.

    An attribute sent empty has the value b"", an absent one (or one that is too long, see `attributes`) is missing.
    """

    values: RawValues
    """Keyword → VR and raw value. The VR is the element's own, or the data dictionary's where it has none."""
    encoding: Encoding = EXPLICIT_LITTLE_ENDIAN
    """Of the values, and of the elements within those of sequences."""
    long_values: RawValues = field(default_factory=dict)
    """As `values`, for those of more than `indexed_attributes.SHORT_VALUE_LENGTH`."""
    too_long: list[str] = field(default_factory=list)
    """Keywords of what is there, and longer than what is collected."""
    is_to_the_end: bool = True
    """Whether all of the data set was walked."""


def examine(
    prefix: bytes,
    size: int,
    read_at: ReadAt,
    transfer_syntax_uid: str,
    *,
    maximum_inflated: int = MAXIMUM_INFLATED,
) -> HeaderScan:
    """Collect the index attributes of a complete data set and make sure that it is complete, in one pass.

    `prefix` are its first bytes (64 KiB will do, all of it is best, none is allowed), `size` is its length
    and `read_at(position, length)` reads the rest, a few kilobytes at a time and in ascending order.
    Trailing zeros are accepted. Raises `DatasetInvalid` if the data set is malformed or ends in the middle of
    an element. A deflated one that inflates to more than `maximum_inflated` bytes is walked up to its pixel data
    only; it is `DatasetInvalid` where these are not reached either.
    """
    source = StoredSource(prefix, size, read_at)
    try:
        return _walk(source, transfer_syntax_uid, EVERY_GROUP, maximum_inflated=maximum_inflated)
    except InflatesTooFar:
        found = _walk(source, transfer_syntax_uid, LAST_BEFORE_PIXELS, maximum_inflated=maximum_inflated)
        return replace(found, is_to_the_end=False)


def least_inflated_length(data: bytes | bytearray) -> int:
    """Return how long a deflated data set is at least, inflated, as its first megabyte says; 0 if it ends there."""
    try:
        _walk(_stored(data), DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EVERY_GROUP, maximum_inflated=GLANCE_LENGTH)
    except InflatesTooFar as error:
        return error.at_least
    except DatasetInvalid:
        return 0  # what is wrong with it is for others to say
    return 0


def scan_readable_part(
    prefix: bytes,
    size: int,
    read_at: ReadAt,
    transfer_syntax_uid: str,
    *,
    maximum_inflated: int = MAXIMUM_INFLATED,
) -> HeaderScan:
    """Collect as `examine` does, up to where the data set cannot be read any more in this transfer syntax."""
    return _walk(
        StoredSource(prefix, size, read_at),
        transfer_syntax_uid,
        EVERY_GROUP,
        as_far_as_possible=True,
        maximum_inflated=maximum_inflated,
    )


def scan_long_values(
    size: int, read_at: ReadAt, transfer_syntax_uid: str, keywords: Collection[str]
) -> HeaderScan:
    """Collect some attributes as `scan_readable_part` does, up to lengths that only an answer has use for.

    They are among INDEXED_ATTRIBUTES; what says how to decode them is collected along.
    """
    source = StoredSource(b"", size, read_at)
    return _walk(
        source,
        transfer_syntax_uid,
        LAST_INDEXED_GROUP,
        as_far_as_possible=True,
        indexed=for_reading(keywords),
    )


def scan(
    data: Data, transfer_syntax_uid: str, *, complete: bool = False, last_group: int = LAST_INDEXED_GROUP
) -> HeaderScan:
    """Collect the index attributes of `data`, stopping behind the last group that is wanted.

    Where `data` end sooner, that is `HeaderIncomplete`, as they are taken for the beginning of a data set; if
    they are `complete`, it is `DatasetInvalid` in the middle of an element, else simply the end. Raises
    `DatasetInvalid` for malformed data.
    """
    source = _stored(data) if complete else PrefixSource(bytes(data))
    return _walk(source, transfer_syntax_uid, last_group)


def verify_complete(data: Data, transfer_syntax_uid: str) -> None:
    """Walk a whole data set; raises `DatasetInvalid` if it is malformed or ends within an element."""
    _walk(_stored(data), transfer_syntax_uid, EVERY_GROUP)


def _stored(data: Data) -> StoredSource:
    prefix = data if isinstance(data, bytes) else b""
    return StoredSource(prefix, len(data), lambda position, length: bytes(data[position : position + length]))


def _walk(
    source: Source,
    transfer_syntax_uid: str,
    last_group: int,
    *,
    as_far_as_possible: bool = False,
    indexed: dict[int, IndexedAttribute] | None = None,
    maximum_inflated: int = MAXIMUM_INFLATED,
) -> HeaderScan:
    if transfer_syntax_uid in DEFLATED:
        source = DeflatedSource(source, maximum=maximum_inflated)
    encoding = encoding_of(transfer_syntax_uid)
    walk = Walk(source)
    values: RawValues = {}
    try:
        walk.collect(encoding if indexed is None else collecting(encoding, indexed), values, last_group)
    except DatasetInvalid:
        if not as_far_as_possible:
            raise
    return HeaderScan(values, encoding, walk.long_values, walk.too_long)
