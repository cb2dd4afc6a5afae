"""A criterion applied to a value as received, where no column can decide; `comparisons` is the same in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pacsd.index import instants, normalization
from pacsd.index.attributes import Matching
from pacsd.index.criteria import (
    Alternative,
    AnyCriterion,
    Criterion,
    EmptyCriterion,
    Exact,
    Interval,
    NameCriterion,
    SequenceCriterion,
    Wildcard,
)
from pacsd.model import LONGER_THAN_KEPT
from pacsd.sequences import items_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pacsd.sequences import Item

__all__ = ["forms", "matches"]


def matches(criterion: AnyCriterion, matching: Matching, value: str) -> bool:
    """Whether a value as received matches.

    An empty one only does where just that is asked for (PS3.4 C.2.2.2.3 leaves it to universal keys otherwise). One
    that is too long to be kept never does: nobody asks for so long a value.
    """
    if value == LONGER_THAN_KEPT:
        return False
    if isinstance(criterion, EmptyCriterion):
        return _is_empty(matching, value)
    if isinstance(criterion, SequenceCriterion):
        return any(_item_matches(criterion, item) for item in items_of(value))
    if isinstance(criterion, NameCriterion):
        accents = criterion.accents
        names = [normalization.name_groups(name, accents=accents) for name in normalization.values_of(value)]
        return any(_name_matches(wanted, name) for wanted in criterion.names for name in names)
    found = forms(matching, value)
    return any(_holds(alternative, form) for alternative in criterion.alternatives for form in found)


def _is_empty(matching: Matching, value: str) -> bool:
    whole = matching is Matching.LONG_TEXT
    return not (normalization.text(value) if whole else normalization.values_of(value))


def _item_matches(criterion: SequenceCriterion, item: Item) -> bool:
    return all(
        matches(part, known.matching, value if isinstance(value, str) else text_of(value))
        for known, part in criterion.keys
        for value in (item.get(known.keyword, ""),)
    )


def _name_matches(wanted: Iterable[tuple[int | None, Criterion]], name: tuple[str, str, str]) -> bool:
    return all(
        any(
            text and _holds(alternative, text)
            for text in (name if group is None else (name[group],))
            for alternative in part.alternatives
        )
        for group, part in wanted
    )


_FORM: Final[dict[Matching, Callable[[str], str | float | None]]] = {
    Matching.DATE: normalization.date,
    Matching.TIME: normalization.time_of_day,
    Matching.DATE_TIME: instants.date_time,
    Matching.NUMBER: normalization.number,
}


def forms(matching: Matching, value: str) -> list[str | float]:
    """The values of an attribute that is no name, each in its normal form; what has none is left out."""
    if matching is Matching.LONG_TEXT:
        whole = normalization.text(value)
        return [whole] if whole else []
    read = _FORM.get(matching, str)
    found = (read(each) for each in normalization.values_of(value))
    return [form for form in found if form is not None]


def _holds(alternative: Alternative, form: str | float) -> bool:
    match alternative:
        case Exact(value):
            return form == value
        case Wildcard(pattern):
            return isinstance(form, str) and _fits(pattern, form)
        case Interval(low, high):
            return isinstance(form, str) and (low is None or form >= low) and (high is None or form <= high)


def _fits(pattern: str, text: str) -> bool:
    """Wild card matching in time proportional to both lengths' product, whatever the peer's pattern is."""
    here = at = 0
    star, resume = -1, 0
    while at < len(text):
        if here < len(pattern) and pattern[here] == "*":
            star, resume = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in ("?", text[at]):
            here, at = here + 1, at + 1
        elif star >= 0:
            resume += 1
            here, at = star + 1, resume
        else:
            return False
    return not pattern[here:].strip("*")
