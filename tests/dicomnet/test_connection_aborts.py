"""Aborts between two connections in memory, and what a peer has to do to be aborted (PS3.8 §7.3, §9.3.8)."""

from __future__ import annotations

import pytest
from tests.dicomnet.pair import (
    CT_STORAGE,
    REJECTED_CONTEXT,
    UNKNOWN_CONTEXT,
    VERIFICATION_CONTEXT,
    AssociationPair,
    associate_accept,
    associate_request,
    pdv,
    take_events,
    take_output,
)

from dicomnet.dimse.command_set import CommandElement, write_command_set
from dicomnet.dimse.events import DatasetFragment
from dicomnet.dimse.messages import (
    CEchoRequest,
    CStoreRequest,
    to_command_set,
)
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.states import State
from dicomnet.upper_layer.writer import write_pdu

SIDES = pytest.mark.parametrize("side", ["requestor", "acceptor"])


def store_request() -> bytes:
    request = CStoreRequest(
        message_id=1, affected_sop_class_uid=CT_STORAGE, affected_sop_instance_uid="1.2.3"
    )
    return write_command_set(to_command_set(request, has_dataset=True))


ECHO = write_command_set(to_command_set(CEchoRequest(message_id=1), has_dataset=False))


@SIDES
@pytest.mark.parametrize(("source", "reason"), [(0, 0), (2, 0), (2, 6)])
def test_abort(side: str, source: int, reason: int) -> None:
    pair = AssociationPair.associated()
    aborting, other = pair.side(side)
    aborting.abort(source=source, reason=reason)
    pair.exchange()
    assert take_events(other) == [ul.AbortReceived(source, reason)]
    assert other.should_close
    assert aborting.artim_running
    assert not aborting.is_associated


@SIDES
@pytest.mark.parametrize(
    ("received", "reason"),
    [
        pytest.param(b"\x08\0\0\0\0\4\0\0\0\0", 1, id="unknown PDU"),
        pytest.param(b"\x99", 1, id="the first byte of an unknown PDU"),
        pytest.param(write_pdu(associate_request()), 2, id="request in data transfer"),
        pytest.param(write_pdu(associate_accept()), 2, id="accept in data transfer"),
        pytest.param(write_pdu(pdu.ReleaseResponse()), 2, id="release response that nobody asked for"),
        pytest.param(b"\4\0\0\0\0\x0a" + b"\0\0\0\x64\3\3" + bytes(4), 6, id="PDV longer than its PDU"),
        pytest.param(b"\4\0\0\0\0\0", 6, id="P-DATA-TF without PDV"),
        pytest.param(b"\5\0\0\0\0\6" + bytes(6), 6, id="release request of a wrong length"),
        pytest.param(b"\4\0\0\0\0\6" + b"\0\0\0\2\2\3", 6, id="even context ID"),
        pytest.param(pdv(ECHO, context_id=REJECTED_CONTEXT, command=True), 6, id="rejected context"),
        pytest.param(pdv(ECHO, context_id=UNKNOWN_CONTEXT, command=True), 6, id="unknown context"),
        pytest.param(pdv(b"\0\0"), 5, id="data set without a command"),
        pytest.param(pdv(ECHO, command=True) + pdv(b"\0\0"), 5, id="data set that was not announced"),
        pytest.param(
            pdv(store_request(), command=True) + pdv(b"\0\0", context_id=VERIFICATION_CONTEXT),
            5,
            id="other context inside a message",
        ),
        pytest.param(
            pdv(ECHO[:8], command=True, last=False)
            + pdv(ECHO[8:], context_id=VERIFICATION_CONTEXT, command=True),
            5,
            id="other context inside a command",
        ),
        pytest.param(pdv(ECHO[:8], command=True, last=False) + pdv(b"\0\0"), 5, id="data inside a command"),
        pytest.param(
            pdv(store_request(), command=True) + pdv(b"\0\0", last=False) + pdv(ECHO, command=True),
            5,
            id="command inside a data set",
        ),
        pytest.param(pdv(bytes(65537), command=True, last=False), 6, id="endless command set"),
        pytest.param(pdv(b"", command=True), 6, id="empty command set"),
        pytest.param(pdv(ECHO[:-1], command=True), 6, id="truncated command set"),
        pytest.param(
            pdv(write_command_set({CommandElement.COMMAND_FIELD: 0x30}), command=True),
            6,
            id="request without a message ID",
        ),
    ],
)
def test_violation_ends_in_an_abort_that_says_why(side: str, received: bytes, reason: int) -> None:
    pair = AssociationPair.associated()
    connection, peer = pair.side(side)
    connection.receive_data(received)
    violated = take_events(connection)[-1]
    assert isinstance(violated, ul.ProtocolViolated)
    assert violated.error.reason == reason
    assert connection.state is State.AWAITING_TRANSPORT_CLOSE
    assert connection.artim_running
    peer.receive_data(take_output(connection))
    assert take_events(peer)[-1] == ul.AbortReceived(2, reason)


def test_nothing_is_heard_behind_a_violation() -> None:
    pair = AssociationPair.associated()
    pair.acceptor.receive_data(b"\xff")
    take_events(pair.acceptor)
    take_output(pair.acceptor)
    pair.acceptor.receive_data(pdv(ECHO, command=True) + b"\xff\xff")
    assert take_events(pair.acceptor) == []
    assert take_output(pair.acceptor) == b""


def test_empty_fragments_are_counted() -> None:
    pair = AssociationPair.associated(limits=Limits(empty_fragments=3))
    pair.acceptor.receive_data(pdv(store_request(), command=True) + pdv(b"", last=False) * 3)
    assert pair.acceptor.is_associated
    take_events(pair.acceptor)
    pair.acceptor.receive_data(pdv(b"", last=False))
    (violated,) = take_events(pair.acceptor)
    assert isinstance(violated, ul.ProtocolViolated)
    assert violated.error.reason == 6


def test_empty_fragments_are_counted_for_each_message_anew() -> None:
    pair = AssociationPair.associated(limits=Limits(empty_fragments=3))
    message = pdv(store_request(), command=True) + pdv(b"", last=False) * 2 + pdv(b"\0\0")
    pair.acceptor.receive_data(message * 5)
    assert pair.acceptor.is_associated
    last = take_events(pair.acceptor)[-1]
    assert last == DatasetFragment(b"\0\0", is_last=True)
