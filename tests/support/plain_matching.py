"""Matching written a second time, straight from PS3.4 C.2.2.2 and PS3.5 §6.2: slow, plain, and without the index.

What the Standard leaves open is as pacsd documents it: several values in any key are alternatives, `*` alone asks for
nothing, old forms of dates and times are read, names match without regard to case or accents and in any component
group.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar

__all__ = ["means_something", "plainly_between", "plainly_matches"]

Span = tuple[Any, Any]
"""First and last moment, both included."""
_Read = TypeVar("_Read")
_TICK = timedelta(microseconds=1)
_PADDING = " \0\t\r\n\f\v"


def plainly_matches(vr: str, key: str, value: str, *, accents: bool = False) -> bool:
    """Whether an attribute of this VR that has `value` ("" if none) is found by a key that means something.

    `accents` says whether they matter in names.
    """
    if _is_universal(vr, key):
        return True
    rule = _name_with_accents if accents and vr == "PN" else _RULES[vr]
    return any(rule(asked, kept) for asked in _values(vr, key) for kept in _values(vr, value))


def means_something(vr: str, key: str) -> bool:
    """Whether a key is one of its VR: a number, a UID, or a date, a time or a range of them; every text is."""
    if _is_universal(vr, key):
        return True
    if vr == "UI":
        return not set(key) & set("*?")
    if vr in ("DS", "IS"):
        return all(
            re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", asked) for asked in _values(vr, key)
        )
    read = {"DA": _day, "TM": _time_span, "DT": _date_time_span}.get(vr)
    return read is None or all(
        set(asked) & set("*?") or _ends(asked.replace(" ", ""), read) for asked in _values(vr, key)
    )


def plainly_between(days: str, times: str, day: str, time: str) -> bool:
    """Whether one moment is found by two keys of one value each, with combined date-time matching (C.2.2.2.5).

    Without a time it is, where the whole day lies between the ends.
    """
    both = _combined_ends(days.replace(" ", ""), times.replace(" ", ""))
    if both is None:
        return plainly_matches("DA", days, day) and plainly_matches("TM", times, time)
    found, span = _day(day), _time_span(time)
    if found is None:
        return False
    earliest, latest = (span[0], span[0]) if span else ((0, 0, 0, 0), (23, 59, 60, 999999))
    (first, from_time), (last, to_time) = both
    return (first is None or (first, from_time or (0, 0, 0, 0)) <= (found, earliest)) and (
        last is None or (found, latest) <= (last, to_time or (23, 59, 60, 999999))
    )


def _combined_ends(days: str, times: str) -> tuple[Span, Span] | None:
    """First and last day, each with its time; None unless both keys are ranges, and no time is without its day."""
    if _is_universal("DA", days) or _is_universal("TM", times) or _day(days) or _time_span(times):
        return None
    ((first, last),), ((low, high),) = _ends(days, _day), _ends(times, _time_span)
    if (low and first is None) or (high and last is None):
        return None
    return (first, low and low[0]), (last, high and high[1])


def _is_universal(vr: str, key: str) -> bool:
    asked = _values(vr, key)
    if not asked or any(set(each) == {"*"} for each in asked):
        return True
    return vr == "PN" and any(all(map(_asks_for_nothing, _components(each))) for each in asked)


def _values(vr: str, text: str) -> list[str]:
    single = vr in ("LT", "ST", "UR", "UT")
    values = (_trimmed(each) for each in ([text] if single else text.split("\\")))
    return [each for each in values if each]


def _trimmed(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("\0", "").strip(_PADDING)


def _literal(asked: str, kept: str) -> bool:
    return asked == kept


def _pattern(asked: str, kept: str) -> bool:
    """Wild card matching by its definition: `*` is nothing, or a character and `*` again."""
    if not asked:
        return not kept
    if asked[0] == "*":
        return _pattern(asked[1:], kept) or (bool(kept) and _pattern(asked, kept[1:]))
    return bool(kept) and asked[0] in ("?", kept[0]) and _pattern(asked[1:], kept[1:])


def _number(asked: str, kept: str) -> bool:
    try:
        return Decimal(asked) == Decimal(kept)
    except ArithmeticError:
        return False


# ---------------------------------------------------------------- names (PS3.5 §6.2.1)


def _without_accents(name: str) -> str:
    """What combines with Latin, Greek and Cyrillic letters is in a block of its own (Unicode, U+0300)."""
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", name)))


def _components(name: str) -> list[list[str]]:
    """Three groups of components, folded; without those at a group's end that are empty."""
    groups = []
    for group in [*name.split("="), "", ""][:3]:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", group.strip(_PADDING)).casefold())
        components = [component.strip(_PADDING) for component in folded.strip(_PADDING).split("^")]
        while components and not components[-1]:
            components.pop()
        groups.append(components)
    return groups


def _asks_for_nothing(components: list[str]) -> bool:
    return not "".join(components).strip("*")


def _name(asked: str, kept: str) -> bool:
    return _name_with_accents(_without_accents(asked), _without_accents(kept))


