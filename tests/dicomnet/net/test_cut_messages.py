"""Messages cut into PDVs and PDUs in every legal way, over real sockets, to either role (PS3.8 Annex E)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from tests.dicomnet.net.nets import Net, associated, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import CT_STORAGE, STUDY_ROOT_FIND

from dicomnet import (
    CFindRequest,
    CFindResponse,
    CStoreRequest,
    CStoreResponse,
    PresentationContext,
    ReceivedDataset,
    Status,
)
from dicomnet.dimse.command_set import write_command_set
from dicomnet.dimse.events import MessageReceived
from dicomnet.dimse.messages import Message, to_command_set
from dicomnet.upper_layer.pdu import DataTransfer, PresentationDataValue
from dicomnet.upper_layer.writer import write_pdu

STORAGE, FIND = 3, 5
"""Context IDs of `ask_for`."""
DATA = bytes(number % 251 for number in range(10_000))
Values = list[PresentationDataValue]


def cut(content: bytes, length: int) -> list[bytes]:
    return [content[start : start + length] for start in range(0, len(content), length)]


def values(context_id: int, pieces: Iterable[bytes], *, is_command: bool) -> Values:
    *first, last = pieces
    return [
        PresentationDataValue(context_id=context_id, is_command=is_command, is_last=is_last, data=data)
        for data, is_last in [*((piece, False) for piece in first), (last, True)]
    ]


def message(context_id: int, said: Message, command: int, dataset: int, empty: int = 0) -> Values:
    """PDVs of a message with its data set, in fragments of these lengths; `empty` PDVs stand around each."""

    def spaced(content: bytes, length: int) -> list[bytes]:
        nothing = [b""] * empty
        return nothing + [part for piece in cut(content, length) for part in (piece, *nothing)]

    written = write_command_set(to_command_set(said, has_dataset=True))
    return values(context_id, spaced(written, command), is_command=True) + values(
        context_id, spaced(DATA, dataset), is_command=False
    )


def one_each(parts: Values) -> bytes:
    """Every PDV is in a PDU of its own."""
    return b"".join(write_pdu(DataTransfer((part,))) for part in parts)


def all_in_one(parts: Values) -> bytes:
    """All PDVs are in one PDU: command and data set, and of several messages."""
    return write_pdu(DataTransfer(tuple(parts)))


def by_threes(parts: Values) -> bytes:
    return b"".join(
        write_pdu(DataTransfer(tuple(parts[start : start + 3]))) for start in range(0, len(parts), 3)
    )


Packing = Callable[[Values], bytes]
PACKINGS = pytest.mark.parametrize("pack", [one_each, all_in_one, by_threes])
LENGTHS = pytest.mark.parametrize(
    ("command", "dataset", "empty"),
    [
        pytest.param(1, 2, 0, id="byte by byte"),
        pytest.param(7, 4096, 0, id="split command"),
        pytest.param(1 << 16, 1 << 16, 0, id="whole"),
        pytest.param(31, 333, 1, id="one empty PDV around each"),
        pytest.param(1 << 16, 1 << 16, 2000, id="thousands of empty PDVs"),
    ],
)


def a_store(number: int) -> CStoreRequest:
    return CStoreRequest(
        message_id=number, affected_sop_class_uid=CT_STORAGE, affected_sop_instance_uid=f"1.2.3.{number}"
    )


@PACKINGS
@LENGTHS
def test_acceptor_takes_a_request(pack: Packing, command: int, dataset: int, empty: int) -> None:
    server = Net()
    parts = [part for number in (1, 2) for part in message(STORAGE, a_store(number), command, dataset, empty)]
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send(pack(parts))
        for number in (1, 2):
            answer = peer.read()
            assert isinstance(answer, MessageReceived)
            assert isinstance(answer.message, CStoreResponse)
            assert (answer.message.message_id_being_responded_to, answer.message.status) == (number, 0x0000)
    assert server.objects == {"1.2.3.1": DATA, "1.2.3.2": DATA}


class Cutting(Net):
    """Answers C-FIND with two matches, cut and packed as told."""

    pack: Packing
    lengths: tuple[int, int, int]

    def on_accept(self, peer_address: tuple[str, int]) -> Cutting:
        client = Cutting(self.configuration)
        client.journal, client.pack, client.lengths = self.journal, self.pack, self.lengths
        return client

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        dataset.drain()
        pending = CFindResponse(
            message_id_being_responded_to=request.message_id,
            affected_sop_class_uid=STUDY_ROOT_FIND,
            status=Status.PENDING,
        )
        parts = 2 * message(context.context_id, pending, *self.lengths)
        assert self._upper_layer.channel is not None
        self._upper_layer.channel.transport.send([self.pack(parts)], 10)
        self.send_c_find_response(context, request, status=Status.SUCCESS)


@PACKINGS
@LENGTHS
def test_requestor_takes_an_answer(pack: Packing, command: int, dataset: int, empty: int) -> None:
    server, client = Cutting(), Net()
    server.pack, server.lengths = pack, (command, dataset, empty)
    with serving(server) as address, associated(client, address):
        context = client.context_for(STUDY_ROOT_FIND)
        assert context.context_id == FIND
        *pending, (final, _) = client.c_find(context, DATA[:100])
        assert [found for _, found in pending] == [DATA, DATA]
        assert final.status == Status.SUCCESS
