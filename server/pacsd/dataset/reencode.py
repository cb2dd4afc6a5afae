"""A data set from one encoding into another: headers change, values stay (PS3.5 §7.1, Annex A).

Text is not decoded and numbers are not rounded: only the byte order of binary values changes, and values of odd length
are padded. Group lengths (retired, and wrong in another encoding) are left out, sequences get undefined lengths.
"""

from __future__ import annotations

import array
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import structlog
from pydicom.datadict import dictionary_VR

from pacsd.dataset.decompression import EXTENDED_OFFSETS, IMAGE_PIXEL_TAGS, NativePixels
from pacsd.dataset.encapsulation import EncapsulatedPixels, encapsulated, moved_offsets, read_encapsulated
from pacsd.dataset.encodings import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    LONG_VRS,
    SHORT_VRS,
    Encoding,
    encoding_within_unknown,
    read_header,
)
from pacsd.dataset.wide_pixels import swapped_wide_pixels
from pacsd.errors import DatasetInvalid

__all__ = ["Decompress", "reencode"]

_log = structlog.get_logger()

Tag = tuple[int, int]
Value = bytes | bytearray | memoryview

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
ITEM: Final = (0xFFFE, 0xE000)
ITEM_DELIMITATION: Final = (0xFFFE, 0xE00D)
SEQUENCE_DELIMITATION: Final = (0xFFFE, 0xE0DD)
LONGEST_SHORT_VALUE: Final = 0xFFFF
PIECE_LENGTH: Final = 1 << 24
"""Bytes of a value that are copied between two looks whether anybody still waits for it."""
LARGE_VALUE: Final = 1 << 16
"""Bytes from which on a value is written from where it is, instead of from a copy."""
NOT_OF_A_DATA_SET: Final = frozenset({0x0000, 0x0002, ITEM[0]})
"""Groups: commands, file meta information, delimiters that end nothing. They get sent, and go no further."""
LAST_TAG: Final = (0xFFFF, 0xFFFF)
BITS_ALLOCATED: Final = (0x0028, 0x0100)
ICON_IMAGE_SEQUENCE: Final = (0x0088, 0x0200)
DEEPEST_PIXELS: Final = 3
"""Levels, the data set, a sequence and its item, within which pixel data are decompressed: as deep as an icon."""
MAXIMUM_DEPTH: Final = 1000
"""Sequences within each other, each of which takes memory while it is open; structured reports have some dozens."""
PIXEL_DATA: Final = (0x7FE0, 0x0010)
DATA_SET_TRAILING_PADDING: Final = (0xFFFC, 0xFFFC)
PIXEL_REPRESENTATION: Final = (0x0028, 0x0103)

WORD_LENGTHS: Final = (
    dict.fromkeys(("AT", "OW", "SS", "US"), "H")
    | dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), "I")
    | dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), "Q")
)
"""VR → `array` type of the words whose bytes change places with the byte order (PS3.5 §7.3)."""


PADDED_BY_SPACE: Final = frozenset({
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT",
})  # fmt: skip
"""All other values are padded by NUL (PS3.5 §6.2)."""


def _nothing() -> None:
    pass


class _Malformed(Exception):
    """What is at hand cannot be read; what is around it perhaps can."""


@dataclass(slots=True)
class _Level:
    """An open sequence, or an open item, and how its content is encoded."""

    is_item: bool
    end: int | None
    """None where a delimitation item ends it."""
    bound: int
    """Where it ends at the latest: what is around it ends there."""
    encoding: Encoding
    tag: Tag
    """Of the sequence."""
    content: int
    """Where its content begins in the source."""
    output: int
    """Where it begins in the output: of an item its content, of a sequence its header."""
    in_unknown: bool = False
    """Within a UN element, whose encoding is another one."""
    signed: bool = False
    """Pixel Representation as last seen here or around: what "US or SS" means in implicit VR (PS3.5 §A.1)."""
    bits_allocated: int = 0
    """As last seen."""
    is_left_out: bool = False
    """Taken out of the output again at its end."""
    image: dict[Tag, bytes] = field(default_factory=dict)
    """What an item says of its pixels."""
    extended_offsets: int = 0
    """Where the output has the value of its Extended Offset Table; 0 where there is none."""
    native: NativePixels | None = None
    """The item's pixels, decompressed."""
    missing: list[tuple[Tag, tuple[str, bytes]]] = field(default_factory=list)
    """Attributes of `native` that are still to be written, the next one last."""
    pixels_are_left_out: bool = False
    """They cannot be decompressed, and are not the data set's own."""


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


