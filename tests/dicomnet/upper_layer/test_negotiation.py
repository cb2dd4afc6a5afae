"""What two sides agree on (PS3.8 §7.1.1, PS3.7 Annex D.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.upper_layer.builders import associate, item, proposed
from tests.dicomnet.upper_layer.strategies import associate_requests, damaged

from dicomnet import uids
from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.negotiation import (
    NegotiatedAssociation,
    SupportedAbstractSyntax,
    answer_request,
    negotiated,
    own_user_information,
    provider_rejection,
)
from dicomnet.upper_layer.reader import read_pdu
from dicomnet.upper_layer.writer import write_pdu

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
IMPLICIT = uids.IMPLICIT_VR_LITTLE_ENDIAN
EXPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN
BIG_ENDIAN = uids.EXPLICIT_VR_BIG_ENDIAN
ALL = (IMPLICIT, EXPLICIT, BIG_ENDIAN, JPEG_LOSSLESS, JPEG_2000)


def request(
    *transfer_syntaxes: str, information: pdu.UserInformation | None = None, abstract_syntax: str = CT_STORAGE
) -> pdu.AssociateRequest:
    return pdu.AssociateRequest(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=(
            pdu.ProposedPresentationContext(
                context_id=1,
                abstract_syntax=abstract_syntax,
                transfer_syntaxes=transfer_syntaxes or (IMPLICIT,),
            ),
        ),
        user_information=information or pdu.UserInformation(),
    )


def answered(
    asked: pdu.AssociateRequest, support: SupportedAbstractSyntax | pdu.ContextResult
) -> pdu.AssociateAccept:
    return answer_request(asked, lambda _: support, maximum_length=16384)


def with_roles(*roles: tuple[bool, bool]) -> pdu.UserInformation:
    return pdu.UserInformation(
        roles=tuple(
            pdu.RoleSelection(sop_class_uid=CT_STORAGE, scu_role=scu, scp_role=scp) for scu, scp in roles
        )
    )


# Transfer syntaxes.


@pytest.mark.parametrize(
    ("proposed_syntaxes", "supported", "chosen"),
    [
        ((IMPLICIT,), ALL, IMPLICIT),
        ((IMPLICIT, EXPLICIT), ALL, EXPLICIT),
        ((BIG_ENDIAN, IMPLICIT), ALL, IMPLICIT),
        ((JPEG_LOSSLESS, EXPLICIT), ALL, JPEG_LOSSLESS),
        ((JPEG_2000, JPEG_LOSSLESS), ALL, JPEG_2000),
        ((IMPLICIT, JPEG_LOSSLESS), ALL, IMPLICIT),
        ((JPEG_2000, JPEG_LOSSLESS), (JPEG_LOSSLESS,), JPEG_LOSSLESS),
        ((JPEG_2000, IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), EXPLICIT),
        ((IMPLICIT, EXPLICIT), (IMPLICIT,), IMPLICIT),
    ],
)
def test_choice_of_transfer_syntax(
    proposed_syntaxes: tuple[str, ...], supported: tuple[str, ...], chosen: str
) -> None:
    """The sender's first that we know, for it has that at hand; of the uncompressed the one that keeps VRs."""
    support = SupportedAbstractSyntax(transfer_syntaxes=supported)
    (context,) = answered(request(*proposed_syntaxes), support).presentation_contexts
    assert (context.result, context.transfer_syntax) == (pdu.ContextResult.ACCEPTANCE, chosen)


def test_unsupported_transfer_syntaxes_are_named_as_the_reason() -> None:
    support = SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,))
    (context,) = answered(request(JPEG_2000), support).presentation_contexts
    assert context.result == pdu.ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED


@pytest.mark.parametrize("reason", [1, 2, 3])
def test_refused_sop_class_keeps_its_reason(reason: int) -> None:
    (context,) = answered(request(EXPLICIT), pdu.ContextResult(reason)).presentation_contexts
    assert (context.context_id, context.result) == (1, reason)


@given(asked=associate_requests(), data=st.data())
def test_every_context_is_answered_with_what_was_proposed(
    asked: pdu.AssociateRequest, data: st.DataObject
) -> None:
    supported = data.draw(
        st.sets(
            st.sampled_from([uid for each in asked.presentation_contexts for uid in each.transfer_syntaxes])
        )
    )
    accept = answered(asked, SupportedAbstractSyntax(transfer_syntaxes=supported))
    assert [each.context_id for each in accept.presentation_contexts] == [
        each.context_id for each in asked.presentation_contexts
    ]
    for proposed_context, answer in zip(
        asked.presentation_contexts, accept.presentation_contexts, strict=True
    ):
        usable = supported & set(proposed_context.transfer_syntaxes)
        assert (answer.result == pdu.ContextResult.ACCEPTANCE) == bool(usable)
        assert not usable or answer.transfer_syntax in usable


