"""A command to run, a scripted peer, and a real server with some of pydicom's files in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_peer import Script, fake_peer
from pacsd_command import Pacsd, runner
from running_server import Server

from support.bundled import bundled_instances
from support.instance import Instance
from support.peers import free_port
from support.server import PacsdServer, Peer

NAMES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
)
"""Several SOP classes and transfer syntaxes."""


@pytest.fixture
def pacsd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Pacsd:
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def peer(script: Script) -> Iterator[tuple[str, int]]:
    with fake_peer(script) as address:
        yield address


@pytest.fixture(scope="session")
def instances() -> tuple[Instance, ...]:
    found = tuple(instance for instance in bundled_instances() if instance.name in NAMES)
    assert {instance.name for instance in found} == set(NAMES)
    return found


@pytest.fixture
def folder(instances: tuple[Instance, ...], tmp_path: Path) -> Path:
    """The instances as files, some of them in a folder of their own."""
    top = tmp_path / "files"
    (top / "deeper").mkdir(parents=True)
    for number, instance in enumerate(instances):
        instance.write_file((top if number % 2 else top / "deeper") / instance.name)
    return top


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sink_port = free_port()
    running = PacsdServer(
        tmp_path_factory.mktemp("server"),
        peers=[
            Peer(ae_title="CLI", port=sink_port),
            Peer(ae_title="GETONLY", port=sink_port, allow=("get",)),
            Peer(ae_title="SINK", port=sink_port, allow=()),
        ],
    )
    running.start()
    yield Server(running, sink_port)
    running.stop()
