"""Associations between two connections in memory: beginning, orderly end, abort (PS3.8 §7)."""

from __future__ import annotations

import pytest
from tests.dicomnet.pair import (
    EXPLICIT,
    IMPLICIT,
    STORAGE_CONTEXT,
    UNKNOWN_CONTEXT,
    VERIFICATION_CONTEXT,
    AssociationPair,
    associate_accept,
    associate_request,
    send,
    take_events,
    take_output,
)

from dicomnet.connection import Connection
from dicomnet.dimse.events import MessageReceived
from dicomnet.dimse.messages import (
    CEchoResponse,
)
from dicomnet.errors import LocalProtocolError
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.states import State
from dicomnet.upper_layer.writer import write_pdu

SIDES = pytest.mark.parametrize("side", ["requestor", "acceptor"])

REJECTIONS = [
    (result, source, reason)
    for result in (1, 2)
    for source, reasons in ((1, (1, 2, 3, 7)), (2, (1, 2)), (3, (1, 2)))
    for reason in reasons
]
"""PS3.8 Table 9-21."""


# Beginning.


def test_acceptor_is_told_what_was_asked_for() -> None:
    assert AssociationPair().request() == [ul.AssociateRequested(associate_request())]


def test_both_sides_agree_on_what_was_accepted() -> None:
    pair = AssociationPair.associated(requestor_maximum=4096, acceptor_maximum=0)
    requestor, acceptor = pair.requestor.negotiated, pair.acceptor.negotiated
    assert requestor is not None
    assert acceptor is not None
    assert set(requestor.presentation_contexts) == {VERIFICATION_CONTEXT, STORAGE_CONTEXT}
    assert set(acceptor.presentation_contexts) == set(requestor.presentation_contexts)
    assert (requestor.maximum_length_to_send, acceptor.maximum_length_to_send) == (0, 4096)
    for context in requestor.presentation_contexts.values():
        assert (context.as_scu, context.as_scp) == (True, False)
    for context in acceptor.presentation_contexts.values():
        assert (context.as_scu, context.as_scp) == (False, True)


@pytest.mark.parametrize(("result", "source", "reason"), REJECTIONS)
def test_rejection_arrives_as_sent(result: int, source: int, reason: int) -> None:
    pair = AssociationPair()
    pair.request()
    pair.acceptor.reject(result=result, source=source, reason=reason)
    pair.exchange()
    rejected = pdu.AssociateReject(result=result, source=source, reason=reason)
    assert take_events(pair.requestor) == [ul.AssociateRejected(rejected)]
    assert pair.requestor.should_close
    assert pair.requestor.state is State.IDLE
    assert pair.acceptor.state is State.AWAITING_TRANSPORT_CLOSE
    assert pair.acceptor.artim_running


def test_accept_of_what_was_not_proposed_is_not_used() -> None:
    accept = pdu.AssociateAccept(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=(
            pdu.PresentationContextResult(
                context_id=VERIFICATION_CONTEXT, result=0, transfer_syntax=EXPLICIT
            ),
            pdu.PresentationContextResult(context_id=UNKNOWN_CONTEXT, result=0, transfer_syntax=IMPLICIT),
            pdu.PresentationContextResult(context_id=STORAGE_CONTEXT, result=0, transfer_syntax=IMPLICIT),
        ),
        user_information=pdu.UserInformation(),
    )
    requestor = Connection(is_requestor=True)
    requestor.request_association(associate_request())
    requestor.transport_connected()
    requestor.receive_data(write_pdu(accept))
    assert requestor.negotiated is not None
    assert set(requestor.negotiated.presentation_contexts) == {STORAGE_CONTEXT}


# What cannot be sent is refused before anything changes.


def test_request_that_cannot_be_written_changes_nothing() -> None:
    requestor = Connection(is_requestor=True)
    request = pdu.AssociateRequest(
        called_ae_title="",
        calling_ae_title="A",
        presentation_contexts=(),
        user_information=pdu.UserInformation(),
    )
    with pytest.raises(LocalProtocolError):
        requestor.request_association(request)
    assert requestor.state is State.IDLE


def test_accept_that_cannot_be_written_changes_nothing() -> None:
    pair = AssociationPair()
    pair.request()
    accept = pdu.AssociateAccept(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=(),
        user_information=pdu.UserInformation(),
        application_context_name="",
    )
    with pytest.raises(LocalProtocolError):
        pair.acceptor.accept(accept)
    assert pair.acceptor.state is State.AWAITING_LOCAL_ASSOCIATE_RESPONSE
    assert take_output(pair.acceptor) == b""
    pair.acceptor.accept(associate_accept())
    assert pair.acceptor.is_associated


def test_rejection_that_cannot_be_written_changes_nothing() -> None:
    pair = AssociationPair()
    pair.request()
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reject(result=256, source=1, reason=1)
    assert pair.acceptor.state is State.AWAITING_LOCAL_ASSOCIATE_RESPONSE


def test_abort_that_cannot_be_written_changes_nothing() -> None:
    pair = AssociationPair.associated()
    with pytest.raises(LocalProtocolError):
        pair.acceptor.abort(source=-1)
    assert pair.acceptor.state is State.DATA_TRANSFER


# Orderly end.


@SIDES
def test_release(side: str) -> None:
    pair = AssociationPair.associated()
    asking, answering = pair.side(side)
    asking.request_release()
    pair.exchange()
    assert take_events(answering) == [ul.ReleaseRequested()]
    assert answering.is_associated
    answering.respond_release()
    pair.exchange()
    assert take_events(asking) == [ul.ReleaseConfirmed()]
    assert asking.should_close
    assert answering.artim_running
    assert not answering.should_close
    answering.transport_closed()
    assert answering.state is State.IDLE
    assert take_events(answering) == []


@SIDES
def test_answers_go_out_between_release_request_and_response(side: str) -> None:
    """AR-7 on the one side, AR-6 on the other."""
    pair = AssociationPair.associated()
    asking, answering = pair.side(side)
    asking.request_release()
    pair.exchange()
    response = CEchoResponse(message_id_being_responded_to=1, status=0)
    asking.receive_data(send(answering, VERIFICATION_CONTEXT, response))
    (received,) = take_events(asking)
    assert isinstance(received, MessageReceived)
    assert received.message == response
    with pytest.raises(LocalProtocolError):
        send(asking, VERIFICATION_CONTEXT, response)


@pytest.mark.parametrize("first", ["requestor", "acceptor"])
def test_release_collision(first: str) -> None:
    """Both ask at once; the requestor answers first, whoever was told first (PS3.8 §7.2.2.7)."""
    pair = AssociationPair.associated()
    for connection in pair.side(first):
        connection.request_release()
    pair.exchange()
    assert take_events(pair.requestor) == [ul.ReleaseRequested()]
    assert take_events(pair.acceptor) == [ul.ReleaseRequested()]
    with pytest.raises(LocalProtocolError):
        pair.acceptor.respond_release()
    pair.requestor.respond_release()
    pair.exchange()
    assert take_events(pair.acceptor) == [ul.ReleaseConfirmed()]
    pair.acceptor.respond_release()
    pair.exchange()
    assert take_events(pair.requestor) == [ul.ReleaseConfirmed()]
    assert pair.requestor.should_close
    assert pair.acceptor.state is State.AWAITING_TRANSPORT_CLOSE
