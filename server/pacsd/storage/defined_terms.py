"""The defined terms of Specific Character Set (PS3.3 §C.12.1.1.2), for what we are to write ourselves."""

from __future__ import annotations

from typing import Final

__all__ = ["verify_character_set"]

_SINGLE_BYTE: Final = (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)
_MULTI_BYTE: Final = (58, 87, 149, 159)
_ALONE: Final = frozenset(
    ("ISO_IR 192", "GB18030", "GBK", *(f"ISO_IR {number}" for number in _SINGLE_BYTE if number != 6))
)
"""What stands for itself: without code extensions."""
_FIRST: Final = frozenset(("", *(f"ISO 2022 IR {number}" for number in _SINGLE_BYTE)))
_FURTHER: Final = frozenset(f"ISO 2022 IR {number}" for number in (*_SINGLE_BYTE, *_MULTI_BYTE))


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
