"""Small messages that leave together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dicomnet.net.nets import Net, associated, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import STUDY_ROOT_FIND

from dicomnet import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    DicomNet,
    LocalProtocolError,
    PresentationContext,
    ReceivedDataset,
    Status,
)
from dicomnet.dimse.events import DatasetFragment, MessageReceived

FIND = 5


class Gathering(Net):
    """Answers a C-FIND with its objects, all in one block, and notes each PDU that is written."""

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        dataset.drain()
        with self.gathering(), self.gathering():
            for match in self.objects.values():
                self.journal.note("made")
                self.send_c_find_response(context, request, status=Status.PENDING, identifier=match)
        self.send_c_find_response(context, request, status=Status.SUCCESS)

    def on_send(self, error: Exception | None, pdu_type: int, length: int) -> None:
        assert error is None
        self.journal.note("sent", length)


def answers(peer: RawPeer) -> list[bytes]:
    """Read the answers of a C-FIND to the final one; return their identifiers."""
    identifiers = list[bytes]()
    while True:
        event = peer.read()
        if isinstance(event, DatasetFragment):
            identifiers[-1] += event.data
        else:
            assert isinstance(event, MessageReceived)
            assert isinstance(event.message, CFindResponse)
            if event.message.status == Status.SUCCESS:
                return identifiers
            identifiers.append(b"")


def test_nothing_leaves_before_the_end_of_the_block() -> None:
    server = Gathering(objects={f"1.2.{number}": bytes([number]) * 200 for number in range(10)})
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send_message(FIND, CFindRequest(message_id=1), b"identifier")
        assert answers(peer) == list(server.objects.values())
    order = [what for what, _ in server.journal.entries if what in ("made", "sent")]
    last_made = len(order) - order[::-1].index("made")
    assert order[:last_made].count("sent") == 1, "the A-ASSOCIATE-AC"
    assert order[last_made:].count("sent") >= 20


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.sampled_from([0, 2, 200, 4000, 5000, 70_000, 300_000]), max_size=60))
def test_order_and_content_are_as_without(lengths: list[int]) -> None:
    objects = {f"1.2.{number}": bytes([number]) * length for number, length in enumerate(lengths)}
    server = Gathering(objects=objects)
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send_message(FIND, CFindRequest(message_id=1), b"identifier")
        assert answers(peer) == list(objects.values())


def test_many_small_ones_do_not_wait_for_the_end() -> None:
    server = Gathering(objects={f"1.2.{number}": b"match" * 2 for number in range(1000)})
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send_message(FIND, CFindRequest(message_id=1), b"identifier")
        assert len(answers(peer)) == 1000
    order = [what for what, _ in server.journal.entries if what in ("made", "sent")]
    assert order.index("sent", 1) < order.index("made", 1) + 300


def test_waiting_for_the_peer_inside_the_block_sends_what_it_waits_for() -> None:
    with serving(Net()) as address, associated(Net(), address) as client, client.gathering():
        assert client.c_echo().status == Status.SUCCESS
        context = client.context_for(STUDY_ROOT_FIND)
        assert [response.status for response, _ in client.c_find(context, b"")] == [Status.SUCCESS]


def test_there_is_nothing_to_gather_without_a_connection() -> None:
    with pytest.raises(LocalProtocolError):
        DicomNet().gathering()


def test_messages_that_are_equal_are_written_equally() -> None:
    """A message's encoding is kept for the next that equals it."""
    with serving(server := Net()) as address, RawPeer(address).associate() as peer:
        for number in (1, 1, 2, 1):
            peer.send_message(1, CEchoRequest(message_id=number))
            event = peer.read()
            assert isinstance(event, MessageReceived)
            assert isinstance(event.message, CEchoResponse)
            assert event.message.message_id_being_responded_to == number
        assert server.client_count == 1
