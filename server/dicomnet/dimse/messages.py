"""DIMSE messages as plain values, and one table that turns them into command sets and back (PS3.7 §9.3).

A field's name is its command element's name, so a message class is its own description. They are in
`composite` and `normalized`, and known here by their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, TypedDict, Unpack

from dicomnet.dimse.command_set import NO_DATASET, CommandElement, CommandSet
from dicomnet.dimse.composite import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    Priority,
    SubOperationResponse,
)
from dicomnet.dimse.message import (
    AffectedClassRequest,
    Message,
    Request,
    RequestedInstanceRequest,
    Response,
)
from dicomnet.dimse.normalized import (
    NActionRequest,
    NActionResponse,
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NDeleteResponse,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NGetResponse,
    NormalizedResponse,
    NSetRequest,
    NSetResponse,
)
from dicomnet.errors import RemoteProtocolError
from dicomnet.upper_layer.pdu import UID_MAXIMUM_LENGTH, AbortReason

__all__ = [
    "MESSAGE_TYPES",
    "AffectedClassRequest",
    "AnyResponseFields",
    "CCancelRequest",
    "CEchoRequest",
    "CEchoResponse",
    "CFindRequest",
    "CFindResponse",
    "CGetRequest",
    "CGetResponse",
    "CMoveRequest",
    "CMoveResponse",
    "CStoreRequest",
    "CStoreResponse",
    "Message",
    "NActionRequest",
    "NActionResponse",
    "NCreateRequest",
    "NCreateResponse",
    "NDeleteRequest",
    "NDeleteResponse",
    "NEventReportRequest",
    "NEventReportResponse",
    "NGetRequest",
    "NGetResponse",
    "NSetRequest",
    "NSetResponse",
    "NormalizedFields",
    "NormalizedResponse",
    "Priority",
    "Request",
    "RequestedInstanceRequest",
    "Response",
    "ResponseFields",
    "SubOperationFields",
    "SubOperationResponse",
    "UnrecognizedRequest",
    "read_message",
    "refusal_of_unrecognized",
    "response_to",
    "to_command_set",
]

RESPONSE_BIT: Final = 0x8000
_DATASET_FOLLOWS: Final = 0x0001


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrecognizedRequest(AffectedClassRequest):
    """A request of a kind that is not in the table; `unrecognized_command_field` is its number."""

    command_field = -1
    unrecognized_command_field: int


MESSAGE_TYPES: Final[Mapping[int, type[Message]]] = MappingProxyType(
    {
        message_type.command_field: message_type
        for message_type in (
            CStoreRequest,
            CStoreResponse,
            CGetRequest,
            CGetResponse,
            CFindRequest,
            CFindResponse,
            CMoveRequest,
            CMoveResponse,
            CEchoRequest,
            CEchoResponse,
            CCancelRequest,
            NEventReportRequest,
            NEventReportResponse,
            NGetRequest,
            NGetResponse,
            NSetRequest,
            NSetResponse,
            NActionRequest,
            NActionResponse,
            NCreateRequest,
            NCreateResponse,
            NDeleteRequest,
            NDeleteResponse,
        )
    }
)
"""Message classes by Command Field."""


_RESPONSE_TYPES: Final[Mapping[type[Message], type[Response]]] = MappingProxyType(
    {
        MESSAGE_TYPES[field ^ RESPONSE_BIT]: message_type
        for field, message_type in MESSAGE_TYPES.items()
        if issubclass(message_type, Response)
    }
)


class ResponseFields(TypedDict, total=False):
    """What any response may say beyond its status (PS3.7 Annex C)."""

    error_comment: str
    offending_element: tuple[int, ...]


class SubOperationFields(ResponseFields, total=False):
    """What a response to C-GET or C-MOVE says beyond its status."""

    number_of_remaining_suboperations: int | None
    number_of_completed_suboperations: int | None
    number_of_failed_suboperations: int | None
    number_of_warning_suboperations: int | None


class NormalizedFields(ResponseFields, total=False):
    """What a response of an N-service may say beyond its status."""

    error_id: int | None
    affected_sop_instance_uid: str


class AnyResponseFields(SubOperationFields, NormalizedFields, total=False):
    """What some response or other may say beyond its status."""

    event_type_id: int | None
    action_type_id: int | None
    attribute_identifier_list: tuple[int, ...]


def response_to(request: Request, status: int, **fields: Unpack[AnyResponseFields]) -> Response:
    """Return the response to a request, echoing what identifies it; `fields` must be of its kind.

    What a peer sent as a UID and is too long for one is not echoed: the field is optional.
    """
    response_type = _RESPONSE_TYPES[type(request)]
    echoed = {"affected_sop_class_uid": request.sop_class_uid}
    if issubclass(response_type, CStoreResponse | NormalizedResponse):
        echoed["affected_sop_instance_uid"] = request.sop_instance_uid
    values: dict[str, Any] = {name: uid for name, uid in echoed.items() if len(uid) <= UID_MAXIMUM_LENGTH}
    values.update(fields)
    return response_type(message_id_being_responded_to=request.message_id, status=status, **values)


def _elements(message_type: type[Message]) -> tuple[tuple[str, CommandElement], ...]:
    return tuple((field.name, CommandElement[field.name.upper()]) for field in fields(message_type))


_FIELDS: Final[Mapping[type[Message], tuple[tuple[str, CommandElement], ...]]] = MappingProxyType(
    {message_type: _elements(message_type) for message_type in MESSAGE_TYPES.values()}
)


def read_message(commands: CommandSet) -> tuple[Message, bool]:
    """Return the message that a command set spells, and whether a data set follows it.

    Raises RemoteProtocolError where it has no Command Field, no message ID to answer to, or no status, and for
    an unknown response. Missing texts come out empty: what they should have said is the handler's to judge.
    """
    command_field = commands.get(CommandElement.COMMAND_FIELD)
    if not isinstance(command_field, int):
        raise _invalid("a command set without Command Field")
    has_dataset = commands.get(CommandElement.COMMAND_DATA_SET_TYPE, NO_DATASET) != NO_DATASET
    message_type = MESSAGE_TYPES.get(command_field)
    if message_type is None:
        return _unrecognized(command_field, commands), has_dataset
    values: dict[str, Any] = {
        name: commands[element] for name, element in _FIELDS[message_type] if element in commands
    }
    try:
        return message_type(**values), has_dataset
    except TypeError as error:
        raise _invalid(f"{message_type.__name__} without a mandatory element") from error


def _unrecognized(command_field: int, commands: CommandSet) -> UnrecognizedRequest:
    message_id = commands.get(CommandElement.MESSAGE_ID)
    if command_field & RESPONSE_BIT or not isinstance(message_id, int):
        raise _invalid(f"unknown message {command_field:04X}H that cannot be answered")
    return UnrecognizedRequest(
        message_id=message_id,
        affected_sop_class_uid=str(commands.get(CommandElement.AFFECTED_SOP_CLASS_UID, "")),
        unrecognized_command_field=command_field,
    )


def _invalid(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE)


def to_command_set(message: Message, *, has_dataset: bool) -> CommandSet:
    """Return the command set of a message; fields that are None or empty are left out."""
    commands: CommandSet = {
        CommandElement.COMMAND_FIELD: message.command_field,
        CommandElement.COMMAND_DATA_SET_TYPE: _DATASET_FOLLOWS if has_dataset else NO_DATASET,
    }
    for name, element in _FIELDS[type(message)]:
        value = getattr(message, name)
        if value is not None and value not in ("", ()):
            commands[element] = value
    return commands


def refusal_of_unrecognized(request: UnrecognizedRequest, status: int) -> CommandSet:
    """Return the command set that answers a request of an unknown kind (PS3.7 §C.5.21)."""
    return {
        CommandElement.COMMAND_FIELD: request.unrecognized_command_field | RESPONSE_BIT,
        CommandElement.COMMAND_DATA_SET_TYPE: NO_DATASET,
        CommandElement.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        CommandElement.STATUS: status,
    }
