"""Databases for the index's tests: every test that takes `database_url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url

from pacsd.index.repository import Index
from pacsd.index.schema import migrations
from pacsd.index.schema.tables import metadata
from pacsd.model import DuplicatePolicy
from support.postgres import postgres_server

if TYPE_CHECKING:
    from pathlib import Path

OpenIndex = Callable[..., Index]
CreateDatabase = Callable[[str], str]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a running PostgreSQL server."""
    with postgres_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> str:
    """The URL of a migrated database that all tests share; each finds it empty."""
    url = _create_database(postgres, "shared")
    migrations.upgrade(url)
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("index") / "index.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


_numbers = count(1)


def _create_database(server: str, name: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def create_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> CreateDatabase:
    """Gives the URL of a database of its own that was never migrated, by the dialect's name."""

    def create(dialect: str) -> str:
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('database')}/folder/index.db"
        return _create_database(request.getfixturevalue("postgres"), f"empty_{next(_numbers)}")

    return create


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, create_database: CreateDatabase) -> str:
    """The URL of a database that was never migrated."""
    return create_database(request.param)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Makes migrated databases without rows, for what a module's tests share, and gives their URLs."""

    def create() -> str:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('module')}/index.db"
        else:
            url = _create_database(request.getfixturevalue("postgres"), f"module_{next(_numbers)}")
        migrations.upgrade(url)
        return url

    return create


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database without rows."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "index.db")
        return f"sqlite:///{tmp_path}/index.db"
    url: str = request.getfixturevalue("migrated_postgres")
    engine = create_engine(url)
    with engine.begin() as connection:
        # Quicker than TRUNCATE for the few rows of a test.
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return url


@pytest.fixture
def open_index(database_url: str) -> Iterator[OpenIndex]:
    """Opens the test's database, with any duplicates policy; closes it at the end."""
    opened: list[Index] = []

    def open_one(duplicates: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST, **options: object) -> Index:
        opened.append(Index(database_url, duplicates=duplicates, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for each in opened:
        each.dispose()


@pytest.fixture
def index(open_index: OpenIndex) -> Index:
    """An empty index that keeps the first of two different objects under one UID."""
    return open_index()
