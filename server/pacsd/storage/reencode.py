"""A data set from one native encoding into another: headers change, values stay (PS3.5 §7.1, Annex A).

Text is not decoded and numbers are not rounded: only the byte order of binary values changes. Group lengths
(retired, and wrong in another encoding) are left out, sequences get undefined lengths.
"""

from __future__ import annotations

import array
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR

from pacsd.errors import DatasetInvalid
from pacsd.storage.encodings import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    LONG_VRS,
    SHORT_VRS,
    Encoding,
    read_header,
)

__all__ = ["Replacements", "reencode"]

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
ITEM: Final = (0xFFFE, 0xE000)
ITEM_DELIMITATION: Final = (0xFFFE, 0xE00D)
SEQUENCE_DELIMITATION: Final = (0xFFFE, 0xE0DD)
LONGEST_SHORT_VALUE: Final = 0xFFFF
LAST_TAG: Final = (0xFFFF, 0xFFFF)
BITS_ALLOCATED: Final = (0x0028, 0x0100)
PIXEL_DATA: Final = (0x7FE0, 0x0010)
PIXEL_REPRESENTATION: Final = (0x0028, 0x0103)

WORD_LENGTHS: Final = (
    dict.fromkeys(("AT", "OW", "SS", "US"), "H")
    | dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), "I")
    | dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), "Q")
)
"""VR → `array` type of the words whose bytes change places with the byte order (PS3.5 §7.3)."""


@dataclass(slots=True)
class _Level:
    """An open sequence, or an open item, and how its content is encoded."""

    is_item: bool
    end: int | None
    """None where a delimitation item ends it."""
    encoding: Encoding


class _Output:
    """Elements written in the target encoding."""

    def __init__(self, encoding: Encoding) -> None:
        order = ">" if encoding is EXPLICIT_BIG_ENDIAN else "<"
        self.data = bytearray()
        self._explicit_vr = encoding.explicit_vr
        self._pack_item = struct.Struct(order + "HHI").pack
        self._pack_short = struct.Struct(order + "HH2sH").pack
        self._pack_long = struct.Struct(order + "HH2sHI").pack

    def delimit(self, tag: tuple[int, int], length: int = 0) -> None:
        self.data += self._pack_item(*tag, length)

    def header(self, tag: tuple[int, int], vr: str, length: int) -> None:
        if not self._explicit_vr:
            self.data += self._pack_item(*tag, length)
        elif vr.encode() in SHORT_VRS and length <= LONGEST_SHORT_VALUE:
            self.data += self._pack_short(*tag, vr.encode(), length)
        else:
            # A value that is too long for its VR's header becomes UN (PS3.5 §6.2.2).
            code = vr.encode() if vr.encode() in LONG_VRS else b"UN"
            self.data += self._pack_long(*tag, code, 0, length)


Replacements = dict[tuple[int, int], tuple[str, bytes]]
"""Group and element → VR and value, in the byte order of the target."""


def reencode(
    data: bytes, source: Encoding, target: Encoding, replacements: Replacements | None = None
) -> bytes:
    """Return a data set in `target` encoding, with the top-level elements in `replacements` put in.

    Iterative, so that nesting may have any depth. Raises `DatasetInvalid` if the data set is malformed or
    truncated, or has encapsulated pixel data that are not replaced.
    """
    try:
        return bytes(_Reencoding(data, source, target, replacements or {}).run())
    except struct.error:
        raise DatasetInvalid("the data set is truncated or malformed: it ends within a header") from None


