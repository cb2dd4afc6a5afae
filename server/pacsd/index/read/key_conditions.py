"""One key's condition on the rows of its attribute, and which keys the database shall look up in an index.

SQLite plans without statistics and takes one key for as good as another, PostgreSQL has names looked up before it knows
that few rows are left to compare. Which keys lead to few rows is the same in every archive, so it is said here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, or_, select, union_all
from sqlalchemy.ext.compiler import compiles

from pacsd.index.read.aggregates import LISTS
from pacsd.index.read.criterion_sql import EMPTY, EQUAL, condition, name_conditions
from pacsd.index.schema.tables import TABLES
from pacsd.query.attributes import Attribute, Matching, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy.sql.compiler import SQLCompiler

    from pacsd.index.read.criterion_sql import Operators

__all__ = ["attribute_condition", "identifying_keywords", "leading_keywords"]

_IDENTIFYING: Final = frozenset(
    ("PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
)
"""Keywords of attributes whose values are those of few entities."""

_UNSELECTIVE: Final = frozenset(("Modality",))
"""Keywords whose index serves where nothing else is asked for."""


def leading_keywords(compared: Sequence[tuple[str, Any]], *, is_narrowed: bool) -> Collection[str]:
    """The keywords, of keys with their operators, that an index shall be used for.

    `is_narrowed` says that something else leads to few rows, too.
    """
    identifying = identifying_keywords(compared)
    keywords = {keyword for keyword, _ in compared}
    if identifying or (len(keywords) == 1 and not is_narrowed):
        return identifying or keywords
    return keywords - _UNSELECTIVE


def identifying_keywords(compared: Sequence[tuple[str, Any]]) -> Collection[str]:
    """Those of the keywords, of keys with their operators, each of which leads to few rows by itself."""
    return {
        keyword
        for keyword, operators in compared
        if keyword in _IDENTIFYING and operators != EMPTY and all(group == EQUAL for group in operators)
    }


class _Unindexed(ColumnElement[Any]):
    """A column of which SQLite shall use no index."""

    inherit_cache = False

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.column = column
        self.type = column.type


@compiles(_Unindexed)
def _as_it_is(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.column, **options)


@compiles(_Unindexed, "sqlite")
def _behind_a_plus(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.column, **options)}"


def attribute_condition(
    known: Attribute, operators: Any, parameters: Iterator[ColumnElement[Any]], *, by_index: bool
) -> ColumnElement[bool]:
    """The condition on the attribute's columns; rows marked `inexact` pass, to be compared when they come.

    So do all that may be without a value where that is asked for: one that cannot be compared fills no column either,
    and of a name only the first is looked at, because hardly any has the others.
    """
    if known.keyword in LISTS:
        own = [next(parameters) for group in operators for _ in group]
        return LISTS[known.keyword](lambda column: condition(operators, column, iter(own)))
    table = TABLES[known.level]
    column: ColumnElement[Any] = table.c[known.columns[0]]
    if not by_index:
        column = _Unindexed(column)
    if operators == EMPTY:
        return column.is_(None)
    if known.matching is Matching.NAME:
        return _name_condition(known, operators, parameters, by_index=by_index)
    decided = condition(operators, column, parameters)
    return decided if known.source is Source.COLUMN else or_(decided, table.c.inexact)


def _name_condition(
    known: Attribute,
    names: Sequence[Sequence[tuple[int | None, Operators]]],
    parameters: Iterator[ColumnElement[Any]],
    *,
    by_index: bool,
) -> ColumnElement[bool]:
    table = TABLES[known.level]
    if not by_index:
        columns: list[ColumnElement[Any]] = [_Unindexed(table.c[column]) for column in known.columns]
        return or_(*name_conditions(names, columns, parameters), table.c.inexact)
    # One SELECT an index: SQLite reads the whole table rather than several ranges joined by OR.
    own = table.alias()
    each = name_conditions(names, [own.c[column] for column in known.columns], parameters)
    return table.c.id.in_(union_all(*(select(own.c.id).where(part) for part in (*each, own.c.inexact))))
