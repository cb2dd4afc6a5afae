"""What one caller takes of what there is for all: it is told so, and the others don't notice."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.deadline import wait_until
from support.peers import free_port
from support.server import PacsdServer, Peer
from support.wire import IMPLICIT_LITTLE_ENDIAN, WireAssociation, command_set, element, message

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFICATION = "1.2.840.10008.1.1"
REJECTED_FOR_NOW = bytes([0, 2, 3, 2])
"""A-ASSOCIATE-RJ: transient, by the presentation provider, local limit exceeded (PS3.8 Table 9-21)."""
C_ECHO_RQ = command_set(
    element(0x0002, VERIFICATION), element(0x0100, 0x0030), element(0x0110, 1), element(0x0800, 0x0101)
)
PLACES, KEPT, PER_ADDRESS, PER_TITLE = 40, 10, 16, 8
SILENT = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path_factory.mktemp("limits"),
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port(), answers={"check_host": False})],
        settings={
            "dicom": {"max_associations": PLACES},
            "limits": {
                "kept_for_peers": KEPT / PLACES,
                "associations_per_address": PER_ADDRESS,
                "associations_per_title": PER_TITLE,
                "connections_without_association_per_address": 20,
            },
        },
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def peers(server: PacsdServer) -> Iterator[ExitStack]:
    """What a test opens; afterwards the places are free."""
    with ExitStack() as opened:
        yield opened
    wait_for_open(server, 0)


def wait_for_open(server: PacsdServer, number: int) -> None:
    wait_until(
        lambda: server.metric("pacsd_associations_open") == number,
        within=15,
        what=f"{number} places are taken",
    )


def associate(server: PacsdServer, peers: ExitStack, title: str, address: str) -> bool:
    """Whether an association is accepted; it stays open until the test's end."""
    peer = WireAssociation(
        (server.host, server.port), [(VERIFICATION, IMPLICIT_LITTLE_ENDIAN)], calling=title, local=address
    )
    if peer.accept_or_reject.type == 3:
        assert peer.accept_or_reject.body == REJECTED_FOR_NOW
        peer.close()
        return False
    peers.enter_context(peer)
    peer.send(message(1, C_ECHO_RQ))
    return peer.read_response().status == 0


def test_one_title_leaves_room_for_others(server: PacsdServer, peers: ExitStack) -> None:
    before = server.metric("pacsd_limits_exceeded_total", limit="associations-per-title")
    mark = server.log_size()
    assert [associate(server, peers, "GREEDY", "127.0.1.1") for _ in range(3 * PER_TITLE)] == (
        [True] * PER_TITLE + [False] * 2 * PER_TITLE
    )
    assert associate(server, peers, "OTHER", "127.0.1.1")
    assert associate(server, peers, "GREEDY", "127.0.1.2"), "somebody else, for all we know"
    exceeded = server.metric("pacsd_limits_exceeded_total", limit="associations-per-title") - before
    assert exceeded == 2 * PER_TITLE
    said = [event for event in server.log_events(after=mark) if event["event"] == "limit-exceeded"]
    assert {(event["limit"], event["caller"], event["times"]) for event in said} == {
        ("associations-per-title", "GREEDY at 127.0.1.1", 1)
    }
    assert len(said) <= 2, "each of two workers says it once a minute"


def test_one_address_leaves_room_for_others(server: PacsdServer, peers: ExitStack) -> None:
    accepted = [associate(server, peers, f"TITLE{each}", "127.0.2.1") for each in range(PER_ADDRESS + 3)]
    assert accepted == [True] * PER_ADDRESS + [False] * 3
    assert associate(server, peers, "TITLE1", "127.0.2.2")


def test_strangers_leave_the_last_places_to_peers(server: PacsdServer, peers: ExitStack) -> None:
    strangers = [
        associate(server, peers, f"STRANGER{each}", f"127.0.3.{each % 8 + 1}") for each in range(PLACES)
    ]
    assert strangers == [True] * (PLACES - KEPT) + [False] * KEPT
    assert associate(server, peers, scu.CALLING_AE_TITLE, "127.0.4.1")


def test_who_claims_to_be_a_peer_leaves_places_to_that_peer(server: PacsdServer, peers: ExitStack) -> None:
    """It is one that may be anywhere (`check_host = false`); it calls from its host."""
    claimed = PLACES - KEPT // 2
    accepted = [
        associate(server, peers, scu.CALLING_AE_TITLE, f"127.0.7.{each // PER_TITLE + 1}")
        for each in range(PLACES)
    ]
    assert accepted == [True] * claimed + [False] * (PLACES - claimed)
    assert associate(server, peers, scu.CALLING_AE_TITLE, "127.0.0.1")


def test_a_killed_worker_gives_back_what_its_callers_had(server: PacsdServer, peers: ExitStack) -> None:
    assert all(associate(server, peers, "KILLED", "127.0.5.1") for _ in range(PER_TITLE))
    assert not associate(server, peers, "KILLED", "127.0.5.1")
    workers = server.storing_workers()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    peers.close()
    wait_until(
        lambda: len(set(server.storing_workers()) - set(workers)) == 2, within=20, what="two others serve"
    )
    wait_for_open(server, 0)
    assert all(associate(server, peers, "KILLED", "127.0.5.1") for _ in range(PER_TITLE))
    assert not associate(server, peers, "KILLED", "127.0.5.1")


def test_silent_connections_close_one_another(server: PacsdServer, peers: ExitStack) -> None:
    """The oldest go, so that who is new, from the same address too, has time to say what it wants."""
    silent = [
        peers.enter_context(
            socket.create_connection((server.host, server.port), timeout=15, source_address=("127.0.6.1", 0))
        )
        for _ in range(SILENT)
    ]
    assert silent[0].recv(1) == b"", "the first is closed"
    assert associate(server, peers, "SAME", "127.0.6.1")
    assert associate(server, peers, "OTHER", "127.0.6.2")
    limit = "connections-without-association-per-address"
    assert server.metric("pacsd_limits_exceeded_total", limit=limit) >= SILENT - 2 * 20
