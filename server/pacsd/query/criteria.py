"""What a matching key asks for, read from its text (PS3.4 C.2.2.2): the one meaning that SQL and comparison share.

Kinder than the Standard where a peer's meaning is plain: dates and times with separators or spaces, wildcards
in them, `*` alone in any key, and several values in any key, of which one must match (`multiple_values`, where
it is negotiated that all must, asks for each by itself).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pacsd.dataset.sequences import items_of, text_of
from pacsd.errors import IdentifierInvalid
from pacsd.query import instants, normalization
from pacsd.query.attributes import Attribute, Matching, attribute

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacsd.dataset.sequences import Items

__all__ = [
    "Alternative",
    "AnyCriterion",
    "Criterion",
    "EmptyCriterion",
    "Exact",
    "Interval",
    "NameCriterion",
    "SequenceCriterion",
    "Wildcard",
    "criterion",
]

LONGEST_KEY: Final = 1024
"""Characters of one value of a key; far more than any VR with wildcards has, less than databases take in a pattern."""

MOST_PATTERNS: Final = 50
"""Values of one key that need a condition each; SQLite nests no deeper than 1,000 operators."""

_EMPTY: Final = '""'


@dataclass(frozen=True, slots=True)
class Exact:
    """Single value matching: this value in its normal form."""

    value: str | float


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Wild card matching: `*` is any run of characters, `?` any one, the rest stands for itself."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Range matching, both ends included; None is an open end."""

    low: str | None
    high: str | None


Alternative = Exact | Wildcard | Interval


@dataclass(frozen=True, slots=True)
class Criterion:
    """Some value of the attribute must match one of these."""

    alternatives: tuple[Alternative, ...]

    def __len__(self) -> int:
        return len(self.alternatives)


