"""Building the values of extra keys for what was stored before, from the headers that the index keeps.

In steps of a transaction each, of which each notes how far it came: a run that ends early is taken up where it
was, and stores wait for one step at most. Rows that are newer than the first step have their values already.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select, update

from pacsd.index.schema.extra_keys import registered
from pacsd.index.schema.tables import TABLES, extra_keys, extra_values
from pacsd.index.write.extra_values import rewrite
from pacsd.model import ExtraKeysBuild, QueryLevel
from pacsd.query.attributes import attribute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

__all__ = ["build_step", "remove_step", "unbuilt"]

_STEP: Final = 500
"""Rows in one transaction: some 20 ms, for which a C-STORE may have to wait."""


def unbuilt(connection: Connection) -> Sequence[ExtraKeysBuild]:
    """What is to be done, by level; keys of a level are built together, from where the last of them stands."""
    builds = []
    for level in QueryLevel:
        of_level = select(extra_keys.c.keyword, extra_keys.c.built_to).where(
            extra_keys.c.level == level.value, ~extra_keys.c.is_built
        )
        rows = connection.execute(of_level.order_by(extra_keys.c.keyword)).all()
        if rows:
            last = connection.scalar(select(func.max(TABLES[level].c.id))) or 0
            keywords = tuple(row.keyword for row in rows)
            builds.append(ExtraKeysBuild(level, keywords, min(row.built_to for row in rows), last))
    return builds


def build_step(connection: Connection, build: ExtraKeysBuild) -> ExtraKeysBuild:
    """Build some more rows, in the connection's transaction; the keys are complete once the build is done."""
    table = TABLES[build.level]
    some = (
        select(table.c.id, table.c.header)
        .where(table.c.id > build.position, table.c.id <= build.last)
        .order_by(table.c.id)
        .limit(_STEP)
        # Nobody may change a header between our look at it and our values' commit (SQLite has one writer).
        .with_for_update(key_share=True)
    )
    rows = connection.execute(some).all()
    keys = [known for known in map(attribute, build.keywords) if known is not None]
    rewrite(connection, keys, {row.id: json.loads(row.header) for row in rows})
    after = replace(build, position=rows[-1].id if rows else build.last)
    connection.execute(
        update(extra_keys)
        .where(extra_keys.c.keyword.in_(build.keywords))
        .values(built_to=after.position, is_built=after.is_done)
    )
    return after


def remove_step(connection: Connection) -> int:
    """Remove some values of keys that are no longer configured; returns how many, 0 when none is left."""
    configured = registered(connection)
    for keyword in _kept_keywords(connection):
        if keyword not in configured:
            some = select(extra_values.c.id).where(extra_values.c.keyword == keyword).limit(_STEP)
            return connection.execute(delete(extra_values).where(extra_values.c.id.in_(some))).rowcount
    return 0


def _kept_keywords(connection: Connection) -> Iterator[str]:
    """The keywords that have values, one look into the index each: to read all of it would hold up stores."""
    last: str | None = ""
    while last is not None:
        following = select(func.min(extra_values.c.keyword)).where(extra_values.c.keyword > last)
        last = connection.scalar(following)
        if last is not None:
            yield last
