"""Messages to command sets and back, judged by pynetdicom's encoding (PS3.7 §9.3)."""

from __future__ import annotations

from dataclasses import fields
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import dimse_messages, dimse_primitives
from pynetdicom.dsutils import decode, encode
from tests.dicomnet.dimse.strategies import messages, messages_of, unsigned_shorts

from dicomnet.dimse.command_set import (
    NO_DATASET,
    CommandElement,
    CommandSet,
    read_command_set,
    write_command_set,
)
from dicomnet.dimse.messages import (
    MESSAGE_TYPES,
    CEchoRequest,
    CEchoResponse,
    Message,
    NormalizedResponse,
    UnrecognizedRequest,
    read_message,
    refusal_of_unrecognized,
    to_command_set,
)
from dicomnet.errors import RemoteProtocolError

PYNETDICOM = {
    0x0001: (dimse_messages.C_STORE_RQ, dimse_primitives.C_STORE),
    0x8001: (dimse_messages.C_STORE_RSP, dimse_primitives.C_STORE),
    0x0010: (dimse_messages.C_GET_RQ, dimse_primitives.C_GET),
    0x8010: (dimse_messages.C_GET_RSP, dimse_primitives.C_GET),
    0x0020: (dimse_messages.C_FIND_RQ, dimse_primitives.C_FIND),
    0x8020: (dimse_messages.C_FIND_RSP, dimse_primitives.C_FIND),
    0x0021: (dimse_messages.C_MOVE_RQ, dimse_primitives.C_MOVE),
    0x8021: (dimse_messages.C_MOVE_RSP, dimse_primitives.C_MOVE),
    0x0030: (dimse_messages.C_ECHO_RQ, dimse_primitives.C_ECHO),
    0x8030: (dimse_messages.C_ECHO_RSP, dimse_primitives.C_ECHO),
    0x0FFF: (dimse_messages.C_CANCEL_RQ, dimse_primitives.C_CANCEL),
    0x0100: (dimse_messages.N_EVENT_REPORT_RQ, dimse_primitives.N_EVENT_REPORT),
    0x8100: (dimse_messages.N_EVENT_REPORT_RSP, dimse_primitives.N_EVENT_REPORT),
    0x0110: (dimse_messages.N_GET_RQ, dimse_primitives.N_GET),
    0x8110: (dimse_messages.N_GET_RSP, dimse_primitives.N_GET),
    0x0120: (dimse_messages.N_SET_RQ, dimse_primitives.N_SET),
    0x8120: (dimse_messages.N_SET_RSP, dimse_primitives.N_SET),
    0x0130: (dimse_messages.N_ACTION_RQ, dimse_primitives.N_ACTION),
    0x8130: (dimse_messages.N_ACTION_RSP, dimse_primitives.N_ACTION),
    0x0140: (dimse_messages.N_CREATE_RQ, dimse_primitives.N_CREATE),
    0x8140: (dimse_messages.N_CREATE_RSP, dimse_primitives.N_CREATE),
    0x0150: (dimse_messages.N_DELETE_RQ, dimse_primitives.N_DELETE),
    0x8150: (dimse_messages.N_DELETE_RSP, dimse_primitives.N_DELETE),
}
EXAMPLES = {
    "affected_sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    "affected_sop_instance_uid": "1.2.3.45",
    "requested_sop_class_uid": "1.2.840.10008.1.20.1",
    "requested_sop_instance_uid": "1.2.840.10008.1.20.1.1",
    "attribute_identifier_list": (0x00100010, 0x00100020),
    "status": 0xA702,
    "move_destination": "WORKSTATION",
    "move_originator_application_entity_title": "MODALITY",
    "error_comment": "no space left",
    "offending_element": (0x00080018, 0x00100020),
}
"""Values of the fields that are no small numbers."""

