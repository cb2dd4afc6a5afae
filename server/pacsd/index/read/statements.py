"""A query's SELECT, compiled once for all queries of its shape: they differ in values alone.

SQLAlchemy needs more time to put a statement together and to execute it than the database to answer it (see
`prebuilt`), and clients ask few shapes of question.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ColumnElement, bindparam, literal_column, select, union_all

from pacsd.index.database.prebuilt import positional
from pacsd.index.read import combined_ranges
from pacsd.index.read.aggregates import AGGREGATES
from pacsd.index.read.extra_keys_sql import leading_to
from pacsd.index.read.key_conditions import attribute_condition, identifying_keywords, leading_keywords
from pacsd.index.schema.tables import TABLES, instances, patients, series, studies
from pacsd.model import UNIQUE_KEYS, QueryLevel
from pacsd.query.attributes import Attribute, Source, attribute
from pacsd.query.hierarchy import depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import CompoundSelect, Dialect, Select

    from pacsd.index.read.combined_ranges import Ends
    from pacsd.index.read.criterion_sql import Operators, Value

__all__ = ["OWN", "SAID", "Shape", "Statement", "header_column", "inexact_column", "statement"]

_REMEMBERED: Final = 512
"""Shapes of questions; some 10 KB each."""
_MOST_REMEMBERED_VALUES: Final = 64
"""Of one shape. Longer lists are long to run as well, and each length would be a shape of its own."""

SAID: Final = "said"
OWN: Final = "own"
"""The names in `Statement.columns` of what an image says of the levels above, where their attributes are asked for."""

_PARENTS: Final = {
    QueryLevel.STUDY: (patients, studies.c.patient_row_id == patients.c.id),
    QueryLevel.SERIES: (studies, series.c.study_row_id == studies.c.id),
    QueryLevel.IMAGE: (series, instances.c.series_row_id == series.c.id),
}


class Shape(NamedTuple):
    """All of a query that its statement depends on."""

    level: QueryLevel
    returned: tuple[str, ...]
    """Keywords, for which `attribute` knows something."""
    compared: tuple[tuple[str, Any], ...]
    """Keywords of attributes that SQL matches, each with the `operators` of its `Comparisons` or `NameComparisons`."""
    narrowed: tuple[tuple[str, Operators], ...]
    """Keywords of extra keys that narrow the answer down, likewise; their values are behind those."""
    combined: tuple[tuple[str, Ends], ...] = ()
    """Keywords of dates whose ranges are one with those of their times, and which ends those have; behind those."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL as the driver takes it."""

    text: str
    columns: Mapping[str, int]
    """Where each row has its values: by keyword, `header_column` and `inexact_column`."""
    long_columns: Sequence[int]
    """Those of `columns` that hold whole headers."""
    finds_few: bool
    """Whether a key identifies what is looked for."""
    _order: tuple[int, ...]
    _constants: tuple[Any, ...]

    def parameters(self, values: Sequence[Value]) -> list[Any]:
        """What to execute it with for values in the order of the shape."""
        all_values = (*values, *self._constants)
        return [all_values[at] for at in self._order]


def header_column(level: QueryLevel) -> str:
    """The name of a level's header in `Statement.columns`."""
    return f"{level.value} header"


def inexact_column(level: QueryLevel) -> str:
    """The name in `Statement.columns` of the mark that a level's columns can't decide."""
    return f"{level.value} inexact"


def statement(shape: Shape, values: int, dialect: type[Dialect]) -> Statement:
    """The statement for a shape with so many values."""
    hashable: Any = dialect
    build = _remembered if values <= _MOST_REMEMBERED_VALUES else _built
    return build(shape, values, hashable)


