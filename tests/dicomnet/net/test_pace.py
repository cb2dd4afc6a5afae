"""Peers that do something all the time, and never enough (CWE-400, "slowloris")."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.dicomnet.net.nets import CONFIGURATION, Net, ended_with, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import CT_STORAGE, STUDY_ROOT_FIND, send

from dicomnet import AssociationTimedOut, CFindRequest, CStoreRequest, Limits, NetConfiguration
from dicomnet.net.pace import Pace

SOON = 0.2


def near(**timeouts: float) -> NetConfiguration:
    """Deadlines that are near, and a pace that a byte in a while does not keep."""
    limits = Limits(slowest_bytes_per_second=100_000)
    return replace(CONFIGURATION, limits=limits, timeouts=replace(CONFIGURATION.timeouts, **timeouts))


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        pytest.param([(50, 0.5), (50, 0.5)], True, id="just enough"),
        pytest.param([(50, 0.5), (49, 0.5)], False, id="one byte short"),
        pytest.param([(1, 0.9)], True, id="the period is not over"),
        pytest.param([(1000, 1.0), (1, 1.0)], False, id="what came before does not count"),
        pytest.param([(10, 0.0)] * 5, True, id="no waiting"),
    ],
)
def test_pace(steps: list[tuple[int, float]], kept: bool) -> None:
    pace = Pace(100, 1.0)
    assert [pace.keeps_up(*step) for step in steps][-1] is kept


def test_trickled_data_set_ends() -> None:
    server = Net(near(dimse=SOON))
    with serving(server) as address, RawPeer(address).associate() as peer:
        request = CStoreRequest(message_id=1, affected_sop_class_uid=CT_STORAGE)
        stream = send(peer.connection, 3, request, bytes(100_000))
        peer.send(stream[:1000])
        assert peer.trickle(stream[1000:], pause=SOON / 40) < 1000
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationTimedOut]
    assert server.journal.of("stored") == []


def test_reader_of_a_byte_now_and_then_is_given_up() -> None:
    server = Net(near(write=SOON), objects={"1.2.3": bytes(100_000)})
    server.endless = True
    with serving(server) as address, RawPeer(address, receive_buffer=4096).associate() as peer:
        peer.send_message(5, CFindRequest(message_id=1, affected_sop_class_uid=STUDY_ROOT_FIND), b"id")
        peer.socket.settimeout(SOON / 4)
        while not server.journal.of("closed"):
            try:
                peer.socket.recv(1000)
            except TimeoutError:
                continue
            server.journal.pause(SOON / 20)
        assert ended_with(server.journal) == [AssociationTimedOut]
