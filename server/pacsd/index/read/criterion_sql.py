"""A criterion as SQL compares: the operators, of which a statement consists, apart from the values it runs with.

Two criteria with the same operators are one statement, however their values differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

from sqlalchemy import and_, or_

from pacsd.query.criteria import (
    Alternative,
    Criterion,
    EmptyCriterion,
    Exact,
    NameCriterion,
    Wildcard,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement

__all__ = [
    "EMPTY",
    "EQUAL",
    "Comparisons",
    "NameComparisons",
    "Operators",
    "compared",
    "condition",
    "name_conditions",
]

Operators = tuple[tuple[str, ...], ...]
"""Of one value each: all of a group must hold, and one of the groups."""

EMPTY: Final[Operators] = ()
"""Of an `EmptyCriterion`: no value is compared, the column must have none."""

Value = str | float

_LAST_CHARACTER: Final = "\U0010ffff"
EQUAL: Final = ("=",)
"""The operators of a value that is compared as a whole."""


class Comparisons(NamedTuple):
    """What a `Criterion` compares."""

    operators: Operators
    values: tuple[Value, ...]
    """In the order of the operators."""


class NameComparisons(NamedTuple):
    """What a `NameCriterion` compares: by name, the operators for each component group, as there."""

    operators: tuple[tuple[tuple[int | None, Operators], ...], ...]
    values: tuple[Value, ...]


@overload
def compared(criterion: Criterion, *, glob: bool) -> Comparisons: ...
@overload
def compared(
    criterion: Criterion | NameCriterion | EmptyCriterion, *, glob: bool
) -> Comparisons | NameComparisons: ...
def compared(
    criterion: Criterion | NameCriterion | EmptyCriterion, *, glob: bool
) -> Comparisons | NameComparisons:
    """Take a criterion apart. `glob` is for SQLite, whose LIKE ignores case and whose GLOB does not."""
    if isinstance(criterion, Criterion):
        return _compared(criterion, glob=glob)
    if isinstance(criterion, EmptyCriterion):
        return Comparisons(EMPTY, ())
    values: list[Value] = []
    names = []
    for name in criterion.names:
        parts = []
        for group, part in name:
            comparisons = _compared(part, glob=glob)
            parts.append((group, comparisons.operators))
            values += comparisons.values
        names.append(tuple(parts))
    return NameComparisons(tuple(names), tuple(values))


def _compared(criterion: Criterion, *, glob: bool) -> Comparisons:
    groups = [_comparisons(each, glob=glob) for each in criterion.alternatives]
    return Comparisons(
        tuple([tuple([operator for operator, _ in group]) for group in groups]),
        tuple([value for group in groups for _, value in group]),
    )


def _comparisons(alternative: Alternative, *, glob: bool) -> list[tuple[str, Value]]:
    if isinstance(alternative, Exact):
        return [("=", alternative.value)]
    if isinstance(alternative, Wildcard):
        return _wildcard(alternative.pattern, glob=glob)
    # "From yesterday on" is little of an archive, but SQLite takes a range for little only if it has two ends.
    # "Until yesterday" is nearly all of it: that is read in the order of the answer, and nothing sorted.
    low: list[tuple[str, Value]] = [(">=", alternative.low)] if alternative.low is not None else []
    return [*low, ("<=", _LAST_CHARACTER if alternative.high is None else alternative.high)]


def _wildcard(pattern: str, *, glob: bool) -> list[tuple[str, Value]]:
    prefix = _literal_prefix(pattern)
    parts: list[tuple[str, Value]] = []
    if prefix:
        # As a range, so that any database uses an index for it.
        parts.append((">=", prefix))
        following = _following(prefix)
        if following is not None:
            parts.append(("<", following))
    if not parts or pattern[len(prefix) :].strip("*"):
        parts.append(("GLOB", pattern.replace("[", "[[]")) if glob else ("LIKE", pattern.translate(_LIKE)))
    return parts


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

_SQL: Final[dict[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]]] = {
    "=": lambda column, value: column == value,
    ">=": lambda column, value: column >= value,
    "<=": lambda column, value: column <= value,
    "<": lambda column, value: column < value,
    "GLOB": lambda column, value: column.op("GLOB")(value),
    "LIKE": lambda column, value: column.like(value, escape="/"),
}


def condition(
    operators: Operators, column: ColumnElement[Any], parameters: Iterator[ColumnElement[Any]]
) -> ColumnElement[bool]:
    """The operators as SQL on a column; takes a parameter for each."""
    conditions: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[Any]] = []
    for group in operators:
        if group == EQUAL:
            equal.append(next(parameters))
        else:
            conditions.append(and_(*(_SQL[operator](column, next(parameters)) for operator in group)))
    if equal:
        conditions.append(column.in_(equal) if len(equal) > 1 else column == equal[0])
    return or_(*conditions)


def name_conditions(
    names: Sequence[Sequence[tuple[int | None, Operators]]],
    columns: Sequence[ColumnElement[Any]],
    parameters: Iterator[ColumnElement[Any]],
) -> list[ColumnElement[bool]]:
    """The same on a name's three columns: conditions of which one must hold, each with an index."""
    anywhere: list[list[ColumnElement[bool]]] = [[] for _ in columns]
    conditions = []
    for name in names:
        together = []
        for group, operators in name:
            own = [next(parameters) for each in operators for _ in each]
            if group is None:
                for column, some in zip(columns, anywhere, strict=True):
                    some.append(condition(operators, column, iter(own)))
            else:
                together.append(condition(operators, columns[group], iter(own)))
        if together:
            conditions.append(and_(*together))
    return [or_(*some) for some in anywhere if some] + conditions
