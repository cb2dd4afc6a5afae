"""The walk over a data set's elements (PS3.5 §7): headers read, values skipped, indexed values collected.

Iterative throughout, so that neither stack nor memory grows with the depth of nested sequences, and each
step moves forward, so that it ends.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pacsd.dataset.encodings import (
    EXPLICIT_LITTLE_ENDIAN,
    LONG_VRS,
    SHORT_VRS,
    Encoding,
    encoding_within_unknown,
    read_header,
)
from pacsd.dataset.indexed_attributes import VRS_OF_LONG_VALUES, IndexedAttribute
from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pacsd.dataset.sources import Source

__all__ = ["RawValues", "Walk"]

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
DELIMITATION_LENGTH: Final = 8
"""Bytes of a delimitation item."""
ITEM_GROUP: Final = 0xFFFE
ITEM: Final = 0xE000
ITEM_DELIMITATION: Final = 0xE00D
SEQUENCE_DELIMITATION: Final = 0xE0DD

RawValues = dict[str, tuple[str, bytes]]
"""Keyword → VR (of the element, else of the data dictionary) and value as received; of a sequence its items."""


class Walk:
    """One pass over one data set. Positions count from the beginning of `window`."""

    __slots__ = ("base", "limit", "long_values", "position", "source", "too_long", "window")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.base = 0
        """Of the window in the data set, bytes."""
        self.window = b""
        self.position = 0
        self.long_values: RawValues = {}
        """Those of the collected ones that are not short."""
        self.too_long: list[str] = []
        """Keywords of indexed attributes that are there, and not collected."""
        self.limit = -1
        """The last position at which a header, whichever its layout, lies in the window as a whole."""

    def collect(self, encoding: Encoding, values: RawValues, last_group: int) -> None:
        """Read top-level elements up to `last_group` or a little further; the indexed ones go into `values`.

        Raises `DatasetInvalid` if they are malformed, and what the source raises where they are cut off.
        """
        if self._advance(0) and self._skip_file_meta():
            if encoding.explicit_vr:
                self._collect_explicit(encoding, values, last_group)
            else:
                self._collect_implicit(encoding, values, last_group)

    def elements(self, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
        """Yield tag, position in the data set and length of each top-level value; raises as `collect` does."""
        if not (self._advance(0) and self._skip_file_meta()):
            return
        while self.position <= self.limit or self._advance(self.position):
            group, element, length = encoding.unpack_item(self.window, self.position)
            if group == element == length == 0:
                self._check_padding(self.position)
                return
            vr, length, header_length = self._header(self.position, encoding)
            self.position += header_length
            start = self.base + self.position
            if length == UNDEFINED_LENGTH:
                self._skip_undefined_length(self.position, encoding, vr)
                length = self.base + self.position - start
            else:
                self.position += length
            yield group << 16 | element, start, length

    def _collect_explicit(self, encoding: Encoding, values: RawValues, last_group: int) -> None:
        # Nearly all elements have a short VR: what is rarer, and the end, are looked for off that path.
        unpack, shift, short_vr = encoding.unpack_explicit, encoding.group_shift, SHORT_VRS.get
        indexed_attribute = encoding.indexed.get
        window, position, limit = self.window, self.position, self.limit
        tag = 0
        while True:
            if position > limit:
                if tag >> shift & 0xFFFF > last_group or not self._advance(position):
                    return
                window, position, limit = self.window, 0, self.limit
            tag, code, length = unpack(window, position)
            vr = short_vr(code)
            if vr is not None:
                position += 8
            else:
                if tag >> shift & 0xFFFF > last_group:
                    return
                if tag == length == 0 and code == b"\0\0":
                    self._check_padding(position)
                    return
                vr, length, header_length = self._header(position, encoding)
                position += header_length
                if length == UNDEFINED_LENGTH:
                    self._pass_undefined_length(position, encoding, vr, indexed_attribute(tag), values)
                    window, position, limit = self.window, self.position, self.limit
                    continue
            indexed = indexed_attribute(tag)
            if indexed is not None:
                if length > indexed[3]:
                    self._note_too_long(indexed, vr)
                else:
                    if position + length > len(window):
                        self._move_to_value(position, length)
                        window, position, limit = self.window, 0, self.limit
                    (values if length <= indexed[2] else self.long_values)[indexed[0]] = (
                        indexed[1] if vr in ("", "UN") else vr,
                        window[position : position + length],
                    )
            position += length

    def _collect_implicit(self, encoding: Encoding, values: RawValues, last_group: int) -> None:
        unpack, shift = encoding.unpack_implicit, encoding.group_shift
        indexed_attribute = encoding.indexed.get
        window, position, limit = self.window, self.position, self.limit
        tag = 0
        while True:
            if position > limit:
                if tag >> shift & 0xFFFF > last_group or not self._advance(position):
                    return
                window, position, limit = self.window, 0, self.limit
            tag, length = unpack(window, position)
            position += 8
            indexed = indexed_attribute(tag)
            if indexed is not None and length <= indexed[3]:
                if position + length > len(window):
                    self._move_to_value(position, length)
                    window, position, limit = self.window, 0, self.limit
                (values if length <= indexed[2] else self.long_values)[indexed[0]] = (
                    indexed[1],
                    window[position : position + length],
                )
            elif length == UNDEFINED_LENGTH:
                if tag >> shift & 0xFFFF > last_group:
                    return
                self._pass_undefined_length(position, encoding, "SQ", indexed, values)
                window, position, limit = self.window, self.position, self.limit
                continue
            elif tag == length == 0:
                self._check_padding(position)
                return
            elif indexed is not None:
                self._note_too_long(indexed, "")
            position += length

    def _advance(self, position: int, at_least: int = 0) -> bool:
        """Move the window so that it begins at `position`; False at the end of the data set.

        Zeros that are too few for an element count as its end, other bytes raise.
        """
        self.base += position
        self.window = self.source.window(self.base, at_least)
        self.position = 0
        self.limit = max(len(self.window) - 12, 0)
        if len(self.window) >= 8:
            return True
        if any(self.window):
            raise self.source.ended()
        return False

    def _move_to_value(self, position: int, length: int) -> None:
        self.base += position
        self.window = self.source.window(self.base, length)
        self.limit = len(self.window) - 12
        if len(self.window) < length:
            raise self.source.ended()

    def _header(self, position: int, encoding: Encoding) -> tuple[str, int, int]:
        """Return VR, value length and header length."""
        try:
            return read_header(self.window, position, encoding)
        except struct.error:
            raise self.source.ended() from None

    def _pass_undefined_length(
        self, position: int, encoding: Encoding, vr: str, indexed: IndexedAttribute | None, values: RawValues
    ) -> None:
        """Go past a value of undefined length; it is collected if it is an indexed sequence, and short enough."""
        if vr != "SQ" or indexed is None or indexed.vr != "SQ":
            self._skip_undefined_length(position, encoding, vr)
            return
        longest = indexed.longest
        if position + longest > len(self.window) and self._advance(position, longest):
            position = 0
        # Where the walk goes on in another window, this one has all of what is short enough.
        window, base = self.window, self.base
        self._skip_undefined_length(position, encoding, vr)
        end = self.base + self.position - base - DELIMITATION_LENGTH
        if end - position <= longest:
            values[indexed.keyword] = (vr, window[position:end])
        else:
            self._note_too_long(indexed, vr)

    def _note_too_long(self, indexed: IndexedAttribute, vr: str) -> None:
        # What has another VR than its own is no value of it.
        if indexed.vr in VRS_OF_LONG_VALUES and (vr in ("", "UN") or (vr == "SQ") == (indexed.vr == "SQ")):
            self.too_long.append(indexed.keyword)

    def _skip_undefined_length(self, position: int, encoding: Encoding, vr: str) -> None:
        """Go past the delimitation item of a sequence or of encapsulated pixel data (PS3.5 §7.5, §A.4).

        `depth` counts what is open: odd in a sequence, where items follow, even in an item, where elements
        do. Within UN (`unknown_depth`) the encoding may be another one.
        """
        depth, step, outer, unknown_depth = 0, 1, encoding, 0
        while True:
            depth += step
            if step > 0 and vr == "UN" and not unknown_depth:
                encoding, position = self._encoding_within_unknown(position, encoding)
                unknown_depth = depth
            elif depth < unknown_depth:
                encoding, unknown_depth = outer, 0
            if depth == 0:
                break
            if position > self.limit:
                if not self._advance(position):
                    raise self.source.ended()
                position = 0
            if depth % 2:
                vr, (position, step) = "", self._item(position, encoding)
            else:
                vr, position, step = self._nested_element(position, encoding)
        self.position = position

    def _item(self, position: int, encoding: Encoding) -> tuple[int, int]:
        """Return the position behind the item as far as its length says, and the change of depth."""
        group, element, length = encoding.unpack_item(self.window, position)
        if group == ITEM_GROUP and element == ITEM:
            return (position + 8, 1) if length == UNDEFINED_LENGTH else (position + 8 + length, 0)
        if group == ITEM_GROUP and element == SEQUENCE_DELIMITATION:
            return position + 8, -1
        raise DatasetInvalid("the data set is malformed: no item where a sequence's next is due")

    def _nested_element(self, position: int, encoding: Encoding) -> tuple[str, int, int]:
        """As `_item`, for an element of an item, with its VR."""
        group, element, _ = encoding.unpack_item(self.window, position)
        if group == ITEM_GROUP:
            if element != ITEM_DELIMITATION:
                raise DatasetInvalid("the data set is malformed: no element where an item's next is due")
            return "", position + 8, -1
        vr, length, header_length = self._header(position, encoding)
        position += header_length
        return (vr, position, 1) if length == UNDEFINED_LENGTH else (vr, position + length, 0)

    def _encoding_within_unknown(self, position: int, encoding: Encoding) -> tuple[Encoding, int]:
        """Return how the items of a UN element of undefined length are encoded, and the new position."""
        if position + 14 > len(self.window):
            if not self._advance(position):
                raise self.source.ended()
            position = 0
        return encoding_within_unknown(self.window[position : position + 14], encoding), position

    def _check_padding(self, position: int) -> None:
        """Accept zeros up to the end of the data set; anything behind them is malformed."""
        rest = self.window[position:]
        end = self.base + len(self.window)
        while rest:
            if any(rest):
                raise DatasetInvalid("the data set is malformed: elements behind zeros")
            rest = self.source.window(end)
            end += len(rest)

    def _skip_file_meta(self) -> bool:
        """Go past a preamble and file meta information, which are for files only, but get sent.

        False if nothing follows. They are in Explicit VR Little Endian whatever the rest is (PS3.10 §7.1).
        """
        position = 132 if self.window[128:134] == b"DICM\x02\0" else 0
        while position <= self.limit and self.window[position : position + 2] == b"\x02\0":
            code = self.window[position + 4 : position + 6]
            if code not in SHORT_VRS and code not in LONG_VRS:
                break
            _, length, header_length = self._header(position, EXPLICIT_LITTLE_ENDIAN)
            position += header_length + length
        self.position = position
        return position <= self.limit or self._advance(position)
