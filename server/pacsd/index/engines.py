"""Connections to the database: SQLite made durable and explicit about transactions, PostgreSQL as it comes.

Readers and writers have pools of their own, so that slow C-FIND clients, who keep a cursor open, never make a
C-STORE wait for a connection.
"""

from __future__ import annotations

import select
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from pacsd.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["BEGIN_TO_WRITE", "database_file", "database_url", "reading_engine", "writing_engine"]

_BUSY_TIMEOUT: Final = 10.0
"""Seconds that SQLite itself waits for a lock, where a foreign program (a backup, a shell) holds one."""

BEGIN_TO_WRITE: Final = {"sqlite": "BEGIN IMMEDIATE"}
"""By the dialect's name, how a transaction that writes begins where the driver doesn't say so by itself."""

_COMMON: Final[dict[str, Any]] = {
    # A statement's parameters are patient data and must not appear in an exception's text.
    "hide_parameters": True,
    "pool_timeout": 30,
}

_POSTGRESQL: Final[dict[str, Any]] = {
    "application_name": "pacsd",
    "connect_timeout": 10,
    # A server that vanished is noticed, and a lock that nobody gives back ends in an error: both in half a
    # minute.
    "keepalives_idle": 15,
    "tcp_user_timeout": 30_000,
}
"""libpq's parameters, where the URL does not say otherwise."""

_SESSION: Final = (
    "lock_timeout=30s",
    # Matches are streamed from a cursor, and all of them are wanted. By default the planner is after the first tenth:
    # then it reads the whole table in the order of the answer rather than to sort the few rows that an index finds.
    "cursor_tuple_fraction=1",
)
"""PostgreSQL's settings for a connection, which `options` in the URL may change."""


def database_url(url: str | URL) -> URL:
    """A configured URL, checked: SQLite in a file or PostgreSQL through psycopg; else ConfigurationError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "index.url is no database URL; write sqlite:///data/index.db or postgresql+psycopg://user@host/name"
        ) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise ConfigurationError(f"index.url names {parsed.drivername}; use sqlite or postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "index.url names no file; several processes need one: sqlite:///data/index.db"
        )
    return parsed


def database_file(url: URL) -> Path | None:
    """The file of an SQLite database, None for others."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def reading_engine(url: URL) -> Engine:
    """An engine for queries, with room for many that stream at once; to be created after the fork."""
    engine = create_engine(url, pool_size=8, max_overflow=120, **_options(url))
    return _replace_ended(engine) if _is_remote(url) else _begin_explicitly(engine, "BEGIN")


def writing_engine(url: URL) -> Engine:
    """An engine for transactions that write; on SQLite they hold the write lock from their beginning."""
    # Without a ping before each use: a commit begins again by itself when its connection turns out to be lost.
    engine = create_engine(url, pool_size=1, max_overflow=7, **_options(url))
    return _begin_explicitly(engine, BEGIN_TO_WRITE["sqlite"]) if not _is_remote(url) else engine


def _is_remote(url: URL) -> bool:
    return url.get_backend_name() != "sqlite"


def _options(url: URL) -> dict[str, Any]:
    if _is_remote(url):
        own = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
        # libpq takes the last of several values.
        options = " ".join(
            (*(f"-c {setting}" for setting in _SESSION), *_as_texts(url.query.get("options", ())))
        )
        return {**_COMMON, "connect_args": {**own, "options": options}}
    return {**_COMMON, "connect_args": {"timeout": _BUSY_TIMEOUT, "check_same_thread": False}}


def _as_texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _replace_ended(engine: Engine) -> Engine:
    """Let no idle connection be used that the server has ended, as it does when it is restarted.

    Without the round trip of a ping, which takes as long as many a query: what an idle connection has to read is its
    end, or else news that a new one has as well.
    """

    @event.listens_for(engine, "checkout")
    def check(connection: Any, _entry: ConnectionPoolEntry, _taken: PoolProxiedConnection) -> None:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):
            raise DisconnectionError("the server has ended it")

    return engine


def _begin_explicitly(engine: Engine, begin: str) -> Engine:
    """Let SQLAlchemy and not the sqlite3 module say when a transaction begins (it would begin too late)."""

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
