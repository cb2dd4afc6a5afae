"""The same PDUs by an encoder that we did not write, and ours read by its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from pynetdicom import pdu as peer_pdu
from pynetdicom import pdu_primitives as primitives
from pynetdicom.presentation import PresentationContext
from tests.dicomnet.upper_layer import strategies

from dicomnet.limits import Limits
from dicomnet.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    DataTransfer,
    ExtendedNegotiation,
    Pdu,
    PduType,
    PresentationContextResult,
    PresentationDataValue,
    ProposedPresentationContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicomnet.upper_layer.reader import read_pdu
from dicomnet.upper_layer.writer import write_pdu

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.interop

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STORAGE_SERVICE = "1.2.840.10008.4.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def peer_context(
    context_id: int, abstract_syntax: str | None, *transfer_syntaxes: str
) -> PresentationContext:
    context = PresentationContext()
    context.context_id = context_id
    context.abstract_syntax = abstract_syntax
    context.transfer_syntax = list(transfer_syntaxes)
    return context


def peer_maximum_length(length: int) -> primitives.MaximumLengthNotification:
    item = primitives.MaximumLengthNotification()
    item.maximum_length_received = length
    return item


def peer_implementation() -> list[Any]:
    class_uid = primitives.ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = "1.2.3.4"
    name = primitives.ImplementationVersionNameNotification()
    name.implementation_version_name = "ODD_1"
    return [class_uid, name]


def peer_window() -> primitives.AsynchronousOperationsWindowNegotiation:
    window = primitives.AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 3
    window.maximum_number_operations_performed = 0
    return window


def peer_role(uid: str, *, scu: bool, scp: bool) -> primitives.SCP_SCU_RoleSelectionNegotiation:
    role = primitives.SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = uid
    role.scu_role = scu
    role.scp_role = scp
    return role


def peer_extended() -> primitives.SOPClassExtendedNegotiation:
    item = primitives.SOPClassExtendedNegotiation()
    item.sop_class_uid = CT
    item.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
    return item


def peer_common_extended() -> primitives.SOPClassCommonExtendedNegotiation:
    item = primitives.SOPClassCommonExtendedNegotiation()
    item.sop_class_uid = CT
    item.service_class_uid = STORAGE_SERVICE
    item.related_general_sop_class_identification = [MR, CT]
    return item


def peer_identity() -> primitives.UserIdentityNegotiation:
    identity = primitives.UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.positive_response_requested = True
    identity.primary_field = b"reader"
    identity.secondary_field = b"passcode"
    return identity


def peer_identity_response() -> primitives.UserIdentityNegotiation:
    identity = primitives.UserIdentityNegotiation()
    identity.server_response = b"granted"
    return identity


def peer_associate(contexts: list[PresentationContext], *user_information: Any) -> primitives.A_ASSOCIATE:
    primitive = primitives.A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = "MODALITY"
    primitive.called_ae_title = "ARCHIVE"
    primitive.user_information = list(user_information)
    primitive.presentation_context_definition_list = contexts
    return primitive


def peer_request() -> Any:
    return peer_pdu.A_ASSOCIATE_RQ(
        peer_associate(
            [peer_context(1, CT, EXPLICIT, IMPLICIT), peer_context(255, MR, IMPLICIT)],
            peer_maximum_length(16382),
            peer_implementation()[0],
            peer_window(),
            peer_role(CT, scu=False, scp=True),
            peer_role(MR, scu=True, scp=True),
            peer_implementation()[1],
            peer_extended(),
            peer_common_extended(),
            peer_identity(),
        )
    )


REQUEST = AssociateRequest(
    called_ae_title="ARCHIVE",
    calling_ae_title="MODALITY",
    presentation_contexts=(
        ProposedPresentationContext(context_id=1, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)),
        ProposedPresentationContext(context_id=255, abstract_syntax=MR, transfer_syntaxes=(IMPLICIT,)),
    ),
    user_information=UserInformation(
        maximum_length=16382,
        implementation_class_uid="1.2.3.4",
        implementation_version_name="ODD_1",
        asynchronous_operations_window=AsynchronousOperationsWindow(maximum_invoked=3, maximum_performed=0),
        roles=(
            RoleSelection(sop_class_uid=CT, scu_role=False, scp_role=True),
            RoleSelection(sop_class_uid=MR, scu_role=True, scp_role=True),
        ),
        extended_negotiations=(
            ExtendedNegotiation(sop_class_uid=CT, information=b"\x02\x00\x03\x00\x01\x00"),
        ),
        common_extended_negotiations=(
            CommonExtendedNegotiation(
                sop_class_uid=CT, service_class_uid=STORAGE_SERVICE, related_general_sop_class_uids=(MR, CT)
            ),
        ),
        user_identity=UserIdentity(
            identity_type=2, positive_response_requested=True, primary=b"reader", secondary=b"passcode"
        ),
    ),
)


def peer_accept() -> Any:
    accepted, refused = peer_context(1, CT, EXPLICIT), peer_context(3, MR, IMPLICIT)
    accepted.result, refused.result = 0, 4
    primitive = peer_associate([], peer_maximum_length(0), *peer_implementation(), peer_identity_response())
    primitive.presentation_context_definition_results_list = [accepted, refused]
    primitive.result = 0
    return peer_pdu.A_ASSOCIATE_AC(primitive)


ACCEPT = AssociateAccept(
    called_ae_title="ARCHIVE",
    calling_ae_title="MODALITY",
    presentation_contexts=(
        PresentationContextResult(context_id=1, result=0, transfer_syntax=EXPLICIT),
        PresentationContextResult(context_id=3, result=4, transfer_syntax=IMPLICIT),
    ),
    user_information=UserInformation(
        maximum_length=0,
        implementation_class_uid="1.2.3.4",
        implementation_version_name="ODD_1",
        user_identity_response=b"granted",
    ),
)


def peer_reject() -> Any:
    primitive = primitives.A_ASSOCIATE()
    primitive.result = 2
    primitive.result_source = 3
    primitive.diagnostic = 2
    return peer_pdu.A_ASSOCIATE_RJ(primitive)


def peer_data() -> Any:
    primitive = primitives.P_DATA()
    primitive.presentation_data_value_list = [[1, b"\x03command"], [1, b"\x00data"], [1, b"\x02"]]
    return peer_pdu.P_DATA_TF(primitive)


DATA = DataTransfer(
    (
        PresentationDataValue(context_id=1, is_command=True, is_last=True, data=b"command"),
        PresentationDataValue(context_id=1, is_command=False, is_last=False, data=b"data"),
        PresentationDataValue(context_id=1, is_command=False, is_last=True, data=b""),
    )
)


def peer_abort() -> Any:
    primitive = primitives.A_P_ABORT()
    primitive.provider_reason = 6
    return peer_pdu.A_ABORT_RQ(primitive)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(REQUEST, peer_request, id="A-ASSOCIATE-RQ"),
        pytest.param(ACCEPT, peer_accept, id="A-ASSOCIATE-AC"),
        pytest.param(AssociateReject(result=2, source=3, reason=2), peer_reject, id="A-ASSOCIATE-RJ"),
        pytest.param(DATA, peer_data, id="P-DATA-TF"),
        pytest.param(ReleaseRequest(), peer_pdu.A_RELEASE_RQ, id="A-RELEASE-RQ"),
        pytest.param(ReleaseResponse(), peer_pdu.A_RELEASE_RP, id="A-RELEASE-RP"),
        pytest.param(Abort(source=2, reason=6), peer_abort, id="A-ABORT"),
    ],
)
def test_both_encode_the_same_bytes(ours: Pdu, theirs: Callable[[], Any]) -> None:
    encoded = theirs().encode()
    assert write_pdu(ours) == encoded
    assert read_pdu(encoded[0], encoded[6:], Limits()) == ours


DECODERS = {
    PduType.ASSOCIATE_RJ: peer_pdu.A_ASSOCIATE_RJ,
    PduType.DATA_TF: peer_pdu.P_DATA_TF,
    PduType.RELEASE_RQ: peer_pdu.A_RELEASE_RQ,
    PduType.RELEASE_RP: peer_pdu.A_RELEASE_RP,
    PduType.ABORT: peer_pdu.A_ABORT_RQ,
}


@settings(max_examples=50)
@given(
    strategies.associate_rejects() | strategies.data_transfers() | strategies.aborts(),
)
def test_what_we_write_comes_back_from_its_decoder(ours: Pdu) -> None:
    encoded = write_pdu(ours)
    theirs = DECODERS[PduType(encoded[0])]()
    theirs.decode(encoded)
    assert theirs.encode() == encoded