# User information.


def test_operations_window_is_answered_with_one_and_one() -> None:
    window = pdu.AsynchronousOperationsWindow(maximum_invoked=0, maximum_performed=8)
    information = pdu.UserInformation(asynchronous_operations_window=window)
    accept = answered(request(information=information), pdu.ContextResult.NO_REASON)
    assert accept.user_information.asynchronous_operations_window == pdu.AsynchronousOperationsWindow(
        maximum_invoked=1, maximum_performed=1
    )


def test_operations_window_is_not_answered_unasked() -> None:
    accept = answered(request(), pdu.ContextResult.NO_REASON)
    assert accept.user_information.asynchronous_operations_window is None


@pytest.mark.parametrize(
    ("proposed", "most", "granted"),
    [
        ((8, 4), 32, (8, 4)),
        ((8, 4), 6, (6, 4)),
        ((0, 0), 32, (32, 32)),
        ((1, 0), 32, (1, 32)),
        ((65535, 1), 1, (1, 1)),
    ],
)
def test_operations_window_is_granted_as_far_as_it_goes(
    proposed: tuple[int, int], most: int, granted: tuple[int, int]
) -> None:
    """And both sides make the same of it, each from where it stands (PS3.7 §D.3.3.3)."""
    information = pdu.UserInformation(asynchronous_operations_window=window(*proposed))
    asked = request(information=information)
    accept = answer_request(
        asked, lambda _: pdu.ContextResult.NO_REASON, maximum_length=0, maximum_operations=most
    )
    assert accept.user_information.asynchronous_operations_window == window(*granted)
    requestor, acceptor = (negotiated(asked, accept, is_requestor=role) for role in (True, False))
    assert (requestor.maximum_operations_invoked, requestor.maximum_operations_performed) == granted
    assert (acceptor.maximum_operations_performed, acceptor.maximum_operations_invoked) == granted


@pytest.mark.parametrize("asked_for", [None, (8, 8)])
@pytest.mark.parametrize("answered_with", [None, (0, 0), (9, 0)])
def test_acceptor_cannot_widen_the_window(
    asked_for: tuple[int, int] | None, answered_with: tuple[int, int] | None
) -> None:
    asked = request(
        information=pdu.UserInformation(
            asynchronous_operations_window=asked_for and window(*asked_for)  # type: ignore[arg-type]
        )
    )
    accept = replace(
        answered(asked, pdu.ContextResult.NO_REASON),
        user_information=pdu.UserInformation(
            asynchronous_operations_window=answered_with and window(*answered_with)  # type: ignore[arg-type]
        ),
    )
    agreed = negotiated(asked, accept, is_requestor=True)
    expected = 8 if asked_for and answered_with else 1
    assert (agreed.maximum_operations_invoked, agreed.maximum_operations_performed) == (expected, expected)


def window(invoked: int, performed: int) -> pdu.AsynchronousOperationsWindow:
    return pdu.AsynchronousOperationsWindow(maximum_invoked=invoked, maximum_performed=performed)


@pytest.mark.parametrize("response_requested", [False, True])
def test_user_identity_is_ignored_politely(response_requested: bool) -> None:
    """Who doesn't check identities neither answers nor rejects them (PS3.7 §D.3.3.7)."""
    identity = pdu.UserIdentity(
        identity_type=2,
        positive_response_requested=response_requested,
        primary=b"somebody",
        secondary=b"passcode",
    )
    accept = answered(
        request(EXPLICIT, information=pdu.UserInformation(user_identity=identity)),
        SupportedAbstractSyntax(transfer_syntaxes=ALL),
    )
    assert accept.presentation_contexts[0].result == pdu.ContextResult.ACCEPTANCE
    assert accept.user_information.user_identity is None
    assert accept.user_information.user_identity_response is None
    assert "somebody" not in repr(identity)


def test_we_say_who_we_are() -> None:
    information = answered(request(), pdu.ContextResult.NO_REASON).user_information
    assert information == own_user_information(maximum_length=16384)
    assert information.maximum_length == 16384
    assert information.implementation_class_uid == uids.IMPLEMENTATION_CLASS_UID
    assert information.implementation_version_name == uids.IMPLEMENTATION_VERSION_NAME
    assert len(uids.IMPLEMENTATION_VERSION_NAME) <= 16


# Roles.