def _built(shape: Shape, values: int, dialect: type[Dialect]) -> Statement:
    names = {f"value_{number}": number for number in range(values)}
    parameters: Iterator[ColumnElement[Any]] = (bindparam(name, required=False) for name in names)
    leading = leading_keywords(shape.compared, is_narrowed=bool(shape.narrowed))
    conditions = [
        attribute_condition(_known(keyword), operators, parameters, by_index=keyword in leading)
        for keyword, operators in shape.compared
    ]
    conditions += [
        leading_to(_known(keyword), operators, parameters) for keyword, operators in shape.narrowed
    ]
    conditions += [
        combined_ranges.condition(_known(keyword), ends, parameters) for keyword, ends in shape.combined
    ]
    chosen = _chosen(shape, conditions)
    compiled: Any = chosen.compile(dialect=positional(dialect), compile_kwargs={"render_postcompile": True})
    constants = {name: compiled.params[name] for name in compiled.positiontup if name not in names}
    places = names | {name: values + number for number, name in enumerate(constants)}
    columns = {column.name: at for at, column in enumerate(chosen.selected_columns)}
    return Statement(
        str(compiled),
        columns,
        [columns[name] for name in (*map(header_column, QueryLevel), SAID, OWN) if name in columns],
        bool(identifying_keywords(shape.compared)),
        tuple(places[name] for name in compiled.positiontup),
        tuple(constants.values()),
    )


def _chosen(shape: Shape, conditions: Sequence[ColumnElement[bool]]) -> Select[Any] | CompoundSelect[Any]:
    """All that meet the conditions, given in the order of the shape.

    An image is found by what it says of its patient, study and series itself, and their rows may say something else. In
    the few series of which that is so, only what identifies the rows decides; the rest is compared when they come.
    """
    row_id = TABLES[shape.level].c.id
    selected = _select(shape.level, [_known(keyword) for keyword in shape.returned])
    keywords = [keyword for keyword, _ in (*shape.compared, *shape.narrowed, *shape.combined)]
    certain = [
        each
        for keyword, each in zip(keywords, conditions, strict=True)
        if not _may_differ(keyword, shape.level)
    ]
    if len(certain) == len(conditions):
        return selected.where(*conditions).order_by(row_id)
    both = selected.add_columns(row_id.label("row"))
    disputed = series.c.said.is_not(None)
    if not any(keyword in UNIQUE_KEYS.values() for keyword in identifying_keywords(shape.compared)):
        # Said so that SQLite begins with them, and does not read all instances in the order of the answer.
        some = series.alias("disputed")
        disputed = instances.c.series_row_id.in_(select(some.c.id).where(some.c.said.is_not(None)))
    return union_all(
        both.where(*conditions, series.c.said.is_(None)), both.where(*certain, disputed)
    ).order_by(literal_column("row"))


def _may_differ(keyword: str, level: QueryLevel) -> bool:
    """Whether an entity of the level may say something else of it than the row of the attribute's own level."""
    return (
        level is QueryLevel.IMAGE
        and _known(keyword).level is not level
        and keyword not in UNIQUE_KEYS.values()
    )


_remembered = lru_cache(maxsize=_REMEMBERED)(_built)


def _known(keyword: str) -> Attribute:
    known = attribute(keyword)
    if known is None:
        raise KeyError(keyword)
    return known


def _select(level: QueryLevel, returned: Sequence[Attribute]) -> Select[Any]:
    columns: list[ColumnElement[Any]] = []
    above = [each for each in QueryLevel if depth(each) <= depth(level)]
    for each in above:
        if any(known.level is each and known.source is Source.HEADER for known in returned):
            columns += [
                TABLES[each].c.header.label(header_column(each)),
                TABLES[each].c.inexact.label(inexact_column(each)),
            ]
    if level is QueryLevel.IMAGE and any(
        known.level is not level and known.source is Source.HEADER for known in returned
    ):
        columns += [series.c.said.label(SAID), instances.c.own.label(OWN)]
    for known in returned:
        if known.source is Source.COLUMN:
            columns.append(TABLES[known.level].c[known.columns[0]].label(known.keyword))
        elif known.source is Source.AGGREGATE:
            columns.append(AGGREGATES[known.keyword].label(known.keyword))
    # A row may be asked for no value at all.
    statement = select(*columns or [TABLES[level].c.id]).select_from(TABLES[level])
    for each in reversed(above[1:]):
        statement = statement.join(*_PARENTS[each])
    return statement