KEYWORDS = {
    "affected_sop_class_uid": "AffectedSOPClassUID",
    "affected_sop_instance_uid": "AffectedSOPInstanceUID",
    "requested_sop_class_uid": "RequestedSOPClassUID",
    "requested_sop_instance_uid": "RequestedSOPInstanceUID",
    "event_type_id": "EventTypeID",
    "action_type_id": "ActionTypeID",
    "error_id": "ErrorID",
    "message_id": "MessageID",
    "message_id_being_responded_to": "MessageIDBeingRespondedTo",
    "move_originator_message_id": "MoveOriginatorMessageID",
}
"""The others are their field's name in camel case."""


def keyword(field: str) -> str:
    return KEYWORDS.get(field) or "".join(part.capitalize() for part in field.split("_"))


def command_dataset(message: Message, *, has_dataset: bool) -> Dataset:
    """Return what pynetdicom would hold for a message."""
    command = Dataset()
    command.CommandField = message.command_field
    command.CommandDataSetType = 1 if has_dataset else NO_DATASET
    for field in fields(message):
        value = getattr(message, field.name)
        if value not in (None, "", ()):
            setattr(command, keyword(field.name), list(value) if isinstance(value, tuple) else value)
    return command


def encoded(message: Message, *, has_dataset: bool = False) -> bytes:
    return write_command_set(to_command_set(message, has_dataset=has_dataset))


def test_there_are_twenty_three() -> None:
    assert {field: message_type.__name__ for field, message_type in MESSAGE_TYPES.items()} == {
        0x0001: "CStoreRequest",
        0x8001: "CStoreResponse",
        0x0010: "CGetRequest",
        0x8010: "CGetResponse",
        0x0020: "CFindRequest",
        0x8020: "CFindResponse",
        0x0021: "CMoveRequest",
        0x8021: "CMoveResponse",
        0x0030: "CEchoRequest",
        0x8030: "CEchoResponse",
        0x0FFF: "CCancelRequest",
        0x0100: "NEventReportRequest",
        0x8100: "NEventReportResponse",
        0x0110: "NGetRequest",
        0x8110: "NGetResponse",
        0x0120: "NSetRequest",
        0x8120: "NSetResponse",
        0x0130: "NActionRequest",
        0x8130: "NActionResponse",
        0x0140: "NCreateRequest",
        0x8140: "NCreateResponse",
        0x0150: "NDeleteRequest",
        0x8150: "NDeleteResponse",
    }


@given(message=messages(), has_dataset=st.booleans())
def test_round_trip(message: Message, has_dataset: bool) -> None:
    commands = read_command_set(encoded(message, has_dataset=has_dataset))
    assert read_message(commands) == (message, has_dataset)


@pytest.mark.parametrize("command_field", PYNETDICOM, ids=lambda field: f"{field:04X}H")
@given(data=st.data())
def test_pydicom_encodes_the_same_bytes(command_field: int, data: st.DataObject) -> None:
    message = data.draw(messages_of(MESSAGE_TYPES[command_field]))
    theirs = encode(command_dataset(message, has_dataset=True), is_implicit_vr=True, is_little_endian=True)
    assert theirs is not None
    assert encoded(message, has_dataset=True)[12:] == theirs


def filled(message_type: type[Message]) -> Message:
    """Return a message with all its fields said; but pynetdicom knows offending elements only in some."""
    values = {field.name: EXAMPLES.get(field.name, 2) for field in fields(message_type)}
    if message_type is CEchoResponse or issubclass(message_type, NormalizedResponse):
        del values["offending_element"]
    return message_type(**values)


@pytest.mark.parametrize("command_field", PYNETDICOM, ids=lambda field: f"{field:04X}H")
def test_pynetdicom_sends_and_reads_the_same_message(command_field: int) -> None:
    message = filled(MESSAGE_TYPES[command_field])
    theirs, primitive_type = PYNETDICOM[command_field]
    primitive = primitive_type()
    for field in fields(message):
        value = getattr(message, field.name)
        setattr(primitive, keyword(field.name), list(value) if isinstance(value, tuple) else value)
    sent = theirs()
    sent.primitive_to_message(primitive)
    (pdv,) = (value for data in sent.encode_msg(1, 16384) for value in data.presentation_data_value_list)
    assert encoded(message) == pdv[1][1:]
    received = theirs()
    received.command_set = decode(BytesIO(encoded(message)), is_implicit_vr=True, is_little_endian=True)
    again = received.message_to_primitive()
    for name in filter(lambda name: hasattr(again, name), (keyword(field.name) for field in fields(message))):
        assert getattr(again, name) == getattr(primitive, name), name


