"""Connections to the database: SQLite made durable and explicit about transactions, PostgreSQL's leader of several.

Readers and writers have pools of their own, so that many queries never make a C-STORE wait for a connection. What a
C-STORE reads it reads by the readers' pool, of which queries leave some connections (`streams.QueryPlaces`).
"""

from __future__ import annotations

import re
import select
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import NullPool

from pacsd.errors import ConfigurationError
from pacsd.index.database.failures import is_without_leader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = [
    "BEGIN_TO_WRITE",
    "COMMIT_WARNINGS",
    "SQLITE_PRAGMAS",
    "CommitWarnings",
    "Connections",
    "asking_engine",
    "database_file",
    "database_place",
    "database_url",
    "ends_connection",
    "is_behind_pooler",
    "reading_engine",
    "wal_bytes",
    "writing_engine",
]

COMMIT_WARNINGS: Final = "commit-warnings"
"""Where in a pooled connection's `info` its `CommitWarnings` are, if its database gives warnings."""

_BUSY_TIMEOUT: Final = 10.0
"""Seconds that SQLite itself waits for a lock, where a foreign program (a backup, a shell) holds one."""

BEGIN_TO_WRITE: Final = {"sqlite": "BEGIN IMMEDIATE"}
"""By the dialect's name, how a transaction that writes begins where the driver doesn't say so by itself."""

_SEVERAL: Final[dict[str, Any]] = {"connect_timeout": 4}
"""Instead, where there is another host to turn to."""

SQLITE_PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")

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
    # Warnings tell us of commits that did not reach the standby.
    "client_min_messages=warning",
    # Matches are streamed from a cursor, and all of them are wanted. By default the planner is after the first tenth:
    # then it reads the whole table in the order of the answer rather than to sort the few rows that an index finds.
    "cursor_tuple_fraction=1",
)
"""PostgreSQL's settings for a connection, which `options` in the URL may change."""


def database_url(url: str | URL) -> URL:
    """A configured URL, checked: SQLite in a file or PostgreSQL through psycopg; else ConfigurationError.

    Of several hosts it leads to the one that takes writes.
    """
    try:
        parsed = make_url(_with_several_hosts(url) if isinstance(url, str) else url)
    except (ArgumentError, ValueError) as error:
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
    return _to_the_leader(parsed) if _is_remote(parsed) else parsed


_SEVERAL_HOSTS: Final = re.compile(
    r"(?P<begin>postgresql[+\w]*://(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?@]*,[^/?@]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_HOST: Final = re.compile(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>\d*))?")


def _with_several_hosts(url: str) -> str:
    """Put several hosts that stand where libpq has them into the URL's query, where SQLAlchemy does."""
    found = _SEVERAL_HOSTS.fullmatch(url)
    if found is None:
        return url
    query = "&".join(part for part in (found["query"], f"host={found['hosts']}") if part)
    return f"{found['begin']}/{found['database'] or ''}?{query}"


def _to_the_leader(url: URL) -> URL:
    """Where several hosts are given, connect to the one that takes writes: to no other, whatever the URL says.

    Readers too: a standby may not have yet what was stored a moment ago.
    """
    given = [each for text in _as_texts(url.query.get("host", ())) for each in text.split(",")]
    if len(given) < 2:
        return url
    hosts, ports = zip(*map(_host_and_port, given), strict=True)
    changed = {"host": ",".join(hosts), "target_session_attrs": "read-write"}
    if any(ports):
        changed["port"] = ",".join(ports)
    return url.update_query_dict(changed)


def _host_and_port(given: str) -> tuple[str, str]:
    found = _HOST.fullmatch(given)
    # What looks otherwise is an IPv6 address; the folder of a socket has no port behind it.
    return (found["host"].strip("[]"), found["port"] or "") if found is not None else (given, "")


def database_file(url: URL) -> Path | None:
    """The file of an SQLite database, None for others."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def database_place(url: str | URL) -> str:
    """Where the database is, for messages: SQLite's file by its absolute path, else the URL without a password."""
    parsed = database_url(url)
    file = database_file(parsed)
    if file is not None:
        return str(file.absolute())
    # libpq takes passwords in the query, too.
    secrets = [name for name in parsed.query if "password" in name]
    return parsed.difference_update_query(secrets).render_as_string(hide_password=True)


def wal_bytes(url: str | URL) -> int:
    """The length of an SQLite database's write-ahead log; 0 where there is none."""
    file = database_file(database_url(url))
    if file is None:
        return 0
    try:
        return file.with_name(f"{file.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


@dataclass(frozen=True)
class Connections:
    """How many connections to PostgreSQL a process may have open at once."""

    writing: int = 8
    reading: int = 128


def reading_engine(url: URL, most: int = Connections.reading, *, read_only: bool = False) -> Engine:
    """An engine for queries, with room for many that stream at once; to be created after the fork.

    With `read_only` an SQLite database on a disk that takes nothing can be read.
    """
    if read_only and not _is_remote(url):
        return _reading_without_writing(url)
    idle = min(8, most)
    engine = create_engine(url, pool_size=idle, max_overflow=most - idle, **_options(url))
    return _replace_ended(_begin_sessions(engine)) if _is_remote(url) else _begin_explicitly(engine, "BEGIN")


def _reading_without_writing(url: URL) -> Engine:
    """To read a database in WAL mode SQLite writes two files beside it, unless it is told that nothing ever changes.

    That it is told only where those files cannot be made: then nobody else can write to the database either.
    """
    file = database_file(url)

    def connect() -> sqlite3.Connection:
        if file is None:
            raise ValueError("not SQLite")
        uri = f"file:{quote(str(file.absolute()))}?"
        connection = _open_to_read(f"{uri}mode=ro")
        try:
            connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
        except sqlite3.OperationalError:
            connection.close()
            if wal_bytes(url):
                raise  # what a killed server left in the log would be missing
            connection = _open_to_read(f"{uri}immutable=1")
        return connection

    return create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)