@dataclass(frozen=True, slots=True)
class NameCriterion:
    """Some name of the attribute must match one of these: each a criterion by component group, to be met together.

    The group is 0, 1 or 2, or None for whichever.
    """

    names: tuple[tuple[tuple[int | None, Criterion], ...], ...]
    accents: bool = False
    """Whether they matter; columns cannot decide then."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class SequenceCriterion:
    """Some item of the attribute must match all of these."""

    keys: tuple[tuple[Attribute, AnyCriterion], ...]

    def __len__(self) -> int:
        return sum(len(asked) for _, asked in self.keys)


@dataclass(frozen=True, slots=True)
class EmptyCriterion:
    """The entity must have no value of the attribute: none at all, or an empty one (PS3.4 C.2.2.2.7).

    What the index does not keep, as very long values, is not told from none.
    """

    def __len__(self) -> int:
        return 1


AnyCriterion = Criterion | NameCriterion | SequenceCriterion | EmptyCriterion


def criterion(
    known: Attribute, key: str, *, accents: bool = False, empty_values: bool = False
) -> AnyCriterion | None:
    """What a key asks for; None is universal matching. Raises IdentifierInvalid for what its type can't mean.

    `accents` says whether they matter in names (PS3.4 C.2.2.2.1 leaves it to the application), `empty_values`
    whether two quotation marks ask for none.
    """
    if known.matching is Matching.SEQUENCE:
        return _sequence_criterion(known, items_of(key), accents=accents, empty_values=empty_values)
    if empty_values and normalization.text(key) == _EMPTY:
        return EmptyCriterion()
    return _value_criterion(known, key, accents=accents)


def _sequence_criterion(
    sequence: Attribute, items: Items, *, accents: bool, empty_values: bool
) -> SequenceCriterion | None:
    """The keys of the one item that a sequence has (PS3.4 C.2.2.2.6); None if all of them are universal."""
    if len(items) > 1:
        raise IdentifierInvalid(f"{sequence.keyword} has more than one item", keywords=(sequence.keyword,))
    keys = []
    for keyword, value in items[0].items() if items else ():
        known = attribute(keyword)
        if known is not None:
            text = value if isinstance(value, str) else text_of(value)
            asked = criterion(known, text, accents=accents, empty_values=empty_values)
            if asked is not None:
                keys.append((known, asked))
    return SequenceCriterion(tuple(keys)) if keys else None


def _value_criterion(known: Attribute, key: str, *, accents: bool) -> Criterion | NameCriterion | None:
    if known.matching is Matching.LONG_TEXT:
        values = [normalization.text(key)] if normalization.text(key) else []
    else:
        values = normalization.values_of(key)
    if not values or any(not value.strip("*") for value in values):
        return None
    try:
        _check_size(known.matching, values)
        if known.matching is Matching.NAME:
            return _name_criterion(values, accents=accents)
        return Criterion(tuple(_READERS[known.matching](value) for value in values))
    except ValueError as error:
        message = f"{known.keyword} cannot be matched: {error}"
        raise IdentifierInvalid(message, keywords=(known.keyword,)) from None


def _check_size(matching: Matching, values: list[str]) -> None:
    if any(len(value) > LONGEST_KEY for value in values):
        raise ValueError(f"a value is longer than {LONGEST_KEY} characters")
    if matching in {Matching.UID, Matching.NUMBER, Matching.EXACT}:
        return
    plain = matching in {Matching.TEXT, Matching.LONG_TEXT}
    if sum(not plain or _has_wildcard(value) for value in values) > MOST_PATTERNS:
        raise ValueError(f"more than {MOST_PATTERNS} names, dates, times or wildcards")


def _exact(value: str) -> Alternative:
    return Exact(value)


def _has_wildcard(value: str) -> bool:
    return "*" in value or "?" in value


def _text(value: str) -> Alternative:
    return Wildcard(value) if _has_wildcard(value) else Exact(value)


def _uid(value: str) -> Alternative:
    if _has_wildcard(value):
        # It would match nothing, and who asks so wants something else.
        raise ValueError("a UID has no wildcards")
    return Exact(value)


def _date(value: str) -> Alternative:
    if _has_wildcard(value):
        return Wildcard(_only_digits(value, ".-/ "))
    low, high = instants.date_range(value)
    return Exact(low) if low is not None and low == high else Interval(low, high)


def _time(value: str) -> Alternative:
    if _has_wildcard(value):
        return Wildcard(_only_digits(value, ": ") + "*")
    return Interval(*instants.time_range(value))


def _date_time(value: str) -> Alternative:
    if _has_wildcard(value):
        return Wildcard(_only_digits(value, ": ") + "*")
    return Interval(*instants.date_time_range(value))


def _only_digits(value: str, separators: str) -> str:
    digits = value.translate({ord(character): None for character in separators})
    if not set(digits) <= set("0123456789.*?"):
        raise ValueError("neither a date or time nor a range")
    return digits


def _number(value: str) -> Alternative:
    parsed = normalization.number(value)
    if parsed is None:
        raise ValueError("not a number")
    return Exact(parsed)


_READERS: Final[dict[Matching, Callable[[str], Alternative]]] = {
    Matching.TEXT: _text,
    Matching.LONG_TEXT: _text,
    Matching.UID: _uid,
    Matching.EXACT: _exact,
    Matching.DATE: _date,
    Matching.TIME: _time,
    Matching.DATE_TIME: _date_time,
    Matching.NUMBER: _number,
}


def _name_criterion(values: list[str], *, accents: bool) -> NameCriterion | None:
    names = []
    for value in values:
        groups = [_group_criterion(group) for group in normalization.name_groups(value, accents=accents)]
        # A name with one group is compared with any group: who types it need not know the script it is kept
        # in.
        anywhere = "=" not in value.rstrip("= ")
        asked = tuple(
            (None if anywhere else number, group) for number, group in enumerate(groups) if group is not None
        )
        if not asked:
            return None
        names.append(asked)
    return NameCriterion(tuple(names), accents)


def _group_criterion(group: str) -> Criterion | None:
    """One component group; empty components at its end are no part of a name, so `^*` there may match nothing."""
    group = re.sub(r"\*+", "*", group)
    base = group
    while base.endswith(("^*", "^")):
        base = base.removesuffix("*").removesuffix("^")
    if not base.strip("*"):
        # "^*" asks for nothing but lacks a family name; nobody means that by it.
        return None
    if base == group:
        return Criterion((_text(group),))
    return Criterion((_text(base), Wildcard(f"{base}^*")))
