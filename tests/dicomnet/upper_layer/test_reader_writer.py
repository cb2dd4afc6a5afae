"""PDUs as bytes (PS3.8 §9.3, PS3.7 Annex D.3.3): bytes by hand, round trips."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dicomnet.upper_layer import strategies

from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.pdu import (
    Abort,
    AbortReason,
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
from dicomnet.upper_layer.writer import p_data_header, write_pdu

LIMITS = Limits()
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"


def read(encoded: bytes, limits: Limits = LIMITS) -> Pdu:
    assert int.from_bytes(encoded[2:6], "big") == len(encoded) - 6
    return read_pdu(encoded[0], encoded[6:], limits)


def item(item_type: int, content: bytes, second: int = 0) -> bytes:
    return bytes((item_type, second)) + len(content).to_bytes(2, "big") + content


def user_information(*sub_items: bytes) -> UserInformation:
    """Read sub-items where they stand in an otherwise ordinary request."""
    before = REQUEST_BYTES[6 : REQUEST_BYTES.rindex(b"\x50\x00\x00\x1f")]
    pdu = read_pdu(PduType.ASSOCIATE_RQ, before + item(0x50, b"".join(sub_items)), LIMITS)
    assert isinstance(pdu, AssociateRequest)
    return pdu.user_information


# The bytes of each PDU, written by hand from the Standard's tables.

REQUEST = AssociateRequest(
    called_ae_title="ANY-SCP",
    calling_ae_title="ECHOSCU",
    presentation_contexts=(
        ProposedPresentationContext(
            context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT, IMPLICIT + ".1")
        ),
    ),
    user_information=UserInformation(
        maximum_length=16382,
        implementation_class_uid="1.2.3",
        implementation_version_name="V1",
        asynchronous_operations_window=AsynchronousOperationsWindow(maximum_invoked=5, maximum_performed=258),
    ),
)
REQUEST_BYTES = (
    b"\x01\x00\x00\x00\x00\xc9"
    b"\x00\x01\x00\x00"
    b"ANY-SCP         "
    b"ECHOSCU         " + bytes(32) +
    # Table 9-12: application context
    b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"
    # Table 9-13: presentation context with its abstract and transfer syntaxes
    b"\x20\x00\x00\x45\x01\x00\x00\x00"
    b"\x30\x00\x00\x111.2.840.10008.1.1"
    b"\x40\x00\x00\x111.2.840.10008.1.2"
    b"\x40\x00\x00\x131.2.840.10008.1.2.1"
    # Table 9-16: user information with 51H, 52H, 53H, 55H
    b"\x50\x00\x00\x1f"
    b"\x51\x00\x00\x04\x00\x00\x3f\xfe"
    b"\x52\x00\x00\x051.2.3"
    b"\x53\x00\x00\x04\x00\x05\x01\x02"
    b"\x55\x00\x00\x02V1"
)
ACCEPT = AssociateAccept(
    called_ae_title="ANY-SCP",
    calling_ae_title="ECHOSCU",
    presentation_contexts=(
        PresentationContextResult(context_id=1, result=0, transfer_syntax=IMPLICIT),
        PresentationContextResult(context_id=3, result=3, transfer_syntax=""),
    ),
    user_information=UserInformation(maximum_length=0),
)
ACCEPT_BYTES = (
    b"\x02\x00\x00\x00\x00\x92"
    b"\x00\x01\x00\x00"
    b"ANY-SCP         "
    b"ECHOSCU         " + bytes(32) + b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"
    # Table 9-18
    b"\x21\x00\x00\x19\x01\x00\x00\x00\x40\x00\x00\x111.2.840.10008.1.2"
    b"\x21\x00\x00\x08\x03\x00\x03\x00\x40\x00\x00\x00"
    b"\x50\x00\x00\x08\x51\x00\x00\x04\x00\x00\x00\x00"
)
DATA = DataTransfer(
    (
        PresentationDataValue(context_id=1, is_command=True, is_last=True, data=b"CMD!"),
        PresentationDataValue(context_id=255, is_command=False, is_last=False, data=b"ab"),
        PresentationDataValue(context_id=255, is_command=False, is_last=True, data=b""),
    )
)
DATA_BYTES = (
    b"\x04\x00\x00\x00\x00\x18\x00\x00\x00\x06\x01\x03CMD!\x00\x00\x00\x04\xff\x00ab\x00\x00\x00\x02\xff\x02"
)


@pytest.mark.parametrize(
    ("pdu", "encoded"),
    [
        pytest.param(REQUEST, REQUEST_BYTES, id="A-ASSOCIATE-RQ"),
        pytest.param(ACCEPT, ACCEPT_BYTES, id="A-ASSOCIATE-AC"),
        pytest.param(
            AssociateReject(result=2, source=3, reason=1),
            b"\x03\x00\x00\x00\x00\x04\x00\x02\x03\x01",
            id="A-ASSOCIATE-RJ",
        ),
        pytest.param(DATA, DATA_BYTES, id="P-DATA-TF"),
        pytest.param(ReleaseRequest(), b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00", id="A-RELEASE-RQ"),
        pytest.param(ReleaseResponse(), b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00", id="A-RELEASE-RP"),
        pytest.param(Abort(source=2, reason=6), b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x06", id="A-ABORT"),
    ],
)
def test_bytes_of_each_pdu(pdu: Pdu, encoded: bytes) -> None:
    """PS3.8 §9.3.2 to §9.3.8."""
    assert write_pdu(pdu) == encoded
    assert read(encoded) == pdu


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        pytest.param(
            UserInformation(roles=(RoleSelection(sop_class_uid="1.2.3", scu_role=False, scp_role=True),)),
            b"\x54\x00\x00\x09\x00\x051.2.3\x00\x01",
            id="54H role selection",
        ),
        pytest.param(
            UserInformation(
                extended_negotiations=(ExtendedNegotiation(sop_class_uid="1.2.3", information=b"\1\0\1"),)
            ),
            b"\x56\x00\x00\x0a\x00\x051.2.3\x01\x00\x01",
            id="56H extended negotiation",
        ),
        pytest.param(
            UserInformation(
                common_extended_negotiations=(
                    CommonExtendedNegotiation(
                        sop_class_uid="1.2.3",
                        service_class_uid="1.4.2",
                        related_general_sop_class_uids=("1.5", "1.6.7"),
                    ),
                )
            ),
            b"\x57\x00\x00\x1c\x00\x051.2.3\x00\x051.4.2\x00\x0c\x00\x031.5\x00\x051.6.7",
            id="57H common extended negotiation",
        ),
        pytest.param(
            UserInformation(
                user_identity=UserIdentity(
                    identity_type=2, positive_response_requested=True, primary=b"user", secondary=b"pass!"
                )
            ),
            b"\x58\x00\x00\x0f\x02\x01\x00\x04user\x00\x05pass!",
            id="58H user identity",
        ),
        pytest.param(
            UserInformation(user_identity_response=b"ticket"),
            b"\x59\x00\x00\x08\x00\x06ticket",
            id="59H user identity response",
        ),
    ],
)
def test_bytes_of_the_negotiation_sub_items(value: UserInformation, encoded: bytes) -> None:
    """PS3.7 §D.3.3.4 to §D.3.3.7."""
    assert user_information(encoded) == value
    written = write_pdu(
        AssociateRequest(
            called_ae_title="A",
            calling_ae_title="B",
            presentation_contexts=REQUEST.presentation_contexts,
            user_information=value,
        )
    )
    assert written.endswith(item(0x50, encoded))


# Properties.


@given(strategies.pdus())
def test_what_is_written_reads_the_same(pdu: Pdu) -> None:
    encoded = write_pdu(pdu)
    assert read(encoded) == pdu
    assert read_pdu(encoded[0], memoryview(encoded)[6:], LIMITS) == pdu


@given(st.integers(0, 255), st.binary(max_size=300))
def test_random_bytes_read_or_are_refused(pdu_type: int, body: bytes) -> None:
    assert_reads_or_is_refused(pdu_type, body)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.pdus().map(write_pdu).flatmap(strategies.damaged))
def test_damaged_pdus_read_or_are_refused(encoded: bytes) -> None:
    assert_reads_or_is_refused(encoded[0] if encoded else 0, encoded[6:])


def assert_reads_or_is_refused(pdu_type: int, body: bytes) -> None:
    try:
        pdu = read_pdu(pdu_type, body, LIMITS)
    except RemoteProtocolError as error:
        expected = (
            AbortReason.INVALID_PDU_PARAMETER_VALUE
            if pdu_type in set(PduType)
            else AbortReason.UNRECOGNIZED_PDU
        )
        assert error.reason == expected  # noqa: PT017 - either outcome is right
    else:
        assert pdu_type in set(PduType)
        if isinstance(pdu, AssociateRequest):
            assert write_pdu(echo(pdu))


def echo(request: AssociateRequest) -> AssociateAccept:
    """Repeat all that an answer may repeat of a request."""
    return AssociateAccept(
        called_ae_title=request.called_ae_title,
        calling_ae_title=request.calling_ae_title,
        presentation_contexts=tuple(
            PresentationContextResult(
                context_id=context.context_id, result=0, transfer_syntax=context.transfer_syntaxes[-1]
            )
            for context in request.presentation_contexts
        ),
        user_information=UserInformation(
            roles=request.user_information.roles,
            extended_negotiations=request.user_information.extended_negotiations,
        ),
    )


@pytest.mark.parametrize("is_command", [False, True])
@pytest.mark.parametrize("is_last", [False, True])
@given(context_id=strategies.context_ids, data=st.binary(max_size=300))
def test_p_data_header_begins_the_same_pdu(
    context_id: int, data: bytes, *, is_command: bool, is_last: bool
) -> None:
    """PS3.8 §9.3.5: what the hot path sends is what the general writer would."""
    value = PresentationDataValue(context_id=context_id, is_command=is_command, is_last=is_last, data=data)
    header = p_data_header(context_id, is_command=is_command, is_last=is_last, length=len(data))
    assert header + data == write_pdu(DataTransfer((value,)))
    assert write_pdu(DataTransfer((value, value)))[6:] == 2 * (header[6:] + data)
