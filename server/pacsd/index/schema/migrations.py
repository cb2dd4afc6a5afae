"""The schema's version: bring a database up to date, or say that it isn't."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

import pacsd
from pacsd.errors import IndexUnavailable, MigrationNeeded
from pacsd.index.database.engines import database_file, database_url, reading_engine, writing_engine
from pacsd.index.database.failures import unavailable
from pacsd.index.database.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection

__all__ = ["check", "current", "latest", "scripts", "upgrade"]

_LOCK: Final = 0x7061637364
"""PostgreSQL's advisory lock for migrating ("pacsd" in ASCII): two servers that start at once take turns."""

_LOCK_TIMEOUT: Final = 300.0
"""Seconds to wait while another server migrates."""


def scripts() -> Path:
    """The folder of Alembic's scripts: inside an installed package, beside `server/` in a checkout."""
    package = Path(pacsd.__file__).parent
    for folder in (package / "migrations", package.parent.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise MigrationNeeded("this installation of pacsd lacks its migrations/ folder: install it again")


def latest() -> str:
    """The revision that this version of pacsd needs."""
    return str(ScriptDirectory(str(scripts())).get_current_head())


def upgrade(url: str | URL) -> None:
    """Bring the database to the newest revision, each step in a transaction of its own; harmless when it is there.

    Makes the SQLite file and its folder. Two servers that do so at once take turns. Raises IndexUnavailable,
    and MigrationNeeded for a database that a newer pacsd has migrated.
    """
    parsed = database_url(url)
    file = database_file(parsed)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file), _connected(parsed) as connection:
            if file is not None:
                _let_tables_be_made_anew(connection)
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT set_config('lock_timeout', '300s', false)")
                connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
                connection.commit()
            config = Config()
            config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise MigrationNeeded(f"the database cannot be migrated: {error}") from error
    except SQLAlchemyError as error:
        raise unavailable("migrated", error) from error
    except OSError as error:
        raise IndexUnavailable(f"the database's folder cannot be made: {error.strerror}") from error


def current(url: str | URL, *, read_only: bool = False) -> str | None:
    """The revision that the database has; None for one that was never migrated. `read_only` as in `reading_engine`."""
    parsed = database_url(url)
    file = database_file(parsed)
    if file is not None and not file.exists():
        # Connecting would make an empty file.
        return None
    try:
        with _connected(parsed, read_only=read_only) as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise unavailable("read", error) from error


def check(url: str | URL, *, read_only: bool = False) -> None:
    """Return if the database has the newest revision; MigrationNeeded, saying what to do, if not."""
    revision, needed = current(url, read_only=read_only), latest()
    if revision == needed:
        return
    if revision is None:
        raise MigrationNeeded(
            f"the database is empty, this pacsd needs revision {needed}: run `pacsd db upgrade`"
        )
    known = {each.revision for each in ScriptDirectory(str(scripts())).walk_revisions()}
    if revision not in known:
        raise MigrationNeeded(f"the database has revision {revision} of a newer pacsd: update pacsd")
    raise MigrationNeeded(
        f"the database has revision {revision}, this pacsd needs {needed}: run `pacsd db upgrade`"
    )


def _let_tables_be_made_anew(connection: Connection) -> None:
    """SQLite lets no table go that others refer to, unless it is told so before the transaction begins."""
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys = OFF")


@contextmanager
def _connected(url: URL, *, read_only: bool = False) -> Iterator[Connection]:
    engine = reading_engine(url, read_only=True) if read_only else writing_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        # With the connection goes PostgreSQL's advisory lock.
        engine.dispose()


@contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    write_lock = WriteLock(file.with_name(f"{file.name}.migration-lock"), timeout=_LOCK_TIMEOUT)
    try:
        with write_lock.take():
            yield
    finally:
        write_lock.close()
