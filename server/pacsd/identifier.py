"""Identifiers of queries and retrieves: data sets in the three native encodings, from and to text by keyword.

pydicom takes incoming ones apart, and their values are decoded as those in the index are. Answers are written
here, because a C-FIND writes thousands of them: flat data sets of short texts, one `Struct` a header.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.filereader import data_element_generator

from pacsd.errors import IdentifierInvalid
from pacsd.storage.charsets import choose_character_set, decode_value, encode_text
from pacsd.storage.encodings import LONG_VRS, SHORT_VRS
from pacsd.storage.header import verify_complete

__all__ = [
    "NATIVE_TRANSFER_SYNTAXES",
    "Element",
    "Identifier",
    "elements_of",
    "read_identifier",
    "write_identifier",
]

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
NATIVE_TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
"""In which identifiers may be sent to us, best first."""

_LONG_FORM: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q"}
_NOT_TEXT: Final = frozenset({"AT", "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})
_LENGTHS: Final = {
    (order, is_long): struct.Struct(order + "HI"[is_long]) for order in "<>" for is_long in (False, True)
}
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_FIRST_GROUP: Final = 0x0008
"""Below are commands and file meta information, which are none of a data set's."""
_REMEMBERED: Final = 4096
_LONGEST_VALUE: Final = 1024
"""Bytes of a single value: no key needs more, and what is decoded is remembered for a while."""


class Element(NamedTuple):
    """One attribute of an identifier: its value in Unicode, several joined by a backslash; "" for a sequence."""

    tag: int
    vr: str
    value: str

    @property
    def keyword(self) -> str:
        """Its DICOM keyword; "" for a private or unknown tag."""
        return _keyword(self.tag)


# Answers consist of the same attributes thousands of times over.
_keyword = lru_cache(maxsize=_REMEMBERED)(keyword_for_tag)


@dataclass(frozen=True, slots=True)
class Identifier:
    """A query's or retrieve's identifier as it came, without group lengths and Specific Character Set."""

    elements: tuple[Element, ...]
    specific_character_set: str | None

    def value(self, keyword: str) -> str:
        """Return an attribute's value; "" where it is empty or absent."""
        tag = tag_for_keyword(keyword)
        return next((element.value for element in self.elements if element.tag == tag), "")

    @property
    def keys(self) -> dict[str, str]:
        """The attributes by keyword; private and unknown ones are not among them."""
        return {element.keyword: element.value for element in self.elements if element.keyword}


def read_identifier(data: bytes, transfer_syntax_uid: str) -> Identifier:
    """Return what an identifier asks for; raises IdentifierInvalid where it is no data set, or not a whole one.

    Half a key would ask for something else. Whether a value is one of its VR is not looked at here.
    """
    try:
        verify_complete(data, transfer_syntax_uid)
        raw_values = _raw_values(data, transfer_syntax_uid)
    except Exception as error:  # of pydicom's reader, which documents none
        raise IdentifierInvalid("the identifier is not a readable data set") from error
    _, raw_character_set = raw_values.pop(_SPECIFIC_CHARACTER_SET, ("CS", b""))
    character_set = _text(_SPECIFIC_CHARACTER_SET, "CS", raw_character_set, "", big_endian=False)
    big_endian = transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
    elements = tuple(
        Element(tag, vr, _text(tag, vr, raw, character_set, big_endian=big_endian))
        for tag, (vr, raw) in raw_values.items()
    )
    return Identifier(elements, character_set or None)


def _raw_values(data: bytes, transfer_syntax_uid: str) -> dict[int, tuple[str, bytes]]:
    """Return VR and undecoded value by tag, in ascending order; without group lengths and file meta information."""
    stream = io.BytesIO(data)
    elements = {
        int(element.tag): (_vr(int(element.tag), str(element.VR or "")), element.value)
        for element in data_element_generator(
            stream,
            is_implicit_VR=transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
            is_little_endian=transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN,
        )
        if element.tag.element != 0 and element.tag.group >= _FIRST_GROUP
    }
    if stream.read(1):
        raise ValueError("a delimitation item outside of any sequence")
    return {
        tag: (vr, value if isinstance(value, bytes) else b"") for tag, (vr, value) in sorted(elements.items())
    }


