"""A criterion applied: as a condition on columns, and to a received value where no column can decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, or_

from pacsd.index import instants, normalization
from pacsd.index.attributes import Matching
from pacsd.index.criteria import Alternative, Criterion, Exact, Interval, NameCriterion, Wildcard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import ColumnElement

__all__ = ["condition", "forms", "matches", "name_conditions"]

_LAST_CHARACTER: Final = "\U0010ffff"


def condition(criterion: Criterion, column: ColumnElement[Any], *, glob: bool) -> ColumnElement[bool]:
    """The criterion as SQL. `glob` is for SQLite, whose LIKE ignores case and whose GLOB does not."""
    values = [each.value for each in criterion.alternatives if isinstance(each, Exact)]
    others = [each for each in criterion.alternatives if not isinstance(each, Exact)]
    conditions = [_alternative(each, column, glob=glob) for each in others]
    if values:
        conditions.append(column.in_(values))
    return or_(*conditions)


def name_conditions(
    criterion: NameCriterion, columns: Sequence[ColumnElement[Any]], *, glob: bool
) -> list[ColumnElement[bool]]:
    """The criterion as SQL on a name's three columns: conditions of which one must hold, each with an index."""
    anywhere = [part for name in criterion.names for group, part in name if group is None]
    conditions = [
        or_(*(condition(part, column, glob=glob) for part in anywhere)) for column in columns if anywhere
    ]
    for name in criterion.names:
        parts = [condition(part, columns[group], glob=glob) for group, part in name if group is not None]
        if parts:
            conditions.append(and_(*parts))
    return conditions


def _alternative(
    alternative: Wildcard | Interval, column: ColumnElement[Any], *, glob: bool
) -> ColumnElement[bool]:
    match alternative:
        case Wildcard(pattern):
            return _wildcard(pattern, column, glob=glob)
        case Interval(low, high):
            ends = []
            if low is not None:
                ends.append(column >= low)
            # "From yesterday on" is little of an archive, but SQLite takes a range for little only if it has two ends.
            # "Until yesterday" is nearly all of it: that is read in the order of the answer, and nothing sorted.
            ends.append(column <= (_LAST_CHARACTER if high is None else high))
            return and_(*ends)


def _wildcard(pattern: str, column: ColumnElement[Any], *, glob: bool) -> ColumnElement[bool]:
    prefix = _literal_prefix(pattern)
    parts: list[ColumnElement[bool]] = []
    if prefix:
        # As a range, so that any database uses an index for it.
        parts.append(column >= prefix)
        following = _following(prefix)
        if following is not None:
            parts.append(column < following)
    if not parts or pattern[len(prefix) :].strip("*"):
        parts.append(
            column.op("GLOB")(pattern.replace("[", "[[]"))
            if glob
            else column.like(_like(pattern), escape="/")
        )
    return and_(*parts)


def _literal_prefix(pattern: str) -> str:
    ends = [pattern.find(character) for character in "*?" if character in pattern]
    return pattern[: min(ends)]


def _following(prefix: str) -> str | None:
    """The first string behind all that begin with the prefix, by code point; None if there is none."""
    head = prefix.rstrip(_LAST_CHARACTER)
    if not head:
        return None
    following = ord(head[-1]) + 1
    # No surrogates: they are no characters and no database takes them.
    return head[:-1] + chr(0xE000 if following == 0xD800 else following)


_LIKE: Final = str.maketrans({"/": "//", "%": "/%", "_": "/_", "*": "%", "?": "_"})


def _like(pattern: str) -> str:
    return pattern.translate(_LIKE)


def matches(criterion: Criterion | NameCriterion, matching: Matching, value: str) -> bool:
    """Whether a value as received matches; an empty one never does (PS3.4 C.2.2.2.3 leaves it to universal keys)."""
    if isinstance(criterion, NameCriterion):
        names = [normalization.name_groups(name) for name in normalization.values_of(value)]
        return any(_name_matches(wanted, name) for wanted in criterion.names for name in names)
    found = forms(matching, value)
    return any(_holds(alternative, form) for alternative in criterion.alternatives for form in found)


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
