"""Dates, times and their ranges in keys (PS3.4 C.2.2.2.5), as the two strings between which values lie.

Everything here raises ValueError, without quoting the value, for what cannot be read.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pacsd.query import normalization

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["date_range", "date_time", "date_time_range", "time_range"]

Range = tuple[str | None, str | None]

_DATES: Final = re.compile(
    r"(?P<low>\d{8}|\d{4}([-./])\d{2}\2\d{2})?(?P<to>-)?(?P<high>\d{8}|\d{4}([-./])\d{2}\5\d{2})?", re.ASCII
)
_DATE_TIME: Final = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?([+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)


def date_range(key: str) -> Range:
    """First and last day, YYYYMMDD, of a DA key: one date, `a-b`, `a-` or `-b`."""
    match = _DATES.fullmatch(key.replace(" ", ""))
    if match is None or not (match["low"] or match["high"]):
        raise ValueError("neither a date nor a range of dates")
    low, high = (_needed(normalization.date, value) for value in (match["low"], match["high"]))
    return (low, high) if match["to"] else (low, low)


def time_range(key: str) -> Range:
    """First and last HHMMSS.ffffff of a TM key; `12` is the whole hour, also as an end of a range."""
    low, to, high = key.replace(" ", "").partition("-")
    if not (low or high):
        raise ValueError("neither a time nor a range of times")
    return (
        _needed(normalization.first_instant, low),
        _needed(normalization.last_instant, high if to else low),
    )


def _needed(read: Callable[[str], str | None], value: str | None) -> str | None:
    if not value:
        return None
    result = read(value)
    if result is None:
        raise ValueError("no such date or time")
    return result


def date_time(value: str) -> str | None:
    """The first instant that a DT stands for, YYYYMMDDHHMMSS.ffffff in UTC; without an offset it is taken for UTC."""
    ends = _ends(value)
    return ends[0] if ends else None


def date_time_range(key: str) -> Range:
    """First and last instant of a DT key; a hyphen that makes a valid offset from UTC is no range."""
    compact = key.replace(" ", "")
    ends = _ends(compact)
    if ends:
        return ends
    for hyphen in re.finditer("-", compact):
        low, high = compact[: hyphen.start()], compact[hyphen.end() :]
        first, last = _ends(low), _ends(high)
        if (first or not low) and (last or not high) and (first or last):
            return (first[0] if first else None), (last[1] if last else None)
    raise ValueError("neither a date and time nor a range of them")


def _ends(value: str) -> tuple[str, str] | None:
    match = _DATE_TIME.fullmatch(normalization.text(value))
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    shift = _offset(offset)
    try:
        first = datetime(  # noqa: DTZ001 - the offset is applied below; both ends are in UTC
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            min(int(second or 0), 59),
        )
        last = _end_of(first, month, day, hour, minute, second)
        return _text(first - shift, (fraction or "").ljust(6, "0")), _text(
            last - shift, (fraction or "").ljust(6, "9")
        )
    except (ValueError, OverflowError):
        return None


def _end_of(first: datetime, month: str, day: str, hour: str, minute: str, second: str) -> datetime:
    if second:
        return first
    if minute:
        return first + timedelta(seconds=59)
    if hour:
        return first + timedelta(minutes=59, seconds=59)
    if day:
        return first + timedelta(hours=23, minutes=59, seconds=59)
    if month:
        following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
        return following - timedelta(seconds=1)
    return first.replace(month=12, day=31, hour=23, minute=59, second=59)


def _offset(text: str | None) -> timedelta:
    if text is None:
        return timedelta()
    size = timedelta(hours=int(text[1:3]), minutes=int(text[3:5]))
    return -size if text[0] == "-" else size


def _text(instant: datetime, fraction: str) -> str:
    return f"{instant:%Y%m%d%H%M%S}".rjust(14, "0") + f".{fraction}"