class _Reencoding:
    def __init__(self, data: bytes, source: Encoding, target: Encoding, replacements: Replacements) -> None:
        self.data = data
        self.replacements = sorted(replacements.items(), reverse=True)
        self.replaced = replacements.keys()
        self.output = _Output(target)
        self.swapped = (source is EXPLICIT_BIG_ENDIAN) != (target is EXPLICIT_BIG_ENDIAN)
        self.signed = False
        """Pixel Representation as last seen: what "US or SS" means in implicit VR (PS3.5 §A.1)."""
        self.wide = False
        """Bits Allocated as last seen: more than a word of OW holds."""
        self.levels = [_Level(True, len(data), source)]

    def run(self) -> bytearray:
        position = 0
        while True:
            level = self.levels[-1]
            if level.end is not None and position >= level.end:
                if position > level.end:
                    raise DatasetInvalid("the data set is truncated or malformed: an element is too long")
                if self._close():
                    return self.output.data
            elif len(self.levels) == 1 and not any(self.data[position : position + 8]):
                position = len(self.data)  # zeros are padding
            elif level.is_item:
                position = self._element(position, level)
            else:
                position = self._item(position, level)

    def _close(self) -> bool:
        """Write the delimitation of the innermost level; True if that was the data set itself."""
        level = self.levels.pop()
        if not self.levels:
            self._replace(up_to=LAST_TAG)
        else:
            self.output.delimit(ITEM_DELIMITATION if level.is_item else SEQUENCE_DELIMITATION)
        return not self.levels

    def _open(self, *, is_item: bool, position: int, length: int, encoding: Encoding) -> None:
        end = None if length == UNDEFINED_LENGTH else position + length
        self.levels.append(_Level(is_item, end, encoding))

    def _item(self, position: int, level: _Level) -> int:
        group, element, length = level.encoding.unpack_item(self.data, position)
        position += 8
        if (group, element) == ITEM:
            self.output.delimit(ITEM, UNDEFINED_LENGTH)
            self._open(is_item=True, position=position, length=length, encoding=level.encoding)
        elif (group, element) == SEQUENCE_DELIMITATION and level.end is None:
            self._close()
        else:
            raise DatasetInvalid("the data set is malformed: no item where a sequence's next is due")
        return position

    def _element(self, position: int, level: _Level) -> int:
        group, element, _ = level.encoding.unpack_item(self.data, position)
        tag = (group, element)
        if tag == ITEM_DELIMITATION and level.end is None:
            self._close()
            return position + 8
        if group == ITEM[0]:
            raise DatasetInvalid("the data set is malformed: no element where an item's next is due")
        vr, length, header_length = read_header(self.data, position, level.encoding)
        position += header_length
        vr = vr or self._dictionary_vr(tag)
        if len(self.levels) == 1:
            self._replace(up_to=tag)
            if tag in self.replaced:
                return self._behind_fragments(position) if length == UNDEFINED_LENGTH else position + length
        if vr in ("OB", "OW") and length == UNDEFINED_LENGTH:
            raise DatasetInvalid("the data set has encapsulated pixel data beside those of its image")
        if vr == "SQ" or length == UNDEFINED_LENGTH:
            encoding = level.encoding
            if vr == "UN" and encoding.explicit_vr:
                encoding = self._encoding_within_unknown(position)
            self.output.header(tag, "SQ", UNDEFINED_LENGTH)
            self._open(is_item=False, position=position, length=length, encoding=encoding)
            return position
        if position + length > len(self.data):
            raise DatasetInvalid("the data set is truncated or malformed: an element is too long")
        if element:
            self._value(tag, vr, self.data[position : position + length])
        return position + length

    def _replace(self, *, up_to: tuple[int, int]) -> None:
        while self.replacements and self.replacements[-1][0] <= up_to:
            tag, (vr, value) = self.replacements.pop()
            self.output.header(tag, vr, len(value))
            self.output.data += value

    def _behind_fragments(self, position: int) -> int:
        """Return the position behind encapsulated pixel data (PS3.5 §A.4)."""
        while True:
            group, element, length = EXPLICIT_LITTLE_ENDIAN.unpack_item(self.data, position)
            position += 8
            if (group, element) == SEQUENCE_DELIMITATION:
                return position
            if (group, element) != ITEM:
                raise DatasetInvalid("the data set is malformed: no item where a fragment's is due")
            position += length

    def _value(self, tag: tuple[int, int], vr: str, value: bytes) -> None:
        if tag == PIXEL_REPRESENTATION:
            self.signed = any(value)
        elif tag == BITS_ALLOCATED:
            self.wide = max(value, default=0) > 16
        elif tag == PIXEL_DATA and self.wide and self.swapped and vr == "OW":
            # Some swap 16-bit words, as DCMTK and PS3.5 §7.3 have it, others whole pixels.
            raise DatasetInvalid("pixels of more than 16 bits have no agreed byte order in big endian")
        if self.swapped and vr in WORD_LENGTHS:
            words = array.array(WORD_LENGTHS[vr])
            whole = len(value) - len(value) % words.itemsize
            words.frombytes(value[:whole])
            words.byteswap()
            value = words.tobytes() + value[whole:]
        self.output.header(tag, vr, len(value))
        self.output.data += value

    def _dictionary_vr(self, tag: tuple[int, int]) -> str:
        vr = _dictionary_vr(tag[0] << 16 | tag[1])
        return ("SS" if self.signed else "US") if vr == "US or SS" else vr

    def _encoding_within_unknown(self, position: int) -> Encoding:
        """As the header scan sees it (PS3.5 §6.2.2)."""
        if self.data[position : position + 3] == b"\xff\xfe\xe0":
            return EXPLICIT_BIG_ENDIAN
        code = self.data[position + 12 : position + 14]
        return EXPLICIT_LITTLE_ENDIAN if code in SHORT_VRS or code in LONG_VRS else IMPLICIT_LITTLE_ENDIAN


@lru_cache(maxsize=4096)
def _dictionary_vr(tag: int) -> str:
    """Return the VR for implicit VR (PS3.5 §A.1): where there is a choice with OW, that holds every value."""
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        vr = str(dictionary_VR(tag))
    except KeyError:
        return "UN"
    return "OW" if "OW" in vr else vr
