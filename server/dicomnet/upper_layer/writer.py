"""PDUs to bytes (PS3.8 §9.3, PS3.7 Annex D.3.3); reserved bytes are sent as zero.

What the Standard forbids ends in `LocalProtocolError` before a byte leaves. Only what an A-ASSOCIATE-AC must
echo of a peer's request passes as the reader took it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from dicomnet.errors import LocalProtocolError
from dicomnet.upper_layer.pdu import (
    AE_TITLE_LENGTH,
    PDV_HEADER_LENGTH,
    UID_MAXIMUM_LENGTH,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextResult,
    DataTransfer,
    ItemType,
    Pdu,
    PduType,
    PresentationContextResult,
    PresentationDataValue,
    ProposedPresentationContext,
    ReleaseRequest,
    ReleaseResponse,
    UserIdentity,
    UserInformation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["p_data_header", "write_pdu"]

_PDU_HEADER: Final = struct.Struct(">BxI")
_PDV_HEADER: Final = struct.Struct(">IBB")
_P_DATA_HEADER: Final = struct.Struct(">BxIIBB")
_ITEM_HEADER: Final = struct.Struct(">BxH")
_ASSOCIATE_FIXED: Final = struct.Struct(">H2x16s16s32x")

_DATA_TF: Final = PduType.DATA_TF.value
_COMMAND: Final = 1
_LAST: Final = 2
_VERSION_NAME_LENGTH: Final = 16


def write_pdu(pdu: Pdu) -> bytes:
    """Encode one PDU with its header (PS3.8 §9.3).

    Raises `LocalProtocolError` for a value that has no legal encoding, and `TypeError` for what is no PDU.
    """
    write = _WRITERS.get(type(pdu))
    if write is None:
        raise TypeError(f"{type(pdu).__name__} is not a PDU")
    return write(pdu)


def p_data_header(context_id: int, *, is_command: bool, is_last: bool, length: int) -> bytes:
    """Make the 12 bytes before a fragment of `length` bytes that is alone in its P-DATA-TF (PS3.8 §9.3.5).

    The PDU-length field becomes `length` + 6, which is what the peer's maximum length bounds. Raises
    `LocalProtocolError` for an even or out-of-range context ID and for a length that 32 bits do not hold.
    """
    if length < 0 or not context_id & 1:
        raise _no_such_fragment(context_id, length)
    control = (_COMMAND if is_command else 0) | (_LAST if is_last else 0)
    try:
        return _P_DATA_HEADER.pack(_DATA_TF, length + PDV_HEADER_LENGTH, length + 2, context_id, control)
    except struct.error:
        raise _no_such_fragment(context_id, length) from None


def _no_such_fragment(context_id: int, length: int) -> LocalProtocolError:
    return LocalProtocolError(
        f"no PDV can carry {length} bytes on presentation context {context_id}"
        " (odd IDs from 1 to 255; lengths that 32 bits hold with the headers)"
    )


def _write_associate_request(pdu: AssociateRequest) -> bytes:
    if not pdu.presentation_contexts:
        raise LocalProtocolError("an A-ASSOCIATE-RQ needs at least one presentation context")
    _check_context_ids(context.context_id for context in pdu.presentation_contexts)
    return _associate(
        PduType.ASSOCIATE_RQ,
        pdu,
        _ae_title(pdu.called_ae_title, "called"),
        _ae_title(pdu.calling_ae_title, "calling"),
        b"".join(map(_proposed_context, pdu.presentation_contexts)),
    )


def _write_associate_accept(pdu: AssociateAccept) -> bytes:
    _check_context_ids(context.context_id for context in pdu.presentation_contexts)
    return _associate(
        PduType.ASSOCIATE_AC,
        pdu,
        _echoed_ae_title(pdu.called_ae_title, "called"),
        _echoed_ae_title(pdu.calling_ae_title, "calling"),
        b"".join(map(_context_result, pdu.presentation_contexts)),
    )


def _associate(
    pdu_type: PduType, pdu: AssociateRequest | AssociateAccept, called: bytes, calling: bytes, contexts: bytes
) -> bytes:
    version = _in_range(pdu.protocol_version, 0xFFFF, "the protocol version")
    return _with_header(
        pdu_type,
        _ASSOCIATE_FIXED.pack(version, called, calling)
        + _item(ItemType.APPLICATION_CONTEXT, _uid(pdu.application_context_name))
        + contexts
        + _item(ItemType.USER_INFORMATION, b"".join(_user_information(pdu.user_information))),
    )


def _write_associate_reject(pdu: AssociateReject) -> bytes:
    return _with_header(
        PduType.ASSOCIATE_RJ,
        bytes((0, _byte(pdu.result, "result"), _byte(pdu.source, "source"), _byte(pdu.reason, "reason"))),
    )


def _write_data_transfer(pdu: DataTransfer) -> bytes:
    if not pdu.values:
        raise LocalProtocolError("a P-DATA-TF needs at least one PDV")
    return _with_header(PduType.DATA_TF, b"".join(part for value in pdu.values for part in _pdv(value)))


def _pdv(value: PresentationDataValue) -> tuple[bytes, bytes | memoryview]:
    header = p_data_header(
        value.context_id,
        is_command=value.is_command,
        is_last=value.is_last,
        length=memoryview(value.data).nbytes,
    )
    return header[_PDU_HEADER.size :], value.data


def _write_abort(pdu: Abort) -> bytes:
    return _with_header(
        PduType.ABORT, bytes((0, 0, _byte(pdu.source, "source"), _byte(pdu.reason, "reason")))
    )


_WRITERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    AssociateRequest: _write_associate_request,
    AssociateAccept: _write_associate_accept,
    AssociateReject: _write_associate_reject,
    DataTransfer: _write_data_transfer,
    ReleaseRequest: lambda _: _with_header(PduType.RELEASE_RQ, bytes(4)),
    ReleaseResponse: lambda _: _with_header(PduType.RELEASE_RP, bytes(4)),
    Abort: _write_abort,
}


def _proposed_context(context: ProposedPresentationContext) -> bytes:
    if not context.transfer_syntaxes:
        raise LocalProtocolError(f"presentation context {context.context_id} proposes no transfer syntax")
    syntaxes = (_item(ItemType.TRANSFER_SYNTAX, _uid(uid)) for uid in context.transfer_syntaxes)
    return _item(
        ItemType.PROPOSED_PRESENTATION_CONTEXT,
        bytes((context.context_id, 0, 0, 0))
        + _item(ItemType.ABSTRACT_SYNTAX, _uid(context.abstract_syntax))
        + b"".join(syntaxes),
    )


def _context_result(context: PresentationContextResult) -> bytes:
    result = _byte(context.result, "result")
    # A refused context has the sub-item too, but what it says is not significant (PS3.8 §9.3.3.2).
    is_significant = result == ContextResult.ACCEPTANCE or context.transfer_syntax
    syntax = _uid(context.transfer_syntax) if is_significant else b""
    return _item(
        ItemType.PRESENTATION_CONTEXT_RESULT,
        bytes((context.context_id, 0, result, 0)) + _item(ItemType.TRANSFER_SYNTAX, syntax),
    )


def _user_information(information: UserInformation) -> Iterator[bytes]:
    if information.maximum_length is not None:
        length = _in_range(information.maximum_length, 0xFFFFFFFF, "the maximum length")
        yield _item(ItemType.MAXIMUM_LENGTH, length.to_bytes(4, "big"))
    if information.implementation_class_uid is not None:
        yield _item(ItemType.IMPLEMENTATION_CLASS_UID, _uid(information.implementation_class_uid))
    if (window := information.asynchronous_operations_window) is not None:
        invoked, performed = _uint16(window.maximum_invoked), _uint16(window.maximum_performed)
        yield _item(ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW, invoked + performed)
    for role in information.roles:
        roles = bytes((role.scu_role, role.scp_role))
        yield _item(ItemType.ROLE_SELECTION, _prefixed(_uid(role.sop_class_uid)) + roles)
    if information.implementation_version_name is not None:
        name = _version_name(information.implementation_version_name)
        yield _item(ItemType.IMPLEMENTATION_VERSION_NAME, name)
    for extended in information.extended_negotiations:
        content = _prefixed(_uid(extended.sop_class_uid)) + extended.information
        yield _item(ItemType.EXTENDED_NEGOTIATION, content)
    for common in information.common_extended_negotiations:
        yield _item(ItemType.COMMON_EXTENDED_NEGOTIATION, _common_extended_negotiation(common))
    if information.user_identity is not None:
        yield _item(ItemType.USER_IDENTITY, _user_identity(information.user_identity))
    if information.user_identity_response is not None:
        yield _item(ItemType.USER_IDENTITY_RESPONSE, _prefixed(information.user_identity_response))


def _common_extended_negotiation(negotiation: CommonExtendedNegotiation) -> bytes:
    # Byte 2 of this sub-item is its version, which is 0 as a reserved byte would be (PS3.7 §D.3.3.6.1).
    related = (_prefixed(_uid(uid)) for uid in negotiation.related_general_sop_class_uids)
    return (
        _prefixed(_uid(negotiation.sop_class_uid))
        + _prefixed(_uid(negotiation.service_class_uid))
        + _prefixed(b"".join(related))
    )


def _user_identity(identity: UserIdentity) -> bytes:
    kind = _byte(identity.identity_type, "user identity type")
    flags = bytes((kind, identity.positive_response_requested))
    return flags + _prefixed(identity.primary) + _prefixed(identity.secondary)


def _with_header(pdu_type: PduType, body: bytes) -> bytes:
    return _PDU_HEADER.pack(pdu_type, _in_range(len(body), 0xFFFFFFFF, "the PDU length")) + body


def _item(item_type: ItemType, content: bytes) -> bytes:
    length = _in_range(len(content), 0xFFFF, f"the length of item {item_type:02X}H")
    return _ITEM_HEADER.pack(item_type, length) + content


def _prefixed(content: bytes) -> bytes:
    return _uint16(len(content)) + content


def _uint16(number: int) -> bytes:
    return _in_range(number, 0xFFFF, "a 16-bit field").to_bytes(2, "big")


def _byte(number: int, name: str) -> int:
    return _in_range(number, 0xFF, f"the {name}")


def _in_range(number: int, maximum: int, name: str) -> int:
    if not 0 <= number <= maximum:
        raise LocalProtocolError(f"{name} must be from 0 to {maximum}, not {number}")
    return number


def _check_context_ids(context_ids: Iterable[int]) -> None:
    seen = set[int]()
    for number in context_ids:
        if not 1 <= number <= 255 or not number & 1:
            raise LocalProtocolError(f"presentation context ID {number} is not an odd number from 1 to 255")
        if number in seen:
            raise LocalProtocolError(f"presentation context ID {number} is used twice")
        seen.add(number)


def _ae_title(title: str, role: str) -> bytes:
    """Check against VR AE (PS3.5 §6.2): printable ASCII without backslash, not only spaces."""
    if not _is_printable(title, AE_TITLE_LENGTH) or "\\" in title or not title.strip(" "):
        raise LocalProtocolError(
            f"{role} AE title {title!r} is not 1 to {AE_TITLE_LENGTH} printable ASCII characters"
            " without backslash"
        )
    return title.encode("ascii").ljust(AE_TITLE_LENGTH)


def _echoed_ae_title(title: str, role: str) -> bytes:
    """Give back what the reader made of a request's title, whatever the peer wrote there (PS3.8 §9.3.3)."""
    try:
        encoded = title.encode("latin-1")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{role} AE title {title!r} holds characters that no AE title has") from None
    if len(encoded) > AE_TITLE_LENGTH:
        raise LocalProtocolError(f"{role} AE title {title!r} is longer than {AE_TITLE_LENGTH} characters")
    return encoded.ljust(AE_TITLE_LENGTH)


def _uid(uid: str) -> bytes:
    # No stricter than the reader, because an answer repeats the peer's UIDs.
    if not _is_printable(uid, UID_MAXIMUM_LENGTH):
        raise LocalProtocolError(f"{uid[:80]!r} is not a UID of 1 to {UID_MAXIMUM_LENGTH} characters")
    return uid.encode("ascii")


def _version_name(name: str) -> bytes:
    if not _is_printable(name, _VERSION_NAME_LENGTH):
        raise LocalProtocolError(f"version name {name[:80]!r} is not 1 to {_VERSION_NAME_LENGTH} characters")
    return name.encode("ascii")


def _is_printable(text: str, maximum_length: int) -> bool:
    return 1 <= len(text) <= maximum_length and text.isascii() and text.isprintable()
