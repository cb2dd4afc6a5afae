"""Rows of a level above the instances by natural key: read, inserted where new, merged where changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import bindparam, null, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pacsd.index.database.failures import OvertakenError
from pacsd.index.schema.rows import Header, columns_of
from pacsd.index.schema.tables import MOST_PARAMETERS
from pacsd.index.write.extra_values import rewrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column, Connection, Select, Table

    from pacsd.model import QueryLevel
    from pacsd.query.attributes import Attribute

__all__ = [
    "LevelRow",
    "LevelRows",
    "Told",
    "modality_rank",
    "prefer_first",
    "prefer_first_and_images",
    "prefer_latest",
]

Parent = TypeVar("Parent", int, None)


class Told(NamedTuple):
    """What is told of an entity: by a row, or by one received object."""

    header: Header
    at: int
    """When the object was received that the header is of, in microseconds since 1970."""
    may_correct: bool = True
    """Whether the object's sender may change what a row says."""
    is_from_file: bool = False
    """Whether others may come after it that were received before: then a row says of which time it is, exactly."""
    may_set_modality: bool = True
    """Whether a series that has a modality may get the object's."""


class LevelRow(NamedTuple):
    """A row above the instances, and what it told before and after it was brought up to date."""

    row_id: int
    told: Told
    now: Told
    said: str | None = None
    """As a series has it."""
    is_new: bool = False


Merge = Callable[[Told, Told], Told]
"""What a row tells after an object, from what it told before and what the object tells."""


def prefer_latest(row: Told, received: Told) -> Told:
    """The values of the object that was received last; others fill what is empty."""
    if not received.is_from_file and received.header.items() <= row.header.items():
        return row
    if received.at < row.at or not received.may_correct:
        return row._replace(header={**received.header, **row.header})
    return Told({**row.header, **received.header}, received.at)


def prefer_first(row: Told, received: Told) -> Told:
    """The values of the object that was received first; others fill what is empty."""
    if received.at < row.at and received.may_correct:
        return Told({**row.header, **received.header}, received.at)
    return row._replace(header={**received.header, **row.header})


def prefer_first_and_images(row: Told, received: Told) -> Told:
    """As `prefer_first`, but for the modality of a series."""
    merged = prefer_first(row, received)
    if "Modality" in row.header and not received.may_set_modality:
        return merged
    said = [each.header["Modality"] for each in (row, received) if "Modality" in each.header]
    return (
        merged._replace(header={**merged.header, "Modality": min(said, key=modality_rank)})
        if said
        else merged
    )


def modality_rank(modality: str) -> tuple[bool, bool, str]:
    """Of those of a series' objects, the least is that of the series: of images, by the alphabet, then others."""
    return modality in _NO_IMAGES, modality == "OT", modality


_NO_IMAGES: Final = frozenset(
    (
        "ANN",
        "ASMT",
        "AU",
        "DOC",
        "FID",
        "KO",
        "M3D",
        "PLAN",
        "POS",
        "PR",
        "REG",
        "RTINTENT",
        "RTPLAN",
        "RTRAD",
        "RTRECORD",
        "RTSEGANN",
        "RTSTRUCT",
        "RWV",
        "SEG",
        "SMR",
        "SR",
        "STAIN",
        "TEXTUREMAP",
    )
)
"""Modalities (PS3.3 C.7.3.1.1.1) of what is made about images, and stored beside them or, wrongly, among them."""


