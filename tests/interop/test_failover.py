"""A PostgreSQL cluster whose leader changes while instances arrive: none is refused, and none acknowledged is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from crash import load
from crash.kept import assert_found
from interop.test_failing_database import serving
from pacsd.index.database.engines import database_url
from pacsd.index.schema import migrations
from support.deadline import wait_until
from support.patroni import Cluster, patroni_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.server import PacsdServer

SOME = 50
"""Instances that are acknowledged before the leader goes, and as many after another has come."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with patroni_cluster(3) as running:
        migrations.upgrade(running.url)
        yield running


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server: the cluster has the index of its store."""
    return tmp_path_factory.mktemp("pacsd")


@pytest.mark.parametrize(("how", "first_series"), [("switchover", 700_000), ("kill", 710_000)])
def test_a_change_of_leader_refuses_nothing_and_loses_nothing(
    archive: Path, cluster: Cluster, how: str, first_series: int
) -> None:
    cluster.wait_until_in_sync()
    leader = cluster.leader()
    assert leader is not None
    with serving(archive, server={"workers": 2}, index={"url": cluster.url}) as server:
        burden = load.Load(server, first_series)
        with burden.running():
            burden.wait_for(SOME, within=30)
            if how == "kill":
                leader.kill()
            else:
                assert cluster.switch_over().startswith("Successfully")
            wait_until(lambda: cluster.leader() not in {None, leader}, within=45, what="another node leads")
            burden.wait_for(burden.total + SOME, within=45)
        print(f"{how}: {burden.total} acknowledged, slowest {burden.slowest:.1f} s")
        if how == "kill":
            cluster.start(leader)
        assert burden.refused == []
        assert burden.cut_off == 0
        found = assert_found(server, burden)
        paths = rows(cluster)
        assert found <= paths.keys()
        assert all((server.root / path).is_file() for uid, path in paths.items() if uid in found)
        assert_ready(server)


def rows(cluster: Cluster) -> dict[str, str]:
    """The files of the rows that the leader has, by SOP Instance UID."""
    engine = create_engine(database_url(cluster.url))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT sop_instance_uid, path FROM instances")).all()
    engine.dispose()
    return {row.sop_instance_uid: row.path for row in found}


def assert_ready(server: PacsdServer) -> None:
    wait_until(lambda: server.get("/readyz").status == 200, within=15, what="the server is ready")
