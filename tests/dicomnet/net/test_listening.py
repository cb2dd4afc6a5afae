"""Listening, and the stages in which a listener closes (PS3.8 §9.1)."""

from __future__ import annotations

import logging
import select
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.dicomnet.net.gate import Gate, in_background
from tests.dicomnet.net.nets import CONFIGURATION, WITHIN, Net, ask_for, associated, ended_with, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import VERIFICATION
from tests.support.certificates import Authority
from tests.support.deadline import wait_until

from dicomnet import (
    AssociationAborted,
    CEchoRequest,
    ConnectionLost,
    DicomNet,
    NetConfiguration,
    PresentationContext,
    TlsConfiguration,
    TlsHandshakeFailed,
)
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.pdu import ReleaseResponse
from dicomnet.upper_layer.writer import write_pdu

LONG = 3600.0
"""Seconds that no test waits for: what this would be waited for ends before."""


def test_nobody_is_accepted_any_more() -> None:
    server = Net()
    address = server.listen()
    assert server.is_activated
    server.close()
    assert not server.is_activated
    with pytest.raises(ConnectionLost):
        Net().connect(*address)


def test_idle_associations_are_aborted() -> None:
    server = Net()
    address = server.listen()
    with RawPeer(address).associate() as peer:
        closing = in_background(lambda: server.close(timeout=WITHIN))
        assert peer.read_to_end() == [ul.AbortReceived(2, 0)]
        peer.socket.close()
        closing.join(WITHIN)
        assert not closing.is_alive()
    assert ended_with(server.journal) == [AssociationAborted]
    assert server.client_count == 0


@pytest.mark.parametrize("asked", [b"", write_pdu(ask_for())[:50]], ids=["nothing", "half a request"])
def test_connections_without_an_association_are_closed_at_once(asked: bytes) -> None:
    server = Net()
    address = server.listen()
    with RawPeer(address) as peer:
        peer.send(asked)
        wait_until(
            lambda: [client.bytes_received for client in server.clients] == [len(asked)],
            within=WITHIN,
            what="a connection that has read all of it",
        )
        server.close(timeout=LONG)
        assert peer.socket.recv(100) == b""
    assert ended_with(server.journal) == [AssociationAborted]


def patient() -> NetConfiguration:
    """As configured, but for ARTIM, for which nobody waits."""
    return replace(CONFIGURATION, timeouts=replace(CONFIGURATION.timeouts, artim=LONG))


def test_a_peer_that_was_aborted_and_does_not_close_is_not_waited_for() -> None:
    """PS3.8 §9.1.5 has us wait until ARTIM; not where the server itself is to end."""
    server = Net(patient())
    address = server.listen()
    with RawPeer(address).associate() as peer:
        peer.send(write_pdu(ReleaseResponse()))
        server.journal.wait_for("disassociated")
        server.close(timeout=LONG)
        assert peer.read_to_end() == [ul.AbortReceived(2, 2)]
    assert ended_with(server.journal) == [AssociationAborted]


