"""Command sets to bytes and back (PS3.7 §6.3.1, Annex E)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.dimse.strategies import command_sets
from tests.dicomnet.upper_layer.strategies import damaged

from dicomnet.dimse.command_set import CommandElement, CommandSet, read_command_set, write_command_set
from dicomnet.errors import LocalProtocolError, RemoteProtocolError


def element(number: int, value: bytes, *, group: int = 0, length: int | None = None) -> bytes:
    return struct.pack("<HHI", group, number, len(value) if length is None else length) + value


def without_length(commands: CommandSet) -> CommandSet:
    return {key: value for key, value in commands.items() if key is not CommandElement.COMMAND_GROUP_LENGTH}


@given(command_sets())
def test_round_trip(commands: CommandSet) -> None:
    assert without_length(read_command_set(write_command_set(commands))) == commands


@given(command_sets())
def test_layout(commands: CommandSet) -> None:
    """Group length first and right, then tags ascending, every value of even length (PS3.7 §6.3.1)."""
    encoded = write_command_set(commands)
    assert encoded[:8] == element(0x0000, b"\0" * 4)[:8]
    assert struct.unpack("<I", encoded[8:12])[0] == len(encoded) - 12
    numbers, position = [], 12
    while position < len(encoded):
        group, number, length = struct.unpack_from("<HHI", encoded, position)
        assert group == 0
        assert length % 2 == 0
        numbers.append(number)
        position += 8 + length
    assert numbers == sorted(key.value for key in commands)


def test_padding() -> None:
    """UIDs with 00H, texts with a space (PS3.5 §6.2)."""
    encoded = write_command_set(
        {CommandElement.AFFECTED_SOP_CLASS_UID: "1.2.3", CommandElement.MOVE_DESTINATION: "ARCHIVE"}
    )
    assert encoded.endswith(element(0x0002, b"1.2.3\0") + element(0x0600, b"ARCHIVE "))


# What peers get wrong without harm.


@pytest.mark.parametrize("padded", [b"1.2.3\0", b"1.2.3 ", b"1.2.3\0\0\0", b" 1.2.3 "])
def test_padding_of_any_kind_is_trimmed(padded: bytes) -> None:
    assert read_command_set(element(0x0002, padded)) == {CommandElement.AFFECTED_SOP_CLASS_UID: "1.2.3"}


def test_missing_or_wrong_group_length_is_forgiven() -> None:
    expected = {CommandElement.MESSAGE_ID: 7}
    assert read_command_set(element(0x0110, b"\7\0")) == expected
    wrong = read_command_set(element(0x0000, b"\1\0\0\0") + element(0x0110, b"\7\0"))
    assert without_length(wrong) == expected


def test_order_and_unknown_elements_are_forgiven() -> None:
    retired = element(0x0001, b"\0\0\0\0") + element(0x5110, b"12")
    commands = read_command_set(element(0x0900, b"\0\0") + retired + element(0x0110, b"\7\0"))
    assert commands == {CommandElement.STATUS: 0, CommandElement.MESSAGE_ID: 7}


def test_first_of_several_values_counts() -> None:
    assert read_command_set(element(0x0110, b"\7\0\x08\0")) == {CommandElement.MESSAGE_ID: 7}
    twice = element(0x0110, b"\7\0") + element(0x0110, b"\x08\0")
    assert read_command_set(twice) == {CommandElement.MESSAGE_ID: 7}


def test_no_bytes_are_no_elements() -> None:
    assert read_command_set(b"") == {}


# What makes no sense.


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"\0", id="stray byte"),
        pytest.param(element(0x0110, b"\7\0") + b"\0\0\0\0", id="stray bytes behind"),
        pytest.param(element(0x0110, b"\7\0", length=4), id="value cut short"),
        pytest.param(element(0x0110, b"\7\0", length=0xFFFFFFFF), id="undefined length"),
        pytest.param(element(0x0010, b"PATIENT ", group=0x0010), id="other group"),
        pytest.param(element(0x0110, b""), id="number without value"),
        pytest.param(element(0x0110, b"\7"), id="half a number"),
        pytest.param(element(0x0000, b"\0\0"), id="short group length"),
        pytest.param(element(0x0901, b"\0\0"), id="half a tag"),
    ],
)
def test_nonsense_is_the_peers_error(encoded: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        read_command_set(encoded)
    assert raised.value.reason == 6
    assert "PATIENT" not in str(raised.value)


@given(st.binary(max_size=100) | command_sets().map(write_command_set).flatmap(damaged))
def test_any_bytes_are_read_or_refused(encoded: bytes) -> None:
    try:
        commands = read_command_set(encoded)
    except RemoteProtocolError:
        return
    assert all(isinstance(key, CommandElement) for key in commands)


# What we cannot send.


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (CommandElement.MESSAGE_ID, -1),
        (CommandElement.MESSAGE_ID, 0x10000),
        (CommandElement.NUMBER_OF_REMAINING_SUBOPERATIONS, 65536),
        (CommandElement.AFFECTED_SOP_CLASS_UID, "1." * 33),
        (CommandElement.AFFECTED_SOP_INSTANCE_UID, "1" * 129),
        (CommandElement.MOVE_DESTINATION, "SEVENTEEN_LETTERS"),
    ],
)
def test_value_that_does_not_fit_is_our_error(key: CommandElement, value: int | str) -> None:
    with pytest.raises(LocalProtocolError, match=key.name):
        write_command_set({key: value})


@pytest.mark.parametrize("length", [64, 65, 70, 128])
def test_a_sop_instance_uid_of_a_device_is_sent_as_it_is(length: int) -> None:
    """PS3.5 §9.1 allows 64 characters; who archives what a device has named otherwise must be able to send it."""
    commands = {CommandElement.AFFECTED_SOP_INSTANCE_UID: "1" * length}
    assert without_length(read_command_set(write_command_set(commands))) == commands


def test_error_comment_is_cut() -> None:
    """It is for people to read, and a long one must not cost the response."""
    commands = read_command_set(write_command_set({CommandElement.ERROR_COMMENT: "x" * 65}))
    assert commands[CommandElement.ERROR_COMMENT] == "x" * 64


def test_text_outside_ascii_is_replaced() -> None:
    commands = read_command_set(write_command_set({CommandElement.ERROR_COMMENT: "größer"}))
    assert commands[CommandElement.ERROR_COMMENT] == "gr??er"