class LevelRows:
    """The statements of one level, built once; keys are (natural key, row id of the parent)."""

    def __init__(
        self,
        level: QueryLevel,
        table: Table,
        natural_key: Column[Any],
        parent: Column[Any] | None = None,
    ) -> None:
        self._level = level
        self._natural_key = natural_key.name
        self._parent = None if parent is None else parent.name
        wanted = [table.c.id, natural_key.label("natural_key"), table.c.header, table.c.told_at]
        if parent is not None:
            wanted.append(parent.label("parent"))
        wanted += [table.c.said] if "said" in table.c else [null().label("said")]
        self._select = (
            select(*wanted).where(natural_key.in_(bindparam("keys", expanding=True))).order_by(table.c.id)
        )
        # Against other updates, but not against rows that refer to it (SQLite has one writer and ignores it).
        self._select_to_change = self._select.with_for_update(key_share=True)
        self._insert = {
            "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
            "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
        }
        self._update = update(table).where(table.c.id == bindparam("row"))

    def write(
        self,
        connection: Connection,
        brought: Mapping[tuple[str, Parent], Sequence[Told]],
        merge: Merge,
        extra_keys: Sequence[Attribute] = (),
    ) -> dict[tuple[str, Parent], LevelRow]:
        """Bring rows up to date with what a batch's objects tell of them, in this order; returns them all.

        So it does the others of the same natural keys, under other parents. The values of `extra_keys` go with the
        rows. Raises `OvertakenError` if another process has meanwhile removed what this transaction found.
        """
        found = self._read(connection, self._select, brought)
        missing = sorted(set(brought) - set(found), key=_as_found)
        if missing:
            self._add(connection, {key: _merged(merge, *brought[key]) for key in missing})
            found = self._read(connection, self._select, brought)
            if not set(brought) <= set(found):
                raise OvertakenError
            if extra_keys:
                # Another process may have made the same rows, so they are locked before they are looked at.
                ours = self._read(connection, self._select_to_change, missing)
                rewrite(connection, extra_keys, {row.row_id: row.told.header for row in ours.values()})
        # Only now are rows locked: who holds a lock while it waits for an insert may wait in a circle.
        changed = {
            key: told
            for key, told in brought.items()
            if _merged(merge, found[key].told, *told) != found[key].told
        }
        if changed:
            found.update(self._merge(connection, changed, merge, extra_keys))
        found.update({key: found[key]._replace(is_new=True) for key in missing})
        return found

    def _read(
        self, connection: Connection, statement: Select[Any], wanted: Iterable[tuple[str, Parent]]
    ) -> dict[tuple[str, Any], LevelRow]:
        found = {}
        keys = sorted({key for key, _parent in wanted})
        for start in range(0, len(keys), MOST_PARAMETERS):
            for row in connection.execute(statement, {"keys": keys[start : start + MOST_PARAMETERS]}):
                parent = None if self._parent is None else row.parent
                told = Told(json.loads(row.header), row.told_at)
                found[row.natural_key, parent] = LevelRow(row.id, told, told, row.said)
        return found

    def _add(self, connection: Connection, missing: Mapping[tuple[str, Parent], Told]) -> None:
        rows = []
        for key, told in missing.items():
            row = {self._natural_key: key[0], **self._columns(told)}
            if self._parent is not None:
                row[self._parent] = key[1]
            rows.append(row)
        connection.execute(self._insert[connection.dialect.name], rows)

    def _merge(
        self,
        connection: Connection,
        brought: Mapping[tuple[str, Parent], Sequence[Told]],
        merge: Merge,
        extra_keys: Sequence[Attribute],
    ) -> dict[tuple[str, Any], LevelRow]:
        before = self._read(connection, self._select_to_change, brought)
        changes = {}
        for key, row in list(before.items()):
            if key in brought:
                merged = _merged(merge, row.told, *brought[key])
                if merged != row.told:
                    changes[row.row_id] = merged
                    before[key] = row._replace(now=merged)
        if changes:
            rows = [{"row": row_id, **self._columns(told)} for row_id, told in changes.items()]
            connection.execute(self._update, rows)
            rewrite(connection, extra_keys, {row_id: told.header for row_id, told in changes.items()})
        return before

    def _columns(self, told: Told) -> dict[str, Any]:
        return {**columns_of(self._level, told.header), "told_at": told.at}


def _merged(merge: Merge, *told: Told) -> Told:
    merged = reduce(merge, told)
    return Told(merged.header, merged.at)


def _as_found(key: tuple[str, Any]) -> tuple[str, int]:
    """In which order rows are made: the same for all writers, lest two wait for each other in a circle."""
    return key[0], key[1] or 0
