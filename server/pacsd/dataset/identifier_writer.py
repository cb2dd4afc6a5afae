"""Identifiers as bytes: laid out once, then written for the values of one data set after another.

A C-FIND writes thousands of data sets that differ in short, mostly ASCII, values alone. Element headers come from
tables by the value's length, and a data set is put together as text of one byte a character (Latin-1): Python joins
and encodes one text faster than it makes and joins pieces of bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16

from pacsd.dataset.charsets import choose_character_set, encode_text
from pacsd.dataset.encodings import LONG_VRS
from pacsd.dataset.sequences import Item, items_of, text_of
from pacsd.dataset.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsd.dataset.transliteration import transliterate

__all__ = [
    "NOT_TEXT",
    "NUMBERS",
    "IdentifierWriter",
]

NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q"}
"""Binary VRs that identifiers hold values of, and their `struct` formats."""
NOT_TEXT: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})
"""VRs that identifiers hold no text of; items of a sequence they do."""

_is_tag: Final = re.compile("[0-9A-Fa-f]{8}").fullmatch
_LONG_FORM: Final = frozenset(LONG_VRS.values())
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_TEXT: Final = frozenset(EXPLICIT_VR_LENGTH_16) - NUMBERS.keys() - {"AT"}
_LONGEST_SHORT: Final = 0xFFFE
"""Bytes that a length of 16 bits can say; a longer value of such a VR becomes UN (PS3.5 §6.2.2)."""
_TABLED: Final = 66
"""Lengths that headers are made for in advance: those of a UID and of most other values."""
_REMEMBERED: Final = 512
"""Attributes whose headers are kept for the next query, a few kilobytes each."""
_LONGEST_REMEMBERED: Final = 1 << 14
"""Characters of a sequence that is remembered as it was written."""


class _Element(NamedTuple):
    """How the values of one attribute are written; all texts have one byte a character."""

    headers: tuple[str, ...]
    """What stands before a value, by its length without padding, for those below `_TABLED`."""
    padding: str
    header: Callable[[int], str]
    """What stands before a value of any even length."""
    longest: int


class IdentifierWriter:
    """Writes data sets of the same attributes in one transfer syntax, each with the character set that it needs.

    That is none for ASCII, the requestor's where it can hold all values, else UTF-8 (ISO_IR 192); or none other than
    the forced one, in which what it does not hold is spelt otherwise (`dataset.transliteration`).
    """

    def __init__(
        self,
        attributes: Sequence[tuple[int, str]],
        transfer_syntax_uid: str,
        *,
        requested_character_set: str | None = None,
        forced_character_set: str | None = None,
    ) -> None:
        """Lay out the attributes, tag and VR of each, in ascending order of tags."""
        self._vrs = [vr for _, vr in attributes]
        self._requested = requested_character_set
        self._forced = forced_character_set
        self._elements = [_element(tag, vr, transfer_syntax_uid) for tag, vr in attributes]
        self._place = sum(tag < _SPECIFIC_CHARACTER_SET for tag, _ in attributes)
        self._elements_with_set = list(self._elements)
        self._elements_with_set.insert(
            self._place, _element(_SPECIFIC_CHARACTER_SET, "CS", transfer_syntax_uid)
        )
        order = ">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<"
        self._binary = [
            (index, _conversion(vr, order))
            for index, vr in enumerate(self._vrs)
            if vr in NUMBERS or vr in NOT_TEXT or vr == "AT"
        ]
        self._sequences = [index for index, vr in enumerate(self._vrs) if vr == "SQ"]
        self._how = {
            "transfer_syntax_uid": transfer_syntax_uid,
            "requested_character_set": requested_character_set,
            "forced_character_set": forced_character_set,
        }

    def write(self, values: Sequence[str]) -> bytes:
        """Return the data set with these values, one for each attribute; several joined by a backslash, "" for none.

        Of a sequence it is `sequences.text_of` its items, which say their own character sets where they need any.
        A number that its VR does not have is left out: no value is better than a wrong one.
        """
        texts, elements = list(values), self._elements
        sequences = [(index, self._items(texts[index])) for index in self._sequences]
        for index in self._sequences:
            texts[index] = ""
        character_set = None
        if not "".join(texts).isascii():
            character_set, texts = self._encoded(texts)
        for index, convert in self._binary:
            texts[index] = convert(texts[index])
        for index, items in sequences:
            texts[index] = items
        if character_set:
            texts.insert(self._place, character_set)
            elements = self._elements_with_set
        return _joined(elements, texts)

    def _items(self, text: str) -> str:
        write = _written_items if len(text) <= _LONGEST_REMEMBERED else _written_items.__wrapped__
        return write(text, **self._how)

    def _encoded(self, texts: Sequence[str]) -> tuple[str | None, list[str]]:
        """Return the character set for the texts, None for ASCII, and their bytes in it as Latin-1."""
        if self._forced is None:
            character_set = choose_character_set(texts, self._requested)
        else:
            forced = self._forced
            texts = [transliterate(text, forced, vr) for text, vr in zip(texts, self._vrs, strict=True)]
            character_set = None if "".join(texts).isascii() else forced
        encoded = [
            encode_text(text, character_set, vr).decode("latin-1")
            for text, vr in zip(texts, self._vrs, strict=True)
        ]
        return character_set, encoded


def _joined(elements: Iterable[_Element], texts: Iterable[str]) -> bytes:
    parts: list[str] = []
    for (headers, padding, header, longest), text in zip(elements, texts, strict=True):
        length = len(text)
        if length < _TABLED:
            parts.append(headers[length])
        elif length <= longest:
            parts.append(header(length + (length & 1)))
        else:
            parts.append(headers[0])
            continue
        parts.append(text)
        if length & 1:
            parts.append(padding)
    return "".join(parts).encode("latin-1")


@lru_cache(maxsize=_REMEMBERED)
def _element(tag: int, vr: str, transfer_syntax_uid: str) -> _Element:
    """Lay out one attribute (PS3.5 §7.1.2, §7.1.3)."""
    order = ">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<"
    is_implicit = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    is_long = is_implicit or vr in _LONG_FORM
    start = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if not is_implicit:
        start += vr.encode("ascii") + b"\0\0" * is_long
    pack_length = struct.Struct(order + "HI"[is_long]).pack
    unknown, pack_long = start[:4] + b"UN\0\0", struct.Struct(order + "I").pack

    def header(length: int) -> str:
        if length <= _LONGEST_SHORT or is_long:
            return (start + pack_length(length)).decode("latin-1")
        return (unknown + pack_long(length)).decode("latin-1")

    # Numbers in UN would be in little endian, or not: readers differ.
    is_limited = not is_long and order == ">" and vr not in _TEXT

    return _Element(
        headers=tuple(header(length + (length & 1)) for length in range(_TABLED)),
        padding="\0" if vr == "UI" else " ",
        header=header,
        longest=_LONGEST_SHORT if is_limited else 0xFFFFFFFE,
    )


def _conversion(vr: str, order: str) -> Callable[[str], str]:
    """Return what makes a binary VR's value of its text, both of one byte a character."""
    if vr in NUMBERS:
        return partial(_number, order=order, layout=NUMBERS[vr])
    return partial(_tags, order=order) if vr == "AT" else _nothing


