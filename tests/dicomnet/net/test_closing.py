"""The end of a connection is told once, whatever happens (PS3.8 §9.1)."""

from __future__ import annotations

import pytest
from tests.dicomnet.net.gate import Gate, in_background
from tests.dicomnet.net.nets import CONFIGURATION, WITHIN, Net, ask_for, associated, ended_with, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import STUDY_ROOT_FIND, VERIFICATION

from dicomnet import (
    AssociationAborted,
    ConnectionLost,
    LocalProtocolError,
)
from dicomnet.upper_layer.pdu import ReleaseResponse
from dicomnet.upper_layer.writer import write_pdu


def test_interrupt_ends_waiting_from_another_thread() -> None:
    server, client = Gate(), Net()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        ended: list[Exception] = []

        def echo() -> None:
            try:
                client.c_echo()
            except ConnectionLost as error:
                ended.append(error)

        waiting = in_background(echo)
        server.journal.wait_for("echo")
        client.interrupt()
        waiting.join(WITHIN)
        assert [type(error) for error in ended] == [ConnectionLost]
        client.close()
        server.let.set()
    assert len(client.journal.of("closed")) == 1


def test_leaving_with_an_error_aborts() -> None:
    server, client = Net(), Net()

    def fail() -> None:
        with associated(client, address):
            raise ValueError("changed my mind")

    with serving(server) as address:
        with pytest.raises(ValueError, match="changed my mind"):
            fail()
        assert ended_with(server.journal) == [AssociationAborted]
    assert len(client.journal.of("closed")) == 1


def test_calls_without_a_connection_are_refused() -> None:
    net = Net()
    with pytest.raises(LocalProtocolError, match="not connected"):
        net.associate(ask_for())
    with pytest.raises(LocalProtocolError, match="no presentation context"):
        net.c_echo()
    net.send_abort()
    net.interrupt()
    assert net.journal.of("closed") == []


def test_second_connection_is_refused() -> None:
    with serving(Net()) as address, associated(Net(), address) as client:
        with pytest.raises(LocalProtocolError, match="already connected"):
            client.connect(*address)
        assert client.c_echo().status == 0x0000


def test_a_net_may_connect_again() -> None:
    client = Net()
    with serving(Net()) as address:
        for _ in range(3):
            with associated(client, address):
                assert client.c_echo().status == 0x0000
    assert client.journal.of("closed") == [None] * 3


class Failing(Net):
    """Its notes of an end fail, and one of them closes once more."""

    def on_receive_abort(self, source: int, reason: int) -> None:
        super().on_receive_abort(source, reason)
        raise ValueError("cannot take note")

    def on_close(self, error: Exception | None) -> None:
        super().on_close(error)
        self.journal.note("bytes", self.bytes_received)
        self.close()


class Aborting(Net):
    """Knows no release."""

    def on_receive_release_request(self) -> None:
        self.send_abort()


def test_end_is_told_once_whatever_comes_of_it() -> None:
    client = Failing()
    with serving(Aborting()) as address:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(ValueError, match="cannot take note"):
            client.release()
        assert ended_with(client.journal) == [AssociationAborted]
        (received,) = client.journal.of("bytes")
        assert isinstance(received, int)
        assert received > 10
        assert not client.is_connected


def order_of_the_end(server: Net) -> list[str]:
    server.journal.wait_for("closed")
    return [what for what, _ in server.journal.entries if what in ("associated", "disassociated", "closed")]


@pytest.mark.parametrize("ending", ["released", "broke the protocol"])
def test_association_is_over_before_the_peer_closes(ending: str) -> None:
    """What is held for the association need not wait for ARTIM, but `on_close` does."""
    server = Net()
    with serving(server) as address, RawPeer(address).associate() as peer:
        if ending == "released":
            peer.connection.request_release()
            peer.send(b"".join(peer.connection.data_to_send()))
        else:
            peer.send(write_pdu(ReleaseResponse()))
        (error,) = server.journal.wait_for("disassociated")
        assert server.journal.of("closed") == []
        assert server.client_count == 1
        peer.read_to_end()
        peer.socket.close()
        assert order_of_the_end(server) == ["associated", "disassociated", "closed"]
        assert server.journal.of("closed") == [error]
    assert isinstance(error, AssociationAborted) == (ending == "broke the protocol")


def test_association_that_never_was_is_not_over() -> None:
    server = Net()
    with serving(server) as address, RawPeer(address) as peer:
        peer.socket.close()
        assert order_of_the_end(server) == ["closed"]


@pytest.mark.parametrize("graceful", [True, False])
def test_end_of_our_own_association(graceful: bool) -> None:
    client, server = Net(), Net()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        client.close(graceful=graceful)
        assert (
            order_of_the_end(client) == order_of_the_end(server) == ["associated", "disassociated", "closed"]
        )
        assert client.journal.of("disassociated") == [None]


def test_failing_note_of_the_end_of_an_association_hinders_no_close() -> None:
    class Forgetful(Net):
        def on_disassociated(self, error: Exception | None) -> None:
            super().on_disassociated(error)
            self.close()
            raise ValueError("cannot take note")

    client, server = Forgetful(), Net()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        with pytest.raises(ValueError, match="cannot take note"):
            client.release()
        assert order_of_the_end(client) == ["associated", "disassociated", "closed"]
        assert not client.is_connected
        assert ended_with(server.journal) == [type(None)]


def test_bytes_are_counted() -> None:
    server = Net(CONFIGURATION)
    with serving(server) as address, associated(Net(), address, ask_for([VERIFICATION])) as client:
        before = client.bytes_sent, client.bytes_received
        assert client.c_echo().status == 0x0000
        assert client.bytes_sent - before[0] == 12 + 12 + 8 + 18 + 10 + 10 + 10
        assert client.bytes_received - before[1] == client.bytes_sent - before[0] + 10


def test_new_connection_knows_nothing_of_the_one_before() -> None:
    """Least of all the unread rest of a data set, which it would wait for."""
    server, client = Net(objects={"1.2.3": bytes(500_000)}), Net()
    with serving(server) as address:
        with associated(client, address):
            context = client.context_for(STUDY_ROOT_FIND)
            client.send_c_find_request(context, message_id=1, identifier=b"identifier")
            _, dataset = client.await_response(1)
            assert dataset is not None
            client.close(graceful=False)
        client.connect(*address)
        assert client.association is None
        client.associate(ask_for())
        assert client.c_echo().status == 0x0000
        client.close()
