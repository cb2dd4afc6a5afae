"""User identity (58H and 59H, PS3.7 §D.3.3.7): types, answers, and secrets that stay secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.pair import EXPLICIT, VERIFICATION

from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.associate import DicomAssociate
from dicomnet.upper_layer.events import AssociateAccepted, AssociateRequested
from dicomnet.upper_layer.negotiation import (
    SupportedAbstractSyntax,
    answer_request,
    negotiated,
    own_user_information,
)
from dicomnet.upper_layer.user_identity import IdentityAccepted, identity_response

SECRET = b"correct horse battery staple"
SUPPORTED = SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,))


def identity(identity_type: int, *, wants_answer: bool = True) -> pdu.UserIdentity:
    return pdu.UserIdentity(
        identity_type=identity_type,
        positive_response_requested=wants_answer,
        primary=SECRET,
        secondary=SECRET if identity_type == 2 else b"",
    )


def request(user: pdu.UserIdentity | None) -> pdu.AssociateRequest:
    return pdu.AssociateRequest(
        called_ae_title="ARCHIVE",
        calling_ae_title="WORKSTATION",
        presentation_contexts=(
            pdu.ProposedPresentationContext(
                context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(EXPLICIT,)
            ),
        ),
        user_information=own_user_information(maximum_length=0, user_identity=user),
    )


def accept(asked: pdu.AssociateRequest, response: bytes | None) -> pdu.AssociateAccept:
    return answer_request(asked, lambda _: SUPPORTED, maximum_length=0, user_identity_response=response)


@pytest.mark.parametrize(
    ("identity_type", "kind"),
    [
        (1, pdu.UserIdentityType.USER_NAME),
        (2, pdu.UserIdentityType.USER_NAME_AND_PASSCODE),
        (3, pdu.UserIdentityType.KERBEROS),
        (4, pdu.UserIdentityType.SAML),
        (5, pdu.UserIdentityType.JSON_WEB_TOKEN),
        (0, None),
        (6, None),
        (255, None),
    ],
)
def test_types_are_told_apart(identity_type: int, kind: pdu.UserIdentityType | None) -> None:
    assert identity(identity_type).kind is kind


@pytest.mark.parametrize(
    ("identity_type", "response"), [(1, b""), (2, b""), (3, b"ticket"), (4, b"ticket"), (5, b"ticket")]
)
def test_response_by_type(identity_type: int, response: bytes) -> None:
    accepted = IdentityAccepted(server_response=b"ticket")
    assert identity_response(identity(identity_type), accepted) == response
    assert identity_response(identity(identity_type, wants_answer=False), accepted) is None
    assert identity_response(identity(identity_type), None) is None, "nobody has checked"
    assert identity_response(None, accepted) is None


def test_requestor_sees_what_was_answered_and_what_was_not() -> None:
    asked = request(identity(5))
    assert negotiated(asked, accept(asked, b"token"), is_requestor=True).user_identity_response == b"token"
    assert negotiated(asked, accept(asked, b"token"), is_requestor=False).user_identity_response == b"token"
    assert negotiated(asked, accept(asked, b""), is_requestor=True).user_identity_response == b""
    assert negotiated(asked, accept(asked, None), is_requestor=True).user_identity_response is None


@pytest.mark.parametrize("user", [None, identity(5, wants_answer=False)])
def test_response_that_nobody_asked_for_means_nothing(user: pdu.UserIdentity | None) -> None:
    asked = request(user)
    assert negotiated(asked, accept(asked, b"token"), is_requestor=True).user_identity_response is None


@given(
    identity_type=st.integers(0, 255), wants_answer=st.booleans(), response=st.none() | st.binary(max_size=9)
)
def test_any_response_can_be_understood(
    identity_type: int, wants_answer: bool, response: bytes | None
) -> None:
    asked = request(identity(identity_type, wants_answer=wants_answer))
    agreed = negotiated(asked, accept(asked, response), is_requestor=True).user_identity_response
    assert agreed == (response if wants_answer else None)


@given(identity_type=st.integers(0, 255))
def test_no_secret_in_any_representation(identity_type: int) -> None:
    asked = request(identity(identity_type))
    answer = accept(asked, SECRET)
    associate = DicomAssociate.of(asked)
    associate.user_identity_response = SECRET
    shown = (
        identity(identity_type),
        IdentityAccepted(server_response=SECRET),
        asked,
        answer,
        associate,
        AssociateRequested(asked),
        AssociateAccepted(answer),
        negotiated(asked, answer, is_requestor=True),
        negotiated(asked, answer, is_requestor=False),
        replace(answer.user_information, maximum_length=1),
    )
    for each in shown:
        assert SECRET.decode() not in f"{each!r} {each}"
