"""Attributes that the administrator has matched by an index, `index.extra_keys`, and which of them are built.

Each has a row in the table of that name from the first start with it on; from then on every commit keeps its
values (`extra_values`). What was stored before is built by `pacsd reindex`. Until that is complete, and for good
where it is never run, the key is matched as any other without a column: by comparison while rows stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from pacsd.index.schema.tables import TABLES, extra_keys
from pacsd.query.attributes import Attribute, Matching, Source, attribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

__all__ = ["built", "extra_key", "kept_text", "register", "registered"]

_INSERT: Final = {
    "sqlite": sqlite.insert(extra_keys).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(extra_keys).on_conflict_do_nothing(),
}


def extra_key(keyword: str) -> Attribute:
    """The attribute of a configured keyword; ValueError, saying why, for one that can't be an extra key."""
    known = attribute(keyword)
    if known is None or known.matching is Matching.SEQUENCE:
        raise ValueError(
            f"{keyword} is no attribute of the DICOM Standard, or one that holds a sequence or bulk data"
        )
    if known.source is not Source.HEADER or _is_indexed(known):
        raise ValueError(f"{keyword} is matched without it: leave it out")
    return known


def _is_indexed(known: Attribute) -> bool:
    first_columns = {next(iter(index.columns)).name for index in TABLES[known.level].indexes}
    return bool(first_columns.intersection(known.columns))


def register(connection: Connection, wanted: Sequence[Attribute]) -> tuple[str, ...]:
    """Note that from now on these keys' values are kept, and no others'; returns the keywords still to be built.

    For the start of a server, before anything is stored. A key that was left out for a while begins anew.
    """
    level_of = {each.keyword: each.level for each in wanted}
    for row in connection.execute(select(extra_keys)).all():
        if row.keyword not in level_of or level_of[row.keyword].value != row.level:
            connection.execute(delete(extra_keys).where(extra_keys.c.keyword == row.keyword))
    for keyword, level in sorted(level_of.items()):
        is_empty = not connection.scalar(select(exists().where(TABLES[level].c.id.is_not(None))))
        new = {"keyword": keyword, "level": level.value, "built_to": 0, "is_built": is_empty}
        connection.execute(_INSERT[connection.dialect.name], new)
    unbuilt = select(extra_keys.c.keyword).where(~extra_keys.c.is_built).order_by(extra_keys.c.keyword)
    return tuple(connection.scalars(unbuilt))


def registered(connection: Connection) -> frozenset[str]:
    """The keys whose values are kept of what is stored now."""
    return frozenset(connection.scalars(select(extra_keys.c.keyword)))


def built(connection: Connection, keywords: Iterable[str]) -> frozenset[str]:
    """Those of the keywords whose values are complete."""
    complete = select(extra_keys.c.keyword).where(extra_keys.c.is_built)
    return frozenset(connection.scalars(complete.where(extra_keys.c.keyword.in_(sorted(keywords)))))


def kept_text(form: str | float) -> str:
    """The text that the value of an extra key is kept as, by the form in which it is compared."""
    # Minus zero is zero.
    return form if isinstance(form, str) else repr(form + 0.0)
