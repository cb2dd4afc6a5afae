"""Messages between two connections in memory, however they are cut (PS3.7 §8, PS3.8 Annexes D and E)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.pair import (
    CT_STORAGE,
    STORAGE_CONTEXT,
    VERIFICATION_CONTEXT,
    AssociationPair,
    associate_request,
    merged,
    pdv,
    send,
    take_events,
)
from tests.dicomnet.upper_layer.strategies import chunkings

from dicomnet.connection import Connection
from dicomnet.dimse.command_set import write_command_set
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.messages import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CStoreRequest,
    CStoreResponse,
    to_command_set,
)
from dicomnet.errors import LocalProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.negotiation import answer_request
from dicomnet.upper_layer.reader import read_pdu
from dicomnet.upper_layer.writer import write_pdu

STORE = CStoreRequest(message_id=9, affected_sop_class_uid=CT_STORAGE, affected_sop_instance_uid="1.2.3.4")
STORE_COMMAND = write_command_set(to_command_set(STORE, has_dataset=True))
SIDES = pytest.mark.parametrize("side", ["requestor", "acceptor"])


def pdus_of(stream: bytes) -> list[pdu.DataTransfer]:
    found = []
    while stream:
        end = 6 + int.from_bytes(stream[2:6], "big")
        found.append(read_pdu(stream[0], stream[6:end], Limits()))
        stream = stream[end:]
    return found


def received(connection: Connection, *streams: bytes) -> list[object]:
    """Feed streams one after the other; return what came of them."""
    events = []
    for stream in streams:
        connection.receive_data(stream)
        events += take_events(connection)
    return merged(events)


def dataset_of(events: list[object]) -> bytes:
    """Return the data set of the one message in `events`."""
    message, fragment = events
    assert isinstance(message, MessageReceived)
    assert message.message == STORE
    assert isinstance(fragment, DatasetFragment)
    assert fragment.is_last
    return bytes(fragment.data)


@SIDES
def test_message_without_data_set(side: str) -> None:
    sender, receiver = AssociationPair.associated().side(side)
    request = CEchoRequest(message_id=5, affected_sop_class_uid="1.2.840.10008.1.1")
    (event,) = received(receiver, send(sender, VERIFICATION_CONTEXT, request))
    assert isinstance(event, MessageReceived)
    assert (event.message, event.has_dataset) == (request, False)
    assert event.context.context_id == VERIFICATION_CONTEXT


@SIDES
@pytest.mark.parametrize("maximum", [0, 8, 9, 4096, 16384, 131072])
@pytest.mark.parametrize("length", [0, 1, 2, 4090, 4091, 20000])
def test_maximum_length_is_kept_to(side: str, maximum: int, length: int) -> None:
    """The PDU-length field counts, not the PDU (PS3.8 §D.1)."""
    pair = AssociationPair.associated(requestor_maximum=maximum, acceptor_maximum=maximum)
    sender, receiver = pair.side(side)
    dataset = bytes(range(256)) * (length // 256 + 1)
    stream = send(sender, STORAGE_CONTEXT, STORE, dataset[:length])
    for sent in pdus_of(stream):
        (value,) = sent.values
        assert maximum == 0 or 6 + len(value.data) <= maximum
        assert value.is_last or len(value.data) % 2 == 0, "only a last fragment may be odd"
    assert dataset_of(received(receiver, stream)) == dataset[:length]


@pytest.mark.parametrize("maximum", [1, 6, 7])
def test_peer_that_receives_nothing_is_an_error(maximum: int) -> None:
    pair = AssociationPair.associated(acceptor_maximum=maximum)
    with pytest.raises(LocalProtocolError, match=f"at most {maximum} bytes"):
        send(pair.requestor, STORAGE_CONTEXT, STORE, b"data")


def test_longer_pdus_than_announced_are_taken() -> None:
    """They are streamed and cost nothing; many a peer exceeds the maximum a little."""
    pair = AssociationPair.associated(acceptor_maximum=4096)
    dataset = bytes(100_000)
    assert dataset_of(received(pair.acceptor, pdv(STORE_COMMAND, command=True) + pdv(dataset))) == dataset


@given(dataset=st.binary(max_size=300), data=st.data())
def test_pieces_of_a_data_set_arrive_as_the_whole(dataset: bytes, data: st.DataObject) -> None:
    pair = AssociationPair.associated(acceptor_maximum=data.draw(st.sampled_from([0, 8, 20, 64])))
    pieces = data.draw(chunkings(dataset))
    assert (
        dataset_of(received(pair.acceptor, send(pair.requestor, STORAGE_CONTEXT, STORE, pieces))) == dataset
    )


def test_pieces_may_alternate_between_two_buffers() -> None:
    """Each is written before the one behind the next is asked for."""
    pair = AssociationPair.associated()
    buffers = bytearray(4), bytearray(4)

    def pieces() -> object:
        for turn in range(5):
            buffers[turn % 2][:] = bytes([turn]) * 4
            yield memoryview(buffers[turn % 2])

    expected = b"".join(bytes([turn]) * 4 for turn in range(5))
    assert (
        dataset_of(received(pair.acceptor, send(pair.requestor, STORAGE_CONTEXT, STORE, pieces())))
        == expected
    )


def test_data_set_without_pieces_is_one_empty_fragment() -> None:
    pair = AssociationPair.associated()
    stream = send(pair.requestor, STORAGE_CONTEXT, STORE, [])
    assert pdus_of(stream)[-1].values[0].is_last
    assert dataset_of(received(pair.acceptor, stream)) == b""


def test_small_message_is_one_write() -> None:
    """Nagle's algorithm on either side has nothing to wait for then."""
    pair = AssociationPair.associated()
    assert len(list(pair.requestor.send_message(STORAGE_CONTEXT, STORE, bytes(10_000)))) == 1
    assert len(list(pair.requestor.send_message(STORAGE_CONTEXT, STORE, [bytes(10_000)]))) == 1