def test_an_association_that_breaks_while_the_server_closes_is_not_waited_for() -> None:
    server = Gate(patient())
    address = server.listen()
    with RawPeer(address).associate() as peer:
        peer.send_message(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
        server.journal.wait_for("echo")
        closing = in_background(lambda: server.close(timeout=LONG))
        assert select.select([server.closing_fd], [], [], WITHIN)[0]
        peer.send(write_pdu(ReleaseResponse()))
        server.let.set()
        closing.join(WITHIN)
        assert not closing.is_alive()
    assert ended_with(server.journal) == [AssociationAborted]


def test_handshakes_under_way_are_ended_at_once(tmp_path: Path) -> None:
    identity = Authority(tmp_path).certify("server")
    tls = TlsConfiguration(certificate=identity.certificate, private_key=identity.key)
    timeouts = replace(CONFIGURATION.timeouts, tls_handshake=LONG)
    server = Net(replace(CONFIGURATION, tls=tls, timeouts=timeouts))
    address = server.listen()
    with RawPeer(address):
        wait_until(lambda: server.client_count == 1, within=WITHIN, what="a connection")
        server.close(timeout=LONG)
    assert ended_with(server.journal) == [TlsHandshakeFailed]


def test_running_operation_may_end() -> None:
    server = Gate()
    address = server.listen()
    with RawPeer(address).associate() as peer:
        peer.send_message(1, CEchoRequest(message_id=1))
        server.journal.wait_for("echo")
        closing = in_background(lambda: server.close(timeout=WITHIN))
        server.let.set()
        answer, *rest = peer.read_to_end()
        assert answer.message.status == 0x0000
        assert rest == [ul.AbortReceived(2, 0)]
        peer.socket.close()
        closing.join(WITHIN)
        assert not closing.is_alive()


class Waiting(Net):
    """Waits in a C-ECHO for an answer of its peer that never comes."""

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.journal.note("echo")
        self.await_response(4242)


def test_operation_that_does_not_end_is_broken() -> None:
    server = Waiting()
    address = server.listen()
    with RawPeer(address).associate() as peer:
        peer.send_message(1, CEchoRequest(message_id=1))
        server.journal.wait_for("echo")
        server.close(timeout=0.05)
    assert ended_with(server.journal) == [ConnectionLost]


def test_closing_at_once() -> None:
    server = Waiting()
    address = server.listen()
    with RawPeer(address).associate() as peer:
        peer.send_message(1, CEchoRequest(message_id=1))
        server.journal.wait_for("echo")
        server.close(graceful=False, timeout=WITHIN)
    assert ended_with(server.journal) == [ConnectionLost]


def test_closing_twice_is_no_error() -> None:
    server, client = Net(), Net()
    address = server.listen()
    client.close()
    client.connect(*address)
    client.associate(ask_for())
    client.close()
    client.close()
    client.release()
    server.close()
    server.close()
    assert client.journal.of("closed") == [None]


class Picky(Net):
    """Accepts the second connection only."""

    count = 0
    error: Exception | None = None

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        self.count += 1
        if self.count == 2:
            return super().on_accept(peer_address)
        if self.error is not None:
            raise self.error
        return None


@pytest.mark.parametrize("error", [None, ValueError("no such peer")])
def test_connection_that_is_not_wanted_is_closed(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """And a mistake in deciding about one connection is no end to listening."""
    server = Picky()
    server.error = error
    with serving(server) as address, caplog.at_level(logging.ERROR, "dicomnet"):
        with RawPeer(address) as unwanted:
            assert unwanted.socket.recv(100) == b""
        with associated(Net(), address) as client:
            assert client.c_echo().status == 0x0000
    assert (error is not None) == ("a connection is refused" in caplog.text)


@pytest.mark.parametrize(("host", "reached_by"), [("", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")])
def test_addresses(host: str, reached_by: str) -> None:
    server = Net()
    bound = server.listen(host)
    assert bound[0] == "127.0.0.1"
    try:
        with associated(Net(), (reached_by, bound[1])) as client:
            assert client.peer_address == (reached_by, bound[1])
            assert client.c_echo().status == 0x0000
    finally:
        server.close()


def test_taken_port_is_an_error() -> None:
    with serving(Net()) as address:
        second = Net()
        with pytest.raises(OSError, match="in use"):
            second.listen(*address)
        assert not second.is_activated


def test_inherited_sockets_are_served_and_closed() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [listening.getsockname() for listening in sockets]
    server = Net()
    server.listen_on(sockets)
    for address in addresses:
        with associated(Net(), address) as client:
            assert client.c_echo().status == 0x0000
    server.close()
    assert [listening.fileno() for listening in sockets] == [-1, -1]


def test_children_know_their_listener() -> None:
    server = Net()
    with serving(server) as address, associated(Net(), address) as client:
        (child,) = server.clients
        assert child.server is server
        assert server.client_count == 1
        assert child.is_connected
        assert client.server is None
        client.release()
        wait_until(lambda: server.client_count == 0, within=WITHIN, what="the connection's end")
