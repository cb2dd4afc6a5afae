"""What the writer refuses to send (PS3.8 §9.3): nothing that the Standard forbids leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnet.errors import LocalProtocolError
from dicomnet.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    AsynchronousOperationsWindow,
    DataTransfer,
    Pdu,
    PresentationContextResult,
    PresentationDataValue,
    ProposedPresentationContext,
    UserIdentity,
    UserInformation,
)
from dicomnet.upper_layer.writer import p_data_header, write_pdu

REQUEST = AssociateRequest(
    called_ae_title="ANY-SCP",
    calling_ae_title="ECHOSCU",
    presentation_contexts=(
        ProposedPresentationContext(
            context_id=1, abstract_syntax="1.2.840.10008.1.1", transfer_syntaxes=("1.2.840.10008.1.2",)
        ),
    ),
    user_information=UserInformation(),
)
ACCEPT = AssociateAccept(
    called_ae_title="ANY-SCP",
    calling_ae_title="ECHOSCU",
    presentation_contexts=(
        PresentationContextResult(context_id=1, result=0, transfer_syntax="1.2.840.10008.1.2"),
    ),
    user_information=UserInformation(),
)


@pytest.mark.parametrize(
    ("context_id", "length"), [(0, 2), (2, 2), (257, 2), (-1, 2), (1, -1), (1, 1 << 32), (1, (1 << 32) - 6)]
)
def test_no_p_data_header_for_what_cannot_be_sent(context_id: int, length: int) -> None:
    with pytest.raises(LocalProtocolError):
        p_data_header(context_id, is_command=False, is_last=True, length=length)


@pytest.mark.parametrize(
    "title", ["", " ", "SEVENTEEN-LETTERS", "A\\B", "A\nB", "A\0", "\x7f", "M\u00dcNCHEN", "\u5317\u4eac"]
)
def test_an_ae_title_that_is_none_is_not_sent(title: str) -> None:
    """PS3.5 §6.2, VR AE."""
    with pytest.raises(LocalProtocolError, match="called AE title"):
        write_pdu(replace(REQUEST, called_ae_title=title))
    with pytest.raises(LocalProtocolError, match="calling AE title"):
        write_pdu(replace(REQUEST, calling_ae_title=title))


@pytest.mark.parametrize("title", ["SEVENTEEN-LETTERS", "\u5317\u4eac"])
def test_an_ae_title_that_came_from_no_request_is_not_echoed(title: str) -> None:
    with pytest.raises(LocalProtocolError, match="AE title"):
        write_pdu(replace(ACCEPT, called_ae_title=title))


@pytest.mark.parametrize("uid", ["", "1." + "2" * 63, "1.2\u00b2", "1.2\0"])
def test_a_uid_that_is_none_is_not_sent(uid: str) -> None:
    """PS3.5 §9.1."""
    with pytest.raises(LocalProtocolError, match="not a UID"):
        write_pdu(replace(REQUEST, application_context_name=uid))
    with pytest.raises(LocalProtocolError, match="not a UID"):
        write_pdu(replace(ACCEPT, user_information=UserInformation(implementation_class_uid=uid)))


def test_an_accepted_context_is_not_sent_without_its_transfer_syntax() -> None:
    """PS3.8 §9.3.3.2."""
    context = PresentationContextResult(context_id=1, result=0, transfer_syntax="")
    with pytest.raises(LocalProtocolError, match="not a UID"):
        write_pdu(replace(ACCEPT, presentation_contexts=(context,)))


@pytest.mark.parametrize("context_ids", [(0,), (2,), (257,), (-1,), (1, 3, 1)])
def test_context_ids_that_are_not_odd_and_unique_are_not_sent(context_ids: tuple[int, ...]) -> None:
    """PS3.8 §9.3.2.2."""
    offered = REQUEST.presentation_contexts[0]
    answered = ACCEPT.presentation_contexts[0]
    with pytest.raises(LocalProtocolError, match="presentation context ID"):
        write_pdu(
            replace(REQUEST, presentation_contexts=tuple(replace(offered, context_id=i) for i in context_ids))
        )
    with pytest.raises(LocalProtocolError, match="presentation context ID"):
        write_pdu(
            replace(ACCEPT, presentation_contexts=tuple(replace(answered, context_id=i) for i in context_ids))
        )


@pytest.mark.parametrize(
    "pdu",
    [
        replace(REQUEST, presentation_contexts=()),
        replace(
            REQUEST,
            presentation_contexts=(replace(REQUEST.presentation_contexts[0], transfer_syntaxes=()),),
        ),
        replace(REQUEST, protocol_version=0x10000),
        replace(REQUEST, user_information=UserInformation(maximum_length=1 << 32)),
        replace(REQUEST, user_information=UserInformation(implementation_version_name="")),
        replace(REQUEST, user_information=UserInformation(implementation_version_name="V" * 17)),
        replace(
            REQUEST,
            user_information=UserInformation(
                asynchronous_operations_window=AsynchronousOperationsWindow(
                    maximum_invoked=-1, maximum_performed=1
                )
            ),
        ),
        replace(ACCEPT, user_information=UserInformation(user_identity_response=bytes(0xFFFF))),
        replace(ACCEPT, user_information=UserInformation(user_identity_response=bytes(0x10000))),
        AssociateReject(result=256, source=1, reason=1),
        Abort(source=0, reason=-1),
        DataTransfer(()),
        DataTransfer((PresentationDataValue(context_id=2, is_command=True, is_last=True, data=b""),)),
    ],
)
def test_a_value_without_a_legal_encoding_is_not_sent(pdu: Pdu) -> None:
    with pytest.raises(LocalProtocolError):
        write_pdu(pdu)


def test_only_pdus_are_written() -> None:
    with pytest.raises(TypeError, match="PresentationDataValue is not a PDU"):
        write_pdu(PresentationDataValue(context_id=1, is_command=True, is_last=True, data=b""))  # type: ignore[arg-type]


def test_a_user_identity_keeps_its_secrets_from_logs() -> None:
    identity = UserIdentity(identity_type=2, positive_response_requested=True, primary=b"me", secondary=b"pw")
    assert "me'" not in repr(identity)
    assert "pw" not in repr(UserInformation(user_identity=identity))
