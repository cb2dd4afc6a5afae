"""What a database says of what it keeps: each broken promise is told, with what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from pacsd.errors import ConfigurationError, IndexUnavailable
from pacsd.index.database import engines
from pacsd.index.database.engines import Connections, database_url
from pacsd.index.maintenance import promises
from pacsd.index.maintenance.capacity import Capacity, capacity, connections_of_each
from pacsd.index.maintenance.promises import Mount, broken_promises, mount_of, refuse_shared_sessions
from pacsd.index.schema import migrations
from support.postgres import DURABLE, Postgres, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    with postgres_server(DURABLE) as running:
        migrations.upgrade(running.url)
        yield running


@contextmanager
def altered(server: Postgres, statement: str, undo: str) -> Iterator[None]:
    """Have an administrator execute a statement, and another one afterwards."""
    engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.exec_driver_sql(undo)
            connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()


def test_a_durable_server_keeps_its_promises(durable: Postgres) -> None:
    assert broken_promises(durable.url) == []
    refuse_shared_sessions(durable.url)


@pytest.mark.parametrize(
    ("statement", "undo", "told"),
    [
        ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync", "fsync is off"),
        (
            "ALTER SYSTEM SET full_page_writes = off",
            "ALTER SYSTEM RESET full_page_writes",
            "full_page_writes is off",
        ),
        (
            "ALTER ROLE postgres SET synchronous_commit = off",
            "ALTER ROLE postgres RESET synchronous_commit",
            "synchronous_commit is off in our sessions",
        ),
        (
            "ALTER DATABASE postgres SET synchronous_commit = off",
            "ALTER DATABASE postgres RESET synchronous_commit",
            "synchronous_commit is off in our sessions",
        ),
        (
            "ALTER TABLE instances SET UNLOGGED",
            "ALTER TABLE instances SET LOGGED",
            "tables are unlogged and will be empty when PostgreSQL has crashed: instances",
        ),
    ],
)
def test_what_an_administrator_has_turned_off(
    durable: Postgres, statement: str, undo: str, told: str
) -> None:
    with altered(durable, statement, undo):
        # A server takes up its configuration in its own time.
        found: list[str] = []
        for _ in range(100):
            found = broken_promises(durable.url)
            if found:
                break
        (sentence,) = found
    assert told in sentence


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("synchronous_commit=off", "synchronous_commit is off"),
        ("client_min_messages=error", "does not warn us"),
    ],
)
def test_what_the_url_turns_off(durable: Postgres, option: str, told: str) -> None:
    (sentence,) = broken_promises(f"{durable.url}&options=-c%20{option.replace('=', '%3D')}")
    assert told in sentence


def test_local_commits_beside_standbys(durable: Postgres) -> None:
    url = f"{durable.url}&options=-c%20synchronous_commit%3Dlocal"
    assert broken_promises(url) == []
    names = "ALTER SYSTEM SET synchronous_standby_names = 'none_there'"
    with altered(durable, names, "ALTER SYSTEM RESET synchronous_standby_names"):
        for _ in range(100):
            if found := broken_promises(url):
                break
    assert "although there are synchronous standbys" in found[0]


def test_a_server_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://nobody@/none?host={tmp_path}"
    for ask in (broken_promises, refuse_shared_sessions):
        with pytest.raises(IndexUnavailable, match="is PostgreSQL running"):
            ask(url)
    assert connections_of_each(url, 4) == Connections(writing=2, reading=6)


def test_sqlite_keeps_its_promises(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/index.db"
    migrations.upgrade(url)
    assert broken_promises(url) == []
    assert capacity(url, 4) is None
    assert connections_of_each(url, 4) == Connections()


def test_sqlite_whose_journal_cannot_be_wal(tmp_path: Path) -> None:
    """Another program has its file open in another mode and will not let go."""
    file = tmp_path / "index.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE one (column)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexUnavailable, match="database is locked"):
            broken_promises(f"sqlite:///{file}", timeout=1)
    url = f"sqlite:///file:{file}?vfs=unix-none&uri=true"
    (sentence,) = broken_promises(url)
    assert "journal mode is delete" in sentence


def test_sqlite_that_does_not_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SQLITE_PRAGMAS", ("journal_mode = WAL", "synchronous = NORMAL"))
    (sentence,) = broken_promises(f"sqlite:///{tmp_path}/index.db")
    assert "synchronous is NORMAL" in sentence


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /srv/pacs rw,relatime shared:9 - nfs4 server:/pacs rw,vers=4.2
31 30 0:26 / /srv/pacs/fast rw - xfs /dev/vdb rw
32 22 0:27 / /mnt/two\\040words rw - fuse.sshfs user@host: rw
33 22 0:28 / /over rw - cifs //host/share rw
34 22 0:29 / /over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/var/lib/pacsd", Mount("/", "ext4")),
        ("/srv/pacs/data", Mount("/srv/pacs", "nfs4")),
        ("/srv/pacs", Mount("/srv/pacs", "nfs4")),
        ("/srv/pacsd", Mount("/", "ext4")),
        ("/srv/pacs/fast/index", Mount("/srv/pacs/fast", "xfs")),
        ("/mnt/two words/a", Mount("/mnt/two words", "fuse.sshfs")),
        ("/over/a", Mount("/over", "tmpfs")),
    ],
)
def test_which_file_system_a_folder_is_on(folder: str, mount: Mount) -> None:
    assert mount_of(Path(folder), MOUNTS) == mount


@pytest.mark.parametrize("file_system", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_sqlite_on_a_network_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_system: str
) -> None:
    monkeypatch.setattr(promises, "mount_of", lambda *_: Mount("/srv", file_system))
    (sentence,) = broken_promises(f"sqlite:///{tmp_path}/index.db")
    assert f"network file system ({file_system}, mounted at /srv)" in sentence


# How many connections there are room for.


def test_room_is_what_the_server_the_role_and_the_database_leave(durable: Postgres) -> None:
    assert capacity(durable.url, 2) == Capacity(57, 2)
    assert connections_of_each(durable.url, 2) == Connections(writing=6, reading=18)
    with altered(
        durable, "ALTER ROLE postgres CONNECTION LIMIT 30", "ALTER ROLE postgres CONNECTION LIMIT -1"
    ):
        assert capacity(durable.url, 2) == Capacity(30, 2)


@pytest.mark.parametrize(
    ("room", "workers", "each", "is_tight"),
    [
        (997, 4, Connections(8, 128), False),
        (97, 2, Connections(8, 36), False),
        (97, 4, Connections(5, 17), False),
        (97, 8, Connections(2, 9), True),
        (97, 40, Connections(1, 1), True),
        (10, 1, Connections(1, 1), True),
    ],
)
def test_all_processes_together_fit(room: int, workers: int, each: Connections, is_tight: bool) -> None:
    found = Capacity(room, workers)
    assert found.of_each == each
    assert workers * (each.reading + each.writing) <= room
    assert found.is_tight is is_tight


def test_no_room_for_one_that_writes_and_one_that_reads() -> None:
    with pytest.raises(ConfigurationError, match=r"room for 97 connections of ours and 50 workers need 108"):
        _ = Capacity(97, 50).of_each


# URLs of several hosts.


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql+psycopg://u:p@a,b/db", "a,b", ""),
        ("postgresql://u:p@a:1,b:2/db", "a,b", "1,2"),
        ("postgresql+psycopg://a:1,b/db?sslmode=require", "a,b", "1"),
        ("postgresql+psycopg://u@[::1]:1,[::2]:2/db", "::1,::2", "1,2"),
        ("postgresql+psycopg://u@/db?host=a,b&port=1,2", "a,b", "1,2"),
        ("postgresql+psycopg://u@/db?host=a:1,b:2", "a,b", "1,2"),
        ("postgresql+psycopg://u@/db?host=a:1&host=b:2", "a,b", "1,2"),
        ("postgresql+psycopg://u@/db?host=/run/a,/run/b", "/run/a,/run/b", ""),
        ("postgresql+psycopg://u@/db?host=a,b&target_session_attrs=any", "a,b", ""),
    ],
)
def test_of_several_hosts_the_leader_is_wanted(url: str, host: str, port: str) -> None:
    engine = engines.writing_engine(database_url(url))
    _, named = engine.dialect.create_connect_args(engine.url)
    assert (named["host"], named["target_session_attrs"]) == (host, "read-write")
    assert named.get("port", "").rstrip(",") == port
    assert named["dbname"] == "db"
    assert database_url(engine.url) == engine.url


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://u:p%40,x@a:1/db", "postgresql+psycopg://u:a,b@a:1/db?x=1,2"]
)
def test_one_host_stays_as_it_is(url: str) -> None:
    parsed = database_url(url)
    assert (parsed.host, parsed.port) == ("a", 1)
    assert "target_session_attrs" not in parsed.query


def test_several_hosts_of_which_one_is_there(durable: Postgres, tmp_path: Path) -> None:
    url = f"postgresql+psycopg://postgres@/postgres?host={tmp_path},{durable.folder}"
    migrations.check(url)
    migrations.upgrade(url)
    assert broken_promises(url) == []
    engine = engines.reading_engine(database_url(url))
    with closing(engine.raw_connection()) as connection:
        assert connection.dbapi_connection.info.host == str(durable.folder)  # type: ignore[union-attr]
    engine.dispose()


@pytest.mark.parametrize("url", ["postgresql://u:secret@a/db", "postgresql://u@a/db?password=secret"])
def test_where_a_database_is_is_said_without_its_password(url: str) -> None:
    assert "secret" not in engines.database_place(url)
    assert "@a/db" in engines.database_place(url)
