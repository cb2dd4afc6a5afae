"""Identifiers of queries and retrieves: data sets in the three native encodings, from and to text by keyword.

`dataset/in_memory` takes incoming ones apart, and their values are decoded as those in the index are;
`identifier_writer` writes those that go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

from pacsd.dataset.charsets import character_set_in_effect, decode_value
from pacsd.dataset.encodings import EXPLICIT_BIG_ENDIAN, encoding_of
from pacsd.dataset.identifier_writer import (
    NOT_TEXT,
    NUMBERS,
    IdentifierWriter,
)
from pacsd.dataset.in_memory import RawDataset, read_dataset
from pacsd.dataset.indexed_attributes import keyword_of
from pacsd.dataset.sequences import Item, items_of, text_of
from pacsd.errors import DatasetInvalid, IdentifierInvalid

__all__ = [
    "Element",
    "Identifier",
    "elements_of",
    "read_identifier",
    "write_identifier",
]

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_REMEMBERED: Final = 4096
_LONGEST_VALUE: Final = 1024
"""Bytes of a single value: no key needs more, and what is decoded is remembered for a while."""


class Element(NamedTuple):
    """One attribute of an identifier."""

    tag: int
    vr: str
    value: str
    """In Unicode, several joined by a backslash; that of a sequence is `sequences.text_of` its items."""

    @property
    def keyword(self) -> str:
        """Its DICOM keyword; "" for a private or unknown tag."""
        return keyword_of(self.tag)


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
        """The attributes' values by keyword; private and unknown ones are not among them."""
        return {element.keyword: element.value for element in self.elements if element.keyword}


def read_identifier(data: bytes, transfer_syntax_uid: str, *, default_character_set: str = "") -> Identifier:
    """Return what an identifier asks for; raises IdentifierInvalid where it is no data set, or not a whole one.

    Half a key would ask for something else. Whether a value is one of its VR is not looked at here.
    `default_character_set` is what the sender uses without saying so, see `charsets.character_set_in_effect`.
    """
    encoding = encoding_of(transfer_syntax_uid)
    try:
        dataset = read_dataset(data, encoding)
    except DatasetInvalid as error:
        raise IdentifierInvalid("the identifier is not a readable data set") from error
    declared = _declared_character_set(dataset) or ""
    elements = _elements(
        dataset,
        character_set_in_effect(declared, default_character_set),
        big_endian=encoding is EXPLICIT_BIG_ENDIAN,
    )
    return Identifier(elements, declared or None)


def _declared_character_set(dataset: RawDataset) -> str | None:
    """Take Specific Character Set out of a data set; None where it isn't there."""
    own = dataset.pop(_SPECIFIC_CHARACTER_SET, None)
    if own is None or not isinstance(own[1], bytes):
        return None
    return _text(_SPECIFIC_CHARACTER_SET, "CS", own[1], "", big_endian=False)


def _elements(dataset: RawDataset, character_set: str, *, big_endian: bool) -> tuple[Element, ...]:
    elements = []
    for tag, (vr, value) in dataset.items():
        if _is_sequence(tag) not in (None, vr == "SQ"):
            keyword = keyword_of(tag)
            raise IdentifierInvalid(f"{keyword} has another VR than its own", keywords=(keyword,))
        if isinstance(value, bytes):
            text = _text(tag, vr, value, character_set, big_endian=big_endian)
        else:
            text = text_of([_item(item, character_set, big_endian=big_endian) for item in value])
        elements.append(Element(tag, vr, text))
    return tuple(elements)


def _item(dataset: RawDataset, character_set: str, *, big_endian: bool) -> Item:
    own = _declared_character_set(dataset)
    # Holds in this item and what is below it (PS3.3 §C.12.1.1.2).
    character_set = character_set if own is None else own
    return {
        each.keyword: items_of(each.value) if each.vr == "SQ" else each.value
        for each in _elements(dataset, character_set, big_endian=big_endian)
        if each.keyword
    }


@lru_cache(maxsize=_REMEMBERED)
def _is_sequence(tag: int) -> bool | None:
    """Return whether an attribute is one; None where the data dictionary doesn't say."""
    return dictionary_VR(tag) == "SQ" if dictionary_has_tag(tag) else None


def _text(tag: int, vr: str, raw: bytes, character_set: str, *, big_endian: bool) -> str:
    if vr in NOT_TEXT:
        return ""
    if len(raw) <= _LONGEST_VALUE:
        return decode_value(vr, raw, character_set, big_endian=big_endian)
    values = raw.split(b"\\")  # a list of UIDs may be long
    longest = max(map(len, values))
    if vr in NUMBERS or vr == "AT" or longest > _LONGEST_VALUE:
        raise IdentifierInvalid(
            f"a value of {longest} bytes, {_LONGEST_VALUE} are the most", keywords=(keyword_of(tag),)
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
