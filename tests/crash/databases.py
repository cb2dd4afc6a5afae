"""Both databases for the tests of this folder: an index that can be put back to what it was, while nobody uses it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pacsd.index.schema import migrations
from support.postgres import DURABLE, USER, Postgres, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Index(Protocol):
    """An index, and its backup."""

    url: str

    def back_up(self) -> None:
        """Keep what it says now."""

    def put_back(self) -> None:
        """Have it say that again."""

    def lose(self) -> None:
        """Have it say nothing at all; its schema is there where that is not made by a start."""


class _Sqlite:
    def __init__(self, folder: Path) -> None:
        self._file = folder / "index.db"
        self._backup = folder / "index.backup"
        self.url = f"sqlite:///{self._file}"

    def back_up(self) -> None:
        assert not self._file.with_name("index.db-wal").exists(), "somebody uses the index"
        shutil.copyfile(self._file, self._backup)

    def put_back(self) -> None:
        self.lose()
        shutil.copyfile(self._backup, self._file)

    def lose(self) -> None:
        for file in (self._file, *self._file.parent.glob("index.db-*")):
            file.unlink()


class _Postgres:
    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._backup = f"{server.folder / 'backup.sql'}"
        self._where = ("-h", f"{server.folder}", "-U", USER, "-f", self._backup, "postgres")
        self.url = server.url
        migrations.upgrade(self.url)

    def back_up(self) -> None:
        self._server.run("pg_dump", *self._where)

    def put_back(self) -> None:
        self._empty()
        self._server.run("psql", "-q", "-v", "ON_ERROR_STOP=1", *self._where)

    def lose(self) -> None:
        self._empty()
        migrations.upgrade(self.url)

    def _empty(self) -> None:
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()


@contextmanager
def empty_index(database: str, folder: Path) -> Iterator[Index]:
    """One of `extent.DATABASES`; that of SQLite is the one which a server in the folder has by itself."""
    if database == "sqlite":
        yield _Sqlite(folder)
        return
    with postgres_server(DURABLE) as running:
        yield _Postgres(running)
