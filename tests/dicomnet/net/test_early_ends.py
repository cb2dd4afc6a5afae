"""Associations that end while an operation runs, over real sockets (PS3.8 §7.2, §7.3)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.dicomnet.net.nets import (
    STUDY_ROOT_GET,
    Net,
    ask_for,
    ended_with,
    serving,
    store,
)
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import STUDY_ROOT_FIND, send
from tests.support.deadline import wait_until

from dicomnet import (
    AssociationAborted,
    AssociationReleased,
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    ConnectionLost,
    PresentationContext,
    RemoteProtocolError,
)
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.messages import CFindResponse
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.writer import write_pdu

ECHO, STORAGE, FIND, GET = 1, 3, 5, 9
"""Context IDs of `ask_for`."""


def messages(peer: RawPeer, count: int) -> list[object]:
    """Read so many messages; data sets are passed over."""
    found: list[object] = []
    while len(found) < count:
        event = peer.read()
        if isinstance(event, MessageReceived):
            found.append(event.message)
        else:
            assert isinstance(event, DatasetFragment), event
    return found


def test_release_waits_for_the_operation_that_runs() -> None:
    server = Net(objects={f"1.2.{number}": bytes(10) for number in range(20)})
    with serving(server) as address, RawPeer(address).associate() as peer:
        find = CFindRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_FIND)
        stream = send(peer.connection, FIND, find, b"identifier")
        peer.connection.request_release()
        peer.send(stream + b"".join(peer.connection.data_to_send()))
        answers = messages(peer, 21)
        assert all(isinstance(answer, CFindResponse) for answer in answers)
        while not isinstance(event := peer.read(), ul.ReleaseConfirmed):
            assert isinstance(event, DatasetFragment)
        peer.socket.close()
        assert server.journal.wait_for("closed") == [None]


def test_release_instead_of_an_answer_is_confirmed() -> None:
    server = Net(objects={"1.2.3": b"one"})
    with serving(server) as address, RawPeer(address).associate(ask_for(as_storage_scp=True)) as peer:
        get = CGetRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET)
        stream = send(peer.connection, GET, get, b"")
        peer.connection.request_release()
        peer.send(stream + b"".join(peer.connection.data_to_send()))
        assert isinstance(peer.read_to_end()[-1], ul.ReleaseConfirmed)
        peer.socket.close()
        assert server.journal.wait_for("closed") == [None]


class CutOff(Net):
    """Loses the connection when it confirms a release."""

    def send_release_response(self) -> None:
        raise ConnectionLost("the connection broke while sending")


def test_release_that_cannot_be_confirmed_is_a_loss() -> None:
    server = CutOff(objects={"1.2.3": b"one"})
    with serving(server) as address, RawPeer(address).associate(ask_for(as_storage_scp=True)) as peer:
        get = CGetRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET)
        peer.send(send(peer.connection, GET, get, b"") + write_pdu(pdu.ReleaseRequest()))
        peer.socket.shutdown(socket.SHUT_WR)
        assert ended_with(server.journal) == [ConnectionLost]


@pytest.mark.parametrize("how", ["abort", "close", "reset"])
def test_long_answer_ends_when_the_peer_is_gone(how: str) -> None:
    server = Net(objects={"1.2.3": bytes(1000)})
    server.endless = True
    with serving(server) as address:
        peer = RawPeer(address).associate()
        peer.send_message(FIND, CFindRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_FIND), b"id")
        assert messages(peer, 3)
        if how == "abort":
            peer.send(write_pdu(pdu.Abort(source=0)))
        (peer.reset if how == "reset" else peer.socket.close)()
        (error,) = ended_with(server.journal)
    assert error in (AssociationAborted, ConnectionLost)


class Leaving(Net):
    """Asks for release instead of answering a C-ECHO."""

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.release()


def test_server_that_releases_instead_of_answering() -> None:
    server, client = Leaving(), Net()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(AssociationReleased):
            client.c_echo()
        client.release()
        assert server.journal.wait_for("closed") == [None]
    assert client.journal.of("closed") == [None]
    assert server.journal.of("aborted") == []


def test_both_release_at_once() -> None:
    """The client asks while the server's request is on its way: one of the two collisions of PS3.8 §7.2.2.7."""
    server, client = Leaving(), Net()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        client.send_c_echo_request(client.context_for("1.2.840.10008.1.1"), message_id=1)
        client.release()
        assert server.journal.wait_for("closed") == [None]
    wait_until(lambda: not client.is_connected, within=5, what="the client's end")
    assert client.journal.of("closed") == [None]


