"""The database's failures in the archive's words, without statements' values, which are patient data."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

from pacsd.errors import IndexUnavailable

__all__ = ["is_passing", "unavailable", "unreachable"]

_PASSING: Final = frozenset({"40001", "40P01", "23503"})
"""SQLSTATEs that mean "begin again": serialization failure, deadlock, a row above that was just removed."""

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_passing(error: BaseException | None) -> bool:
    """Whether the driver's error comes of another writer's transaction and may not come again."""
    return getattr(error, "sqlstate", None) in _PASSING


def unavailable(done: str, error: Exception) -> IndexUnavailable:
    """What to raise, from `error`, when the index cannot be `done` ("read" or "written")."""
    # Behind all statements there is only the commit. SQLite's log may hold a commit whole that could not be
    # synced, and then believes it when it is opened again.
    in_commit = isinstance(error, DBAPIError) and error.statement is None
    return IndexUnavailable(f"the index cannot be {done}: {_cause(error)}", may_be_written=in_commit)


def unreachable(error: Exception) -> IndexUnavailable:
    """What to raise, from the driver's `error`, when a transaction that writes finds no connection to begin with."""
    told = OperationalError("the connection", None, error)
    return IndexUnavailable(f"the index cannot be written: {_cause(told)}", was_reached=False)


def _cause(error: Exception) -> str:
    original = error.orig if isinstance(error, DBAPIError) else None
    if getattr(original, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return (
            "its SQLite file is damaged; put a backup in its place, or move it and what has its name with -wal and "
            "-shm behind away, and run `pacsd adopt index`: the next start then makes a new index from all stored files"
        )
    if isinstance(error, OperationalError) and getattr(original, "sqlstate", "") is None:
        # PostgreSQL itself has said nothing: the connection is not there, or was lost.
        advice = "is PostgreSQL running and reachable, and are index.url and its password right?"
        return f"{str(original).strip()}; {advice}"
    # An operational error tells of locks, disks and connections; what others say may quote a value.
    return str(original).strip() if isinstance(error, OperationalError) else type(error).__name__