@given(data=st.data())
def test_command_set_may_come_in_any_number_of_pdvs(data: st.DataObject) -> None:
    pair = AssociationPair.associated()
    pieces = data.draw(chunkings(STORE_COMMAND))
    stream = b"".join(
        pdv(piece, command=True, last=number == len(pieces)) for number, piece in enumerate(pieces, 1)
    )
    assert dataset_of(received(pair.acceptor, stream + pdv(b"data"))) == b"data"


def test_command_and_data_may_share_a_pdu() -> None:
    pair = AssociationPair.associated()
    half = len(STORE_COMMAND) // 2
    values = [
        (True, False, STORE_COMMAND[:half]),
        (True, True, STORE_COMMAND[half:]),
        (False, False, b"da"),
        (False, False, b""),
        (False, True, b"ta"),
    ]
    shared = pdu.DataTransfer(
        tuple(
            pdu.PresentationDataValue(
                context_id=STORAGE_CONTEXT, is_command=is_command, is_last=is_last, data=content
            )
            for is_command, is_last, content in values
        )
    )
    assert dataset_of(received(pair.acceptor, write_pdu(shared))) == b"data"


def test_data_set_may_end_in_an_empty_pdv() -> None:
    pair = AssociationPair.associated()
    stream = pdv(STORE_COMMAND, command=True) + pdv(b"data", last=False) + pdv(b"")
    assert dataset_of(received(pair.acceptor, stream)) == b"data"


def test_messages_behind_each_other_keep_apart() -> None:
    pair = AssociationPair.associated()
    echo = CEchoRequest(message_id=2)
    stream = send(pair.requestor, STORAGE_CONTEXT, STORE, b"one")
    stream += send(pair.requestor, VERIFICATION_CONTEXT, echo)
    stream += send(pair.requestor, STORAGE_CONTEXT, STORE, b"two")
    events = received(pair.acceptor, stream)
    assert dataset_of(events[:2]) == b"one"
    assert isinstance(events[2], MessageReceived)
    assert events[2].message == echo
    assert dataset_of(events[3:]) == b"two"


