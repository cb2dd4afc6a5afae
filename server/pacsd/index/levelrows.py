"""Rows of a level above the instances by natural key: read, inserted where new, merged where changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pacsd.index.extra_values import rewrite
from pacsd.index.rows import Header, columns_of
from pacsd.index.tables import MOST_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Connection, Select, Table

    from pacsd.index.attributes import Attribute
    from pacsd.model import QueryLevel

__all__ = ["LevelRow", "LevelRows", "OvertakenError", "prefer_received", "prefer_stored"]

Parent = TypeVar("Parent", int, None)


class OvertakenError(Exception):
    """Another process committed what this transaction was about to insert; it must begin again."""


class LevelRow(NamedTuple):
    """A row above the instances, and the header that it had before it was brought up to date."""

    row_id: int
    header: Header


def prefer_received(stored: Header, received: Header) -> Header:
    """Both headers as one: what was received last wins."""
    return {**stored, **received}


def prefer_stored(stored: Header, received: Header) -> Header:
    """Both headers as one: what was received first wins."""
    return {**received, **stored}


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
        wanted = [table.c.id, natural_key.label("natural_key"), table.c.header]
        if parent is not None:
            wanted.append(parent.label("parent"))
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
        headers: Mapping[tuple[str, Parent], Header],
        merge: Callable[[Header, Header], Header] = prefer_received,
        extra_keys: Sequence[Attribute] = (),
    ) -> dict[tuple[str, Parent], LevelRow]:
        """Bring rows up to date with what a batch brought for them, by `merge(stored, received)`; returns them all.

        The values of `extra_keys` go with them.

        Raises `OvertakenError` if another process has meanwhile put a key under another parent.
        """
        found = self._read(connection, self._select, headers)
        missing = sorted(set(headers) - set(found), key=lambda key: key[0])
        if missing:
            self._add(connection, missing, headers)
            found = self._read(connection, self._select, headers)
            if not set(headers) <= set(found):
                raise OvertakenError
            if extra_keys:
                # Another process may have made the same rows, so they are locked before they are looked at.
                ours = self._read(connection, self._select_to_change, {key: {} for key in missing})
                rewrite(connection, extra_keys, dict(ours.values()))
        # Only now are rows locked: who holds a lock while it waits for an insert may wait in a circle.
        changed = {
            key: header for key, header in headers.items() if not header.items() <= found[key][1].items()
        }
        if changed:
            found.update(self._merge(connection, changed, merge, extra_keys))
        return {key: found[key] for key in headers}

    def _read(
        self, connection: Connection, statement: Select[Any], headers: Mapping[tuple[str, Parent], Header]
    ) -> dict[tuple[str, Any], LevelRow]:
        found = {}
        keys = sorted({key for key, _parent in headers})
        for start in range(0, len(keys), MOST_PARAMETERS):
            for row in connection.execute(statement, {"keys": keys[start : start + MOST_PARAMETERS]}):
                parent = None if self._parent is None else row.parent
                found[row.natural_key, parent] = LevelRow(row.id, json.loads(row.header))
        return found

    def _add(
        self,
        connection: Connection,
        keys: list[tuple[str, Parent]],
        headers: Mapping[tuple[str, Parent], Header],
    ) -> None:
        rows = []
        for key in keys:
            row = {self._natural_key: key[0], **columns_of(self._level, headers[key])}
            if self._parent is not None:
                row[self._parent] = key[1]
            rows.append(row)
        connection.execute(self._insert[connection.dialect.name], rows)

    def _merge(
        self,
        connection: Connection,
        headers: Mapping[tuple[str, Parent], Header],
        merge: Callable[[Header, Header], Header],
        extra_keys: Sequence[Attribute],
    ) -> dict[tuple[str, Any], LevelRow]:
        before = self._read(connection, self._select_to_change, headers)
        changes = {}
        for key, (row_id, stored) in before.items():
            if key in headers:
                merged = merge(stored, headers[key])
                if merged != stored:
                    changes[row_id] = merged
        if changes:
            rows = [{"row": row_id, **columns_of(self._level, each)} for row_id, each in changes.items()]
            connection.execute(self._update, rows)
            rewrite(connection, extra_keys, changes)
        return before
