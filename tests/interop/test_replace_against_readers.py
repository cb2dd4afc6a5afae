"""`duplicates = "replace"` under readers: an instance exists all the time, and so no sub-operation fails."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support import scp, scu
from support.constructed import encode, simple_dataset
from support.server import PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

NUMBER = 7600
INSTANCES = 6
SENDERS = 3
READERS = 2
RETRIEVES = 25
"""By each reader and service."""


@pytest.fixture
def sink() -> Iterator[scp.Destination]:
    with scp.destination("SINK") as running:
        yield running


@pytest.fixture(params=["checksum", "length"])
def server(request: pytest.FixtureRequest, tmp_path: Path, sink: scp.Destination) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path,
        peers=[
            Peer(ae_title=scu.CALLING_AE_TITLE, port=104),
            Peer(ae_title="SINK", port=sink.port, allow=()),
        ],
        settings={
            "server": {"workers": 2},
            "storage": {"duplicates": "replace"},
            "integrity": {"on_retrieve": request.param},
        },
    )
    running.start()
    yield running
    running.stop()


def version(number: int, content: int) -> Instance:
    """One of the instances; `content` decides on its length, too."""
    dataset = simple_dataset(NUMBER)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.InstanceNumber = number
    dataset.PixelData = content.to_bytes(4, "little") * 8 * (1 + content % 50)
    return encode(dataset, f"number {number}, version {content}")


class Versions:
    """Sends one version after the other of all instances, and knows which there are."""

    def __init__(self, server: PacsdServer) -> None:
        self.sent: dict[str, set[bytes]] = defaultdict(set)
        self.replaced = 0
        self._server = server
        self._ended = threading.Event()

    def send(self, content: int, peer: WireAssociation) -> None:
        for number in range(INSTANCES):
            instance = version(number, content)
            self.sent[instance.sop_instance_uid].add(instance.dataset)
            assert peer.store(instance).status == 0x0000
            self.replaced += 1

    def send_on(self, sender: int) -> None:
        """Until the readers are done."""
        with self.connect() as peer:
            content = sender + 1
            while not self._ended.is_set():
                self.send(content, peer)
                content += SENDERS
            peer.release()

    def connect(self) -> WireAssociation:
        sample = version(0, 0)
        return WireAssociation(
            (self._server.host, self._server.port),
            [(sample.sop_class_uid, sample.transfer_syntax_uid)],
            # Nobody but a known peer replaces anything.
            calling=scu.CALLING_AE_TITLE,
        )

    def end(self) -> None:
        self._ended.set()


def test_no_retrieve_fails_while_its_instances_are_replaced(
    server: PacsdServer, sink: scp.Destination
) -> None:
    """What is delivered is one of the versions, whole."""
    versions = Versions(server)
    with versions.connect() as peer:
        versions.send(0, peer)
        peer.release()
    sample = version(0, 0)
    keys = scu.keys("STUDY", StudyInstanceUID=sample.study_instance_uid)

    def get_on(reader: int) -> list[tuple[scu.Outcome, dict[str, scu.Received]]]:
        retrieved = []
        for _ in range(RETRIEVES):
            outcome, inbox = scu.get(server, keys, scu.own_contexts([sample]))
            retrieved.append((outcome, inbox.received))
        return retrieved

    def move_on() -> list[tuple[scu.Outcome, dict[str, scu.Received]]]:
        retrieved = []
        for _ in range(RETRIEVES):
            sink.reset()
            outcome = scu.move(server, keys, sink.ae_title)
            retrieved.append((outcome, sink.inbox.received))
        return retrieved

    with ThreadPoolExecutor(SENDERS + READERS + 1) as threads:
        sending = [threads.submit(versions.send_on, sender) for sender in range(SENDERS)]
        reading = [threads.submit(get_on, reader) for reader in range(READERS)] + [threads.submit(move_on)]
        try:
            retrieved = [each for one in reading for each in one.result()]
        finally:
            versions.end()
        for each in sending:
            each.result()
    comments = [outcome.error_comment for outcome, _ in retrieved if outcome.status]
    assert comments == []
    for outcome, received in retrieved:
        assert outcome.counts == (INSTANCES, 0, 0)
        assert {uid: one.dataset in versions.sent[uid] for uid, one in received.items()} == dict.fromkeys(
            versions.sent, True
        )
    assert versions.replaced > 3 * INSTANCES, "the readers met no replacement"
    assert server.metric("pacsd_damaged_instances_total") == 0
