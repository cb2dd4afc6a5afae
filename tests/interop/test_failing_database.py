"""A database that is locked, gone or damaged: refused with 0xA700, and taken up again when it is back."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from interop.test_failing_disk import assert_kept_exactly, instance, store
from pacsd.index.schema import migrations
from support import scu
from support.deadline import wait_until
from support.postgres import DURABLE, Postgres, postgres_server
from support.server import PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

OUT_OF_RESOURCES = 0xA700

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
PEERS = [Peer(ae_title=scu.CALLING_AE_TITLE, port=104)]


@contextmanager
def serving(folder: Path, **settings: dict[str, object]) -> Iterator[PacsdServer]:
    """A server with one worker."""
    server = PacsdServer(folder, peers=PEERS, settings={"server": {"workers": 1}, **settings})
    server.start()
    try:
        yield server
    finally:
        if server.is_running:
            server.stop()


def assert_refused(server: PacsdServer, number: int) -> None:
    """Out of resources, with the reason, and nothing is left."""
    before = server.kept_files()
    refusal = store(server, instance(number))
    assert refusal.status == OUT_OF_RESOURCES
    assert refusal.error_comment
    assert server.kept_files() == before


def test_a_locked_database_refuses_after_a_while(tmp_path: Path) -> None:
    """Another program, such as a backup, holds the lock longer than we wait."""
    with serving(tmp_path) as server:
        assert store(server, instance(1)).status == 0x0000
        with closing(sqlite3.connect(server.index_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert_refused(server, 2)
            other.execute("ROLLBACK")
        assert store(server, instance(2)).status == 0x0000
        assert_kept_exactly(server, [instance(1), instance(2)])


def test_a_lost_database_is_built_again_from_the_files(tmp_path: Path) -> None:
    """Removed while the server is stopped: the start says what to do, and then the files say what there is."""
    with serving(tmp_path) as server:
        for number in (1, 2):
            assert store(server, instance(number)).status == 0x0000
        server.stop()
        server.index_path.unlink()
        with pytest.raises(AssertionError, match="run `pacsd adopt index`"):
            server.start()
        assert server.run("adopt", "index").returncode == 0
        server.start()
        assert_kept_exactly(server, [instance(1), instance(2)])


def test_a_damaged_database_is_not_served(tmp_path: Path) -> None:
    """The server says so and ends, instead of starting an archive that seems to be empty; its advice is good."""
    with serving(tmp_path) as server:
        assert store(server, instance(1)).status == 0x0000
        server.stop()
        server.index_path.write_bytes(b"no database" * 1000)
        mark = server.log_size()
        with pytest.raises(AssertionError, match="the server ended with 1"):
            server.start()
        told = server.log_path.read_bytes()[mark:].decode()
        assert "the index cannot be migrated: its SQLite file is damaged; put a backup in its place" in told
        assert len(server.kept_files()) == 1
        for file in server.index_path.parent.glob("index.db*"):
            file.rename(file.with_name(f"damaged-{file.name}"))
        assert server.run("adopt", "index").returncode == 0
        server.start()
        assert_kept_exactly(server, [instance(1)])


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with postgres_server(DURABLE) as running:
        migrations.upgrade(running.url)
        yield running


def test_a_database_server_that_is_gone_is_taken_up_again(tmp_path: Path, postgres: Postgres) -> None:
    """All connections of the pools were made before it went."""
    with serving(tmp_path, index={"url": postgres.url, "commit_timeout": 1.5}) as server:
        assert store(server, instance(1)).status == 0x0000
        assert_kept_exactly(server, [instance(1)])
        postgres.stop()
        try:
            # No commit is sent, so no row can come back: a device may try for days.
            for number in (2, 3, 2, 3):
                assert_refused(server, number)
            with scu.association(server, [(scu.VERIFICATION, [IMPLICIT_LITTLE_ENDIAN])]) as peer:
                assert peer.send_c_echo().Status == 0x0000
            wait_until(lambda: server.get("/readyz").status == 503, within=15, what="the server is not ready")
        finally:
            postgres.start()
        wait_until(lambda: server.get("/readyz").status == 200, within=30, what="the server is ready again")
        assert store(server, instance(2)).status == 0x0000
        assert store(server, instance(3)).status == 0x0000
        assert_kept_exactly(server, [instance(number) for number in (1, 2, 3)])


def test_a_database_server_that_comes_back_in_time_refuses_nothing(
    tmp_path: Path, postgres: Postgres
) -> None:
    sent = instance(2)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    with serving(tmp_path, index={"url": postgres.url}) as server:
        assert store(server, instance(1)).status == 0x0000
        postgres.stop()
        try:
            with WireAssociation((server.host, server.port), [context]) as peer:
                peer.send_store(sent, 1)
                wait_until(lambda: server.get("/readyz").status == 503, within=15, what="it is noticed")
                assert not peer.has_answer()
                postgres.start()
                assert peer.read_response().status == 0x0000
                peer.release()
        finally:
            if not postgres.socket.exists():
                postgres.start()
        assert_kept_exactly(server, [instance(1), sent])


def test_a_commit_that_waits_for_its_database_does_not_keep_the_server_from_stopping(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Its peer is told before the deadline at which what is left is cut off."""
    sent = instance(2)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    with serving(
        tmp_path, server={"workers": 1, "shutdown_timeout": 2.0}, index={"url": postgres.url}
    ) as server:
        assert store(server, instance(1)).status == 0x0000
        postgres.stop()
        try:
            with WireAssociation((server.host, server.port), [context]) as peer:
                peer.send_store(sent, 1)
                wait_until(lambda: len(server.kept_files()) > 1, within=15, what="its file is written")
                began = time.monotonic()
                server.terminate()
                assert peer.read_response().status == OUT_OF_RESOURCES
                assert server.wait() == 0
                assert time.monotonic() - began < 5.0
        finally:
            postgres.start()
        assert len(server.kept_files()) == 1


def test_a_locked_row_of_a_database_server_makes_wait(tmp_path: Path, postgres: Postgres) -> None:
    """A slow database: the answer comes when the lock is gone, and not before."""
    engine = create_engine(postgres.url)
    sent = instance(1)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    with serving(tmp_path, index={"url": postgres.url}) as server:
        with WireAssociation((server.host, server.port), [context]) as peer:
            with engine.begin() as other:
                other.exec_driver_sql("LOCK TABLE instances IN EXCLUSIVE MODE")
                peer.send_store(sent, 1)
                wait_until(lambda: waits_for_lock(engine), within=15, what="the commit waits for the lock")
                assert server.get("/healthz").status == 200
            assert peer.read_response().status == 0x0000
            peer.release()
        assert_kept_exactly(server, [sent])
    engine.dispose()


def waits_for_lock(engine: Engine) -> bool:
    """Whether a session of the server's waits for a lock that it has not been given."""
    with engine.connect() as connection:
        return bool(connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar())
