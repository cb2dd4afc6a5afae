"""A C-FIND's keys as what SQL decides, by columns, and what is left to compare as the rows stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pacsd.errors import IdentifierInvalid
from pacsd.index.read.aggregates import LISTS
from pacsd.index.read.answers import Answers, Comparison
from pacsd.index.read.combined_ranges import CombinedRange, combine
from pacsd.index.read.criterion_sql import compared
from pacsd.index.read.extra_keys_sql import criterion_of_values
from pacsd.index.read.statements import Shape, statement
from pacsd.index.schema.tables import MOST_PARAMETERS
from pacsd.query.attributes import Attribute, Matching, Source, attribute
from pacsd.query.criteria import (
    AnyCriterion,
    Criterion,
    EmptyCriterion,
    SequenceCriterion,
    criterion,
)
from pacsd.query.hierarchy import check_hierarchy, supported_keys, unsupported_keys
from pacsd.query.multiple_values import separate_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Dialect

    from pacsd.model import FindQuery

__all__ = ["Plan", "plan", "unsupported_keys"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A query ready to be executed by the driver, and what reads its rows. For one execution."""

    text: str
    parameters: Sequence[Any]
    long_columns: Sequence[int]
    finds_few: bool
    answers: Answers


def plan(
    query: FindQuery, dialect: type[Dialect], extra_keys: Collection[str] = (), *, accents: bool = False
) -> Plan:
    """Check a query against its model and turn it into SQL; IdentifierInvalid names the keywords at fault.

    `extra_keys` are those that are built; `accents` says whether they matter in names.
    """
    check_hierarchy(query)
    returned = tuple([known for known in map(attribute, supported_keys(query)) if known is not None])
    keys = separate_keys(query, returned)
    asked = _asked(query, keys, accents=accents)
    ranges: list[CombinedRange] = []
    if query.options.combined_date_time:
        asked, ranges = combine(query.keys, asked)
    of_values = [(each, wanted) for each, wanted in asked if not isinstance(wanted, SequenceCriterion)]
    glob = dialect.name == "sqlite"
    compared_by_sql = [
        (each.keyword, compared(wanted, glob=glob)) for each, wanted in of_values if _is_for_sql(each, wanted)
    ]
    narrowed = [
        (each.keyword, compared(criterion_of_values(wanted), glob=glob))
        for each, wanted in of_values
        if each.keyword in extra_keys and not isinstance(wanted, EmptyCriterion)
    ]
    shape = Shape(
        query.level,
        tuple([each.keyword for each in returned]),
        tuple([(keyword, comparisons.operators) for keyword, comparisons in compared_by_sql]),
        tuple([(keyword, comparisons.operators) for keyword, comparisons in narrowed]),
        tuple([(each.date.keyword, each.ends) for each in ranges if each.is_for_sql]),
    )
    values = [value for _, comparisons in compared_by_sql + narrowed for value in comparisons.values]
    values += [value for each in ranges if each.is_for_sql for value in each.values]
    made = statement(shape, len(values), dialect)
    left = [
        Comparison(each, wanted, always=not _is_decided_by_sql(each, wanted))
        for each, wanted in asked
        if each.source is Source.HEADER or not _is_for_sql(each, wanted)
    ]
    if accents:
        left += _accented(query, keys)
    answers = Answers(made.columns, returned, empty=unsupported_keys(query), comparisons=left, ranges=ranges)
    return Plan(made.text, made.parameters(values), made.long_columns, made.finds_few, answers)


def _asked(
    query: FindQuery, keys: Sequence[tuple[Attribute, str]], *, accents: bool
) -> list[tuple[Attribute, AnyCriterion]]:
    """The keys that don't match everything; where accents matter, names as far as they can be found without."""
    asked = []
    values = 0
    for each, key in keys:
        if not key:
            continue  # most are there to be returned
        is_accented = accents and each.matching is Matching.NAME
        wanted = criterion(
            each,
            # An accent may be a character by itself, which is gone from what columns keep.
            key.replace("?", "*") if is_accented else key,
            accents=accents and each.matching is Matching.SEQUENCE,
            empty_values=query.options.empty_values,
        )
        if wanted is None:
            continue
        values += len(wanted)
        if values > MOST_PARAMETERS:
            raise IdentifierInvalid("the keys have too many values", keywords=(each.keyword,))
        asked.append((each, wanted))
    return asked


def _accented(query: FindQuery, keys: Sequence[tuple[Attribute, str]]) -> list[Comparison]:
    """What is left to compare of names where accents matter: columns are without them."""
    empty_values = query.options.empty_values
    wanted = [
        (each, criterion(each, key, accents=True, empty_values=empty_values))
        for each, key in keys
        if each.matching is Matching.NAME
    ]
    return [Comparison(each, asked, always=True) for each, asked in wanted if asked is not None]


def _is_for_sql(known: Attribute, asked: AnyCriterion) -> bool:
    return bool(known.columns) or (isinstance(asked, Criterion) and known.keyword in LISTS)


def _is_decided_by_sql(known: Attribute, asked: AnyCriterion) -> bool:
    # A column is also empty where a value has no form in which it could be compared.
    return _is_for_sql(known, asked) and not isinstance(asked, EmptyCriterion)
