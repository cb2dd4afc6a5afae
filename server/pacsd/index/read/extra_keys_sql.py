"""What leads to the rows whose extra keys meet a criterion: their values, each in a row of its own.

They narrow a query down and never decide it: every row they lead to is compared with its header as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, union_all

from pacsd.index.read.criterion_sql import condition
from pacsd.index.schema.extra_keys import kept_text
from pacsd.index.schema.tables import TABLES, extra_values
from pacsd.query.criteria import Alternative, Criterion, Exact, NameCriterion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import ColumnElement

    from pacsd.index.read.criterion_sql import Operators
    from pacsd.query.attributes import Attribute

__all__ = ["criterion_of_values", "leading_to"]


def criterion_of_values(asked: Criterion | NameCriterion) -> Criterion:
    """A criterion for the kept values: where an attribute meets `asked`, one of its values at least meets this."""
    return Criterion(tuple(map(_as_text, _alternatives(asked))))


def leading_to(
    known: Attribute, operators: Operators, parameters: Iterator[ColumnElement[Any]]
) -> ColumnElement[bool]:
    """A condition on the level's rows that all matching ones meet; as `criterion_sql.condition` of such a criterion."""
    own = select(extra_values.c.row_id).where(extra_values.c.keyword == known.keyword)
    decided = own.where(condition(operators, extra_values.c.value, parameters))
    # Apart and not joined by OR, so that each is one range of the index.
    undecided = own.where(extra_values.c.value.is_(None))
    return TABLES[known.level].c.id.in_(union_all(decided, undecided))


def _alternatives(asked: Criterion | NameCriterion) -> Iterable[Alternative]:
    if isinstance(asked, Criterion):
        return asked.alternatives
    # One group of each name is enough to find it by.
    return [each for name in asked.names for each in name[0][1].alternatives]


def _as_text(alternative: Alternative) -> Alternative:
    return Exact(kept_text(alternative.value)) if isinstance(alternative, Exact) else alternative
