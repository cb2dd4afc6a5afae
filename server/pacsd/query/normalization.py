"""Values in the one form in which the index compares them: keys of a query and received values alike.

Padding is not significant (PS3.5 §6.2); dates and times become strings whose order is that of time; names
lose case, accents and empty trailing components. What cannot be read as its type has no such form (None): it is kept
and returned as it was received, but only universal matching finds it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Final

from pacsd.query.accents import without_accents

__all__ = [
    "date",
    "first_instant",
    "last_instant",
    "name_group",
    "name_groups",
    "number",
    "text",
    "time_of_day",
    "values_of",
]

_DATE: Final = re.compile(r"(\d{4})([-./]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])", re.ASCII)
_TIME: Final = re.compile(
    r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:[.,](\d{1,6})\d*)?)?)?", re.ASCII
)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def text(value: str) -> str:
    """Without padding and NULs, composed (NFC); characters that no database takes become U+FFFD."""
    if value.isascii():
        return value.replace("\0", "").strip()
    return unicodedata.normalize("NFC", _encodable(value).replace("\0", "").strip())


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udfff]", "�", value)
    return value


def values_of(value: str) -> list[str]:
    """The single values of a multi-valued attribute, without padding; empty ones are left out."""
    return [part for part in map(text, value.split("\\")) if part]


def name_group(group: str, *, accents: bool = False) -> str:
    """One component group of a PN: case folded, components trimmed, trailing empty components gone.

    With `accents`, they are kept: for comparing a received name where they matter; columns have none.
    """
    folded = text(unicodedata.normalize("NFC", text(group).casefold()))
    if not accents:
        folded = without_accents(folded)
    return "^".join(component.strip() for component in folded.split("^")).rstrip("^")


def name_groups(value: str, *, accents: bool = False) -> tuple[str, str, str]:
    """The alphabetic, ideographic and phonetic group of one PN value (PS3.5 §6.2.1); see `name_group`."""
    groups = [name_group(group, accents=accents) for group in value.split("=")[:3]]
    return (groups[0], groups[1] if len(groups) > 1 else "", groups[2] if len(groups) > 2 else "")


def date(value: str) -> str | None:
    """A DA as YYYYMMDD; also the old form with separators."""
    match = _DATE.fullmatch(text(value))
    return f"{match[1]}{match[3]}{match[4]}" if match else None


def time_of_day(value: str) -> str | None:
    """A TM as HHMMSS.ffffff; what it leaves out is zero."""
    return first_instant(value)


def first_instant(value: str) -> str | None:
    """The first HHMMSS.ffffff that a TM of any precision stands for."""
    match = _TIME.fullmatch(text(value))
    if not match:
        return None
    return f"{match[1]}{match[2] or '00'}{match[3] or '00'}.{(match[4] or ''):0<6}"


def last_instant(value: str) -> str | None:
    """The last HHMMSS.ffffff that a TM of any precision stands for: 12 is the whole hour, leap second included."""
    match = _TIME.fullmatch(text(value))
    if not match:
        return None
    return f"{match[1]}{match[2] or '59'}{match[3] or '60'}.{(match[4] or ''):9<6}"


def number(value: str) -> float | None:
    """An IS, DS or binary number by value; None for what is no finite number."""
    stripped = text(value)
    if not _NUMBER.fullmatch(stripped):
        return None
    result = float(stripped)
    return result if math.isfinite(result) else None
