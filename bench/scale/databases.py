"""Filled databases in a folder: those that are there are taken, others made."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine

from harness.comparison import log
from pacsd.index.schema import migrations
from scale import postgres
from scale.archive import Archive
from scale.filling import fill

DATABASES = ("sqlite", "postgresql")


@contextlib.contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """Yield the folder, or one that is removed afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="bench-index-"))
    try:
        temporary.chmod(0o755)  # postgres is another user
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def filled(database: str, archive: Archive, folder: Path) -> Iterator[str]:
    """Yield the URL of a database that has the archive and the tables of today."""
    if database == "sqlite":
        yield _sqlite(archive, folder)
        return
    with postgres.running(folder / "postgresql") as where:
        yield _on_postgresql(archive, where)


# What is not finished has another name, so that a run that was cut off leaves nothing that looks whole.


def _sqlite(archive: Archive, folder: Path) -> str:
    path = folder / f"index-{archive.studies}.db"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder) as unfinished:
            _fill(f"sqlite:///{unfinished}/index.db", archive)
            Path(unfinished, "index.db").rename(path)
    url = f"sqlite:///{path}"
    migrations.upgrade(url)
    return url


def _on_postgresql(archive: Archive, where: str) -> str:
    name, unfinished = f"index_{archive.studies}", f"unfinished_{archive.studies}"
    maintenance = create_engine(postgres.database_url("postgres", where), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        if name not in connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all():
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {unfinished}")
            connection.exec_driver_sql(f"CREATE DATABASE {unfinished} TEMPLATE template0")
            _fill(postgres.database_url(unfinished, where), archive)
            connection.exec_driver_sql(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    maintenance.dispose()
    url = postgres.database_url(name, where)
    migrations.upgrade(url)
    return url


def _fill(url: str, archive: Archive) -> None:
    start = time.monotonic()
    fill(url, archive)
    log(f"  {archive.studies} studies filled in {time.monotonic() - start:.0f} s")
