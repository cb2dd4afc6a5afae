"""Bytes to PDUs (PS3.8 §9.3, PS3.7 Annex D.3.3).

Lenient where nothing is at stake: reserved bytes are not tested, unknown items are skipped by their length,
padding is trimmed, of what may stand once the first counts. Strict where a length or a presentation context
could mean two things. Whatever a peer sends ends in a value or in `RemoteProtocolError`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeVar

from dicomnet.errors import RemoteProtocolError
from dicomnet.upper_layer.items import Items, first, first_uid, invalid_value, is_uid, read_items, text, uid
from dicomnet.upper_layer.pdu import (
    PDV_HEADER_LENGTH,
    Abort,
    AbortReason,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
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
)
from dicomnet.upper_layer.user_information import read_user_information

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dicomnet.limits import Limits

__all__ = ["check_pdu_length", "check_pdu_type", "read_pdu", "read_pdv_header"]

_PDV_HEADER: Final = struct.Struct(">IBB")
# Plain numbers, because looking one up in its enum costs more than comparing it.
_DATA_TF: Final = PduType.DATA_TF.value
_TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS client (RFC 8446 §5.1)."""
_ASSOCIATE_TYPES: Final = frozenset({PduType.ASSOCIATE_RQ.value, PduType.ASSOCIATE_AC.value})
_ASSOCIATE_FIXED: Final = struct.Struct(">H2x16s16s32x")
_SHORT_PDU_LENGTH: Final = 4
_CONTEXT_FIXED_LENGTH: Final = 4

_Buffer = bytes | memoryview
_Context = TypeVar("_Context", ProposedPresentationContext, PresentationContextResult)


def check_pdu_type(pdu_type: int) -> None:
    """Raise `RemoteProtocolError` with UNRECOGNIZED_PDU for a type that PS3.8 §9.3 does not know."""
    if pdu_type not in _READERS:
        hint = ": the peer speaks TLS where none is expected" if pdu_type == _TLS_HANDSHAKE else ""
        raise RemoteProtocolError(
            f"unknown PDU type {pdu_type:02X}H{hint}", reason=AbortReason.UNRECOGNIZED_PDU
        )


def check_pdu_length(pdu_type: int, length: int, limits: Limits) -> None:
    """Refuse a PDU by its type and PDU-length field alone, so that nothing need be kept of it.

    A P-DATA-TF may have any length that holds a PDV item: it is read as a stream. Raises as `read_pdu` does.
    """
    if pdu_type == _DATA_TF:
        fits = length >= PDV_HEADER_LENGTH
    elif pdu_type in _ASSOCIATE_TYPES:
        fits = _ASSOCIATE_FIXED.size <= length <= limits.associate_pdu_length
    else:
        check_pdu_type(pdu_type)
        fits = length == _SHORT_PDU_LENGTH
    if not fits:
        raise invalid_value(f"a PDU of type {pdu_type:02X}H cannot have {length} bytes")


def read_pdu(pdu_type: int, body: bytes | memoryview, limits: Limits) -> Pdu:
    """Decode one whole PDU of which `body` is all that follows the 6 bytes of the header (PS3.8 §9.3).

    Only the data of a P-DATA-TF refers to `body`; everything else is copied out of it.
    Raises `RemoteProtocolError` with the A-P-ABORT reason: UNRECOGNIZED_PDU for an unknown `pdu_type`,
    otherwise INVALID_PDU_PARAMETER_VALUE.
    """
    check_pdu_length(pdu_type, len(body), limits)
    return _READERS[pdu_type](body, limits)


def _read_associate_request(body: _Buffer, limits: Limits) -> AssociateRequest:
    version, called, calling = _ASSOCIATE_FIXED.unpack_from(body)
    budget = iter(range(limits.items))
    items = read_items(memoryview(body)[_ASSOCIATE_FIXED.size :], budget)
    contexts = items.get(ItemType.PROPOSED_PRESENTATION_CONTEXT, ())
    return AssociateRequest(
        called_ae_title=text(called),
        calling_ae_title=text(calling),
        presentation_contexts=_contexts(contexts, limits, budget, _proposed_context),
        user_information=read_user_information(items, budget),
        application_context_name=first_uid(items, ItemType.APPLICATION_CONTEXT),
        protocol_version=version,
    )


def _read_associate_accept(body: _Buffer, limits: Limits) -> AssociateAccept:
    version, called, calling = _ASSOCIATE_FIXED.unpack_from(body)
    budget = iter(range(limits.items))
    items = read_items(memoryview(body)[_ASSOCIATE_FIXED.size :], budget)
    contexts = items.get(ItemType.PRESENTATION_CONTEXT_RESULT, ())
    return AssociateAccept(
        called_ae_title=text(called),
        calling_ae_title=text(calling),
        presentation_contexts=_contexts(contexts, limits, budget, _context_result),
        user_information=read_user_information(items, budget),
        application_context_name=first_uid(items, ItemType.APPLICATION_CONTEXT),
        protocol_version=version,
    )