@pytest.mark.parametrize("asked_scu", [False, True])
@pytest.mark.parametrize("asked_scp", [False, True])
@pytest.mark.parametrize("as_scu", [False, True])
@pytest.mark.parametrize("as_scp", [False, True])
def test_a_role_holds_where_both_want_it(
    asked_scu: bool, asked_scp: bool, as_scu: bool, as_scp: bool
) -> None:
    """PS3.7 §D.3.3.4.2: an acceptor only turns roles off."""
    asked = request(EXPLICIT, information=with_roles((asked_scu, asked_scp)))
    support = SupportedAbstractSyntax(transfer_syntaxes=ALL, requestor_as_scu=as_scu, requestor_as_scp=as_scp)
    accept = answered(asked, support)
    (role,) = accept.user_information.roles
    assert (role.scu_role, role.scp_role) == (asked_scu and as_scu, asked_scp and as_scp)
    requestor = negotiated(asked, accept, is_requestor=True).presentation_contexts[1]
    acceptor = negotiated(asked, accept, is_requestor=False).presentation_contexts[1]
    assert (requestor.as_scu, requestor.as_scp) == (role.scu_role, role.scp_role)
    assert (acceptor.as_scp, acceptor.as_scu) == (role.scu_role, role.scp_role)


def test_without_an_answer_the_default_roles_hold() -> None:
    asked = request(EXPLICIT, information=with_roles((False, True)))
    accept = answered(asked, SupportedAbstractSyntax(transfer_syntaxes=ALL, requestor_as_scp=True))
    silent = replace(accept, user_information=replace(accept.user_information, roles=()))
    context = negotiated(asked, silent, is_requestor=True).presentation_contexts[1]
    assert (context.as_scu, context.as_scp) == (True, False)


def test_an_answer_cannot_turn_a_role_on() -> None:
    asked = request(EXPLICIT, information=with_roles((True, False)))
    accept = answered(asked, SupportedAbstractSyntax(transfer_syntaxes=ALL))
    eager = replace(accept, user_information=with_roles((True, True)))
    context = negotiated(asked, eager, is_requestor=True).presentation_contexts[1]
    assert (context.as_scu, context.as_scp) == (True, False)


def test_roles_nobody_asked_for_are_not_answered() -> None:
    support = SupportedAbstractSyntax(transfer_syntaxes=ALL, requestor_as_scp=True)
    assert answered(request(EXPLICIT), support).user_information.roles == ()


def test_roles_of_a_refused_class_are_not_answered() -> None:
    asked = request(EXPLICIT, information=with_roles((True, True)))
    assert answered(asked, pdu.ContextResult.USER_REJECTION).user_information.roles == ()


# The whole.


def association(maximum_length: int | None) -> NegotiatedAssociation:
    asked = request(EXPLICIT, information=pdu.UserInformation(maximum_length=maximum_length))
    accept = answered(asked, SupportedAbstractSyntax(transfer_syntaxes=ALL))
    return negotiated(asked, accept, is_requestor=False)


@pytest.mark.parametrize(("announced", "to_send"), [(None, 0), (0, 0), (4096, 4096)])
def test_maximum_length_to_send(announced: int | None, to_send: int) -> None:
    assert association(announced).maximum_length_to_send == to_send


def test_contexts_by_sop_class_and_role() -> None:
    agreed = association(0)
    assert [each.context_id for each in agreed.contexts_of(CT_STORAGE, as_scu=False)] == [1]
    assert agreed.contexts_of(CT_STORAGE) == []
    assert agreed.contexts_of("1.2.3") == []


@pytest.mark.parametrize(("version", "is_rejected"), [(1, False), (3, False), (0, True), (2, True)])
def test_only_version_one_is_served(version: int, is_rejected: bool) -> None:
    rejection = provider_rejection(replace(request(), protocol_version=version))
    expected = pdu.AssociateReject(result=1, source=2, reason=2)
    assert rejection == (expected if is_rejected else None)


def test_request_without_an_application_context_is_answered() -> None:
    """There is no other than the one of DICOM (PS3.7 Annex A.2.1), so its absence says nothing."""
    asked = read_pdu(1, associate(proposed()), Limits())
    assert isinstance(asked, pdu.AssociateRequest)
    accept = answered(asked, pdu.ContextResult.NO_REASON)
    assert accept.application_context_name == uids.APPLICATION_CONTEXT_NAME


BODY = associate(
    item(0x10, b"1.2.840.10008.3.1.1.1"),
    proposed(1),
    proposed(3),
    item(0x50, item(0x51, b"\0\0\x40\0") + item(0x54, b"\0\x111.2.840.10008.1.1\1\1")),
)


@given(damaged(BODY))
def test_whatever_can_be_read_can_be_answered(body: bytes) -> None:
    try:
        asked = read_pdu(1, body, Limits())
    except RemoteProtocolError:
        return
    assert isinstance(asked, pdu.AssociateRequest)
    for support in (SupportedAbstractSyntax(transfer_syntaxes=ALL), pdu.ContextResult.NO_REASON):
        accept = answered(asked, support)
        assert write_pdu(accept)
        negotiated(asked, accept, is_requestor=False)
