"""A C-FIND's keys as one SELECT, and its rows as answers.

SQL decides by columns. What it can't decide is compared as the rows stream: attributes without a column, and
rows marked `inexact`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, or_, select, union_all

from pacsd.errors import IdentifierInvalid
from pacsd.index.aggregates import AGGREGATES, LISTS
from pacsd.index.attributes import Attribute, Source, attribute
from pacsd.index.criteria import Criterion, NameCriterion, criterion
from pacsd.index.extra_values import leading_to
from pacsd.index.hierarchy import check_hierarchy, depth, supported_keys, unsupported_keys
from pacsd.index.matching import condition, matches, name_conditions
from pacsd.index.tables import MOST_PARAMETERS, TABLES, instances, patients, series, studies
from pacsd.model import QueryLevel

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Row, RowMapping, Select

    from pacsd.index.rows import Header
    from pacsd.model import FindQuery

__all__ = ["Plan", "plan", "unsupported_keys"]

_PARENTS: Final = {
    QueryLevel.STUDY: (patients, studies.c.patient_row_id == patients.c.id),
    QueryLevel.SERIES: (studies, series.c.study_row_id == studies.c.id),
    QueryLevel.IMAGE: (series, instances.c.series_row_id == series.c.id),
}


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A key that is left to compare with the row's value."""

    attribute: Attribute
    criterion: Criterion | NameCriterion
    always: bool
    """Or only in rows marked `inexact`."""


@dataclass(slots=True)
class Plan:
    """A query ready to be executed, and how its rows are read. For one execution."""

    statement: Select[Any]
    returned: tuple[Attribute, ...]
    empty: tuple[str, ...]
    comparisons: tuple[_Comparison, ...]
    _parsed: dict[QueryLevel, tuple[str, Header]] = field(default_factory=dict)

    def answer(self, row: Row[Any]) -> dict[str, str] | None:
        """The values asked for; None for a row that doesn't match after all."""
        fields = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
        for each in self.comparisons:
            if (each.always or fields[_inexact(each.attribute.level)]) and not matches(
                each.criterion, each.attribute.matching, self._value(each.attribute, fields)
            ):
                return None
        answer = {each.keyword: self._value(each, fields) for each in self.returned}
        answer.update(dict.fromkeys(self.empty, ""))
        return answer

    def _value(self, wanted: Attribute, fields: RowMapping) -> str:
        if wanted.source is Source.HEADER:
            return self._header(wanted.level, fields).get(wanted.keyword, "")
        value = fields[wanted.keyword]
        if wanted.keyword in LISTS:
            return "\\".join(sorted(value.split("\\"))) if value else ""
        return str(value)

    def _header(self, level: QueryLevel, fields: RowMapping) -> Header:
        """The level's header; rows that share a patient, study or series come together and share its parsing."""
        text = fields[_header(level)]
        last = self._parsed.get(level)
        if last is None or last[0] != text:
            last = self._parsed[level] = (text, json.loads(text))
        return last[1]


def _inexact(level: QueryLevel) -> str:
    return f"{level.value} inexact"


def _header(level: QueryLevel) -> str:
    return f"{level.value} header"


def plan(query: FindQuery, *, glob: bool, extra_keys: Collection[str] = ()) -> Plan:
    """Check a query against its model and turn it into SQL; IdentifierInvalid names the keywords at fault.

    `glob` is for SQLite (see `matching.condition`); `extra_keys` are those that are built.
    """
    check_hierarchy(query)
    returned = tuple(known for known in map(attribute, supported_keys(query)) if known is not None)
    conditions: list[ColumnElement[bool]] = []
    comparisons: list[_Comparison] = []
    values = 0
    for each in returned:
        asked = criterion(each, query.keys[each.keyword])
        if asked is not None:
            _apply(each, asked, conditions, comparisons, glob=glob)
            if each.keyword in extra_keys:
                conditions.append(leading_to(each, asked, glob=glob))
            values += len(asked)
            if values > MOST_PARAMETERS:
                raise IdentifierInvalid("the keys have too many values", keywords=(each.keyword,))
    statement = _select(query.level, returned).where(*conditions).order_by(TABLES[query.level].c.id)
    return Plan(statement, returned, unsupported_keys(query), tuple(comparisons))


def _apply(
    known: Attribute,
    asked: Criterion | NameCriterion,
    conditions: list[ColumnElement[bool]],
    comparisons: list[_Comparison],
    *,
    glob: bool,
) -> None:
    if isinstance(asked, Criterion) and known.keyword in LISTS:
        conditions.append(LISTS[known.keyword](lambda column: condition(asked, column, glob=glob)))
    elif known.columns:
        conditions.append(_on_columns(known, asked, glob=glob))
        if known.source is Source.HEADER:
            comparisons.append(_Comparison(known, asked, always=False))
    else:
        comparisons.append(_Comparison(known, asked, always=True))


def _on_columns(known: Attribute, asked: Criterion | NameCriterion, *, glob: bool) -> ColumnElement[bool]:
    """The condition on the attribute's columns; rows marked `inexact` pass, to be compared when they come."""
    table = TABLES[known.level]
    if isinstance(asked, Criterion):
        decided = condition(asked, table.c[known.columns[0]], glob=glob)
        return decided if known.source is Source.COLUMN else or_(decided, table.c.inexact)
    # One SELECT an index: SQLite reads the whole table rather than several ranges joined by OR.
    names = table.alias()
    each = name_conditions(asked, [names.c[column] for column in known.columns], glob=glob)
    return table.c.id.in_(union_all(*(select(names.c.id).where(part) for part in (*each, names.c.inexact))))


def _select(level: QueryLevel, returned: tuple[Attribute, ...]) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [TABLES[level].c.id]
    above = [each for each in QueryLevel if depth(each) <= depth(level)]
    for each in above:
        if any(known.level is each and known.source is Source.HEADER for known in returned):
            columns += [
                TABLES[each].c.header.label(_header(each)),
                TABLES[each].c.inexact.label(_inexact(each)),
            ]
    for known in returned:
        if known.source is Source.COLUMN:
            columns.append(TABLES[known.level].c[known.columns[0]].label(known.keyword))
        elif known.source is Source.AGGREGATE:
            columns.append(AGGREGATES[known.keyword].label(known.keyword))
    statement = select(*columns).select_from(TABLES[level])
    for each in reversed(above[1:]):
        statement = statement.join(*_PARENTS[each])
    return statement
