"""A database that may lose what it has committed: not started on, unless it is wanted so, and always told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from interop.test_failing_database import serving
from interop.test_failing_disk import instance, store
from pacsd.index.schema import migrations
from support.postgres import postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def forgetful() -> Iterator[str]:
    with postgres_server({"fsync": "off", "max_connections": 30}) as running:
        migrations.upgrade(running.url)
        yield f"{running.url}&options=-c%20synchronous_commit%3Doff"


def test_it_is_not_started_on(tmp_path: Path, forgetful: str) -> None:
    with (
        pytest.raises(AssertionError, match="the server ended with 2") as failure,
        serving(tmp_path, index={"url": forgetful}),
    ):
        pass
    for told in ("fsync is off", "set fsync = on", "synchronous_commit is off", "as-configured"):
        assert told in str(failure.value)


def test_it_is_started_on_where_that_is_wanted(tmp_path: Path, forgetful: str) -> None:
    """The log says at level error what may be lost, and so does /readyz, which is well with it."""
    with serving(tmp_path, index={"url": forgetful, "durability": "as-configured"}) as server:
        assert store(server, instance(1)).status == 0x0000
        told = [line["reason"] for line in server.log_events() if line["event"] == "database-not-durable"]
        assert [reason.partition(" is off")[0] for reason in told] == [
            "PostgreSQL's fsync",
            "synchronous_commit",
        ]
        answer = server.get("/readyz")
        check = json.loads(answer.text)["checks"]["durability"]
        assert (answer.status, check["ok"]) == (200, True)
        assert "fsync is off" in check["reason"]


def test_what_is_turned_off_later_is_told(tmp_path: Path) -> None:
    with postgres_server({"max_connections": 30}) as running:
        migrations.upgrade(running.url)
        with serving(tmp_path, index={"url": running.url}) as server:
            assert server.get("/readyz").status == 200
            running.execute("ALTER ROLE postgres SET synchronous_commit = off")
            answer = server.get("/readyz")
        assert answer.status == 503
        assert "synchronous_commit is off" in answer.text


def test_few_connections_are_shared_out_with_a_warning(tmp_path: Path) -> None:
    with postgres_server({"max_connections": 20}) as running:
        migrations.upgrade(running.url)
        with serving(tmp_path, server={"workers": 2}, index={"url": running.url}) as server:
            assert store(server, instance(1)).status == 0x0000
            (told,) = [line for line in server.log_events() if line["event"] == "database-connections-tight"]
        assert (told["room"], told["workers"]) == (17, 2)
        assert (told["writing_of_each"], told["reading_of_each"]) == (1, 3)
        assert "max_connections" in told["remedy"]
        with (
            pytest.raises(AssertionError, match="the server ended with 2") as failure,
            serving(tmp_path / "more", server={"workers": 8}, index={"url": running.url}),
        ):
            pass
        assert "8 workers need 24 at least" in str(failure.value)
