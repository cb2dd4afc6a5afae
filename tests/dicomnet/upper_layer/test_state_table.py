"""All 13 states and 19 events of PS3.8 Table 9-10, each cell tried on a real connection.

What each cell should do is `standard_table`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.dicomnet.pair import (
    VERIFICATION_CONTEXT,
    associate_accept,
    associate_request,
    pdv,
    send,
    take_events,
    take_output,
)
from tests.dicomnet.upper_layer.standard_table import CELLS, EFFECTS, REJECT, effect_of

from dicomnet.connection import Connection
from dicomnet.dimse.command_set import write_command_set
from dicomnet.dimse.messages import CEchoRequest, to_command_set
from dicomnet.errors import LocalProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.reader import read_pdu
from dicomnet.upper_layer.writer import write_pdu

LOCAL_REQUESTS = {1, 7, 8, 9, 11, 14, 15}
PEER_ABORT = pdu.Abort(source=2, reason=6)
ECHO_COMMAND = write_command_set(
    to_command_set(CEchoRequest(message_id=7, affected_sop_class_uid="1.2.840.10008.1.1"), has_dataset=False)
)


SIDES = {2: "A", 3: "A", 4: "R", 5: "R", 9: "R", 10: "A", 11: "R", 12: "A"}
"""States that only one side can be in: requestor or acceptor."""


# Bringing a connection into a state, by nothing but what its user and its peer can do.


def _associated(connection: Connection, side: str) -> None:
    if side == "R":
        connection.request_association(associate_request())
        connection.transport_connected()
        connection.receive_data(write_pdu(associate_accept()))
    else:
        connection.transport_accepted()
        connection.receive_data(write_pdu(associate_request()))
        connection.accept(associate_accept())


def _to_2(connection: Connection, side: str) -> None:
    connection.transport_accepted()


def _to_3(connection: Connection, side: str) -> None:
    connection.transport_accepted()
    connection.receive_data(write_pdu(associate_request()))


def _to_4(connection: Connection, side: str) -> None:
    connection.request_association(associate_request())


def _to_5(connection: Connection, side: str) -> None:
    connection.request_association(associate_request())
    connection.transport_connected()


def _to_7(connection: Connection, side: str) -> None:
    _associated(connection, side)
    connection.request_release()


def _to_8(connection: Connection, side: str) -> None:
    _associated(connection, side)
    connection.receive_data(write_pdu(pdu.ReleaseRequest()))


def _collided(connection: Connection, side: str) -> None:
    _to_7(connection, side)
    connection.receive_data(write_pdu(pdu.ReleaseRequest()))


def _to_11(connection: Connection, side: str) -> None:
    _collided(connection, side)
    connection.respond_release()


def _to_12(connection: Connection, side: str) -> None:
    _collided(connection, side)
    connection.receive_data(write_pdu(pdu.ReleaseResponse()))


def _to_13(connection: Connection, side: str) -> None:
    _associated(connection, side)
    connection.abort()


ROADS: dict[int, Callable[[Connection, str], None]] = {
    1: lambda connection, side: None,
    2: _to_2,
    3: _to_3,
    4: _to_4,
    5: _to_5,
    6: _associated,
    7: _to_7,
    8: _to_8,
    9: _collided,
    10: _collided,
    11: _to_11,
    12: _to_12,
    13: _to_13,
}


def connection_in(state: int, side: str) -> Connection:
    """Return a connection in a state with nothing to read or to send."""
    connection = Connection(is_requestor=side == "R")
    ROADS[state](connection, side)
    take_events(connection)
    connection.data_to_send()
    assert connection.state == state
    assert connection.artim_running == (state in (2, 13))
    assert not connection.should_close
    return connection


# The events, and what they leave behind.


def _receive(content: bytes) -> Callable[[Connection], bytes]:
    def receive(connection: Connection) -> bytes:
        connection.receive_data(content)
        return b""

    return receive


def _local(request: Callable[[Connection], None]) -> Callable[[Connection], bytes]:
    def ask(connection: Connection) -> bytes:
        request(connection)
        return b""

    return ask


HAPPENINGS: dict[int, Callable[[Connection], bytes]] = {
    1: _local(lambda connection: connection.request_association(associate_request())),
    2: _local(Connection.transport_connected),
    3: _receive(write_pdu(associate_accept())),
    4: _receive(write_pdu(REJECT)),
    5: _local(Connection.transport_accepted),
    6: _receive(write_pdu(associate_request())),
    7: _local(lambda connection: connection.accept(associate_accept())),
    8: _local(lambda connection: connection.reject(result=1, source=1, reason=7)),
    9: lambda connection: send(connection, VERIFICATION_CONTEXT, CEchoRequest(message_id=1)),
    10: _receive(pdv(ECHO_COMMAND, context_id=VERIFICATION_CONTEXT, command=True)),
    11: _local(Connection.request_release),
    12: _receive(write_pdu(pdu.ReleaseRequest())),
    13: _receive(write_pdu(pdu.ReleaseResponse())),
    14: _local(Connection.respond_release),
    15: _local(Connection.abort),
    16: _receive(write_pdu(PEER_ABORT)),
    17: _local(Connection.transport_closed),
    18: _local(Connection.artim_expired),
    19: _receive(b"\xff\x00\x00\x00\x00\x00"),
}


def check_sent(sent: bytes, expected: object) -> None:
    if expected is None:
        assert sent == b""
        return
    assert int.from_bytes(sent[2:6], "big") == len(sent) - 6, "more or less than one PDU"
    went_out = read_pdu(sent[0], sent[6:], Limits())
    if expected == "data":
        assert isinstance(went_out, pdu.DataTransfer)
    elif expected == "abort":
        assert isinstance(went_out, pdu.Abort)
    else:
        assert went_out == expected


ALL_CELLS = [
    pytest.param(event, state, side, id=f"evt{event}-sta{state}-{side}")
    for (event, state) in CELLS
    for side in SIDES.get(state, "RA")
]


def test_the_table_is_whole() -> None:
    assert set(CELLS) == {(event, state) for event in range(1, 20) for state in range(1, 14)}
    assert sum(action != "." for action in CELLS.values()) == 123
    assert set(CELLS.values()) - {".", "AR8"} == set(EFFECTS)


@pytest.mark.parametrize(("event", "state", "side"), ALL_CELLS)
def test_cell(event: int, state: int, side: str) -> None:
    action = CELLS[event, state]
    connection = connection_in(state, side)
    artim_before = connection.artim_running
    if action == ".":
        check_blank(connection, event, state)
        return
    sent = HAPPENINGS[event](connection) + take_output(connection)
    effect = effect_of(action, event, side)
    assert connection.state == effect.next_state
    check_sent(sent, effect.sends)
    indications = take_events(connection)
    assert [type(indication) for indication in indications] == (
        [effect.indicates] if effect.indicates else []
    )
    assert connection.artim_running == (artim_before if effect.artim is None else effect.artim)
    # A connection that is closed already is closed on our side, too.
    assert connection.should_close == (effect.closes or event == 17)


def check_blank(connection: Connection, event: int, state: int) -> None:
    artim_before = connection.artim_running
    if event in LOCAL_REQUESTS:
        with pytest.raises(LocalProtocolError):
            HAPPENINGS[event](connection)
    else:
        HAPPENINGS[event](connection)
    assert connection.state == state
    assert take_output(connection) == b""
    assert take_events(connection) == []
    assert connection.artim_running == artim_before
    assert connection.should_close == (event == 17)


def test_request_of_an_unknown_version_is_rejected_by_the_provider() -> None:
    """AE-6, the other branch (PS3.8 Table 9-21: result 1, source 2, reason 2)."""
    connection = connection_in(2, "A")
    connection.receive_data(write_pdu(associate_request(protocol_version=2)))
    check_sent(take_output(connection), pdu.AssociateReject(result=1, source=2, reason=2))
    assert connection.state == 13
    assert connection.artim_running
    assert take_events(connection) == []


def test_later_versions_beside_the_first_are_accepted() -> None:
    """Only bit 0 of the version is tested (PS3.8 §9.3.2)."""
    connection = connection_in(2, "A")
    connection.receive_data(write_pdu(associate_request(protocol_version=0xFFFF)))
    assert connection.state == 3


@pytest.mark.parametrize("peer_abort", [pdu.Abort(source=0, reason=0), pdu.Abort(source=2, reason=5)])
def test_abort_says_who_and_why(peer_abort: pdu.Abort) -> None:
    """AA-3: A-ABORT by the peer's user, A-P-ABORT by its provider."""
    connection = connection_in(6, "R")
    connection.receive_data(write_pdu(peer_abort))
    assert take_events(connection) == [ul.AbortReceived(peer_abort.source, peer_abort.reason)]
