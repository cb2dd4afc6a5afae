"""PDVs put together to messages (PS3.8 Annex E); what a peer may not mix is `test_connection_aborts`'s."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.dimse.strategies import messages
from tests.dicomnet.upper_layer.frames import value
from tests.dicomnet.upper_layer.strategies import chunkings

from dicomnet.dimse.assembler import MessageAssembler
from dicomnet.dimse.command_set import write_command_set
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.messages import CEchoRequest, CStoreRequest, Message, to_command_set
from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.negotiation import PresentationContext

CONTEXT = PresentationContext(
    context_id=1, abstract_syntax="1.2", transfer_syntax="1.2.840.10008.1.2", as_scu=True, as_scp=True
)
OTHER = PresentationContext(
    context_id=3, abstract_syntax="1.3", transfer_syntax="1.2.840.10008.1.2", as_scu=True, as_scp=True
)


def assembler(**limits: int) -> MessageAssembler:
    return MessageAssembler({1: CONTEXT, 3: OTHER}, Limits(**limits))


def command_of(message: Message, *, has_dataset: bool) -> bytes:
    return write_command_set(to_command_set(message, has_dataset=has_dataset))


@given(message=messages(), has_dataset=st.booleans(), data=st.data())
def test_command_in_pieces_is_the_command(message: Message, has_dataset: bool, data: st.DataObject) -> None:
    pieces = data.draw(chunkings(command_of(message, has_dataset=has_dataset)))
    whole = assembler()
    for piece in pieces[:-1]:
        assert whole.receive(value(piece, is_command=True, is_last=False)) is None
    received = whole.receive(value(pieces[-1], is_command=True))
    assert received == MessageReceived(CONTEXT, message, has_dataset)


def test_data_set_passes_through_uncopied() -> None:
    buffer = bytearray(b"data set")
    whole = assembler()
    whole.receive(value(command_of(CStoreRequest(message_id=1), has_dataset=True), is_command=True))
    piece = whole.receive(value(memoryview(buffer), is_last=False))
    assert isinstance(piece, DatasetFragment)
    assert piece.data.obj is buffer
    assert not piece.is_last
    assert whole.receive(value(b"")) == DatasetFragment(b"", is_last=True)


def test_command_is_copied_out_of_the_receive_buffer() -> None:
    command = command_of(CEchoRequest(message_id=7), has_dataset=False)
    whole = assembler()
    buffer = bytearray(command[:20])
    whole.receive(value(memoryview(buffer), is_command=True, is_last=False))
    buffer[:] = bytes(20)
    received = whole.receive(value(command[20:], is_command=True))
    assert received == MessageReceived(CONTEXT, CEchoRequest(message_id=7), has_dataset=False)


def test_contexts_may_change_between_messages() -> None:
    whole = assembler()
    command = command_of(CEchoRequest(message_id=7), has_dataset=False)
    for context in (CONTEXT, OTHER, CONTEXT):
        received = whole.receive(value(command, is_command=True, context_id=context.context_id))
        assert isinstance(received, MessageReceived)
        assert received.context == context


def test_longest_command_set_is_taken_and_a_longer_one_refused() -> None:
    command = command_of(CEchoRequest(message_id=7), has_dataset=False)
    fitting = assembler(command_set_length=len(command))
    assert fitting.receive(value(command, is_command=True)) is not None
    tight = assembler(command_set_length=len(command) - 1)
    tight.receive(value(command[:10], is_command=True, is_last=False))
    with pytest.raises(RemoteProtocolError) as raised:
        tight.receive(value(command[10:], is_command=True))
    assert raised.value.reason == 6
