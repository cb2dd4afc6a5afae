"""PgBouncer before PostgreSQL: a session for each client works, anything less is refused with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.test_failing_database import serving
from interop.test_failing_disk import assert_kept_exactly, instance, store
from pacsd.index.database.engines import database_url, reading_engine, writing_engine
from pacsd.index.schema import migrations
from support.pgbouncer import pgbouncer
from support.postgres import DURABLE, Postgres, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IGNORED = "options"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server(DURABLE) as running:
        migrations.upgrade(running.url)
        yield running


def test_a_session_for_each_client_works(tmp_path: Path, postgres: Postgres) -> None:
    """Also where PgBouncer leaves what a former client has prepared."""
    with (
        pgbouncer(
            postgres,
            pool_mode="session",
            ignore_startup_parameters=IGNORED,
            default_pool_size=30,
            server_reset_query="",
        ) as url,
        serving(tmp_path, server={"workers": 2}, index={"url": url}) as server,
    ):
        sent = [instance(number) for number in range(1, 13)]
        for each in sent:
            assert store(server, each).status == 0x0000
        for _ in range(8):
            assert_kept_exactly(server, sent)
        assert server.get("/readyz").status == 200


@pytest.mark.parametrize("engine_of", [reading_engine, writing_engine])
def test_sessions_have_our_settings_and_prepare_nothing(postgres: Postgres, engine_of: object) -> None:
    with pgbouncer(postgres, pool_mode="session", ignore_startup_parameters=IGNORED) as url:
        options = "-c%20statement_timeout%3D7s%20--work_mem=5MB"
        engine = engine_of(database_url(f"{url}?options={options}"))  # type: ignore[operator]
        names = (
            "lock_timeout",
            "cursor_tuple_fraction",
            "client_min_messages",
            "statement_timeout",
            "work_mem",
        )
        with engine.connect() as connection:
            for _ in range(8):
                connection.exec_driver_sql("SELECT 1")
            prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar()
            values = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
        engine.dispose()
    assert prepared == 0
    assert values == ["30s", "1", "warning", "7s", "5MB"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"pool_mode": "transaction"}, "pools by transactions or statements"),
        ({"pool_mode": "statement"}, "statement pooling mode"),
        ({"pool_mode": "session", "default_pool_size": 1}, "no second connection to PostgreSQL"),
        ({"pool_mode": "session", "ignore_startup_parameters": "search_path"}, "ignore_startup_parameters"),
    ],
    ids=["transaction", "statement", "one connection", "options refused"],
)
def test_what_does_not_work_is_refused_at_the_start(
    tmp_path: Path, postgres: Postgres, settings: dict[str, str | int], told: str
) -> None:
    with (
        pgbouncer(postgres, **{"ignore_startup_parameters": IGNORED, **settings}) as url,
        pytest.raises(AssertionError, match=r"the server ended with [12]") as failure,
        serving(tmp_path, index={"url": url}),
    ):
        pass
    assert told in str(failure.value)
    assert "let index.url name PostgreSQL itself" in str(failure.value)
