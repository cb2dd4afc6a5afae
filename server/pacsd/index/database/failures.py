"""The database's failures in the archive's words, without statements' values, which are patient data."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

from pacsd.errors import IndexUnavailable

__all__ = [
    "OvertakenError",
    "UnconfirmedError",
    "is_passing",
    "is_temporary",
    "is_without_leader",
    "refuses_commit",
    "unavailable",
]

_PASSING: Final = frozenset({"40001", "40P01", "23503"})
"""SQLSTATEs that mean "begin again": serialization failure, deadlock, a row above that was just removed."""

_WITHOUT_LEADER: Final = ("25006", "57P", "08")
"""How SQLSTATEs begin that tell of a server that is not, or no more, the one that takes our writes.

25006: read only, as a leader is that has become a standby. 57P: it shuts down, crashed or is starting.
08: the connection.
"""
_TEMPORARY: Final = frozenset({"53300", "55P03", "57014"})
"""Too many connections, a lock that was not had in time, a statement that somebody cancelled."""

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class OvertakenError(Exception):
    """Another process committed what this transaction was about to insert; it must begin again."""


class UnconfirmedError(Exception):
    """PostgreSQL has committed, but on the leader alone: the wait for its synchronous standby was broken off."""

    def __init__(self) -> None:
        super().__init__(
            "no standby has confirmed it, as the wait for one was cancelled; are PostgreSQL's standbys running?"
        )


def is_passing(error: BaseException | None) -> bool:
    """Whether the driver's error comes of another writer's transaction and may not come again."""
    return _sqlstate(error) in _PASSING


def is_without_leader(error: BaseException) -> bool:
    """Whether a connection was lost, or there is none to a PostgreSQL that takes writes."""
    return _is_from_connection(error) or (_sqlstate(_original(error)) or "").startswith(_WITHOUT_LEADER)


def is_temporary(error: BaseException) -> bool:
    """Whether the same is worth another attempt after a pause; what SQLite reports never is."""
    return is_without_leader(error) or _sqlstate(_original(error)) in _TEMPORARY


def refuses_commit(error: BaseException) -> bool:
    """Whether an error that came of a COMMIT says for sure that nothing was committed.

    Only conflicts and broken constraints do. Others may come after the commit itself, such as the end of the session.
    """
    original = _original(error)
    if isinstance(original, sqlite3.IntegrityError):
        return True
    sqlstate = _sqlstate(original) or ""
    return sqlstate in _PASSING or sqlstate.startswith("23")


def unavailable(
    done: str, error: BaseException, *, may_be_written: bool = False, was_reached: bool = True
) -> IndexUnavailable:
    """What to raise, from `error`, when the index cannot be `done` ("read" or "written")."""
    message = f"the index cannot be {done}: {_cause(error)}"
    return IndexUnavailable(message, may_be_written=may_be_written, was_reached=was_reached)


def _original(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _sqlstate(error: BaseException | None) -> str | None:
    """None also where the driver says so: then PostgreSQL itself has said nothing."""
    sqlstate: str | None = getattr(error, "sqlstate", None)
    return sqlstate


def _is_from_connection(error: BaseException) -> bool:
    """Whether PostgreSQL itself has said nothing: the connection is not there, or was lost."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", "") is None


def _cause(error: BaseException) -> str:
    original = _original(error)
    if getattr(original, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return (
            "its SQLite file is damaged; put a backup in its place, or move it and what has its name with -wal and "
            "-shm behind away, and run `pacsd adopt index`: the next start then makes a new index from all stored files"
        )
    advice = _advice(str(original), is_from_connection=_is_from_connection(error))
    if advice is not None:
        return f"{str(original).strip()}; {advice}"
    # An operational error tells of locks, disks and connections; what others say may quote a value.
    if isinstance(error, OperationalError | UnconfirmedError) or is_without_leader(error):
        return str(original).strip()
    return type(error).__name__


def _advice(told: str, *, is_from_connection: bool) -> str | None:
    if "unsupported startup parameter" in told or "statement pooling mode" in told:
        return (
            "give PgBouncer `ignore_startup_parameters = options` and `pool_mode = session`, or let index.url name "
            "PostgreSQL itself"
        )
    if not is_from_connection:
        return None
    if "session is read-only" in told:
        return "none of the hosts in index.url takes writes: has the cluster a leader?"
    return "is PostgreSQL running and reachable, and are index.url and its password right?"
