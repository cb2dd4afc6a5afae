"""Peers that vanish at any step of a C-STORE: nothing half-stored stays, and the server goes on."""

from __future__ import annotations

import socket
import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.server import AE_TITLE, PacsdServer, Peer
from support.wire import (
    WireAssociation,
    associate_request,
    data_transfer,
    message,
    operations_window,
    store_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSTANCE = encode(simple_dataset(7200), "vanishing")
WITHIN = 15.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path_factory.mktemp("vanishing"), peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)]
    )
    running.start()
    yield running
    running.stop()


def steps() -> dict[str, bytes]:
    """What a peer has sent, after the association was accepted, when it vanishes."""
    command = data_transfer(1, 3, store_request(1, INSTANCE.sop_class_uid, INSTANCE.sop_instance_uid))
    middle = len(INSTANCE.dataset) // 2
    first = data_transfer(1, 0, INSTANCE.dataset[:middle])
    rest = INSTANCE.dataset[middle:]
    return {
        "before the command": b"",
        "in the command's PDU header": command[:4],
        "in the command's PDV header": command[:9],
        "in the command": command[: len(command) // 2],
        "before the command's last byte": command[:-1],
        "between command and data set": command,
        "in the data set's PDU header": command + first[:3],
        "in the data set's first fragment": command + first[:200],
        "between two fragments": command + first,
        "in the last fragment": command + first + data_transfer(1, 2, rest)[:-1],
        "before the last fragment is said to be": command + first + data_transfer(1, 0, rest),
    }


def vanish(connected: socket.socket, *, reset: bool) -> None:
    """Close, or be gone without the courtesy of it."""
    if reset:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connected.close()


def connect(server: PacsdServer, user_items: bytes = b"") -> WireAssociation:
    context = (INSTANCE.sop_class_uid, INSTANCE.transfer_syntax_uid)
    return WireAssociation((server.host, server.port), [context], calling="VANISHING", user_items=user_items)


def wait_for_places(server: PacsdServer) -> None:
    """The server has noticed: no association is open any more, and what came whole before is where it shall be."""
    wait_until(lambda: server.metric("pacsd_associations_open") == 0, within=WITHIN, what="the place is free")
    wait_until(
        lambda: not server.incoming_files() and _indexed_files(server) == server.kept_files(),
        within=WITHIN,
        what="there are files with a row alone",
    )


def _indexed_files(server: PacsdServer) -> set[Path]:
    with closing(sqlite3.connect(server.index_path)) as database:
        return {server.root / path for (path,) in database.execute("SELECT path FROM instances")}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("sent", steps().values(), ids=list(steps()))
def test_a_peer_that_vanishes_before_the_end_leaves_nothing(
    server: PacsdServer, sent: bytes, reset: bool
) -> None:
    before = server.kept_files()
    peer = connect(server)
    peer.send(sent)
    vanish(peer._socket, reset=reset)
    wait_for_places(server)
    assert server.kept_files() == before
    assert server.incoming_files() == set()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_peer_that_vanishes_while_it_associates(server: PacsdServer, reset: bool) -> None:
    request = associate_request(
        AE_TITLE, "VANISHING", [(1, INSTANCE.sop_class_uid, INSTANCE.transfer_syntax_uid)]
    )
    for length in (0, 3, 80, len(request)):
        connected = socket.create_connection((server.host, server.port))
        connected.sendall(request[:length])
        vanish(connected, reset=reset)
    wait_for_places(server)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_peer_that_never_reads_its_answer_may_send_again(
    tmp_path: Path, server: PacsdServer, reset: bool
) -> None:
    """The instance was whole: it may be kept, whole, or not; sending it again is Success, and one is kept."""
    peer = connect(server)
    peer.send_store(INSTANCE, 1)
    vanish(peer._socket, reset=reset)
    wait_for_places(server)
    with connect(server) as again:
        assert again.store(INSTANCE).status == 0x0000
        again.release()
    assert sum(INSTANCE.sop_instance_uid in path.name for path in server.kept_files()) == 1
    _, inbox = scu.get(server, scu.image_keys(INSTANCE), scu.own_contexts([INSTANCE]))
    assert {uid: one.dataset for uid, one in inbox.received.items()} == {
        INSTANCE.sop_instance_uid: INSTANCE.dataset
    }


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_peer_that_sends_several_ahead_and_vanishes(
    tmp_path: Path, server: PacsdServer, reset: bool
) -> None:
    """Each is kept whole and in the index, or not at all; the last is cut off."""
    *ahead, last = [encode(simple_dataset(7300 + 10 * reset + number), "ahead") for number in range(6)]
    peer = connect(server, operations_window(8))
    for number, each in enumerate(ahead):
        peer.send_store(each, number + 1)
    command = store_request(7, last.sop_class_uid, last.sop_instance_uid)
    peer.send(message(1, command) + data_transfer(1, 0, last.dataset[:300]))
    vanish(peer._socket, reset=reset)
    wait_for_places(server)
    files = server.kept_files()
    kept = {
        each.sop_instance_uid
        for each in (*ahead, last)
        if any(each.sop_instance_uid in path.name for path in files)
    }
    assert last.sop_instance_uid not in kept
    for each in ahead:
        _, inbox = scu.get(server, scu.image_keys(each), scu.own_contexts([each]))
        expected = {each.sop_instance_uid: each.dataset} if each.sop_instance_uid in kept else {}
        assert {uid: one.dataset for uid, one in inbox.received.items()} == expected
