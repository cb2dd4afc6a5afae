"""The values of extra keys, each in a row of its own: written beside the headers they are from.

They narrow a query down and never decide it (`read/extra_keys_sql`). So one too many does no harm, and one that
no index takes is kept as NULL, which leads to its row whatever is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Text, bindparam, cast, delete, insert, select

from pacsd.index.schema.extra_keys import kept_text
from pacsd.index.schema.rows import LONGEST_MATCHED, Header
from pacsd.index.schema.tables import MOST_PARAMETERS, TABLES, extra_keys, extra_values, instances
from pacsd.model import LONGER_THAN_KEPT
from pacsd.query import normalization
from pacsd.query.attributes import Attribute, Matching
from pacsd.query.matching import forms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from pacsd.model import QueryLevel

__all__ = [
    "INSERT_OF_INSTANCE",
    "of_instance",
    "remove_orphaned",
    "rewrite",
]

INSERT_OF_INSTANCE: Final = insert(extra_values).from_select(
    ["keyword", "value", "row_id"],
    select(cast(bindparam("keyword"), Text), cast(bindparam("value"), Text), instances.c.id).where(
        instances.c.sop_instance_uid == bindparam("sop_instance_uid")
    ),
)
"""One value of an instance that was just added; rows of parameters are made by `of_instance`."""

_DELETE: Final = delete(extra_values).where(
    extra_values.c.row_id.in_(bindparam("rows", expanding=True)),
    extra_values.c.keyword.in_(bindparam("keywords", expanding=True)),
)


def rewrite(connection: Connection, keys: Sequence[Attribute], headers: Mapping[int, Header]) -> None:
    """Let rows of one level have the values of these keys that their headers say; the rows must be ours to change."""
    if not keys:
        return
    keywords = [each.keyword for each in keys]
    row_ids = sorted(headers)
    for start in range(0, len(row_ids), MOST_PARAMETERS):
        part = row_ids[start : start + MOST_PARAMETERS]
        connection.execute(_DELETE, {"rows": part, "keywords": keywords})
    rows = [
        {"keyword": keyword, "value": value, "row_id": row_id}
        for row_id in row_ids
        for keyword, value in _values(keys, headers[row_id])
    ]
    if rows:
        connection.execute(insert(extra_values), rows)


def of_instance(keys: Sequence[Attribute], sop_instance_uid: str, header: Header) -> list[dict[str, Any]]:
    """What `INSERT_OF_INSTANCE` is to be executed with for an instance of this header."""
    return [
        {"keyword": keyword, "value": value, "sop_instance_uid": sop_instance_uid}
        for keyword, value in _values(keys, header)
    ]


def _values(keys: Sequence[Attribute], header: Header) -> Iterable[tuple[str, str | None]]:
    for each in keys:
        value = header.get(each.keyword)
        if value and value != LONGER_THAN_KEPT:  # which matches nothing
            for form in dict.fromkeys(_forms(each.matching, value)):
                yield each.keyword, form


def _forms(matching: Matching, value: str) -> list[str | None]:
    if matching is Matching.NAME:
        names = map(normalization.name_groups, normalization.values_of(value))
        comparable: Sequence[str | float] = [group for name in names for group in name if group]
    else:
        comparable = forms(matching, value)
    return [text if len(text) <= LONGEST_MATCHED else None for text in map(kept_text, comparable)]


def remove_orphaned(connection: Connection, level: QueryLevel, row_ids: Collection[int]) -> None:
    """Remove the values of those of the level's rows that are gone."""
    keywords = select(extra_keys.c.keyword).where(extra_keys.c.level == level.value)
    kept = select(TABLES[level].c.id)
    connection.execute(
        delete(extra_values).where(
            extra_values.c.row_id.in_(sorted(row_ids)),
            extra_values.c.keyword.in_(keywords),
            extra_values.c.row_id.not_in(kept.where(TABLES[level].c.id.in_(sorted(row_ids)))),
        )
    )