def _open_to_read(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )


def writing_engine(url: URL, most: int = Connections.writing) -> Engine:
    """An engine for transactions that write; on SQLite they hold the write lock from their beginning."""
    # Without a ping before each use: a commit begins again by itself when its connection turns out to be lost.
    engine = create_engine(url, pool_size=1, max_overflow=most - 1, **_options(url))
    return _begin_sessions(engine) if _is_remote(url) else _begin_explicitly(engine, BEGIN_TO_WRITE["sqlite"])


def asking_engine(url: URL, timeout: float) -> Engine:
    """An engine for a question now and then: as `writing_engine`, but it keeps no connection, nor waits long for one.

    `timeout` is in whole seconds.
    """
    options = _options(url)
    options["connect_args"]["connect_timeout" if _is_remote(url) else "timeout"] = timeout
    del options["pool_timeout"]
    engine = create_engine(url, poolclass=NullPool, **options)
    return _begin_sessions(engine) if _is_remote(url) else _begin_explicitly(engine, "BEGIN")


def _is_remote(url: URL) -> bool:
    return url.get_backend_name() != "sqlite"


def _options(url: URL) -> dict[str, Any]:
    if _is_remote(url):
        wanted = {**_POSTGRESQL, **(_SEVERAL if "," in url.query.get("host", "") else {})}
        own = {name: value for name, value in wanted.items() if name not in url.query}
        return {**_COMMON, "connect_args": {**own, "options": _session(url)}}
    return {**_COMMON, "connect_args": {"timeout": _BUSY_TIMEOUT, "check_same_thread": False}}


def _session(url: URL) -> str:
    """Libpq's `options`, which takes the last of several values."""
    return " ".join((*(f"-c {setting}" for setting in _SESSION), *_as_texts(url.query.get("options", ()))))


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


class CommitWarnings:
    """A connection's notice handler: it remembers whether PostgreSQL has warned."""

    def __init__(self) -> None:
        self.have_come = False

    def __call__(self, diagnostic: Any) -> None:
        """Take what PostgreSQL tells beside its answers."""
        # By its severity, not by SQLSTATE (01000) or text: no commit that succeeds whole warns of anything.
        if diagnostic.severity_nonlocalized == "WARNING":
            self.have_come = True


def _begin_sessions(engine: Engine) -> Engine:
    """Have new connections listen for warnings; and mind that a PgBouncer may stand between us and PostgreSQL."""
    options = _settings_of(engine.url)
    is_pooled: bool | None = None

    @event.listens_for(engine, "connect")
    def begin(connection: Any, entry: ConnectionPoolEntry) -> None:
        nonlocal is_pooled
        warnings = CommitWarnings()
        connection.add_notice_handler(warnings)
        entry.info[COMMIT_WARNINGS] = warnings
        if is_pooled is None:
            is_pooled = is_behind_pooler(connection)
        if is_pooled:
            # It prepares for one client and lets another execute; and it drops `options` as we begin.
            connection.prepare_threshold = None
            with _autocommit(connection):
                for name, value in options:
                    connection.execute("SELECT set_config(%s, %s, false)", (name, value))

    @event.listens_for(engine, "handle_error")
    def note_end(context: ExceptionContext) -> None:
        # Not all of them have been noticed by the connection itself yet.
        if is_without_leader(context.original_exception):
            context.is_disconnect = True

    return engine


def ends_connection(engine: Engine, error: Any, connection: Any) -> bool:
    """Whether a connection of the driver's is of no use any more after one of its errors."""
    return is_without_leader(error) or engine.dialect.is_disconnect(error, connection, None)


def is_behind_pooler(connection: Any) -> bool:
    """Whether psycopg's connection leads to a pooler such as PgBouncer: it names another process than serves us."""
    with _autocommit(connection):
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(row[0] != connection.info.backend_pid)


@contextmanager
def _autocommit(connection: Any) -> Iterator[None]:
    connection.autocommit = True
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = False


_SETTING: Final = re.compile(r"(?:-c\s*|--)([\w.]+)=((?:\\.|\S)*)")


def _settings_of(url: URL) -> list[tuple[str, str]]:
    """The session's settings by name and value."""
    found = _SETTING.findall(_session(url))
    return [(name, re.sub(r"\\(.)", r"\1", value)) for name, value in found]


def _begin_explicitly(engine: Engine, begin: str) -> Engine:
    """Let SQLAlchemy and not the sqlite3 module say when a transaction begins (it would begin too late)."""

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in SQLITE_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