def _vr(tag: int, vr: str) -> str:
    """Return an element's VR, or the data dictionary's where it has none; of several, as in "US or SS", the first."""
    if vr in ("", "UN"):
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    vr = vr.partition(" ")[0]
    return vr if vr.encode() in SHORT_VRS or vr.encode() in LONG_VRS else "UN"


def _text(tag: int, vr: str, raw: bytes, character_set: str, *, big_endian: bool) -> str:
    if vr in _NOT_TEXT:
        return ""
    if len(raw) <= _LONGEST_VALUE:
        return decode_value(vr, raw, character_set, big_endian=big_endian)
    values = raw.split(b"\\")  # a list of UIDs may be long
    longest = max(map(len, values))
    if vr in _NUMBERS or longest > _LONGEST_VALUE:
        raise IdentifierInvalid(
            f"a value of {longest} bytes, {_LONGEST_VALUE} are the most", keywords=(keyword_for_tag(tag),)
        )
    return "\\".join(decode_value(vr, value, character_set) for value in values)


def write_identifier(
    elements: Iterable[Element],
    transfer_syntax_uid: str,
    *,
    requested_character_set: str | None = None,
) -> bytes:
    """Encode elements, in ascending order of tags, with the Specific Character Set that their values need.

    That is none for ASCII, the requestor's where it can hold them all, else UTF-8 (ISO_IR 192).
    """
    ordered = sorted(elements, key=lambda element: element.tag)
    character_set = choose_character_set((element.value for element in ordered), requested_character_set)
    if character_set:
        ordered = sorted(
            [*ordered, Element(_SPECIFIC_CHARACTER_SET, "CS", character_set)], key=lambda e: e.tag
        )
    write = _WRITERS[transfer_syntax_uid]
    return b"".join(write(element, character_set) for element in ordered)


def _value(element: Element, character_set: str | None, order: str) -> bytes:
    if not element.value or element.vr in _NOT_TEXT:
        return b""
    number = _NUMBERS.get(element.vr)
    if number is not None:
        return _numbers(element, order + number)
    encoded = encode_text(element.value, character_set, element.vr)
    if len(encoded) % 2:
        encoded += b"\0" if element.vr == "UI" else b" "
    return encoded


def _numbers(element: Element, number: str) -> bytes:
    """Return binary numbers; nothing where one is none of its VR, as no value is better than a wrong one."""
    convert = float if element.vr in ("FL", "FD") else int
    try:
        return b"".join(struct.pack(number, convert(value)) for value in element.value.split("\\"))
    except (ValueError, OverflowError, struct.error):
        return b""


def _write_implicit(element: Element, character_set: str | None) -> bytes:
    value = _value(element, character_set, "<")
    return struct.pack("<HHI", element.tag >> 16, element.tag & 0xFFFF, len(value)) + value


def _write_explicit(element: Element, character_set: str | None, order: str = "<") -> bytes:
    value = _value(element, character_set, order)
    prefix, length = _explicit_header(element.tag, element.vr, order)
    if length is _LENGTHS[order, False] and len(value) > 0xFFFF:  # no value is better than half of one
        value = b""
    return prefix + length.pack(len(value)) + value


@lru_cache(maxsize=_REMEMBERED)
def _explicit_header(tag: int, vr: str, order: str) -> tuple[bytes, struct.Struct]:
    """Return what stands before an element's length, and how that is written (PS3.5 §7.1.2)."""
    is_long = vr in _LONG_FORM
    prefix = struct.pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii")) + b"\0\0" * is_long
    return prefix, _LENGTHS[order, is_long]


def _write_explicit_big_endian(element: Element, character_set: str | None) -> bytes:
    return _write_explicit(element, character_set, ">")


_WRITERS: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: _write_implicit,
    EXPLICIT_VR_LITTLE_ENDIAN: _write_explicit,
    EXPLICIT_VR_BIG_ENDIAN: _write_explicit_big_endian,
}


def elements_of(values: Mapping[str, str]) -> list[Element]:
    """Return values by keyword as elements, with the VRs of the data dictionary; raises KeyError for no keyword.

    Where the dictionary leaves the VR to the data set ("US or SS"), it is the first.
    """
    elements = []
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise KeyError(keyword)
        elements.append(Element(tag, dictionary_VR(tag).partition(" or ")[0], value))
    return elements
