"""Identifiers of queries and retrieves: data sets in the four native encodings, from and to text by keyword.

Incoming ones go through pydicom. Answers are written here, because a C-FIND writes thousands of them: flat data
sets of short texts, one `Struct` a header.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from pacsd.errors import IdentifierInvalid
from pacsd.storage.charsets import choose_character_set, encode_text

__all__ = ["NATIVE_TRANSFER_SYNTAXES", "Element", "Identifier", "read_identifier", "write_identifier"]

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
_SPECIFIC_CHARACTER_SET: Final = 0x00080005


@dataclass(frozen=True, slots=True)
class Element:
    """One attribute of an identifier: its value in Unicode, several joined by a backslash; "" for a sequence."""

    tag: int
    vr: str
    value: str

    @property
    def keyword(self) -> str:
        """Its DICOM keyword; "" for a private or unknown tag."""
        return keyword_for_tag(self.tag)


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
    """Return what an identifier asks for; raises IdentifierInvalid where it is no data set."""
    try:
        dataset = read_dataset(
            io.BytesIO(data),
            is_implicit_VR=transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
            is_little_endian=transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN,
        )
        character_set = dataset.get("SpecificCharacterSet")
        dataset.decode()
        elements = tuple(_elements(dataset))
    except (
        ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OSError, LookupError, OverflowError,
        struct.error, BytesLengthException, RecursionError,
    ) as error:  # fmt: skip
        raise IdentifierInvalid("the identifier is not a readable data set") from error
    return Identifier(elements, _joined(character_set) or None)


def _elements(dataset: Dataset) -> Iterator[Element]:
    for element in dataset:
        if element.tag.element != 0 and element.tag != _SPECIFIC_CHARACTER_SET:
            yield Element(int(element.tag), str(element.VR), _joined(element.value))


def _joined(value: Any) -> str:
    if value is None or isinstance(value, bytes):
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(_joined(item) for item in value if not isinstance(item, Dataset))
    if isinstance(value, PersonName):
        return "=".join(value.components).rstrip("=")
    return str(value)


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
    if not element.value or element.vr in ("SQ", "UN") or element.vr.startswith("O"):
        return b""
    number = _NUMBERS.get(element.vr)
    if number is not None:
        convert = float if element.vr in ("FL", "FD") else int
        values = [convert(value) for value in element.value.split("\\")]
        return struct.pack(f"{order}{len(values)}{number}", *values)
    if element.vr == "AT":
        return b""
    encoded = encode_text(element.value, character_set, element.vr)
    if len(encoded) % 2:
        encoded += b"\0" if element.vr == "UI" else b" "
    return encoded


def _write_implicit(element: Element, character_set: str | None) -> bytes:
    value = _value(element, character_set, "<")
    return struct.pack("<HHI", element.tag >> 16, element.tag & 0xFFFF, len(value)) + value


def _write_explicit(element: Element, character_set: str | None, order: str = "<") -> bytes:
    value = _value(element, character_set, order)
    group, number, vr = element.tag >> 16, element.tag & 0xFFFF, element.vr.encode("ascii")
    if element.vr in _LONG_FORM:
        return struct.pack(f"{order}HH2sHI", group, number, vr, 0, len(value)) + value
    if len(value) > 0xFFFF:
        value = value[:0xFFFE]
    return struct.pack(f"{order}HH2sH", group, number, vr, len(value)) + value


def _write_explicit_big_endian(element: Element, character_set: str | None) -> bytes:
    return _write_explicit(element, character_set, ">")


_WRITERS: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: _write_implicit,
    EXPLICIT_VR_LITTLE_ENDIAN: _write_explicit,
    EXPLICIT_VR_BIG_ENDIAN: _write_explicit_big_endian,
}


def elements_of(values: Mapping[str, str]) -> list[Element]:
    """Return values by keyword as elements, with the VRs of the data dictionary; raises KeyError for no keyword."""
    elements = []
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise KeyError(keyword)
        elements.append(Element(tag, dictionary_VR(tag), value))
    return elements
