"""The rules of the information models for a query's keys (PS3.4 C.4.1.2.1), unless it is relational (C.4.1.3.2.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pacsd.errors import IdentifierInvalid
from pacsd.model import UNIQUE_KEYS, QueryLevel
from pacsd.query.attributes import attribute
from pacsd.query.information_models import INFORMATION_MODELS
from pacsd.query.normalization import values_of

if TYPE_CHECKING:
    from pacsd.model import FindQuery, QueryModel

__all__ = ["NOT_MATCHED", "check_hierarchy", "check_level", "depth", "supported_keys", "unsupported_keys"]

NOT_MATCHED: Final = frozenset(
    (
        "QueryRetrieveLevel",
        "SpecificCharacterSet",
        "TimezoneOffsetFromUTC",
        "RetrieveAETitle",
        "InstanceAvailability",
    )
)
"""Attributes of an identifier that say how to answer, or are for whoever answers to fill in (PS3.4 §C.4.1.1.3)."""

_ORDER: Final = tuple(QueryLevel)


def depth(level: QueryLevel) -> int:
    """0 for PATIENT to 3 for IMAGE."""
    return _ORDER.index(level)


def check_level(model: QueryModel, level: QueryLevel) -> None:
    """Raise IdentifierInvalid for a level that the model doesn't have."""
    if level not in INFORMATION_MODELS[model].levels:
        raise IdentifierInvalid(
            f"the {model.value} model has no {level.value} level", keywords=("QueryRetrieveLevel",)
        )


def check_hierarchy(query: FindQuery) -> None:
    """Raise IdentifierInvalid, naming the keyword, unless level and unique keys are as the model wants them.

    Every level above needs its unique key, with a single value, unless the query is relational; a unique key below
    the level must be empty.
    """
    check_level(query.model, query.level)
    is_above = True
    for level, keyword in UNIQUE_KEYS.items():
        if level is query.level:
            is_above = False
            continue
        values = values_of(query.keys.get(keyword, ""))
        if is_above:
            if level in INFORMATION_MODELS[query.model].levels and not query.options.relational:
                _check_single(keyword, values)
        elif values and values != ["*"]:
            raise IdentifierInvalid(f"{keyword} is a key below the level", keywords=(keyword,))


def _check_single(keyword: str, values: list[str]) -> None:
    if not values:
        raise IdentifierInvalid(f"{keyword} is missing", keywords=(keyword,))
    if len(values) > 1 or set(values[0]) & {"*", "?"}:
        raise IdentifierInvalid(f"{keyword} must be a single value", keywords=(keyword,))


def supported_keys(query: FindQuery) -> tuple[str, ...]:
    """The query's keywords that the index matches and returns: attributes of the level and of those above."""
    return _divided(tuple(query.keys), query.level)[0]


def unsupported_keys(query: FindQuery) -> tuple[str, ...]:
    """The query's other keywords: unknown ones, bulk data, and attributes of levels below."""
    return _divided(tuple(query.keys), query.level)[1]


# Clients ask few sorts of question.
@lru_cache(maxsize=128)
def _divided(keywords: tuple[str, ...], level: QueryLevel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    asked = [keyword for keyword in keywords if keyword not in NOT_MATCHED]
    supported = tuple(keyword for keyword in asked if _is_supported(keyword, level))
    return supported, tuple(keyword for keyword in asked if keyword not in supported)


def _is_supported(keyword: str, level: QueryLevel) -> bool:
    known = attribute(keyword)
    return known is not None and depth(known.level) <= depth(level)