class Mistaken(Net):
    """Answers a C-ECHO with the response of another service."""

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        response = CFindResponse(message_id_being_responded_to=request.message_id, status=0)
        self.send_message(context, response)


def hang_up(peer: RawPeer) -> None:
    """Let the server say its last word, and do not keep it waiting."""
    while peer.socket.recv(1 << 16):
        pass
    peer.socket.close()


ABORT = write_pdu(pdu.Abort(source=0, reason=0))


@pytest.mark.parametrize("end", [ABORT, b"\xff", write_pdu(ask_for())], ids=["abort", "nonsense", "request"])
def test_association_that_ends_in_the_bytes_behind_its_request(
    end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The peer's doing and no failure of the server's, which has nothing to answer any more."""
    server = Net()
    with serving(server) as address, RawPeer(address) as peer:
        peer.send(write_pdu(ask_for()) + end)
        hang_up(peer)
        assert ended_with(server.journal) == [AssociationAborted]
    assert server.journal.of("associated") == []
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("end", [ABORT, b"\xff"], ids=["abort", "nonsense"])
@pytest.mark.parametrize("what", ["echo", "find", "release"])
def test_association_that_ends_in_the_bytes_behind_an_operation(
    what: str, end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = Net(objects={"1.2": b"match"})
    with serving(server) as address, RawPeer(address).associate() as peer:
        if what == "release":
            peer.connection.request_release()
            request = b"".join(peer.connection.data_to_send())
        elif what == "find":
            find = CFindRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_FIND)
            request = send(peer.connection, FIND, find, b"identifier")
        else:
            request = send(peer.connection, ECHO, CEchoRequest(message_id=1, affected_sop_class_uid="1.2"))
        peer.send(request + end)
        hang_up(peer)
        assert ended_with(server.journal) == [AssociationAborted]
    assert [record for record in caplog.records if record.exc_info] == []


def test_response_of_another_kind_ends_the_association() -> None:
    server, client = Mistaken(), Net()
    with serving(server) as address, client:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(RemoteProtocolError, match="CFindResponse where CEchoResponse was due"):
            client.c_echo()
        assert not client.is_associated
        assert server.journal.wait_for("aborted") == [(0, 0)]


def test_cancel_with_a_data_set_is_aborted() -> None:
    """It has none (PS3.7 §9.3.2.3), so nobody would take it off the wire."""
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send_message(FIND, CCancelRequest(message_id_being_responded_to=1), b"what for?")
        assert peer.read_to_end() == [ul.AbortReceived(2, 2)]
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationAborted]


class Relay(Net):
    """Fails with the end of an association that is not its own."""

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        raise AssociationReleased("the destination released its association")


def test_end_of_another_association_aborts_this_one() -> None:
    server = Relay()
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send_message(ECHO, CEchoRequest(message_id=1))
        assert peer.read_to_end() == [ul.AbortReceived(2, 0)]
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationReleased]


def test_after_an_abort_of_our_own_the_association_is_over() -> None:
    """What cannot be read to its end aborts in the middle of its message; the next message is no caller's mistake."""

    def breaking_off() -> Iterator[bytes]:
        yield bytes(1000)
        yield bytes(1000)
        raise OSError("the disk fails")

    server, client = Net(), Net()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(OSError, match="the disk fails"):
            store(client, "1.2.3", breaking_off())
        with pytest.raises(AssociationReleased):
            store(client, "1.2.4", b"data")
        client.close()
        assert ended_with(server.journal) == [AssociationAborted]
    assert server.objects == {}
