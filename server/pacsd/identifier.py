"""Identifiers of queries and retrieves: data sets in the three native encodings, from and to text by keyword.

pydicom takes incoming ones apart, and their values are decoded as those in the index are; what goes out is flat data
sets of short texts, which `identifier_writer` writes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.filereader import data_element_generator

from pacsd.errors import IdentifierInvalid
from pacsd.identifier_writer import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE_TRANSFER_SYNTAXES,
    NOT_TEXT,
    NUMBERS,
    IdentifierWriter,
)
from pacsd.storage.charsets import decode_value
from pacsd.storage.encodings import LONG_VRS, SHORT_VRS
from pacsd.storage.header import verify_complete

__all__ = [
    "EXPLICIT_VR_BIG_ENDIAN",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "NATIVE_TRANSFER_SYNTAXES",
    "Element",
    "Identifier",
    "elements_of",
    "read_identifier",
    "write_identifier",
]

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
    if vr in NOT_TEXT:
        return ""
    if len(raw) <= _LONGEST_VALUE:
        return decode_value(vr, raw, character_set, big_endian=big_endian)
    values = raw.split(b"\\")  # a list of UIDs may be long
    longest = max(map(len, values))
    if vr in NUMBERS or longest > _LONGEST_VALUE:
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
    """Encode one data set as `IdentifierWriter` does, of elements in any order."""
    ordered = sorted(elements, key=lambda element: element.tag)
    writer = IdentifierWriter(
        [(element.tag, element.vr) for element in ordered],
        transfer_syntax_uid,
        requested_character_set=requested_character_set,
    )
    return writer.write([element.value for element in ordered])


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
