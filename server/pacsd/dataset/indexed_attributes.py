"""The attributes that the header scan collects: the data dictionary's but bulk data, so that any can be asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom.datadict import (  # type: ignore[attr-defined] # the first is imported there, and used everywhere
    DicomDictionary,
    keyword_for_tag,
)

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "CAN_BE_LONG",
    "INDEXED_ATTRIBUTES",
    "LAST_INDEXED_GROUP",
    "MAXIMUM_SEQUENCE_LENGTH",
    "SEQUENCE_KEYWORDS",
    "SHORT_VALUE_LENGTH",
    "US_OR_SS",
    "VRS_OF_LONG_VALUES",
    "IndexedAttribute",
    "for_reading",
    "keyword_of",
]

SHORT_VALUE_LENGTH: Final = 1024
"""Bytes of a value that is worth remembering once it is decoded, as most are."""
MAXIMUM_VALUE_LENGTH: Final = 0xFFFF
"""Bytes of a value that is collected: all that a length of 16 bits says. Of a longer one it is noted that there is one,
if it is of a VR in `VRS_OF_LONG_VALUES`; others are left out, as if the attribute were absent."""
MAXIMUM_TEXT_LENGTH: Final = 1 << 20
"""The same of text whose length has 32 bits."""
MAXIMUM_SEQUENCE_LENGTH: Final = 4096
"""The same of a sequence with all its items: what codes and references take, but not the description of each frame."""
LONGEST_READ: Final = 1 << 26
"""Bytes of a value that is read from a file for an answer; a longer one is answered with nothing."""
LONGEST_SEQUENCE_READ: Final = 1 << 20
"""The same of a sequence: taking it apart costs a hundred times as much."""

US_OR_SS: Final = "US or SS"
"""The data dictionary's VR where Pixel Representation decides."""

FIRST_GROUP: Final = 0x0008
"""Below are commands and file meta information, which are none of a data set's."""
LAST_INDEXED_GROUP: Final = 0x4FFF
"""Behind are curves, what each frame of many has for itself, waveforms, overlays and pixels. Elements come in
ascending order (PS3.5 §7.1), so that a scan may stop there."""
LONGEST: Final = {"SQ": MAXIMUM_SEQUENCE_LENGTH, **dict.fromkeys(("UC", "UR", "UT"), MAXIMUM_TEXT_LENGTH)}
VRS_OF_LONG_VALUES: Final = frozenset({
    "AT", "DS", "FD", "FL", "LT", "SL", "SQ", "SS", "ST", "SV", "UC", "UL", "UR", "US", "UT", "UV", US_OR_SS,
})  # fmt: skip
"""VRs that have long values, be it a text or a list. All others are names and codes; a long one is nonsense."""
NOT_COLLECTED: Final = frozenset({"NONE", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})


class IndexedAttribute(NamedTuple):
    """What the scan has to know of one."""

    keyword: str
    vr: str
    """Of the data dictionary; where that leaves it to the data set, `US_OR_SS`."""
    longest: int
    """Bytes of a value that is collected among the others."""
    longest_of_all: int
    """Bytes of a value that is collected, by itself where it is longer than those."""


def _indexed_attributes() -> dict[int, IndexedAttribute]:
    indexed = {}
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        is_collected = NOT_COLLECTED.isdisjoint(vr.split(" or ")) and not tag >> 16 & 1
        if keyword and is_collected and FIRST_GROUP <= tag >> 16 <= LAST_INDEXED_GROUP:
            longest = MAXIMUM_SEQUENCE_LENGTH if vr == "SQ" else SHORT_VALUE_LENGTH
            indexed[tag] = IndexedAttribute(keyword, vr, longest, LONGEST.get(vr, MAXIMUM_VALUE_LENGTH))
    return indexed


INDEXED_ATTRIBUTES: Final = _indexed_attributes()
"""By tag."""

SEQUENCE_KEYWORDS: Final = frozenset(each.keyword for each in INDEXED_ATTRIBUTES.values() if each.vr == "SQ")
CAN_BE_LONG: Final = frozenset(
    each.keyword for each in INDEXED_ATTRIBUTES.values() if each.vr in VRS_OF_LONG_VALUES
)
"""Keywords of attributes whose values may be longer than what is collected."""
_NEEDED_FOR_READING: Final = frozenset({"SpecificCharacterSet", "PixelRepresentation"})


def for_reading(keywords: Collection[str]) -> dict[int, IndexedAttribute]:
    """Return these attributes by tag, with the lengths up to which values are read for an answer.

    And those that say how to decode them.
    """
    wanted = {}
    for tag, each in INDEXED_ATTRIBUTES.items():
        if each.keyword in keywords:
            wanted[tag] = (
                each._replace(longest=LONGEST_SEQUENCE_READ, longest_of_all=LONGEST_SEQUENCE_READ)
                if each.vr == "SQ"
                else each._replace(longest_of_all=LONGEST_READ)
            )
        elif each.keyword in _NEEDED_FOR_READING:
            wanted[tag] = each
    return wanted


# Answers and items consist of the same attributes thousands of times over.
keyword_of = lru_cache(maxsize=8192)(keyword_for_tag)
"""Return an attribute's keyword; "" for a private or unknown tag."""
