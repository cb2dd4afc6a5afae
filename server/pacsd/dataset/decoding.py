"""From a scanned header to the text of its attributes, sequences included."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pacsd.dataset.charsets import NOT_TEXT, character_set_in_effect, decode_long_value, decode_value
from pacsd.dataset.encodings import EXPLICIT_BIG_ENDIAN
from pacsd.dataset.in_memory import read_items
from pacsd.dataset.indexed_attributes import (
    INDEXED_ATTRIBUTES,
    MAXIMUM_SEQUENCE_LENGTH,
    SEQUENCE_KEYWORDS,
    SHORT_VALUE_LENGTH,
    US_OR_SS,
    keyword_of,
)
from pacsd.dataset.sequences import text_of
from pacsd.errors import DatasetInvalid
from pacsd.model import LONGER_THAN_KEPT

if TYPE_CHECKING:
    from pacsd.dataset.elements import RawValues
    from pacsd.dataset.encodings import Encoding
    from pacsd.dataset.header import HeaderScan
    from pacsd.dataset.in_memory import RawDataset, RawItems
    from pacsd.dataset.sequences import Item, Items

__all__ = ["decode_attributes", "decode_items"]

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_REMEMBERED: Final = 1024
_US_OR_SS: Final = frozenset(tag for tag, known in INDEXED_ATTRIBUTES.items() if known.vr == US_OR_SS)
"""In an item without VRs nothing says which: Pixel Representation may stand far away."""


def decode_attributes(scan: HeaderScan, default_character_set: str = "") -> dict[str, str]:
    """Return the scanned attributes as Unicode text by keyword, as `model.InstanceRecord.attributes` wants them.

    `default_character_set` is what the sender uses without saying so, see `charsets.character_set_in_effect`.
    Each value is as `decode_value` has it; that of a sequence is `sequences.text_of` its items. Never fails: a
    sequence that cannot be read is left out as a whole.
    """
    values, encoding = scan.values, scan.encoding
    declared = values.get("SpecificCharacterSet", ("CS", b""))[1].decode("latin-1")
    character_set = character_set_in_effect(declared, default_character_set)
    big_endian = encoding is EXPLICIT_BIG_ENDIAN
    attributes = {}
    for keyword, (vr, raw) in values.items():
        if keyword in SEQUENCE_KEYWORDS:
            text_of_sequence = (
                _sequence_text if len(raw) <= MAXIMUM_SEQUENCE_LENGTH else _sequence_text.__wrapped__
            )
            if vr == "SQ" and (text := text_of_sequence(raw, character_set, encoding)) is not None:
                attributes[keyword] = text
        elif vr not in NOT_TEXT:
            known = vr if vr != US_OR_SS else _number_of_pixels(values)
            attributes[keyword] = decode_value(known, raw, character_set, big_endian)
    for keyword, (vr, raw) in scan.long_values.items():
        if vr not in NOT_TEXT:
            known = vr if vr != US_OR_SS else _number_of_pixels(values)
            attributes[keyword] = decode_long_value(known, raw, character_set, big_endian)
    for keyword in scan.too_long:
        attributes[keyword] = LONGER_THAN_KEPT
    return attributes


def _number_of_pixels(values: RawValues) -> str:
    """Return the VR of what is a number as the pixels are (PS3.3 §C.7.6.3.1.1)."""
    return "SS" if values.get("PixelRepresentation", ("US", b""))[1].startswith(b"\x01") else "US"


@lru_cache(maxsize=_REMEMBERED)
def _sequence_text(raw: bytes, character_set: str, encoding: Encoding) -> str | None:
    try:
        return text_of(decode_items(read_items(raw, encoding), character_set, encoding))
    except DatasetInvalid:
        return None


def decode_items(items: RawItems, character_set: str, encoding: Encoding) -> list[Item]:
    """Return a sequence's items as text; without private attributes and bulk data.

    In implicit VR also without numbers of which Pixel Representation says whether they are signed.
    """
    return [_item(item, character_set, encoding) for item in items]


def _item(elements: RawDataset, character_set: str, encoding: Encoding) -> Item:
    own = elements.get(_SPECIFIC_CHARACTER_SET, ("CS", character_set.encode("latin-1")))[1]
    if isinstance(own, bytes):
        # Holds in this item and what is below it (PS3.3 §C.12.1.1.2).
        character_set = own.decode("latin-1")
    item: dict[str, str | Items] = {}
    for tag, (vr, value) in elements.items():
        keyword = keyword_of(tag)
        if not keyword or tag == _SPECIFIC_CHARACTER_SET or (tag in _US_OR_SS and not encoding.explicit_vr):
            continue
        if not isinstance(value, bytes):
            item[keyword] = decode_items(value, character_set, encoding)
        elif vr not in NOT_TEXT:
            decode = decode_value if len(value) <= SHORT_VALUE_LENGTH else decode_long_value
            item[keyword] = decode(vr, value, character_set, encoding is EXPLICIT_BIG_ENDIAN)
    return item
