"""What the reader forgives and what it refuses in A-ASSOCIATE PDUs and P-DATA-TFs (PS3.8 §9.3)."""

from __future__ import annotations

import pytest
from tests.dicomnet.upper_layer.builders import (
    APPLICATION_CONTEXT,
    IMPLICIT,
    VERIFICATION,
    answered,
    associate,
    field,
    item,
    proposed,
)

from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.pdu import (
    AbortReason,
    AssociateAccept,
    AssociateRequest,
    PduType,
    UserInformation,
)
from dicomnet.upper_layer.reader import read_pdu

LIMITS = Limits()


def read_request(body: bytes, limits: Limits = LIMITS) -> AssociateRequest:
    pdu = read_pdu(PduType.ASSOCIATE_RQ, body, limits)
    assert isinstance(pdu, AssociateRequest)
    return pdu


def read_accept(*contexts: bytes) -> AssociateAccept:
    pdu = read_pdu(PduType.ASSOCIATE_AC, associate(APPLICATION_CONTEXT, *contexts), LIMITS)
    assert isinstance(pdu, AssociateAccept)
    return pdu


def user_information(*sub_items: bytes) -> UserInformation:
    return read_request(associate(proposed(), item(0x50, b"".join(sub_items)))).user_information


def assert_refused(pdu_type: int, body: bytes, limits: Limits = LIMITS) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_pdu(pdu_type, body, limits)
    assert caught.value.reason == AbortReason.INVALID_PDU_PARAMETER_VALUE


# Forgiven.


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"STORE           ", "STORE"),
        (b"  STORE         ", "STORE"),
        (b"STORE" + bytes(11), "STORE"),
        (b"STORE \0 \0       ", "STORE"),
        (bytes(16), ""),
        (b" " * 16, ""),
        (b"ST\xd6RE           ", "ST\u00d6RE"),
        (b"\xff\xfe\x01\\", "\u00ff\u00fe\x01\\"),
        (b"SIXTEEN-LETTERS!", "SIXTEEN-LETTERS!"),
    ],
)
def test_any_ae_title_is_read(field: bytes, title: str) -> None:
    """Padding means nothing (PS3.8 §7.1.1.3), and what a title may hold is for a policy to say."""
    pdu = read_request(associate(proposed(), called=field, calling=field))
    assert (pdu.called_ae_title, pdu.calling_ae_title) == (title, title)


@pytest.mark.parametrize("padding", [b"\0", b" ", b"\0\0", b" \0"])
def test_padding_of_uids_is_trimmed(padding: bytes) -> None:
    padded = VERIFICATION.encode() + padding
    role = item(0x54, field(padded) + b"\1\1")
    pdu = read_request(
        associate(
            item(0x10, padded),
            proposed(1, item(0x30, padded), item(0x40, padded)),
            item(0x50, item(0x52, padded) + role),
        )
    )
    assert pdu.application_context_name == VERIFICATION
    assert pdu.presentation_contexts[0].abstract_syntax == VERIFICATION
    assert pdu.presentation_contexts[0].transfer_syntaxes == (VERIFICATION,)
    assert pdu.user_information.implementation_class_uid == VERIFICATION
    assert pdu.user_information.roles[0].sop_class_uid == VERIFICATION


def test_unknown_items_are_skipped_at_every_depth() -> None:
    unknown = item(0xEE, b"whatever")
    context = proposed(
        1, unknown, item(0x40, IMPLICIT.encode()), unknown, item(0x30, VERIFICATION.encode()), unknown
    )
    body = associate(
        unknown, context, unknown, item(0x50, unknown + item(0x51, b"\0\0\1\0") + unknown), unknown
    )
    pdu = read_request(body)
    assert pdu.presentation_contexts == read_request(associate(proposed())).presentation_contexts
    assert pdu.user_information == UserInformation(maximum_length=256)


def test_reserved_bytes_are_not_tested() -> None:
    body = bytearray(associate(item(0x10, b"1.2", second=0xFF), proposed(), item(0x50, b"", second=9)))
    body[2:4] = b"\xff\xff"
    body[36:68] = b"\xff" * 32
    assert read_request(bytes(body)).application_context_name == "1.2"


