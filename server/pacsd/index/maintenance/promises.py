"""What the database says of the promises that the archive builds on: what is committed stays, whatever goes down.

Each broken promise is a sentence: what was found, what it may cost, and what to do.
"""

from __future__ import annotations

import re
import select
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pacsd.errors import ConfigurationError
from pacsd.index.database.engines import asking_engine, database_file, database_url, is_behind_pooler
from pacsd.index.database.failures import unavailable
from pacsd.index.schema.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection

__all__ = ["Mount", "broken_promises", "broken_promises_of", "mount_of", "refuse_shared_sessions"]

_TIMEOUT: Final = 10
"""Seconds to wait for a connection, and for an answer."""


def broken_promises(url: str | URL, *, timeout: float = _TIMEOUT) -> list[str]:
    """Ask the database, in a session such as commits have; raises IndexUnavailable where it does not answer.

    `timeout` is in seconds, for the connection.
    """
    engine = asking_engine(database_url(url), timeout)
    try:
        with engine.connect() as connection:
            return broken_promises_of(connection)
    except SQLAlchemyError as error:
        raise unavailable("read", error) from error
    finally:
        engine.dispose()


def broken_promises_of(connection: Connection) -> list[str]:
    """As `broken_promises`, on a connection of `asking_engine`; raises SQLAlchemyError."""
    file = database_file(connection.engine.url)
    if file is None:
        return list(_of_postgresql(connection))
    return [*_of_sqlite(connection), *_of_folder(file)]


# --- PostgreSQL

_SETTINGS: Final = text(
    "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, "
    "current_setting('synchronous_commit') AS synchronous_commit, "
    "current_setting('synchronous_standby_names') AS standbys, "
    "current_setting('client_min_messages') AS messages"
)
_UNLOGGED: Final = text(
    "SELECT relname FROM pg_class WHERE relpersistence = 'u' AND pg_table_is_visible(oid) "
    "AND relname = ANY(:tables) ORDER BY relname"
)


def _of_postgresql(connection: Connection) -> Iterator[str]:
    found = connection.execute(_SETTINGS).one()
    if found.fsync == "off":
        yield (
            "PostgreSQL's fsync is off: a power cut may destroy the index and all that was acknowledged; "
            "set fsync = on in postgresql.conf"
        )
    if found.full_page_writes == "off":
        yield (
            "PostgreSQL's full_page_writes is off: a power cut may leave torn pages in the index; "
            "set full_page_writes = on in postgresql.conf"
        )
    if found.synchronous_commit == "off":
        yield (
            "synchronous_commit is off in our sessions: a crash of PostgreSQL loses what was acknowledged just before; "
            "set it to on for our role and database, in postgresql.conf and in index.url's options"
        )
    elif found.synchronous_commit == "local" and found.standbys:
        yield (
            "synchronous_commit is local in our sessions although there are synchronous standbys: a failover loses "
            "what they have not got yet; set it to on"
        )
    if found.messages in {"error", "fatal", "panic"}:
        yield (
            f"client_min_messages is {found.messages} in our sessions, so PostgreSQL does not warn us of commits "
            "that no standby has; set it to warning"
        )
    unlogged = connection.execute(_UNLOGGED, {"tables": list(metadata.tables)}).scalars().all()
    if unlogged:
        yield (
            f"tables are unlogged and will be empty when PostgreSQL has crashed: {', '.join(unlogged)}; "
            f"run ALTER TABLE ... SET LOGGED"
        )


# --- SQLite

_SYNCHRONOUS: Final = {0: "OFF", 1: "NORMAL"}
"""Of the values that PRAGMA synchronous has, those that lose commits in a power cut, in WAL mode."""

_NETWORK: Final = frozenset(
    {
        "9p", "afs", "ceph", "cifs", "coda", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs",
        "sshfs", "s3fs", "gcsfuse", "rclone", "davfs2", "blobfuse", "blobfuse2", "goofys", "mountpoint-s3",
    }
)  # fmt: skip
"""File systems by the name that the kernel has for them, that of a FUSE without `fuse.`."""


