"""No bytes from a peer raise: in every state they end in documented events and an A-ABORT to send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.pair import is_ending, take_events, take_output
from tests.dicomnet.test_connection_data import (
    REQUEST_LENGTH,
    TO_ACCEPTOR,
    TO_REQUESTOR,
    replay_to_acceptor,
    replay_to_requestor,
)
from tests.dicomnet.upper_layer.strategies import chunkings, damaged, pdus
from tests.dicomnet.upper_layer.test_state_table import SIDES, connection_in

from dicomnet.connection import Connection
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.reader import read_pdu
from dicomnet.upper_layer.writer import write_pdu

IN_ANY_STATE = st.sampled_from([(state, side) for state in range(1, 14) for side in SIDES.get(state, "RA")])


def check_documented(connection: Connection, state: int) -> None:
    """Check that what is left of a peer's bytes is events, and an A-ABORT or rejection where it is over."""
    events = take_events(connection)
    for event in events[:-1]:
        assert not is_ending(event) or connection.state in (1, 12, 13)
    output = take_output(connection)
    if any(isinstance(event, ul.ProtocolViolated) for event in events):
        length = int.from_bytes(output[2:6], "big")
        assert isinstance(read_pdu(output[0], output[6 : 6 + length], Limits()), pdu.Abort)
        assert connection.state == 13 or connection.should_close
    elif state in (6, 7) and connection.is_associated:
        assert all(
            isinstance(event, MessageReceived | DatasetFragment | ul.ReleaseRequested) for event in events
        )
        assert output == b""


@given(where=IN_ANY_STATE, garbage=st.binary(max_size=200), data=st.data())
def test_random_bytes(where: tuple[int, str], garbage: bytes, data: st.DataObject) -> None:
    state, side = where
    connection = connection_in(state, side)
    for chunk in data.draw(chunkings(garbage)):
        connection.receive_data(chunk)
    check_documented(connection, state)


@given(where=IN_ANY_STATE, sent=st.lists(pdus(), max_size=4), data=st.data())
def test_legal_pdus_at_illegal_times(
    where: tuple[int, str], sent: list[pdu.Pdu], data: st.DataObject
) -> None:
    state, side = where
    connection = connection_in(state, side)
    for each in sent:
        connection.receive_data(write_pdu(each))
    connection.receive_data(data.draw(st.binary(max_size=8)))
    check_documented(connection, state)


@given(where=IN_ANY_STATE, data=st.data())
def test_damaged_recordings_in_any_state(where: tuple[int, str], data: st.DataObject) -> None:
    state, side = where
    connection = connection_in(state, side)
    recording = TO_ACCEPTOR[REQUEST_LENGTH:] if side == "A" else TO_REQUESTOR
    for chunk in data.draw(chunkings(data.draw(damaged(recording)))):
        connection.receive_data(chunk)
    check_documented(connection, state)


@given(data=st.data())
def test_damaged_recording_of_a_requestor(data: st.DataObject) -> None:
    stream = data.draw(damaged(TO_ACCEPTOR))
    events = replay_to_acceptor([stream[:REQUEST_LENGTH], stream[REQUEST_LENGTH:]])
    assert sum(isinstance(event, ul.ProtocolViolated) for event in events) <= 1


@given(data=st.data())
def test_damaged_recording_of_an_acceptor(data: st.DataObject) -> None:
    stream = data.draw(damaged(TO_REQUESTOR))
    events = replay_to_requestor([stream[:-10], stream[-10:]])
    assert sum(isinstance(event, ul.ProtocolViolated) for event in events) <= 1


@pytest.mark.parametrize("state", [6, 7])
def test_claimed_length_costs_nothing(state: int) -> None:
    """4 GiB in one PDV is a stream like any other."""
    connection = connection_in(state, "R")
    connection.receive_data(b"\4\0\xff\xff\xff\xff" + b"\xff\xff\xff\xfb\1\0" + bytes(100))
    events = take_events(connection)
    assert isinstance(events[-1], ul.ProtocolViolated)  # data where no command was
    assert events[-1].error.reason == 5
