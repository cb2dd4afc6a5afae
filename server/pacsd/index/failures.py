"""The database's failures in the archive's words, without statements' values, which are patient data."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

from pacsd.errors import IndexUnavailable

__all__ = ["is_passing", "unavailable"]

_PASSING: Final = frozenset({"40001", "40P01", "23503"})
"""SQLSTATEs that mean "begin again": serialization failure, deadlock, a row above that was just removed."""


def is_passing(error: BaseException | None) -> bool:
    """Whether the driver's error comes of another writer's transaction and may not come again."""
    return getattr(error, "sqlstate", None) in _PASSING


def unavailable(done: str, error: Exception) -> IndexUnavailable:
    """What to raise, from `error`, when the index cannot be `done` ("read" or "written")."""
    # An operational error tells of locks, disks and connections; what others say may quote a value.
    cause = str(error.orig).strip() if isinstance(error, OperationalError) else type(error).__name__
    # Behind all statements there is only the commit. SQLite's log may hold a commit whole that could not be
    # synced, and then believes it when it is opened again.
    in_commit = isinstance(error, DBAPIError) and error.statement is None
    return IndexUnavailable(f"the index cannot be {done}: {cause}", may_be_written=in_commit)