def _of_sqlite(connection: Connection) -> Iterator[str]:
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        yield (
            f"SQLite's journal mode is {mode}, and it cannot be set to WAL; put the index on a local disk "
            "where its -wal and -shm files can be made, and let no other program change the mode"
        )
    synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if synchronous in _SYNCHRONOUS:
        yield (
            f"SQLite's synchronous is {_SYNCHRONOUS[synchronous]} and cannot be set to FULL: a power cut loses what "
            "was acknowledged; use Python's or Debian's SQLite"
        )


def _of_folder(file: Path) -> Iterator[str]:
    mount = mount_of(file.parent.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    if mount is not None and mount.file_system.removeprefix("fuse.") in _NETWORK:
        yield (
            f"the SQLite index lies on a network file system ({mount.file_system}, mounted at {mount.folder}), where "
            "its locks and its shared memory do not hold and it may be destroyed; put it on a local disk, or use "
            "PostgreSQL"
        )


class Mount(NamedTuple):
    """A file system in its place."""

    folder: str
    file_system: str


def mount_of(folder: Path, mountinfo: str) -> Mount | None:
    """What is mounted where a folder is (an absolute path without links), by what proc(5) says of mountinfo."""
    found: Mount | None = None
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        mount = Mount(_unescaped(fields.split(" ")[4]), rest.split(" ")[0])
        # Of several at one place the last lies above the others.
        if folder.is_relative_to(mount.folder) and (found is None or len(mount.folder) >= len(found.folder)):
            found = mount
    return found


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)


# --- PgBouncer

_ROUNDS: Final = 5


def refuse_shared_sessions(url: str | URL) -> None:
    """Raise ConfigurationError where a pooler such as PgBouncer lets clients share PostgreSQL's sessions.

    Our locks, settings and prepared statements belong to a session: another client would get them. A pooler that
    gives each client a session of its own, for as long as it is connected, is let be. Raises IndexUnavailable.
    """
    parsed = database_url(url)
    if database_file(parsed) is not None:
        return
    engine = asking_engine(parsed, _TIMEOUT)
    driver: Any = engine.dialect.loaded_dbapi
    arguments, named = engine.dialect.create_connect_args(parsed)
    named.pop("context", None)
    try:
        with closing(driver.connect(*arguments, **named, connect_timeout=_TIMEOUT)) as first:
            if is_behind_pooler(first):
                with closing(driver.connect(*arguments, **named, connect_timeout=_TIMEOUT)) as second:
                    _compare(first, second)
    except driver.Error as error:
        raise unavailable("read", OperationalError("the connection", None, error)) from error
    finally:
        engine.dispose()


def _compare(first: Any, second: Any) -> None:
    """Have two clients ask in turn who serves them: where sessions are not shared, each has a server of its own."""
    served: tuple[set[bytes], set[bytes]] = (set(), set())
    for _round in range(_ROUNDS):
        for client, servers in zip((first, second), served, strict=True):
            servers.add(_server_of(client))
            if len(servers) > 1 or served[0] & served[1]:
                raise ConfigurationError(
                    "index.url leads to a PgBouncer that pools by transactions or statements: there our locks and "
                    "settings would be another client's; give it `pool_mode = session` for this database, or let "
                    "index.url name PostgreSQL itself"
                )


def _server_of(client: Any) -> bytes:
    """The process that executes a transaction of this client's; ConfigurationError where it gets none in time."""
    connection = client.pgconn
    connection.send_query(b"SELECT pg_backend_pid()")
    connection.flush()
    deadline = time.monotonic() + _TIMEOUT
    found = b""
    while True:
        while connection.is_busy():
            if not select.select([connection.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ConfigurationError(
                    "index.url leads to a PgBouncer that has no second connection to PostgreSQL for us: raise its "
                    "`default_pool_size` to what all processes of pacsd may open, or let index.url name PostgreSQL "
                    "itself"
                )
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            return found
        found = result.get_value(0, 0) or b""
