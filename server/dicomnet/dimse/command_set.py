"""Command sets on the wire: group 0000 in Implicit VR Little Endian (PS3.7 §6.3.1, Annex E)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from dicomnet.errors import LocalProtocolError, RemoteProtocolError
from dicomnet.upper_layer.pdu import UID_MAXIMUM_LENGTH, AbortReason

__all__ = ["ELEMENTS", "NO_DATASET", "CommandElement", "CommandSet", "read_command_set", "write_command_set"]

CommandValue = int | str | tuple[int, ...]
CommandSet = dict["CommandElement", CommandValue]

NO_DATASET: Final = 0x0101
"""CommandDataSetType: no data set follows; any other value says that one does (PS3.7 Table E.1-1)."""


class CommandElement(IntEnum):
    """Elements of group 0000 by their element number; retired ones are not known and skipped on reading."""

    COMMAND_GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    ERROR_ID = 0x0903
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ATTRIBUTE_IDENTIFIER_LIST = 0x1005
    ACTION_TYPE_ID = 0x1008
    NUMBER_OF_REMAINING_SUBOPERATIONS = 0x1020
    NUMBER_OF_COMPLETED_SUBOPERATIONS = 0x1021
    NUMBER_OF_FAILED_SUBOPERATIONS = 0x1022
    NUMBER_OF_WARNING_SUBOPERATIONS = 0x1023
    MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


_LONGEST_UID: Final = {
    0x0002: UID_MAXIMUM_LENGTH,
    0x0003: UID_MAXIMUM_LENGTH,
    # Devices have made longer ones than the Standard allows; who archives their objects has to name them when sending.
    0x1000: 128,
    0x1001: 128,
}
"""Characters that are written."""
_TEXTS: Final = {0x0600: 16, 0x0902: 64, 0x1030: 16}
"""AE and LO elements, with their greatest length."""
_TAG_LISTS: Final = {0x0901, 0x1005}
_LONGS: Final = {0x0000}

ELEMENTS: Final[Mapping[int, CommandElement]] = MappingProxyType(
    {element.value: element for element in CommandElement}
)

_ELEMENT_HEADER: Final = struct.Struct("<HHI")
_UNSIGNED_SHORT: Final = struct.Struct("<H")
_UNSIGNED_LONG: Final = struct.Struct("<I")


def read_command_set(data: bytes) -> CommandSet:
    """Return the known elements of a command set; of several values of a number the first counts.

    Raises RemoteProtocolError where lengths or values make no sense. A missing group length, elements out of
    order and unknown elements of group 0000 are forgiven.
    """
    commands: CommandSet = {}
    position, end = 0, len(data)
    while position < end:
        if end - position < _ELEMENT_HEADER.size:
            raise _invalid(f"{end - position} stray bytes behind a command set")
        group, number, length = _ELEMENT_HEADER.unpack_from(data, position)
        position += _ELEMENT_HEADER.size
        if group != 0:
            raise _invalid(f"group {group:04X} in a command set")
        if length > end - position:
            raise _invalid(
                f"command element (0000,{number:04X}) of {length} bytes, {end - position} are left"
            )
        element = ELEMENTS.get(number)
        if element is not None:
            commands.setdefault(element, _read_value(number, data[position : position + length]))
        position += length
    return commands


def _read_value(number: int, value: bytes) -> CommandValue:
    if number in _LONGEST_UID or number in _TEXTS:
        return value.decode("latin-1").rstrip("\0 ").lstrip(" ")
    if number in _TAG_LISTS:
        if len(value) % 4:
            raise _invalid(f"command element (0000,{number:04X}) of {len(value)} bytes is no list of tags")
        halves = struct.unpack(f"<{len(value) // 2}H", value)
        return tuple(group << 16 | element for group, element in zip(halves[::2], halves[1::2], strict=True))
    number_format = _UNSIGNED_LONG if number in _LONGS else _UNSIGNED_SHORT
    if len(value) < number_format.size:
        raise _invalid(f"command element (0000,{number:04X}) of {len(value)} bytes is no number")
    return int(number_format.unpack_from(value)[0])


def _invalid(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE)


def write_command_set(commands: CommandSet) -> bytes:
    """Return the encoded command set, group length first, in ascending order of tags.

    Raises LocalProtocolError for a value that its element cannot hold. Texts that are only for people to read
    (Error Comment) are cut to their greatest length instead.
    """
    encoded = b"".join(
        _write_element(element, commands[element])
        for element in sorted(commands)
        if element is not CommandElement.COMMAND_GROUP_LENGTH
    )
    return _ELEMENT_HEADER.pack(0, 0, 4) + _UNSIGNED_LONG.pack(len(encoded)) + encoded


def _write_element(element: CommandElement, value: CommandValue) -> bytes:
    encoded = _write_value(element, value)
    return _ELEMENT_HEADER.pack(0, element.value, len(encoded)) + encoded


def _write_value(element: CommandElement, value: CommandValue) -> bytes:
    if isinstance(value, tuple):
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    if isinstance(value, int):
        if not 0 <= value <= 0xFFFF:
            raise LocalProtocolError(f"{element.name} cannot be {value}")
        return _UNSIGNED_SHORT.pack(value)
    encoded = value.encode("ascii", "replace")
    is_uid = element.value in _LONGEST_UID
    longest = _LONGEST_UID[element.value] if is_uid else _TEXTS[element.value]
    if element is CommandElement.ERROR_COMMENT:
        encoded = encoded[:longest]
    elif len(encoded) > longest:
        raise LocalProtocolError(f"{element.name} has {len(encoded)} characters, {longest} are the most")
    return encoded + (b"\0" if is_uid else b" ") * (len(encoded) % 2)
