"""Nobody is waited for without end (PS3.8 §9.1.5 and the time-outs beside it)."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    WITHIN,
    Net,
    ask_for,
    ended_with,
    serving,
)
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import CT_STORAGE, STUDY_ROOT_FIND, pdv, send
from tests.support.peers import free_port

from dicomnet import (
    AssociationAborted,
    AssociationTimedOut,
    CEchoRequest,
    CFindRequest,
    ConnectionLost,
    CStoreRequest,
    NetConfiguration,
    PresentationContext,
)
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.writer import write_pdu

SOON = 0.2


def within(**timeouts: float) -> NetConfiguration:
    """Return a configuration with some deadlines near."""
    return NetConfiguration(timeouts=replace(CONFIGURATION.timeouts, **timeouts))


def test_connection_that_asks_for_nothing_is_closed() -> None:
    """AA-2: without a word, since there is no association to abort."""
    server = Net(within(artim=SOON))
    with serving(server) as address, RawPeer(address) as peer:
        began = time.monotonic()
        assert peer.socket.recv(100) == b""
        assert time.monotonic() - began >= SOON * 0.9
        assert ended_with(server.journal) == [AssociationTimedOut]


def test_trickled_request_has_one_deadline_for_the_whole() -> None:
    server = Net(within(artim=SOON))
    request = write_pdu(ask_for())
    with serving(server) as address, RawPeer(address) as peer:
        assert peer.trickle(request, pause=SOON / 20) < len(request) / 2
        assert ended_with(server.journal) == [AssociationTimedOut]


def test_peer_that_does_not_close_is_closed() -> None:
    """ARTIM in Sta13: here after an abort that the peer doesn't react to."""
    server = Net(within(artim=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send(b"\xff")
        assert peer.read_to_end() == [ul.AbortReceived(2, 1)]
        assert ended_with(server.journal) == [AssociationAborted]


def test_released_peer_that_does_not_close_is_closed() -> None:
    server = Net(within(artim=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.connection.request_release()
        peer.send(b"".join(peer.connection.data_to_send()))
        assert peer.read_to_end() == [ul.ReleaseConfirmed()]
        assert server.journal.wait_for("closed") == [None]


def test_idle_association_is_aborted() -> None:
    server = Net(within(idle=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        assert peer.read_to_end() == [ul.AbortReceived(2, 0)]
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationTimedOut]


@pytest.mark.parametrize(
    "half",
    [
        pytest.param(pdv(bytes(50), context_id=3, command=True, last=False), id="command set"),
        pytest.param(pdv(bytes(50), context_id=3, command=True)[:30], id="PDU"),
        pytest.param(b"\4\0\0", id="PDU header"),
    ],
)
def test_half_a_message_does_not_keep_an_idle_association_open(half: bytes) -> None:
    server = Net(within(idle=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send(half)
        assert peer.read_to_end() == [ul.AbortReceived(2, 0)]
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationTimedOut]


def test_silence_inside_a_data_set_is_a_time_out() -> None:
    server = Net(within(dimse=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        request = CStoreRequest(message_id=1, affected_sop_class_uid=CT_STORAGE)
        peer.send_message(3, request, bytes(10))
        peer.read()
        with_data_to_come = b"".join(
            bytes(buffer)
            for buffers in peer.connection.send_message(3, request, [bytes(10), bytes(10)])
            for buffer in buffers[:-2]
        )
        peer.send(with_data_to_come)
        assert ul.AbortReceived(2, 0) in peer.read_to_end()
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationTimedOut]
    assert len(server.journal.of("stored")) == 1


def test_peer_that_never_reads_is_given_up() -> None:
    """And gets no A-ABORT: it would read as data, where the PDU before it is only half sent."""
    server = Net(within(write=SOON), objects={"1.2.3": bytes(range(250)) * 41})
    server.endless = True
    with serving(server) as address, RawPeer(address, receive_buffer=4096).associate() as peer:
        peer.send_message(5, CFindRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_FIND), b"id")
        began = time.monotonic()
        assert ended_with(server.journal) == [AssociationTimedOut]
        assert time.monotonic() - began < CONFIGURATION.timeouts.artim
        events = peer.read_to_end()
    assert not any(isinstance(event, ul.AbortReceived) for event in events)
    received = b"".join(bytes(event.data) for event in events if isinstance(event, DatasetFragment))
    assert (bytes(range(250)) * 41 * (len(received) // 10250 + 1)).startswith(received)


class Slow(Net):
    """Answers a C-ECHO when it is let."""

    let = threading.Event()

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.journal.note("echo")
        assert self.let.wait(WITHIN)
        super().on_receive_c_echo_request(context, request)

    def on_receive_release_request(self) -> None:
        self.journal.note("release")


@pytest.fixture
def slow() -> Slow:
    Slow.let = threading.Event()
    return Slow()


def test_answer_that_does_not_come_in_time(slow: Slow) -> None:
    client = Net(within(dimse=SOON))
    with serving(slow) as address:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(AssociationTimedOut):
            client.c_echo()
        slow.let.set()
        client.close()
        assert slow.journal.wait_for("aborted") == [(2, 0)]
    assert len(client.journal.of("closed")) == 1


def test_release_that_is_not_answered(slow: Slow) -> None:
    client = Net(within(association=SOON))
    with serving(slow) as address:
        client.connect(*address)
        client.associate(ask_for())
        client.release()
        assert ended_with(client.journal) == [AssociationTimedOut]
        assert slow.journal.wait_for("aborted") == [(2, 0)]
    assert not client.is_connected


class Undecided(Net):
    """Never answers an association request."""

    def on_receive_associate_request(self, request: object) -> None:
        self.journal.note("asked")
        self.interrupted_by_peer()

    def interrupted_by_peer(self) -> None:
        assert self._upper_layer.channel is not None
        self._upper_layer.channel.next_event(deadline=time.monotonic() + WITHIN)


def test_association_request_that_is_not_answered() -> None:
    server, client = Undecided(), Net(within(association=SOON))
    with serving(server) as address:
        client.connect(*address)
        with pytest.raises(AssociationTimedOut):
            client.associate(ask_for())
        assert ended_with(client.journal) == [AssociationTimedOut]
        assert server.journal.wait_for("aborted") == [(2, 0)]


def test_nobody_listens() -> None:
    client = Net()
    with pytest.raises(ConnectionLost, match="cannot connect"):
        client.connect("127.0.0.1", free_port())
    (error,) = client.journal.of("connected")
    assert isinstance(error, ConnectionLost)
    assert client.journal.of("closed") == []


def test_deadlines_are_for_silence_and_not_for_work() -> None:
    """A long object takes longer than any deadline, but something comes all the time."""
    server = Net(within(dimse=SOON, idle=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        request = CStoreRequest(message_id=1, affected_sop_class_uid=CT_STORAGE)
        stream = send(peer.connection, 3, request, bytes(2))
        began = time.monotonic()
        assert peer.trickle(stream, pause=SOON / 40) == len(stream)
        assert time.monotonic() - began > SOON
        assert isinstance(peer.read(), MessageReceived)
    assert len(server.journal.of("stored")) == 1


@pytest.mark.parametrize("own", [True, False], ids=["of this connection", "of all"])
def test_connecting_takes_no_longer_than_it_may(own: bool) -> None:
    """Nobody accepts, and there is no room to wait in: the kernel drops what asks for a connection."""
    client = Net(within(connect=WITHIN if own else SOON))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
        first.connect(full.getsockname())
        began = time.monotonic()
        with pytest.raises(ConnectionLost, match="timed out"):
            client.connect(*full.getsockname(), timeout=SOON if own else None)
        assert SOON * 0.9 <= time.monotonic() - began < WITHIN / 2
    assert [type(error) for error in client.journal.of("connected")] == [ConnectionLost]