def test_the_first_of_duplicate_items_counts() -> None:
    first = item(0x51, b"\0\0\0\1") + item(0x54, field(b"1.2") + b"\1\0") + item(0x55, b"FIRST")
    second = item(0x51, b"\0\0\0\2") + item(0x54, field(b"1.2") + b"\0\1") + item(0x55, b"SECOND")
    other_class = item(0x54, field(b"1.3") + b"\0\1")
    body = associate(
        item(0x10, b"1.1"),
        item(0x10, b"2.2"),
        proposed(),
        item(0x50, first + second + other_class),
        item(0x50, b""),
    )
    pdu = read_request(body)
    assert pdu.application_context_name == "1.1"
    assert pdu.user_information.maximum_length == 1
    assert pdu.user_information.implementation_version_name == "FIRST"
    assert [(role.sop_class_uid, role.scu_role) for role in pdu.user_information.roles] == [
        ("1.2", True),
        ("1.3", False),
    ]


def test_what_is_missing_is_none_or_empty() -> None:
    pdu = read_request(associate())
    assert pdu.application_context_name == ""
    assert pdu.presentation_contexts == ()
    assert pdu.user_information == UserInformation()
    assert user_information(item(0x52, b""), item(0x55, b" ")) == UserInformation()


def test_the_version_of_common_extended_negotiation_stands_in_its_second_byte() -> None:
    """PS3.7 §D.3.3.6.1; a later version has more fields behind the known ones."""
    known = field(b"1.2") + field(b"1.3") + field(field(b"1.4"))
    current = user_information(item(0x57, known))
    assert current.common_extended_negotiations[0].related_general_sop_class_uids == ("1.4",)
    assert user_information(item(0x57, known + b"more", second=1)) == current


def test_trailing_fields_may_be_left_out() -> None:
    """Some leave out a last field that has nothing in it, with its length."""
    information = user_information(
        item(0x57, field(b"1.2") + field(b"1.3")), item(0x58, b"\1\0" + field(b"me"))
    )
    assert information.common_extended_negotiations[0].related_general_sop_class_uids == ()
    assert information.user_identity is not None
    assert (information.user_identity.primary, information.user_identity.secondary) == (b"me", b"")


@pytest.mark.parametrize("sub_items", [(), (item(0x40, b""),), (item(0x40, b"\xff\x00" * 50),)])
def test_the_transfer_syntax_of_a_refused_context_may_be_anything(sub_items: tuple[bytes, ...]) -> None:
    """PS3.8 §9.3.3.2: not significant."""
    context = read_accept(answered(5, 4, *sub_items)).presentation_contexts[0]
    assert (context.context_id, context.result, context.transfer_syntax) == (5, 4, "")


def test_control_bits_that_mean_nothing_are_ignored() -> None:
    """PS3.8 Annex E.2."""
    pdu = read_pdu(PduType.DATA_TF, b"\0\0\0\3\1\xfeX", LIMITS)
    value = pdu.values[0]  # type: ignore[union-attr]
    assert (value.is_command, value.is_last, value.data) == (False, True, b"X")


# Refused.