def conversation() -> tuple[bytes, bytes]:
    """Return all that a requestor and an acceptor send on one association, from beginning to end."""
    pair = AssociationPair()
    request = associate_request()
    to_acceptor, to_requestor = write_pdu(request), b""
    pair.request()
    accept = answer_request(request, lambda _: pdu.ContextResult.NO_REASON, maximum_length=64)
    results = tuple(
        pdu.PresentationContextResult(
            context_id=each.context_id, result=0, transfer_syntax=each.transfer_syntax
        )
        for each in accept.presentation_contexts
    )
    accept = pdu.AssociateAccept(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=results,
        user_information=accept.user_information,
    )
    pair.acceptor.accept(accept)
    pair.exchange()
    to_requestor += write_pdu(accept)
    to_acceptor += send(pair.requestor, STORAGE_CONTEXT, STORE, bytes(range(200)))
    to_requestor += send(
        pair.acceptor, STORAGE_CONTEXT, CStoreResponse(message_id_being_responded_to=9, status=0)
    )
    to_acceptor += send(pair.requestor, 5, CFindRequest(message_id=10), b"identifier")
    to_acceptor += send(pair.requestor, VERIFICATION_CONTEXT, CEchoRequest(message_id=11))
    to_requestor += send(
        pair.acceptor, VERIFICATION_CONTEXT, CEchoResponse(message_id_being_responded_to=11, status=0)
    )
    return to_acceptor + write_pdu(pdu.ReleaseRequest()), to_requestor + write_pdu(pdu.ReleaseResponse())


TO_ACCEPTOR, TO_REQUESTOR = conversation()


def replay_to_acceptor(chunks: list[bytes]) -> list[object]:
    """Feed an acceptor that accepts as soon as it is asked, through one buffer that is used again and again."""
    acceptor = Connection(is_requestor=False)
    acceptor.transport_accepted()
    events = []
    for chunk in chunks:
        buffer = bytearray(chunk)
        acceptor.receive_data(memoryview(buffer))
        events += take_events(acceptor)
        buffer[:] = bytes(len(buffer))
        if acceptor.state == 3:
            accept = read_pdu(2, TO_REQUESTOR[6 : 6 + int.from_bytes(TO_REQUESTOR[2:6], "big")], Limits())
            assert isinstance(accept, pdu.AssociateAccept)
            acceptor.accept(accept)
    return merged(events)


def replay_to_requestor(chunks: list[bytes]) -> list[object]:
    requestor = Connection(is_requestor=True)
    requestor.request_association(associate_request())
    requestor.transport_connected()
    events = []
    for chunk in chunks:
        requestor.receive_data(chunk)
        events += take_events(requestor)
        if requestor.state == 6 and len(events) == 3:
            requestor.request_release()
    return merged(events)


REQUEST_LENGTH = len(write_pdu(associate_request()))


@given(data=st.data())
def test_any_chunking_gives_an_acceptor_the_same_events(data: st.DataObject) -> None:
    beginning, rest = TO_ACCEPTOR[:REQUEST_LENGTH], TO_ACCEPTOR[REQUEST_LENGTH:]
    expected = replay_to_acceptor([beginning, rest])
    assert len(expected) == 7
    assert replay_to_acceptor(data.draw(chunkings(beginning)) + data.draw(chunkings(rest))) == expected


@given(data=st.data())
def test_any_chunking_gives_a_requestor_the_same_events(data: st.DataObject) -> None:
    beginning, release = TO_REQUESTOR[:-10], TO_REQUESTOR[-10:]
    expected = replay_to_requestor([beginning, release])
    assert len(expected) == 4
    assert replay_to_requestor(data.draw(chunkings(beginning)) + data.draw(chunkings(release))) == expected