def _read_associate_reject(body: _Buffer, _limits: Limits) -> AssociateReject:
    _, result, source, reason = body
    return AssociateReject(result=result, source=source, reason=reason)


def _read_data_transfer(body: _Buffer, _limits: Limits) -> DataTransfer:
    values = list[PresentationDataValue]()
    position = 0
    while position < len(body):
        length, context_id, control = read_pdv_header(body, position, len(body) - position)
        position += PDV_HEADER_LENGTH
        values.append(
            PresentationDataValue(
                context_id=context_id,
                is_command=bool(control & 1),
                is_last=bool(control & 2),
                data=body[position : position + length],
            )
        )
        position += length
    return DataTransfer(tuple(values))


def read_pdv_header(
    buffer: bytes | bytearray | memoryview, position: int, remaining: int
) -> tuple[int, int, int]:
    """Decode a PDV item's header: bytes of data, context ID, control header (PS3.8 §9.3.5.1 and Annex E.2).

    `remaining` bytes, at least a header's, are what the P-DATA-TF still has from here on; what stays of them
    behind this item is nothing or at least a header again. Raises as `read_pdu` does.
    """
    item_length, context_id, control = _PDV_HEADER.unpack_from(buffer, position)
    length: int = item_length - 2
    left = remaining - PDV_HEADER_LENGTH - length
    if length < 0 or left < 0 or 0 < left < PDV_HEADER_LENGTH:
        raise invalid_value(
            f"a PDV item's length {item_length} does not fit the {remaining} bytes of its PDU"
        )
    if not context_id & 1:
        raise invalid_value(f"a PDV has presentation context ID {context_id}, which is not odd")
    return length, context_id, control


def _read_release_request(_body: _Buffer, _limits: Limits) -> ReleaseRequest:
    return ReleaseRequest()


def _read_release_response(_body: _Buffer, _limits: Limits) -> ReleaseResponse:
    return ReleaseResponse()


def _read_abort(body: _Buffer, _limits: Limits) -> Abort:
    _, _, source, reason = body
    return Abort(source=source, reason=reason)


_READERS: Final[Mapping[int, Callable[[_Buffer, Limits], Pdu]]] = {
    PduType.ASSOCIATE_RQ: _read_associate_request,
    PduType.ASSOCIATE_AC: _read_associate_accept,
    PduType.ASSOCIATE_RJ: _read_associate_reject,
    PduType.DATA_TF: _read_data_transfer,
    PduType.RELEASE_RQ: _read_release_request,
    PduType.RELEASE_RP: _read_release_response,
    PduType.ABORT: _read_abort,
}


def _contexts(
    contents: Sequence[memoryview],
    limits: Limits,
    budget: Iterator[object],
    read: Callable[[memoryview, Items], _Context],
) -> tuple[_Context, ...]:
    if len(contents) > limits.presentation_contexts:
        raise invalid_value(
            f"{len(contents)} presentation contexts are more than {limits.presentation_contexts}"
        )
    contexts = dict[int, _Context]()
    for content in contents:
        if len(content) < _CONTEXT_FIXED_LENGTH:
            raise invalid_value("a presentation context item is truncated")
        context_id = content[0]
        if not context_id & 1:
            raise invalid_value(f"presentation context ID {context_id} is not odd")
        if context_id in contexts:
            raise invalid_value(f"presentation context ID {context_id} stands twice")
        contexts[context_id] = read(content, read_items(content[_CONTEXT_FIXED_LENGTH:], budget))
    return tuple(contexts.values())


def _proposed_context(content: memoryview, items: Items) -> ProposedPresentationContext:
    abstract_syntax = first_uid(items, ItemType.ABSTRACT_SYNTAX)
    transfer_syntaxes = tuple(filter(None, map(uid, items.get(ItemType.TRANSFER_SYNTAX, ()))))
    if not abstract_syntax or not transfer_syntaxes:
        raise invalid_value(
            f"presentation context {content[0]} lacks its abstract syntax or a transfer syntax"
        )
    return ProposedPresentationContext(
        context_id=content[0], abstract_syntax=abstract_syntax, transfer_syntaxes=transfer_syntaxes
    )


def _context_result(content: memoryview, items: Items) -> PresentationContextResult:
    context_id, result = content[0], content[2]
    if result == ContextResult.ACCEPTANCE:
        transfer_syntax = first_uid(items, ItemType.TRANSFER_SYNTAX)
        if not transfer_syntax:
            raise invalid_value(f"presentation context {context_id} is accepted without a transfer syntax")
    else:
        # Not significant then (PS3.8 §9.3.3.2), so peers write there what they like; kept if it can be a UID.
        written = text(first(items, ItemType.TRANSFER_SYNTAX) or b"")
        transfer_syntax = written if is_uid(written) else ""
    return PresentationContextResult(context_id=context_id, result=result, transfer_syntax=transfer_syntax)