Decompress = Callable[[Mapping[Tag, bytes], EncapsulatedPixels, str], NativePixels]
"""From what an item says of its pixels, its encapsulated pixels and the byte order to native ones."""


def reencode(
    data: bytes | bytearray,
    source: Encoding,
    target: Encoding,
    decompress: Decompress | None = None,
    *,
    pixels_are_big_endian: bool = False,
    normalized: bool = False,
    look: Callable[[], None] = _nothing,
) -> bytearray:
    """Return a data set in `target` encoding, encapsulated pixel data made native by `decompress`.

    Without `decompress`, which is for one encoding only, they stay as they are, but for the padding of odd fragments.
    `pixels_are_big_endian` where only they are, as in GE's private syntax. Everything that `header.examine` takes is
    converted: what is malformed within the defined length of a sequence ends that sequence early, or, if it is
    private, makes it UN. With `normalized` equal data sets become the same bytes: text loses all padding but for a
    last character to an even length, Data Set Trailing Padding goes, encapsulated pixel data are OB (PS3.5 §A.4).
    Iterative, and no deeper than `MAXIMUM_DEPTH`. `look` is called between the steps, and may raise what ends them.

    Raises `DatasetInvalid` if the data set is malformed, truncated or nested deeper, or what `decompress` raises for
    its own pixels. Those within a sequence that cannot be decompressed are left out, an icon as a whole.
    """
    return _Reencoding(
        data,
        source,
        target,
        decompress,
        pixels_are_big_endian=pixels_are_big_endian,
        normalized=normalized,
        look=look,
    ).run()


