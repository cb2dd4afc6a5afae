"""Commits of which nobody knows what became of them: no row is ever without its file, and no Success is said early."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from interop.test_failing_database import OUT_OF_RESOURCES, serving
from interop.test_failing_disk import assert_kept_exactly, instance, store
from pacsd.index.schema import migrations
from support.deadline import wait_until
from support.postgres import DURABLE, Postgres, postgres_server, postgres_standby
from support.postgres_proxy import Hold, PostgresProxy, postgres_proxy
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from support.server import PacsdServer

COMMIT_TIMEOUT = 3.0
SYNC_REP = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'pacsd'"


@pytest.fixture(scope="module")
def running() -> Iterator[Postgres]:
    with postgres_server(DURABLE) as server:
        yield server


@pytest.fixture
def postgres(running: Postgres) -> Postgres:
    """A running server with an empty, migrated database."""
    with session(running) as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    migrations.upgrade(running.url)
    return running


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[PostgresProxy]:
    with postgres_proxy(postgres) as between:
        yield between


@contextmanager
def session(postgres: Postgres) -> Iterator[Connection]:
    """A connection that commits each statement."""
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def index_of(url: str) -> dict[str, object]:
    return {"url": url, "commit_timeout": COMMIT_TIMEOUT}


def paths(postgres: Postgres) -> set[str]:
    """The files that the rows name."""
    with session(postgres) as connection:
        return set(connection.execute(text("SELECT path FROM instances")).scalars())


def files(server: PacsdServer) -> set[str]:
    """The files that are there."""
    return {str(path.relative_to(server.root)) for path in server.kept_files()}


@pytest.mark.parametrize("first", [False, True], ids=["known series", "new series"])
@pytest.mark.parametrize("is_gone", [False, True], ids=["locked", "no connection"])
def test_a_commit_that_completes_after_its_connection_was_cut(
    tmp_path: Path, postgres: Postgres, proxy: PostgresProxy, first: bool, is_gone: bool
) -> None:
    """Each attempt after it fails for another reason; then the first one takes effect after all."""
    sent = instance(2)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    before = [] if first else [instance(1)]
    with serving(tmp_path, index=index_of(proxy.url("lock_timeout=200ms"))) as server:
        for each in before:
            assert store(server, each).status == 0x0000
        proxy.hold_next(Hold.MESSAGE)
        mark = server.log_size()
        with WireAssociation((server.host, server.port), [context]) as peer:
            peer.send_store(sent, 1)
            proxy.wait_until_held()
            proxy.takes_clients = not is_gone
            proxy.cut()
            response = peer.read_response()
            peer.release()
        assert response.status == OUT_OF_RESOURCES
        assert response.error_comment
        server.wait_for_log("file-left-for-next-start", after=mark)
        proxy.release()
        proxy.takes_clients = True
        assert len(paths(postgres)) == len(before) + 1, "the first commit has completed"
        assert paths(postgres) == files(server)
        assert store(server, sent).status == 0x0000
        assert paths(postgres) == files(server)
        assert_kept_exactly(server, [*before, sent])


@pytest.mark.parametrize("first", [False, True], ids=["known series", "new series"])
def test_a_commit_whose_answer_is_cut_off_is_found_to_be_stored(
    tmp_path: Path, postgres: Postgres, proxy: PostgresProxy, first: bool
) -> None:
    sent = instance(2)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    before = [] if first else [instance(1)]
    with serving(tmp_path, index=index_of(proxy.url())) as server:
        for each in before:
            assert store(server, each).status == 0x0000
        proxy.hold_next(Hold.ANSWER)
        with WireAssociation((server.host, server.port), [context]) as peer:
            peer.send_store(sent, 1)
            proxy.wait_until_held()
            assert len(paths(postgres)) == len(before) + 1
            proxy.cut()
            assert peer.read_response().status == 0x0000
            peer.release()
        assert server.metric("pacsd_instances_received_total", outcome="stored") == len(before) + 1
        assert paths(postgres) == files(server)
        assert_kept_exactly(server, [*before, sent])


@pytest.fixture
def replicated(postgres: Postgres) -> Iterator[tuple[Postgres, Postgres]]:
    """A leader, and the standby that its commits wait for."""
    with postgres_standby(postgres) as standby, session(postgres) as connection:
        connection.execute(text("ALTER SYSTEM SET synchronous_standby_names = 'standby'"))
        connection.execute(text("SELECT pg_reload_conf()"))
        try:
            wait_for_standby(connection)
            yield postgres, standby
        finally:
            connection.execute(text("ALTER SYSTEM RESET synchronous_standby_names"))
            connection.execute(text("SELECT pg_reload_conf()"))


def wait_for_standby(connection: Connection) -> None:
    state = text("SELECT sync_state FROM pg_stat_replication")
    wait_until(
        lambda: list(connection.execute(state).scalars()) == ["sync"],
        within=30,
        what="the standby is in sync",
    )


def break_off(connection: Connection, function: str) -> None:
    """Do so, as an administrator does, to whoever waits for the standby; return when somebody did."""
    to_waiting = text(f"SELECT count({function}(pid)) FROM ({SYNC_REP}) AS waiting")
    wait_until(
        lambda: bool(connection.execute(to_waiting).scalar()),
        within=30,
        what="a commit waits for the standby",
    )


@pytest.mark.parametrize("before", [[1], []], ids=["known series", "new series"])
def test_what_only_the_leader_has_is_no_success(
    tmp_path: Path, replicated: tuple[Postgres, Postgres], before: list[int]
) -> None:
    """The wait is cancelled again and again: refused at the deadline, and its file stays with the row."""
    leader, standby = replicated
    sent = instance(2)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    with serving(tmp_path, index=index_of(leader.url)) as server, session(leader) as connection:
        for number in before:
            assert store(server, instance(number)).status == 0x0000
        standby.stop()
        mark = server.log_size()
        try:
            with WireAssociation((server.host, server.port), [context]) as peer:
                peer.send_store(sent, 1)
                # What the retry finds is identical, and yet its own commit waits as well, each time.
                for _ in range(2):
                    break_off(connection, "pg_cancel_backend")
                while not peer.has_answer(within=0.05):
                    connection.execute(text(f"SELECT pg_cancel_backend(pid) FROM ({SYNC_REP}) AS waiting"))
                response = peer.read_response()
                peer.release()
            assert response.status == OUT_OF_RESOURCES
            assert "standby" in response.error_comment
            server.wait_for_log("file-left-for-next-start", after=mark)
            assert paths(leader) == files(server)
        finally:
            standby.start()
        wait_for_standby(connection)
        assert store(server, sent).status == 0x0000
        assert paths(leader) == files(server)
        assert_kept_exactly(server, [*map(instance, before), sent])


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_wait_that_is_broken_off_is_taken_up_again(
    tmp_path: Path, replicated: tuple[Postgres, Postgres], function: str
) -> None:
    """Success comes with the standby, which has the row then."""
    leader, standby = replicated
    sent = instance(2)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    settings = {**index_of(leader.url), "commit_timeout": 60.0}
    with serving(tmp_path, index=settings) as server, session(leader) as connection:
        assert store(server, instance(1)).status == 0x0000
        standby.stop()
        try:
            with WireAssociation((server.host, server.port), [context]) as peer:
                peer.send_store(sent, 1)
                for _ in range(3):
                    break_off(connection, function)
                    assert not peer.has_answer()
                standby.start()
                assert peer.read_response().status == 0x0000
                peer.release()
        finally:
            if not standby.socket.exists():
                standby.start()
        with session(standby) as reading:
            stored = text("SELECT count(*) FROM instances WHERE sop_instance_uid = :uid")
            assert reading.execute(stored, {"uid": sent.sop_instance_uid}).scalar() == 1
        assert server.metric("pacsd_instances_received_total", outcome="stored") == 2
        assert_kept_exactly(server, [instance(1), sent])


def test_a_standby_that_stays_away_has_stores_refused(
    tmp_path: Path, replicated: tuple[Postgres, Postgres]
) -> None:
    """Nobody cancels their waits but we ourselves, at the deadline; none is left waiting in the database."""
    leader, standby = replicated
    sent = instance(2)
    with serving(tmp_path, index=index_of(leader.url)) as server, session(leader) as connection:
        assert store(server, instance(1)).status == 0x0000
        standby.stop()
        try:
            for _ in range(2):
                assert store(server, sent).status == OUT_OF_RESOURCES
                assert connection.execute(text(SYNC_REP)).all() == []
            assert paths(leader) <= files(server)
        finally:
            standby.start()
        wait_for_standby(connection)
        assert store(server, sent).status == 0x0000
        assert paths(leader) <= files(server)
