"""DicomAssociate: requests and accepts to be filled in (PS3.8 §7.1.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.dicomnet.upper_layer.strategies import associate_requests

from dicomnet import DicomAssociate, LocalProtocolError, RoleSelection
from dicomnet.uids import APPLICATION_CONTEXT_NAME, IMPLEMENTATION_CLASS_UID
from dicomnet.upper_layer.negotiation import negotiated
from dicomnet.upper_layer.pdu import (
    AssociateRequest,
    AsynchronousOperationsWindow,
    ExtendedNegotiation,
    UserIdentity,
)
from dicomnet.upper_layer.writer import write_pdu

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def a_request() -> DicomAssociate:
    request = DicomAssociate.default(called_ae_title="ARCHIVE", calling_ae_title="MODALITY")
    request.add_presentation_context(SOP_CLASS, ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2"])
    request.add_presentation_context("1.2.840.10008.1.1")
    request.roles.append(RoleSelection(sop_class_uid=SOP_CLASS, scu_role=True, scp_role=True))
    request.extended_negotiations.append(ExtendedNegotiation(sop_class_uid=SOP_CLASS, information=b"\2"))
    request.asynchronous_operations_window = AsynchronousOperationsWindow(
        maximum_invoked=8, maximum_performed=0
    )
    request.user_identity = UserIdentity(identity_type=1, positive_response_requested=True, primary=b"me")
    return request


def test_default_is_what_every_request_needs() -> None:
    request = DicomAssociate.default().to_request()
    assert request.protocol_version == 1
    assert request.application_context_name == APPLICATION_CONTEXT_NAME
    assert request.user_information.maximum_length == 262144
    assert request.user_information.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert request.presentation_contexts == ()


def test_contexts_have_the_odd_numbers() -> None:
    request = DicomAssociate.default()
    ids = [request.add_presentation_context(SOP_CLASS).context_id for _ in range(128)]
    assert ids == list(range(1, 256, 2))
    with pytest.raises(LocalProtocolError, match="no ID is left"):
        request.add_presentation_context(SOP_CLASS)


def test_accept_matches_its_request() -> None:
    request = a_request().to_request()
    accept = DicomAssociate.accept_of(request)
    assert not accept.is_request
    said = accept.to_accept()
    assert [(context.context_id, context.result) for context in said.presentation_contexts] == [
        (1, 0),
        (3, 0),
    ]
    assert said.presentation_contexts[0].transfer_syntax == "1.2.840.10008.1.2.4.90"
    assert (said.called_ae_title, said.calling_ae_title) == ("ARCHIVE", "MODALITY")
    information = said.user_information
    assert information.roles == request.user_information.roles
    window = information.asynchronous_operations_window
    assert window == AsynchronousOperationsWindow(maximum_invoked=1, maximum_performed=1)
    assert (information.extended_negotiations, information.user_identity) == ((), None)
    contexts = negotiated(request, said, is_requestor=False).presentation_contexts
    assert sorted(contexts) == [1, 3]
    assert contexts[1].as_scu
    assert contexts[1].as_scp


def test_accept_may_be_cut_down() -> None:
    request = a_request().to_request()
    accept = DicomAssociate.accept_of(request)
    accept.presentation_contexts[0].transfer_syntaxes = ["1.2.840.10008.1.2"]
    accept.presentation_contexts[1].result = 3
    contexts = negotiated(request, accept.to_accept(), is_requestor=True).presentation_contexts
    assert {number: context.transfer_syntax for number, context in contexts.items()} == {
        1: "1.2.840.10008.1.2"
    }


def test_reset_empties_a_request() -> None:
    request = a_request()
    request.reset(accept=False)
    assert request == DicomAssociate.default()


def test_each_is_sent_as_what_it_is() -> None:
    request = a_request()
    with pytest.raises(LocalProtocolError, match="reset it first"):
        request.to_accept()
    request.reset()
    with pytest.raises(LocalProtocolError, match="as a request"):
        request.to_request()


@given(request=associate_requests())
def test_received_request_is_kept_whole(request: AssociateRequest) -> None:
    assert DicomAssociate.of(request).to_request() == request


@given(request=associate_requests())
def test_whatever_is_asked_can_be_accepted(request: AssociateRequest) -> None:
    accept = DicomAssociate.accept_of(request).to_accept()
    assert write_pdu(accept)
    answered = [context.context_id for context in accept.presentation_contexts]
    assert answered == [context.context_id for context in request.presentation_contexts]
