"""SIGTERM while peers are connected: exit status 0, and what was acknowledged stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crash import load
from crash.kept import assert_kept
from support import scu
from support.deadline import wait_until
from support.server import PacsdServer, Peer
from support.wire import ConnectionLostError, WireAssociation, data_transfer, message, store_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHUTDOWN_TIMEOUT = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    """A running server that waits three seconds for running operations."""
    running = PacsdServer(
        tmp_path,
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        settings={"server": {"shutdown_timeout": SHUTDOWN_TIMEOUT}},
    )
    running.start()
    yield running
    if running.is_running:
        running.stop()


def connect(server: PacsdServer) -> WireAssociation:
    sample = load.instance(100_000, 1)
    return WireAssociation((server.host, server.port), [(sample.sop_class_uid, sample.transfer_syntax_uid)])


def test_sigterm_under_load_ends_cleanly(server: PacsdServer) -> None:
    burden = load.Load(server, 300_000)
    with burden.running():
        burden.wait_for(100, within=60)
        server.stop()
    server.start()
    assert_kept(server, burden)


def test_sigterm_closes_idle_associations(server: PacsdServer) -> None:
    """Nobody waits for a peer that has nothing to say: it gets an A-ABORT or the end of the connection."""
    with connect(server) as idle:
        server.stop()
        assert last_words(idle) in ([], [7])


def test_an_instance_under_way_is_still_acknowledged(server: PacsdServer) -> None:
    """A running operation may finish within the deadline, and its answer counts."""
    sent = load.instance(400_000, 1)
    command = store_request(1, sent.sop_class_uid, sent.sop_instance_uid)
    with connect(server) as peer:
        peer.send(message(1, command) + data_transfer(1, 0, sent.dataset[:300]))
        wait_until(lambda: bool(server.incoming_files()), within=5, what="the transfer is under way")
        server.terminate()
        wait_until(lambda: not accepts(server), within=5, what="the server takes no new connections")
        peer.send(data_transfer(1, 2, sent.dataset[300:]))
        assert peer.read_response().status == 0x0000
    assert server.wait() == 0
    server.start()
    keys = scu.image_keys(sent)
    _, inbox = scu.get(server, keys, scu.own_contexts([sent]))
    assert inbox.received[sent.sop_instance_uid].dataset == sent.dataset


def test_a_transfer_that_stalls_is_given_up_at_the_deadline(server: PacsdServer) -> None:
    sent = load.instance(500_000, 1)
    command = store_request(1, sent.sop_class_uid, sent.sop_instance_uid)
    with connect(server) as peer:
        peer.send(message(1, command) + data_transfer(1, 0, sent.dataset[:300]))
        wait_until(lambda: bool(server.incoming_files()), within=5, what="the transfer is under way")
        server.stop()
    assert server.incoming_files() == set()
    assert server.kept_files() == set()


def last_words(peer: WireAssociation) -> list[int]:
    """The types of the PDUs that come before the connection ends."""
    types: list[int] = []
    while True:
        try:
            types.append(peer.read_pdu().type)
        except ConnectionLostError:
            return types


def accepts(server: PacsdServer) -> bool:
    try:
        connect(server).close()
    except (OSError, ConnectionLostError):
        return False
    return True