@given(unsigned_shorts.filter(lambda kind: kind != NO_DATASET))
def test_any_other_type_announces_a_data_set(kind: int) -> None:
    commands: CommandSet = {
        CommandElement.COMMAND_FIELD: 0x30,
        CommandElement.MESSAGE_ID: 1,
        CommandElement.COMMAND_DATA_SET_TYPE: kind,
    }
    assert read_message(commands)[1]


def test_no_type_announces_none() -> None:
    commands: CommandSet = {CommandElement.COMMAND_FIELD: 0x30, CommandElement.MESSAGE_ID: 1}
    assert read_message(commands) == (CEchoRequest(message_id=1), False)


@pytest.mark.parametrize(
    ("commands", "what"),
    [
        ({}, "Command Field"),
        ({CommandElement.COMMAND_FIELD: 0x0001}, "CStoreRequest"),
        ({CommandElement.COMMAND_FIELD: 0x8001, CommandElement.STATUS: 0}, "CStoreResponse"),
        (
            {CommandElement.COMMAND_FIELD: 0x8020, CommandElement.MESSAGE_ID_BEING_RESPONDED_TO: 1},
            "CFindResponse",
        ),
        ({CommandElement.COMMAND_FIELD: 0x0FFF, CommandElement.MESSAGE_ID: 1}, "CCancelRequest"),
        ({CommandElement.COMMAND_FIELD: 0x0130, CommandElement.MESSAGE_ID: 1}, "NActionRequest"),
        ({CommandElement.COMMAND_FIELD: 0x0100, CommandElement.MESSAGE_ID: 1}, "NEventReportRequest"),
        ({CommandElement.COMMAND_FIELD: 0x4242}, "4242H"),
        ({CommandElement.COMMAND_FIELD: 0xC242, CommandElement.MESSAGE_ID: 1}, "C242H"),
    ],
)
def test_message_that_cannot_be_answered_is_an_error(commands: CommandSet, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what) as raised:
        read_message(commands)
    assert raised.value.reason == 6


def test_unknown_request_can_be_refused() -> None:
    """PS3.7 §C.5.21."""
    commands: CommandSet = {
        CommandElement.COMMAND_FIELD: 0x0170,
        CommandElement.MESSAGE_ID: 12,
        CommandElement.AFFECTED_SOP_CLASS_UID: "1.2.3",
    }
    request, _ = read_message(commands)
    assert request == UnrecognizedRequest(
        message_id=12, affected_sop_class_uid="1.2.3", unrecognized_command_field=0x0170
    )
    assert isinstance(request, UnrecognizedRequest)
    assert refusal_of_unrecognized(request, 0x0211) == {
        CommandElement.COMMAND_FIELD: 0x8170,
        CommandElement.COMMAND_DATA_SET_TYPE: NO_DATASET,
        CommandElement.MESSAGE_ID_BEING_RESPONDED_TO: 12,
        CommandElement.STATUS: 0x0211,
    }


def test_names_are_the_standards() -> None:
    """Each field is the keyword of an element that pydicom knows in group 0000."""
    for message_type in MESSAGE_TYPES.values():
        for field in fields(message_type):
            command = Dataset()
            setattr(command, keyword(field.name), None)
            (element,) = command
            assert (element.tag.group, element.tag.element) == (0, CommandElement[field.name.upper()].value)


def test_uid_values_are_plain_text() -> None:
    commands = to_command_set(
        CEchoRequest(message_id=1, affected_sop_class_uid=UID("1.2.840.10008.1.1")), has_dataset=False
    )
    assert read_command_set(write_command_set(commands))[CommandElement.AFFECTED_SOP_CLASS_UID] == (
        "1.2.840.10008.1.1"
    )