def _tags(text: str, *, order: str) -> str:
    """Return tags of eight hexadecimal digits as group and element each; nothing where one is no tag."""
    tags = text.split("\\") if text else []
    if not all(map(_is_tag, tags)):
        return ""
    numbers = [int(part, 16) for tag in tags for part in (tag[:4], tag[4:])]
    return struct.pack(f"{order}{len(numbers)}H", *numbers).decode("latin-1")


def _number(text: str, *, order: str, layout: str) -> str:
    """Return binary numbers as text of one byte a character; nothing where one is none of its VR."""
    if not text:
        return ""
    convert = float if layout in "fd" else int
    try:
        packed = b"".join(struct.pack(order + layout, convert(value)) for value in text.split("\\"))
    except (ValueError, OverflowError, struct.error):
        return ""
    return packed.decode("latin-1")


def _nothing(_: str) -> str:
    return ""


@lru_cache(maxsize=_REMEMBERED)
def _written_items(
    text: str,
    *,
    transfer_syntax_uid: str,
    requested_character_set: str | None,
    forced_character_set: str | None,
) -> str:
    """Return a sequence's items, with their lengths, as text of one byte a character (PS3.5 §7.5.1)."""
    header = struct.Struct((">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<") + "HHI")
    written = b""
    for item in items_of(text):
        elements = _elements_of_item(item)
        writer = IdentifierWriter(
            [(tag, vr) for tag, vr, _ in elements],
            transfer_syntax_uid,
            requested_character_set=requested_character_set,
            forced_character_set=forced_character_set,
        )
        content = writer.write([value for _, _, value in elements])
        written += header.pack(0xFFFE, 0xE000, len(content)) + content
    return written.decode("latin-1")


def _elements_of_item(item: Item) -> list[tuple[int, str, str]]:
    """Return tag, VR and value of an item's attributes, in ascending order of tags."""
    elements = []
    for keyword, value in item.items():
        tag = tag_for_keyword(keyword)
        if tag is not None:
            vr = dictionary_VR(tag).partition(" or ")[0]
            elements.append((tag, vr, value if isinstance(value, str) else text_of(value)))
    return sorted(elements)
