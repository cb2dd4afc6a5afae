"""Text for devices that know one Specific Character Set: what it does not hold is spelt as near as it can be.

The last resort, since it loses what was written: everybody else is answered in a set that holds it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from pacsd.dataset.iso2022 import codecs_of, holds

__all__ = ["transliterate"]

_SPELLINGS: Final = {
    "Æ": "AE",
    "æ": "ae",
    "Ð": "D",
    "ð": "d",
    "Đ": "D",
    "đ": "d",
    "Ħ": "H",
    "ħ": "h",
    "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    "Ł": "L",
    "ł": "l",
    "Ø": "O",
    "ø": "o",
    "Œ": "OE",
    "œ": "oe",
    "ß": "ss",
    "ẞ": "SS",
    "Þ": "TH",
    "þ": "th",
    "€": "EUR",
    "\N{HYPHEN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{SINGLE LOW-9 QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '"',
}
"""Letters and signs that Unicode does not take apart."""
_half_width_kana: Final = re.compile("[\uff66-\uff9f]+")
"""Whose voiced sound marks are characters of their own, without which a name would be another."""
_UNSPEAKABLE: Final = "?"
_STRUCTURE: Final = frozenset("\\^=")
"""Would begin another value, component or component group, as the full-width forms must not."""


def transliterate(text: str, specific_character_set: str, vr: str) -> str:
    """Return text that the set holds all of: letters without their accents, others spelt, `?` for the rest.

    Of a person name, an ideographic or phonetic group that would have a `?` is left empty (PS3.5 §6.2.1): the
    alphabetic one says the name.
    """
    codecs = codecs_of(specific_character_set)
    composed = unicodedata.normalize("NFC", text)
    if holds(composed, codecs):
        return composed
    composed = _half_width_kana.sub(
        lambda run: run[0] if holds(run[0], codecs) else unicodedata.normalize("NFKC", run[0]), composed
    )
    if vr != "PN":
        return _spelt(composed, specific_character_set)
    return "\\".join(_spelt_name(name, specific_character_set) for name in composed.split("\\"))


def _spelt_name(name: str, specific_character_set: str) -> str:
    alphabetic, *others = name.split("=")
    groups = [_spelt(alphabetic, specific_character_set)]
    for group in others:
        spelt = _spelt(group, specific_character_set)
        groups.append(
            spelt if spelt.count(_UNSPEAKABLE) == group.count(_UNSPEAKABLE) or not alphabetic else ""
        )
    return "=".join(groups).rstrip("=")


def _spelt(text: str, specific_character_set: str) -> str:
    return "".join([_spelling(character, specific_character_set) for character in text])


@lru_cache(maxsize=4096)
def _spelling(character: str, specific_character_set: str) -> str:
    codecs = codecs_of(specific_character_set)
    if holds(character, codecs):
        return character
    spelling = _SPELLINGS.get(character)
    if spelling is None:
        parts = unicodedata.normalize("NFKD", character)
        spelling = "".join(part for part in parts if not unicodedata.combining(part))
    if not holds(spelling, codecs) or not _STRUCTURE.isdisjoint(spelling):
        return _UNSPEAKABLE
    return spelling
