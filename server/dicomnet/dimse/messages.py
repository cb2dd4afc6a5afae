"""DIMSE messages as plain values, and one table that turns them into command sets and back (PS3.7 §9.3).

A field's name is its command element's name, so a message class is its own description. The N-services
(PS3.7 §10.3) are more classes in the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypedDict, Unpack

from dicomnet.dimse.command_set import NO_DATASET, CommandElement, CommandSet
from dicomnet.dimse.status import StatusClass, status_class
from dicomnet.errors import RemoteProtocolError
from dicomnet.upper_layer.pdu import UID_MAXIMUM_LENGTH, AbortReason

__all__ = [
    "MESSAGE_TYPES",
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
    "Priority",
    "Request",
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


class Priority:
    """Values of Priority (PS3.7 Table 9.3-1)."""

    MEDIUM: Final = 0
    HIGH: Final = 1
    LOW: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages share: the number of their kind in Command Field."""

    command_field: ClassVar[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Message):
    """A request that is answered under its message ID."""

    message_id: int
    affected_sop_class_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Message):
    """An answer; `status` says how the operation went, or that more answers follow."""

    message_id_being_responded_to: int
    status: int
    affected_sop_class_uid: str = ""
    offending_element: tuple[int, ...] = ()
    error_comment: str = ""

    @property
    def status_class(self) -> StatusClass:
        """The class of `status`."""
        return status_class(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOperationResponse(Response):
    """An answer to C-GET or C-MOVE, counting the C-STOREs done for it; None = not stated."""

    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRequest(Request):
    """C-STORE-RQ (PS3.7 §9.3.1.1); the move originator is named in sub-operations of a C-MOVE."""

    command_field = 0x0001
    affected_sop_instance_uid: str = ""
    priority: int = Priority.MEDIUM
    move_originator_application_entity_title: str = ""
    move_originator_message_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreResponse(Response):
    """C-STORE-RSP (PS3.7 §9.3.1.2)."""

    command_field = 0x8001
    affected_sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetRequest(Request):
    """C-GET-RQ (PS3.7 §9.3.3.1)."""

    command_field = 0x0010
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetResponse(SubOperationResponse):
    """C-GET-RSP (PS3.7 §9.3.3.2)."""

    command_field = 0x8010


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindRequest(Request):
    """C-FIND-RQ (PS3.7 §9.3.2.1)."""

    command_field = 0x0020
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindResponse(Response):
    """C-FIND-RSP (PS3.7 §9.3.2.2)."""

    command_field = 0x8020


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveRequest(Request):
    """C-MOVE-RQ (PS3.7 §9.3.4.1)."""

    command_field = 0x0021
    move_destination: str = ""
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveResponse(SubOperationResponse):
    """C-MOVE-RSP (PS3.7 §9.3.4.2)."""

    command_field = 0x8021


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRequest(Request):
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""

    command_field = 0x0030


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoResponse(Response):
    """C-ECHO-RSP (PS3.7 §9.3.5.2)."""

    command_field = 0x8030


@dataclass(frozen=True, slots=True, kw_only=True)
class CCancelRequest(Message):
    """C-CANCEL-RQ (PS3.7 §9.3.2.3, §9.3.3.3, §9.3.4.3); has no answer of its own."""

    command_field = 0x0FFF
    message_id_being_responded_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrecognizedRequest(Request):
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


def response_to(request: Request, status: int, **fields: Unpack[SubOperationFields]) -> Response:
    """Return the response to a request, echoing what identifies it; `fields` must be of its kind.

    What a peer sent as a UID and is too long for one is not echoed: the field is optional.
    """
    echoed = {"affected_sop_class_uid": request.affected_sop_class_uid}
    if isinstance(request, CStoreRequest):
        echoed["affected_sop_instance_uid"] = request.affected_sop_instance_uid
    values: dict[str, Any] = {name: uid for name, uid in echoed.items() if len(uid) <= UID_MAXIMUM_LENGTH}
    values.update(fields)
    response_type = _RESPONSE_TYPES[type(request)]
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
