"""The defined terms of Specific Character Set (PS3.3 §C.12.1.1.2), for what we are to write ourselves."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pacsd.dataset.iso2022 import CODE_PAGES, normalized_term

__all__ = ["defined_character_set", "verify_character_set", "verify_default_character_set"]

_SINGLE_BYTE: Final = (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)
_MULTI_BYTE: Final = (58, 87, 149, 159)
_ALONE: Final = frozenset(
    ("ISO_IR 192", "GB18030", "GBK", *(f"ISO_IR {number}" for number in _SINGLE_BYTE if number != 6))
)
"""What stands for itself: without code extensions."""
_FIRST: Final = frozenset(("", *(f"ISO 2022 IR {number}" for number in _SINGLE_BYTE)))
_FURTHER: Final = frozenset(f"ISO 2022 IR {number}" for number in (*_SINGLE_BYTE, *_MULTI_BYTE))

_BY_NORMALIZED: Final = {normalized_term(term): term for term in _ALONE | _FIRST | _FURTHER} | {
    "ISO IR 6": "ISO 2022 IR 6",
    "UTF 8": "ISO_IR 192",
    "UTF8": "ISO_IR 192",
    "ISO 2022 IR 192": "ISO_IR 192",
    "GB 18030": "GB18030",
    "GB2312": "GBK",
    "LATIN 1": "ISO_IR 100",
    "LATIN1": "ISO_IR 100",
}
"""What is meant by terms as they are written in the wild, and by the defined ones."""
_NO_EXTENSIONS: Final = frozenset(("ISO_IR 192", "GB18030", "GBK"))
_number_of: Final = re.compile("[0-9]+$").search


def verify_character_set(value: str) -> None:
    """Raise ValueError where a value is not one that Specific Character Set may have, saying what it may be.

    Several terms, joined by a backslash, are for code extensions: each is of ISO 2022, the first of a single byte, or
    empty for ASCII.
    """
    if value in _ALONE:
        return
    first, *further = value.split("\\")
    if first not in _FIRST or not value:
        allowed = ", ".join(sorted(_ALONE | _FIRST - {""} if not further else _FIRST - {""}))
        where = "the first of several terms" if further else "the term"
        raise ValueError(f"{where} {first!r} is none of {allowed}")
    unknown = next((term for term in further if term not in _FURTHER), None)
    if unknown is not None:
        raise ValueError(f"{unknown!r} behind the first term is none of {', '.join(sorted(_FURTHER))}")


def verify_default_character_set(value: str) -> None:
    """As `verify_character_set`, for what a device sends without saying so: that may be a code page, too."""
    if normalized_term(value) in CODE_PAGES:
        return
    try:
        verify_character_set(value)
    except ValueError as error:
        raise ValueError(f"{error}, Big5, EUC-KR, Shift_JIS, windows-1250 to windows-1258") from None


@lru_cache(maxsize=256)
def defined_character_set(value: str) -> str | None:
    """Return the value of Specific Character Set that is meant by one that a peer has sent; None where it is ASCII.

    Nobody sends all of the terms as the Standard spells and joins them, and an answer may have nothing else. Terms
    that are not understood, or cannot stand beside the others, are left out.
    """
    first, *others = (_BY_NORMALIZED.get(normalized_term(term)) for term in value.split("\\"))
    if first in _NO_EXTENSIONS:
        return first
    if first in _FURTHER - _FIRST:
        first, others = "", [first, *others]
    further = list(dict.fromkeys(_extension(term) for term in others if term and term not in _NO_EXTENSIONS))
    if not further:
        return first if first and first != "ISO 2022 IR 6" else None
    return "\\".join([_extension(first) if first else "", *further])


def _extension(term: str) -> str:
    """Return the term of a character set for code extensions."""
    number = _number_of(term)
    return f"ISO 2022 IR {number[0]}" if number else term
