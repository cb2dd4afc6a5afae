"""One server for the whole tier, with the corpus stored, and the destinations that it may send to."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interop.archives import PostgresIndex
from support import dcmtk, scp, scu
from support.bundled import bundled_instances
from support.constructed import constructed_instances
from support.peers import free_port
from support.postgres import postgres_server
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.instance import Instance
    from support.postgres import Postgres

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.interop)


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where the server may send to, by kind; each has the AE title of its name in capitals."""

    sink: scp.Destination
    narrow: scp.Destination
    storescp_port: int
    nobody_port: int


@dataclass(frozen=True, slots=True)
class Archive:
    """The server with the corpus sent to it, each instance in its own transfer syntax."""

    server: PacsdServer
    instances: tuple[Instance, ...]
    statuses: dict[str, int]
    """Of the C-STORE, by instance name."""

    def study(self, study_instance_uid: str) -> list[Instance]:
        """The instances of one study."""
        return [instance for instance in self.instances if instance.study_instance_uid == study_instance_uid]

    def studies(self) -> list[str]:
        """The Study Instance UIDs."""
        return sorted({instance.study_instance_uid for instance in self.instances})

    def named(self, name: str) -> Instance:
        """The instance of this name."""
        return next(instance for instance in self.instances if instance.name == name)


@pytest.fixture(scope="package")
def destinations() -> Iterator[Destinations]:
    """Run the pynetdicom destinations for the tier."""
    with ExitStack() as running:
        sink = running.enter_context(scp.destination("SINK"))
        narrow = running.enter_context(scp.destination("NARROW", scp.NARROW))
        yield Destinations(sink, narrow, free_port(), free_port())


@pytest.fixture
def sink(destinations: Destinations) -> scp.Destination:
    """The destination that takes everything, with an empty inbox."""
    destinations.sink.reset()
    return destinations.sink


@pytest.fixture
def narrow(destinations: Destinations) -> scp.Destination:
    """The destination that takes uncompressed little endian only, with an empty inbox."""
    destinations.narrow.reset()
    return destinations.narrow


@pytest.fixture
def storescp(destinations: Destinations, tmp_path: Path) -> Iterator[Path]:
    """The folder into which DCMTK's storescp, destination STORESCP, writes."""
    with dcmtk.storescp("STORESCP", tmp_path / "storescp", port=destinations.storescp_port) as running:
        yield running.folder


@pytest.fixture(scope="package")
def tier_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all modules that want a database of their own and let it run."""
    with postgres_server() as running:
        yield running


_databases = count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def index_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of an empty index for a module's server, in both kinds of databases."""
    if request.param == "sqlite":
        return {}
    return PostgresIndex(request.getfixturevalue("tier_postgres"), f"tier_{next(_databases)}").settings


@contextmanager
def serving_with(
    index_settings: dict[str, Any], folder: Path, peers: Sequence[Peer], **settings: dict[str, Any]
) -> Iterator[PacsdServer]:
    """A running server with `index_settings`; at the end it must stop cleanly."""
    server = PacsdServer(folder, peers=peers, settings={**settings, **index_settings})
    if index_settings:
        upgraded = server.run("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def pacsd_server(
    tmp_path_factory: pytest.TempPathFactory, destinations: Destinations
) -> Iterator[PacsdServer]:
    """The running server; at the end it must stop cleanly, without a traceback in its log."""
    server = PacsdServer(
        tmp_path_factory.mktemp("pacsd"),
        peers=[
            Peer(ae_title=scu.CALLING_AE_TITLE, port=destinations.nobody_port),
            Peer(ae_title="FINDONLY", port=destinations.nobody_port, allow=("echo", "find")),
            Peer(ae_title="SINK", port=destinations.sink.port, allow=()),
            Peer(ae_title="NARROW", port=destinations.narrow.port, allow=()),
            Peer(ae_title="STORESCP", port=destinations.storescp_port, allow=()),
            Peer(ae_title="NOBODY", port=destinations.nobody_port, allow=()),
        ],
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def archive(pacsd_server: PacsdServer, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The server, with every corpus instance sent to it once."""
    instances = bundled_instances() + constructed_instances()
    statuses = scu.send_all(pacsd_server, instances, tmp_path_factory.mktemp("corpus"))
    return Archive(pacsd_server, instances, statuses)
