"""What idle connections cost: a thread each, and no receive buffer."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest
from tests.dicomnet.net.nets import CONFIGURATION, WITHIN, Net, associated, serving, store
from tests.dicomnet.net.raw_peer import RawPeer
from tests.support.deadline import wait_until

from dicomnet import CStoreRequest, DicomNet, NetConfiguration
from dicomnet.net import transport
from dicomnet.upper_layer import events as ul

IDLE = 200


def holds_buffer(net: DicomNet) -> bool:
    return net._upper_layer.channel is not None and net._upper_layer.channel.transport._buffer is not None


def wait_for_buffers(server: DicomNet, count: int) -> None:
    wait_until(
        lambda: sum(map(holds_buffer, server.clients)) == count,
        within=WITHIN,
        what=f"{count} receive buffers in use",
    )


def test_idle_connection_holds_no_buffer() -> None:
    server = Net()
    with serving(server) as address, associated(Net(), address) as client:
        assert client.c_echo().status == 0x0000
        wait_for_buffers(server, 0)
        assert store(client, "1.2.3", bytes(1_000_000)) == 0x0000
        wait_for_buffers(server, 0)


def test_connection_inside_a_data_set_holds_one() -> None:
    """The counterpart, without which the test above could not fail."""
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        command = peer.connection.send_message(3, CStoreRequest(message_id=1), [bytes(10), bytes(10)])
        peer.send(b"".join(bytes(buffer) for buffer in next(command)))
        wait_for_buffers(server, 1)


def test_connection_that_waits_for_its_peer_to_close_holds_none() -> None:
    """A flood of aborted connections costs no more than one of idle ones."""
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send(b"\xff")
        assert peer.read_to_end() == [ul.AbortReceived(2, 1)]
        wait_for_buffers(server, 0)
        assert server.client_count == 1


def test_two_hundred_idle_connections_leave_room_for_one_more() -> None:
    server = Net()
    with serving(server) as address, ExitStack() as peers:
        for _ in range(IDLE // 2):
            peers.enter_context(RawPeer(address))
            peers.enter_context(RawPeer(address).associate())
        wait_until(lambda: server.client_count == IDLE, within=WITHIN, what="all are accepted")
        with associated(Net(), address) as client:
            assert client.c_echo().status == 0x0000
        wait_for_buffers(server, 0)


def test_buffers_are_used_again() -> None:
    """However many connections there have been, the pool keeps few."""
    server = Net()
    with serving(server) as address:
        for _ in range(5):
            with associated(Net(), address) as client:
                assert store(client, "1.2.3", bytes(10_000)) == 0x0000
        server.journal.wait_for("closed", 5)
    assert len(transport.RECEIVE_BUFFERS._free) <= transport._BUFFERS_KEPT


def test_connections_over_the_limit_are_closed_unheard() -> None:
    """A peer need not ask for anything to hold a thread, so that the limit is not the associations'."""
    server = Net(replace(CONFIGURATION, maximum_connections=3))
    with serving(server) as address, ExitStack() as peers:
        silent = [peers.enter_context(RawPeer(address)) for _ in range(2)]
        peers.enter_context(RawPeer(address).associate())
        wait_until(lambda: server.client_count == 3, within=WITHIN, what="three are accepted")
        with RawPeer(address) as fourth:
            assert fourth.socket.recv(1) == b""
        silent[0].socket.close()
        wait_until(lambda: server.client_count == 2, within=WITHIN, what="one has gone")
        with associated(Net(), address) as client:
            assert client.c_echo().status == 0x0000


class Dropping(Net):
    """Notes what it is told of connections that had to go."""

    def on_connection_dropped(self, peer_address: tuple[str, int], limit: str) -> None:
        self.journal.note("dropped", (peer_address[1], limit))


@pytest.mark.parametrize(
    ("limit", "configuration"),
    [
        ("connections-without-association", replace(CONFIGURATION, maximum_unassociated=2)),
        (
            "connections-without-association-per-address",
            replace(CONFIGURATION, maximum_unassociated_per_address=2),
        ),
    ],
)
def test_the_oldest_silent_connection_gives_way(limit: str, configuration: NetConfiguration) -> None:
    """And not one that has an association, also where that is older."""
    server = Dropping(configuration)
    with serving(server) as address, ExitStack() as peers:
        standing = peers.enter_context(associated(Net(), address))
        silent = [peers.enter_context(RawPeer(address)) for _ in range(3)]
        assert silent[0].socket.recv(1) == b""
        assert server.journal.wait_for("dropped") == [(silent[0].socket.getsockname()[1], limit)]
        assert standing.c_echo().status == 0x0000
        silent[1].associate()


def test_a_connection_counts_again_when_its_association_has_ended() -> None:
    """The peer may leave it open for as long as ARTIM."""
    server = Dropping(replace(CONFIGURATION, maximum_unassociated=1))
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send(b"\xff")
        wait_until(lambda: not server.clients[0].is_associated, within=WITHIN, what="it has ended")
        with associated(Net(), address) as client:
            assert client.c_echo().status == 0x0000
        assert len(server.journal.wait_for("dropped")) == 1