class _Reencoding:
    def __init__(
        self,
        data: bytes | bytearray,
        source: Encoding,
        target: Encoding,
        decompress: Decompress | None,
        *,
        pixels_are_big_endian: bool,
        normalized: bool,
        look: Callable[[], None],
    ) -> None:
        self.data = data
        self.look = look
        self.normalized = normalized
        self.decompress = decompress
        self.output = _Output(target)
        self.is_big_endian = target is EXPLICIT_BIG_ENDIAN
        self.is_implicit = not target.explicit_vr
        self.swapped = (source is EXPLICIT_BIG_ENDIAN) != (target is EXPLICIT_BIG_ENDIAN)
        self.pixels_are_swapped = self.swapped != pixels_are_big_endian
        begin = _behind_file_meta(data)
        self.begin = begin
        self.levels = [_Level(True, len(data), len(data), source, (0, 0), begin, 0)]

    def run(self) -> bytearray:
        position = self.begin
        while self.levels:
            self.look()
            try:
                position = self._step(position)
            except struct.error:
                position = self._recover("it ends within a header")
            except _Malformed as error:
                position = self._recover(str(error))
        return self.output.data

    def _step(self, position: int) -> int:
        """Convert what is at `position`, and return where the next element, item or delimiter is."""
        level = self.levels[-1]
        if level.end is not None and position >= level.end:
            if position > level.end:
                raise _Malformed("an element is too long")
            self._close()
            return position
        if len(self.levels) == 1 and not any(self.data[position : position + 8]):
            if self.data.count(0, position) < len(self.data) - position:
                raise DatasetInvalid("the data set is malformed: elements behind zeros")
            return len(self.data)  # zeros are padding
        return self._element(position, level) if level.is_item else self._item(position, level)

    def _recover(self, reason: str) -> int:
        """Give up what is left of the innermost level whose end is known, and return that end.

        The header scan passes over what has a defined length without looking inside, and so may have taken it.
        """
        number = len(self.levels) - 1
        while self.levels[number].end is None:
            number -= 1
        if number == 0:
            raise DatasetInvalid(f"the data set is truncated or malformed: {reason}")
        level = self.levels[number]
        end = level.end
        assert end is not None  # noqa: S101 - the loop has looked for it
        is_in_defined = level.is_item and self.levels[number - 1].end is not None
        sequence_number = number - 1 if is_in_defined else number
        sequence = self.levels[sequence_number]
        _log.warning(
            "malformed-sequence-converted", tag=f"{level.tag[0]:04X},{level.tag[1]:04X}", reason=reason
        )
        if sequence.tag[0] % 2 and not sequence.is_item and sequence.end is not None:
            # Nobody else knows what is in it: its bytes stay as they are.
            del self.output.data[sequence.output :]
            del self.levels[sequence_number:]
            value = self.data[sequence.content : sequence.end]
            self._write(sequence.tag, "UN", value)
            return sequence.end
        while len(self.levels) > number + 1:
            self._close()
        return end

    def _close(self) -> None:
        """End the innermost level."""
        level = self.levels.pop()
        if level.is_item:
            self._write_missing(level, LAST_TAG)
        if level.is_left_out:
            del self.output.data[level.output :]
        elif self.levels:
            self.output.delimit(ITEM_DELIMITATION if level.is_item else SEQUENCE_DELIMITATION)

    def _open(
        self,
        level: _Level,
        tag: Tag,
        *,
        position: int,
        length: int,
        encoding: Encoding,
        in_unknown: bool = False,
    ) -> _Level:
        """Open a sequence within an item, or an item within a sequence, whose content begins at `position`."""
        end = None if length == UNDEFINED_LENGTH else min(position + length, level.bound)
        opened = _Level(
            not level.is_item,
            end,
            level.bound if end is None else end,
            encoding,
            tag,
            position,
            len(self.output.data),
            in_unknown,
            level.signed,
            level.bits_allocated,
        )
        if len(self.levels) > 2 * MAXIMUM_DEPTH:
            raise DatasetInvalid(f"sequences are nested more than {MAXIMUM_DEPTH} deep")
        self.levels.append(opened)
        return opened

    def _item(self, position: int, level: _Level) -> int:
        if position + 8 > level.bound:
            raise _Malformed("it ends within an item's header")
        group, element, length = level.encoding.unpack_item(self.data, position)
        position += 8
        if (group, element) == ITEM:
            self.output.delimit(ITEM, UNDEFINED_LENGTH)
            self._open(
                level,
                level.tag,
                position=position,
                length=length,
                encoding=level.encoding,
                in_unknown=level.in_unknown,
            )
        elif (group, element) == SEQUENCE_DELIMITATION and level.end is None:
            self._close()
        elif group != ITEM[0] or level.end is None:
            raise _Malformed("no item where a sequence's next is due")
        # A delimiter where the length says all is passed over.
        return position

    def _element(self, position: int, level: _Level) -> int:
        bound = level.bound
        if position + 8 > bound:
            raise _Malformed("it ends within an element's header")
        group, element, _ = level.encoding.unpack_item(self.data, position)
        tag = (group, element)
        if group == ITEM[0] and len(self.levels) > 1:
            return self._delimiter_in_item(position, level, element)
        own_vr, length, header_length = read_header(self.data, position, level.encoding)
        start = position
        position += header_length
        if length == UNDEFINED_LENGTH:
            return self._undefined_length(tag, own_vr, start, position, level)
        vr = own_vr or _vr_of(tag, level)
        if position + length > bound:
            raise _Malformed("an element is too long")
        if len(self.levels) == 1 and group in NOT_OF_A_DATA_SET:
            return position + length
        encoding, in_unknown = level.encoding, level.in_unknown
        if self.is_implicit and own_vr in ("UN", "OB", "OW") and self._has_items(tag, position, length):
            # In implicit VR everybody reads its value as items in implicit VR.
            vr = "SQ"
            if not in_unknown:
                encoding = encoding_within_unknown(bytes(self.data[position : position + 14]), encoding)
                in_unknown = True
        if vr == "SQ":
            self._write_missing(level, tag)
            output = len(self.output.data)
            self.output.header(tag, "SQ", UNDEFINED_LENGTH)
            opened = self._open(
                level, tag, position=position, length=length, encoding=encoding, in_unknown=in_unknown
            )
            opened.output = output
            return position
        if element:
            data = memoryview(self.data) if length >= LARGE_VALUE else self.data
            self._element_value(tag, vr, data[position : position + length], level)
        return position + length

    def _has_items(self, tag: Tag, position: int, length: int) -> bool:
        """Whether a value is of a sequence by the data dictionary, and looks like it."""
        if length < 8 or _dictionary_vr(tag[0] << 16 | tag[1]) != "SQ":
            return False
        return self.data[position : position + 4] in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")

    def _delimiter_in_item(self, position: int, level: _Level, element: int) -> int:
        if element == ITEM_DELIMITATION[1] and level.end is None:
            self._close()
        elif element == ITEM[1] or level.end is None:
            raise _Malformed("no element where an item's next is due")
        return position + 8

    def _undefined_length(self, tag: Tag, own_vr: str, start: int, position: int, level: _Level) -> int:
        """Convert a sequence, or encapsulated pixel data, whose value begins at `position`."""
        vr = own_vr or _vr_of(tag, level)
        if vr in ("OB", "OW") or (tag == PIXEL_DATA and vr != "SQ"):
            behind = self._encapsulated(tag, start, position, level)
            if behind is not None:
                return behind
        self._write_missing(level, tag)
        encoding, in_unknown = level.encoding, level.in_unknown
        if own_vr == "UN" and not in_unknown:
            encoding = encoding_within_unknown(bytes(self.data[position : position + 14]), encoding)
            in_unknown = True
        output = len(self.output.data)
        self.output.header(tag, "SQ", UNDEFINED_LENGTH)
        opened = self._open(
            level, tag, position=position, length=UNDEFINED_LENGTH, encoding=encoding, in_unknown=in_unknown
        )
        opened.output = output
        opened.is_left_out = vr in ("OB", "OW") or (len(self.levels) == 2 and tag[0] in NOT_OF_A_DATA_SET)
        return position

    def _encapsulated(self, tag: Tag, start: int, position: int, level: _Level) -> int | None:
        """Convert encapsulated pixel data and return where to go on; None if they are none."""
        is_own = len(self.levels) == 1
        try:
            pixels = read_encapsulated(self.data, position, level.encoding)
        except DatasetInvalid:
            if is_own and tag == PIXEL_DATA:
                raise
            return None
        if self.decompress is None:
            self._write_missing(level, tag)
            if self.normalized:
                self.output.header(tag, "OB", UNDEFINED_LENGTH)
            else:
                self.output.data += self.data[start:position]
            for piece in encapsulated(pixels):
                self.output.data += piece
            self._move_extended_offsets(level, pixels)
            return pixels.end
        if tag != PIXEL_DATA or level.pixels_are_left_out or len(self.levels) > DEEPEST_PIXELS:
            self._leave_pixels_out(tag)
            return pixels.end
        try:
            if level.native is not None:
                self._write_native(level.native, level)
                return pixels.end
            level.native = self.decompress(level.image, pixels, self._byte_order(level))
        except DatasetInvalid:
            if is_own:
                raise
            level.native, level.pixels_are_left_out = None, True
        # What the item says of its pixels stands before them: it is written once more.
        return self._begin_again(level)

    def _move_extended_offsets(self, level: _Level, pixels: EncapsulatedPixels) -> None:
        """Let the Extended Offset Table, which stands before the pixels, say where padded fragments begin."""
        if not level.extended_offsets:
            return
        table, moved = level.image[EXTENDED_OFFSETS], moved_offsets(pixels)
        layout = f"{len(table) // 8}Q"
        offsets = (
            moved.get(each, each) for each in struct.unpack_from(self._byte_order(level) + layout, table)
        )
        order = ">" if self.is_big_endian else "<"
        struct.pack_into(order + layout, self.output.data, level.extended_offsets, *offsets)

    def _write_native(self, native: NativePixels, level: _Level) -> None:
        self._write_missing(level, PIXEL_DATA)
        self.output.header(PIXEL_DATA, native.vr, native.length)
        native.append_to(self.output.data)

    def _leave_pixels_out(self, tag: Tag) -> None:
        _log.warning("encapsulated-value-left-out", tag=f"{tag[0]:04X},{tag[1]:04X}")
        for level in self.levels:
            if level.tag == ICON_IMAGE_SEQUENCE and not level.is_item:
                level.is_left_out = True  # an icon is nothing without its pixels

    def _begin_again(self, level: _Level) -> int:
        """Take the innermost item's content out of the output, and return where it begins."""
        del self.output.data[level.output :]
        replaced = level.native.attributes if level.native is not None else {}
        level.missing = sorted(((tag, value) for tag, value in replaced.items() if value), reverse=True)
        return level.content

    def _byte_order(self, level: _Level) -> str:
        return ">" if level.encoding is EXPLICIT_BIG_ENDIAN else "<"

    def _write_missing(self, level: _Level, up_to: Tag) -> None:
        while level.missing and level.missing[-1][0] <= up_to:
            tag, (vr, value) = level.missing.pop()
            self._write(tag, vr, value)

    def _element_value(self, tag: Tag, vr: str, value: Value, level: _Level) -> None:
        if level.native is None:
            if tag in IMAGE_PIXEL_TAGS:
                level.image[tag] = bytes(value)
        else:
            self._write_missing(level, tag)
            if tag in level.native.attributes:
                return
        self._value(tag, vr, value, level)
        if tag == EXTENDED_OFFSETS and vr in ("OV", "UN"):
            level.extended_offsets = len(self.output.data) - len(value) - len(value) % 2

    def _value(self, tag: Tag, vr: str, value: Value, level: _Level) -> None:
        swapped = self.swapped
        if tag == PIXEL_REPRESENTATION:
            level.signed = any(value)
        elif tag == BITS_ALLOCATED:
            level.bits_allocated = max(value, default=0)
        elif tag == PIXEL_DATA and len(self.levels) == 1:
            swapped = self.pixels_are_swapped and (self.swapped or level.bits_allocated > 8)
            # What becomes big endian is written as OW has it, by words of 16 bits (PS3.5 §7.3), which DCMTK does too.
            if swapped and level.bits_allocated > 16 and vr == "OW" and not self.is_big_endian:
                if level.bits_allocated not in (32, 64):
                    raise DatasetInvalid(
                        "pixels of more than 16 bits have no agreed byte order in big endian"
                    )
                value, swapped = swapped_wide_pixels(value, level.bits_allocated), False
        self._write(tag, vr, value, swapped=swapped and vr in WORD_LENGTHS)

    def _write(self, tag: Tag, vr: str, value: Value, *, swapped: bool = False) -> None:
        """Write an element, padded to an even length as all have to be (PS3.5 §7.1.1, §6.2)."""
        if self.normalized:
            if tag == DATA_SET_TRAILING_PADDING and len(self.levels) == 1:
                return
            if vr in PADDED_BY_SPACE or vr == "UI":
                value = bytes(value).rstrip(b" \0")
        padding = len(value) % 2
        self.output.header(tag, vr, len(value) + padding)
        if len(value) <= PIECE_LENGTH:
            self.output.data += _swapped(value, vr) if swapped else value
        else:
            for start in range(0, len(value), PIECE_LENGTH):
                self.look()
                piece = value[start : start + PIECE_LENGTH]
                self.output.data += _swapped(piece, vr) if swapped else piece
        if padding:
            self.output.data += b" " if vr in PADDED_BY_SPACE else b"\0"


def _swapped(value: Value, vr: str) -> Value:
    """Return words in the other byte order."""
    words = array.array(WORD_LENGTHS[vr])
    whole = len(value) - len(value) % words.itemsize
    words.frombytes(value[:whole])
    words.byteswap()
    return memoryview(words).cast("B") if whole == len(value) else words.tobytes() + value[whole:]


def _vr_of(tag: Tag, level: _Level) -> str:
    vr = _dictionary_vr(tag[0] << 16 | tag[1])
    return ("SS" if level.signed else "US") if vr == "US or SS" else vr


def _behind_file_meta(data: bytes | bytearray) -> int:
    """Return where the elements begin; a preamble and file meta information may have been sent along.

    As the header scan sees it: they are in Explicit VR Little Endian whatever the rest is (PS3.10 §7.1).
    """
    position = 132 if data[128:134] == b"DICM\x02\0" else 0
    while len(data) - position >= 12 and data[position : position + 2] == b"\x02\0":
        code = bytes(data[position + 4 : position + 6])
        if code not in SHORT_VRS and code not in LONG_VRS:
            break
        _, length, header_length = read_header(data, position, EXPLICIT_LITTLE_ENDIAN)
        position += header_length + length
    return position


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