def _name_with_accents(asked: str, kept: str) -> bool:
    wanted, names = _components(asked), _components(kept)
    if "=" not in asked.rstrip("= "):
        return any(_group(wanted[0], name) for name in names)
    return all(
        _asks_for_nothing(group) or _group(group, name) for group, name in zip(wanted, names, strict=True)
    )


def _group(wanted: list[str], name: list[str]) -> bool:
    """Components at the end that any text satisfies may be missing in the name."""
    if not name:
        return False
    if _pattern("^".join(wanted), "^".join(name)):
        return True
    return len(wanted) > 1 and not wanted[-1].strip("*") and _group(wanted[:-1], name)


# ---------------------------------------------------------------- dates and times (C.2.2.2.5)


def _day(text: str) -> date | None:
    digits = re.fullmatch(r"(\d{4})([-./]?)(\d\d)\2(\d\d)", text)
    return date(int(digits[1]), int(digits[3]), int(digits[4])) if digits else None


def _date(asked: str, kept: str) -> bool:
    day = _day(kept)
    if day is None:
        return False
    if set(asked) & set("*?"):
        return _pattern(re.sub("[-./ ]", "", asked), f"{day.year:04}{day.month:02}{day.day:02}")
    return any(
        (first or date.min) <= day <= (last or date.max)
        for first, last in _ends(asked.replace(" ", ""), _day)
    )


def _ends(asked: str, read: Callable[[str], _Read | None]) -> list[tuple[_Read | None, _Read | None]]:
    """A key's first and last: itself twice, or what stands before and behind one of its hyphens; at most one pair."""
    whole = read(asked)
    if whole is not None:
        return [(whole, whole)]
    for at in (at for at, character in enumerate(asked) if character == "-"):
        low, high = asked[:at], asked[at + 1 :]
        ends = (read(low), read(high))
        if ends != (None, None) and (ends[0] or not low) and (ends[1] or not high):
            return [ends]
    return []


def _within(spans: list[tuple[Span | None, Span | None]], moment: Any) -> bool:
    return any(
        (low is None or low[0] <= moment) and (high is None or moment <= high[1]) for low, high in spans
    )


def _time_span(text: str) -> Span | None:
    """The first and the last moment that a TM of its precision means, leap second included."""
    digits = re.fullmatch(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d{1,6}))?)?)?", text)
    if digits is None:
        return None
    hour, minute, second, fraction = digits.groups(default="")
    return (
        (int(hour), int(minute or 0), int(second or 0), int(fraction.ljust(6, "0"))),
        (int(hour), int(minute or 59), int(second or 60), int(fraction.ljust(6, "9"))),
    )


def _time(asked: str, kept: str) -> bool:
    span = _time_span(kept)
    if span is None:
        return False
    if set(asked) & set("*?"):
        return _pattern(re.sub("[: ]", "", asked) + "*", "{:02}{:02}{:02}.{:06}".format(*span[0]))
    return _within(_ends(asked.replace(" ", ""), _time_span), span[0])


_DATE_TIME = re.compile(r"(\d{4})((?:\d\d){0,5})(?:(?<=\d{14})\.(\d{1,6}))?([+-](?:0\d|1[0-4])[0-5]\d)?")


def _date_time_span(text: str) -> Span | None:
    """The first and the last moment that a DT of its precision means; without an offset from UTC, in UTC."""
    parts = _DATE_TIME.fullmatch(text)
    if parts is None:
        return None
    given = [int(parts[1]), *(int(parts[2][at : at + 2]) for at in range(0, len(parts[2]), 2))]
    year, month, day, hour, minute, second = given + [1, 1, 1, 0, 0, 0][len(given) :]
    first = datetime(year, month, day, hour, minute, second, tzinfo=_zone(parts[4] or "+0000"))
    if parts[3]:
        first = first.replace(microsecond=int(parts[3].ljust(6, "0")))
        return first, first + timedelta(microseconds=10 ** (6 - len(parts[3]))) - _TICK
    following = {
        1: lambda: first.replace(year=year + 1),
        2: lambda: (first + timedelta(days=31)).replace(day=1),
        3: lambda: first + timedelta(days=1),
        4: lambda: first + timedelta(hours=1),
        5: lambda: first + timedelta(minutes=1),
        6: lambda: first + timedelta(seconds=1),
    }
    return first, following[len(given)]() - _TICK


def _zone(offset: str) -> timezone:
    size = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    return timezone(-size if offset[0] == "-" else size)


def _date_time(asked: str, kept: str) -> bool:
    span = _date_time_span(kept)
    return span is not None and _within(_ends(asked.replace(" ", ""), _date_time_span), span[0])


_RULES: dict[str, Callable[[str, str], bool]] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"), _pattern),
    **dict.fromkeys(("AS", "UI"), _literal),
    **dict.fromkeys(("DS", "IS"), _number),
    "PN": _name,
    "DA": _date,
    "TM": _time,
    "DT": _date_time,
}
