"""What peers do in the middle of things, over real sockets."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    STUDY_ROOT_GET,
    Net,
    ask_for,
    associated,
    ended_with,
    serving,
    store,
)
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import CT_STORAGE, STUDY_ROOT_FIND, associate_request, send

from dicomnet import (
    AssociationAborted,
    CEchoRequest,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    ConnectionLost,
    CStoreRequest,
    Limits,
    PresentationContext,
    ReceivedDataset,
)
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.messages import CEchoResponse, CGetResponse, CStoreResponse
from dicomnet.net import held
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.writer import write_pdu

ECHO, STORAGE, FIND, GET = 1, 3, 5, 9
"""Context IDs of `ask_for`."""
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT_STORAGE, affected_sop_instance_uid="1.2.3")


def half_a_store(peer: RawPeer) -> bytes:
    """Return a C-STORE-RQ up to the middle of its data set."""
    return send(peer.connection, STORAGE, STORE, bytes(200_000))[:100_000]


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


# In the middle of a data set.


def test_peer_closes_in_the_middle_of_a_data_set() -> None:
    server = Net()
    with serving(server) as address:
        with RawPeer(address).associate() as peer:
            peer.send(half_a_store(peer))
        assert ended_with(server.journal) == [ConnectionLost]
    assert server.objects == {}


def test_peer_vanishes_in_the_middle_of_a_data_set() -> None:
    server = Net()
    with serving(server) as address:
        peer = RawPeer(address).associate()
        peer.send(half_a_store(peer))
        peer.reset()
        assert ended_with(server.journal) == [ConnectionLost]
    assert server.objects == {}


def test_peer_aborts_in_the_middle_of_a_data_set() -> None:
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        stream = send(peer.connection, STORAGE, STORE, iter([bytes(100), bytes(100)]))
        first_two_pdus = stream[: -len(bytes(100)) - 12]
        peer.send(first_two_pdus + write_pdu(pdu.Abort(source=0)))
        assert ended_with(server.journal) == [AssociationAborted]
    assert server.journal.of("aborted") == [(0, 0)]
    assert server.objects == {}


@pytest.mark.parametrize(
    ("nonsense", "reason"),
    [(b"GET / HTTP/1.1\r\n\r\n", 1), (write_pdu(associate_request()), 2), (b"\4\0\0\0\0\1\0", 6)],
)
def test_nonsense_is_aborted_with_its_reason(nonsense: bytes, reason: int) -> None:
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send(nonsense)
        assert peer.read_to_end() == [ul.AbortReceived(2, reason)]
        peer.socket.close()
        (error,) = server.journal.wait_for("closed")
    assert isinstance(error, AssociationAborted)
    assert (error.source, error.reason, error.by_peer) == (2, reason, False)
    assert server.journal.of("aborted") == []


def test_nonsense_before_any_association() -> None:
    """AA-1: source 0."""
    server = Net()
    with serving(server) as address, RawPeer(address) as peer:
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        assert peer.socket.recv(100) == write_pdu(pdu.Abort(source=0))
        assert peer.socket.recv(100) == b""
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationAborted]


def test_unknown_version_is_rejected_at_once() -> None:
    server = Net()
    with serving(server) as address, RawPeer(address) as peer:
        began = time.monotonic()
        peer.send(write_pdu(associate_request(protocol_version=2)))
        assert peer.socket.recv(100) == write_pdu(pdu.AssociateReject(result=1, source=2, reason=2))
        assert peer.socket.recv(100) == b""
        assert time.monotonic() - began < server.configuration.timeouts.artim


@pytest.mark.parametrize("maximum_length", range(1, 8))
def test_peer_that_can_receive_nothing_is_rejected(maximum_length: int) -> None:
    server = Net()
    with serving(server) as address, RawPeer(address) as peer:
        peer.send(write_pdu(associate_request(maximum_length=maximum_length)))
        assert peer.socket.recv(100) == write_pdu(pdu.AssociateReject(result=1, source=2, reason=1))
        assert peer.socket.recv(100) == b""


def test_peer_that_can_receive_two_bytes_at_a_time_is_served() -> None:
    server = Net()
    with serving(server) as address, RawPeer(address).associate(ask_for(maximum_length=8)) as peer:
        peer.send_message(1, CEchoRequest(message_id=1, affected_sop_class_uid="1.2.840.10008.1.1"))
        event = peer.read()
        assert isinstance(event, MessageReceived)
        assert isinstance(event.message, CEchoResponse)


# Handlers that fail.


class Careless(Net):
    """Fails in the middle of things, or reads nothing."""

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        next(iter(dataset))
        raise OSError("disk on fire")

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        self.send_c_find_response(context, request, status=0xC000, error_comment="not today")


def test_handler_that_raises_aborts_its_association_alone(caplog: pytest.LogCaptureFixture) -> None:
    server = Careless()
    with (
        serving(server) as address,
        RawPeer(address).associate() as peer,
        associated(Net(), address) as other,
        caplog.at_level(logging.ERROR, "dicomnet"),
    ):
        peer.send(half_a_store(peer))
        assert peer.read_to_end() == [ul.AbortReceived(2, 0)]
        peer.socket.close()
        assert ended_with(server.journal) == [OSError]
        assert other.c_echo().status == 0x0000
    assert "the association is aborted" in caplog.text


def test_data_set_that_nobody_reads_is_passed_over() -> None:
    with serving(Careless()) as address, associated(Net(), address) as client:
        ((response, _),) = client.c_find(client.context_for(STUDY_ROOT_FIND), bytes(1_000_000))
        assert (response.status, response.error_comment) == (0xC000, "not today")
        assert client.c_echo().status == 0x0000


@pytest.mark.parametrize("error", [ValueError("no such file"), ConnectionLost("another association's")])
def test_source_that_fails_aborts_what_is_half_sent(error: Exception) -> None:
    """Else the next message would be the rest of this one."""
    server, client = Net(), Net()

    def pieces() -> Iterator[bytes]:
        yield bytes(1000)
        yield bytes(1000)
        raise error

    with serving(server) as address, client:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(type(error), match=str(error)):
            store(client, "1.2.3", pieces())
        assert not client.is_associated
        assert server.journal.wait_for("aborted") == [(2, 0)]
    assert server.objects == {}


# Ahead of their turn.


def test_requests_ahead_of_their_turn_are_served_in_order() -> None:
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        stream = b""
        for number in range(1, 40):
            stream += send(peer.connection, ECHO, CEchoRequest(message_id=2 * number - 1))
            request = CStoreRequest(message_id=2 * number, affected_sop_instance_uid=f"1.2.{number}")
            stream += send(peer.connection, STORAGE, request, bytes([number]) * 5000)
        peer.send(stream)
        answers = messages(peer, 78)
    assert [type(answer) for answer in answers] == [CEchoResponse, CStoreResponse] * 39
    assert [answer.message_id_being_responded_to for answer in answers] == list(range(1, 79))
    assert server.objects == {f"1.2.{number}": bytes([number]) * 5000 for number in range(1, 40)}


def test_requests_inside_a_get_wait_for_its_end() -> None:
    """They come where only the answer to a sub-operation should, and are held."""
    server = Net(objects={"1.2.3": b"one", "1.2.4": b"two"})
    with serving(server) as address, RawPeer(address).associate(ask_for(as_storage_scp=True)) as peer:
        peer.send_message(GET, CGetRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET), b"")
        peer.send_message(ECHO, CEchoRequest(message_id=2))
        peer.send_message(STORAGE, CStoreRequest(message_id=3, affected_sop_instance_uid="1.2.5"), b"three")
        stored, answers = 0, []
        while len(answers) < 5:
            (message,) = messages(peer, 1)
            if isinstance(message, CStoreRequest):
                stored += 1
                response = CStoreResponse(message_id_being_responded_to=message.message_id, status=0)
                peer.send_message(STORAGE, response)
            else:
                answers.append(message)
    assert stored == 2
    assert [type(answer) for answer in answers] == [CGetResponse] * 3 + [CEchoResponse, CStoreResponse]
    assert server.objects["1.2.5"] == b"three"


def test_too_many_requests_ahead_of_their_turn_are_aborted() -> None:
    server = Net(objects={"1.2.3": b"one"})
    with serving(server) as address, RawPeer(address).associate(ask_for(as_storage_scp=True)) as peer:
        get = CGetRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET)
        stream = send(peer.connection, GET, get, b"")
        for number in range(2, 2 + server.configuration.limits.deferred_requests + 1):
            stream += send(peer.connection, ECHO, CEchoRequest(message_id=number))
        peer.send(stream)
        assert peer.read_to_end()[-1] == ul.AbortReceived(2, 0)
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationAborted]


def test_object_ahead_of_its_turn_that_is_too_long_to_hold_is_aborted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Net(objects={"1.2.3": b"one"})
    with serving(server) as address, RawPeer(address).associate(ask_for(as_storage_scp=True)) as peer:
        get = CGetRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET)
        stream = send(peer.connection, GET, get, b"")
        too_long = bytes(server.configuration.limits.identifier_length + 1)
        peer.send(stream + send(peer.connection, STORAGE, STORE, too_long))
        assert peer.read_to_end()[-1] == ul.AbortReceived(2, 0)
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationAborted]
    assert caplog.text == "", "a peer's mistake is not an unexpected failure"


class Recorded(held._Room):
    """Room for requests that are held, with the most that was ever taken."""

    most = 0

    def take(self, count: int, most: int) -> bool:
        taken = super().take(count, most)
        self.most = max(self.most, self.taken)
        return taken


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(deferred_bytes=150_000), 150_000 + (1 << 20)),
        (Limits(deferred_bytes_in_all=1_100_000), 1_100_000),
        (Limits(deferred_bytes_in_all=1000), 0),
    ],
)
def test_what_is_sent_ahead_of_its_turn_is_read_no_further_than_there_is_room(
    limits: Limits, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer waits, and everything is served in the end."""
    room = Recorded()
    monkeypatch.setattr(held, "HELD_IN_ALL", room)
    server = Net(
        replace(CONFIGURATION, limits=limits), objects={f"1.2.{number}": b"x" for number in range(300)}
    )
    with serving(server) as address, RawPeer(address).associate() as peer:
        stream = b""
        for number in range(1, 9):
            request = CFindRequest(message_id=number, affected_sop_class_uid=STUDY_ROOT_FIND)
            stream += send(peer.connection, FIND, request, bytes(100_000))
        sender = threading.Thread(target=peer.send, args=(stream,))
        sender.start()
        finals = []
        while len(finals) < 8:
            (message,) = messages(peer, 1)
            assert isinstance(message, CFindResponse)
            if message.status == 0:
                finals.append(message.message_id_being_responded_to)
        sender.join()
    assert finals == list(range(1, 9))
    assert room.most <= most
    assert room.taken == 0


def test_what_is_held_inside_a_get_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the peer cannot be made to wait, as its answers come behind; a little is held in any case."""
    monkeypatch.setattr(held, "HELD_IN_ALL", Recorded())
    limits = Limits(deferred_bytes_in_all=1000)
    server = Net(replace(CONFIGURATION, limits=limits), objects={"1.2.3": b"one"})
    with serving(server) as address, RawPeer(address).associate(ask_for(as_storage_scp=True)) as peer:
        get = CGetRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET)
        stream = send(peer.connection, GET, get, b"")
        for number, length in ((2, 1000), (3, 20_000)):
            request = CFindRequest(message_id=number, affected_sop_class_uid=STUDY_ROOT_FIND)
            stream += send(peer.connection, FIND, request, bytes(length))
        peer.send(stream)
        assert peer.read_to_end()[-1] == ul.AbortReceived(2, 0)
        peer.socket.close()
        (ended,) = server.journal.wait_for("closed")
        assert "ahead of its turn" in str(ended)