@pytest.mark.parametrize("pdu_type", [0, 8, 0x16, 0x47, 255])
def test_unknown_pdu_types_are_refused_as_unrecognized(pdu_type: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_pdu(pdu_type, bytes(4), LIMITS)
    assert caught.value.reason == AbortReason.UNRECOGNIZED_PDU


@pytest.mark.parametrize(
    "items",
    [
        pytest.param((proposed(0),), id="context ID zero"),
        pytest.param((proposed(2),), id="even context ID"),
        pytest.param((proposed(1), proposed(3), proposed(1)), id="duplicate context ID"),
        pytest.param((proposed(1, item(0x40, b"1.2")),), id="no abstract syntax"),
        pytest.param((proposed(1, item(0x30, b"1.2")),), id="no transfer syntax"),
        pytest.param((proposed(1, item(0x30, b"\0"), item(0x40, b"1.2")),), id="empty abstract syntax"),
        pytest.param((proposed(1, item(0x30, b"1.2"), item(0x40, b"")),), id="empty transfer syntax"),
        pytest.param((item(0x20, b"\1\0\0"),), id="context without its fixed part"),
        pytest.param((item(0x20, b""),), id="empty context"),
        pytest.param((item(0x10, b"1." + b"2" * 63),), id="UID of 65 characters"),
        pytest.param((item(0x10, b"1.2\xff"),), id="UID that is not ASCII"),
        pytest.param((item(0x10, b"1.2\x003"),), id="UID with a control character"),
        pytest.param((b"\x10",), id="item header of one byte"),
        pytest.param((b"\x10\x00\x00",), id="item header of three bytes"),
        pytest.param((item(0x10, b"1.2", length=4),), id="item overruns the PDU"),
        pytest.param((item(0xEE, b"", length=0xFFFF),), id="unknown item overruns the PDU"),
        pytest.param(
            (proposed(1, item(0x30, b"1.2", length=200)), item(0x50, bytes(300))), id="overrun inside"
        ),
        pytest.param((item(0x50, b"\x51\0\0\4\0\0\0"), bytes(9)), id="sub-item overruns its item"),
    ],
)
def test_items_that_cannot_be_are_refused(items: tuple[bytes, ...]) -> None:
    assert_refused(PduType.ASSOCIATE_RQ, associate(*items))


@pytest.mark.parametrize(
    "sub_item",
    [
        pytest.param(item(0x51, b"\0\0\1"), id="51H"),
        pytest.param(item(0x53, b"\0\0\1"), id="53H"),
        pytest.param(item(0x54, b""), id="54H empty"),
        pytest.param(item(0x54, b"\0\0\1\1"), id="54H without UID"),
        pytest.param(item(0x54, field(b"1.2") + b"\1"), id="54H without SCP role"),
        pytest.param(item(0x54, b"\0\x091.2\1\1"), id="54H with an overrunning UID"),
        pytest.param(item(0x56, b"\0"), id="56H"),
        pytest.param(item(0x56, b"\0\x091.2"), id="56H with an overrunning UID"),
        pytest.param(item(0x57, field(b"1.2")), id="57H without service class"),
        pytest.param(item(0x57, field(b"1.2") + field(b"1.3") + b"\0"), id="57H with half a length"),
        pytest.param(item(0x57, field(b"1.2") + field(b"1.3") + field(b"\0\x091.4")), id="57H list overrun"),
        pytest.param(item(0x57, field(b"1.2") + field(b"1.3") + field(bytes(4))), id="57H with empty UIDs"),
        pytest.param(item(0x58, b"\1"), id="58H"),
        pytest.param(item(0x58, b"\1\0"), id="58H without primary field"),
        pytest.param(item(0x58, b"\2\0" + field(b"me") + b"\0\x09pw"), id="58H with an overrunning field"),
        pytest.param(item(0x59, b"\0"), id="59H"),
        pytest.param(item(0x59, b"\0\x09x"), id="59H with an overrunning field"),
    ],
)
def test_truncated_sub_items_are_refused(sub_item: bytes) -> None:
    """PS3.7 Annex D.3.3; what follows inside the PDU must not be taken for the missing bytes."""
    assert_refused(PduType.ASSOCIATE_RQ, associate(proposed(), item(0x50, sub_item), item(0xEE, bytes(64))))


def test_an_accepted_context_needs_its_transfer_syntax() -> None:
    """PS3.8 §9.3.3.2."""
    assert read_accept(answered(1, 0, item(0x40, b"1.2"))).presentation_contexts[0].transfer_syntax == "1.2"
    for context in (answered(1, 0), answered(1, 0, item(0x40, b"")), answered(2, 0, item(0x40, b"1.2"))):
        assert_refused(PduType.ASSOCIATE_AC, associate(context))


@pytest.mark.parametrize("pdu_type", [PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC])
@pytest.mark.parametrize("length", [0, 1, 67])
def test_an_associate_pdu_without_its_fixed_part_is_refused(pdu_type: int, length: int) -> None:
    assert_refused(pdu_type, bytes(length))


@pytest.mark.parametrize(
    "pdu_type", [PduType.ASSOCIATE_RJ, PduType.RELEASE_RQ, PduType.RELEASE_RP, PduType.ABORT]
)
@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_short_pdu_has_four_bytes(pdu_type: int, length: int) -> None:
    assert_refused(pdu_type, bytes(length))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="no PDV"),
        pytest.param(b"\0\0\0\2\1", id="five bytes"),
        pytest.param(b"\0\0\0\1\1\0" + b"\0\0\0\3\1\0X" * 3, id="item length one"),
        pytest.param(b"\0\0\0\0\1\0" + b"\0\0\0\3\1\0X" * 3, id="item length zero"),
        pytest.param(b"\0\0\0\4\1\0X", id="overrun"),
        pytest.param(b"\xff\xff\xff\xff\1\0X", id="overrun by 4 GiB"),
        pytest.param(b"\0\0\0\3\1\0X\0\0\0\2\1", id="five bytes behind a PDV"),
        pytest.param(b"\0\0\0\3\1\0X\0", id="one byte behind a PDV"),
        pytest.param(b"\0\0\0\3\0\0X", id="context ID zero"),
        pytest.param(b"\0\0\0\3\2\0X", id="even context ID"),
    ],
)
def test_pdvs_that_cannot_be_are_refused(body: bytes) -> None:
    """PS3.8 §9.3.5."""
    assert_refused(PduType.DATA_TF, body)
