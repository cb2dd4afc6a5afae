"""What surrounds associations: startup and shutdown, accepting, whom a listener serves, refused security."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dicomnet.net.gate import in_background
from tests.dicomnet.net.nets import CONFIGURATION, WITHIN, Net, ask_for, associated, ended_with, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import CT_STORAGE
from tests.support.deadline import wait_until

from dicomnet import DicomNet, LocalProtocolError, SecurityNotSupported
from dicomnet.net import transport


def test_startup_is_counted() -> None:
    DicomNet.startup()
    with DicomNet.runtime():
        DicomNet.startup()
        DicomNet.shutdown()
    DicomNet.shutdown()
    with pytest.raises(LocalProtocolError, match="without a startup"):
        DicomNet.shutdown()


def test_last_shutdown_frees_what_is_kept_and_harms_nobody() -> None:
    with serving(Net()) as address, associated(Net(), address) as client:
        with DicomNet.runtime():
            with DicomNet.runtime():
                assert client.c_echo().status == 0x0000
                transport.RECEIVE_BUFFERS.give_back(transport.RECEIVE_BUFFERS.take())
            assert transport.RECEIVE_BUFFERS._free
        assert not transport.RECEIVE_BUFFERS._free
        assert client.c_echo().status == 0x0000


def test_runtime_ends_with_an_exception_as_well() -> None:
    with pytest.raises(KeyError), DicomNet.runtime():
        raise KeyError
    with pytest.raises(LocalProtocolError):
        DicomNet.shutdown()


# Accepting.


class Accepter(Net):
    """Accepts by `accept` alone, without returning the object."""

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        client = super().on_accept(peer_address)
        assert client is not None
        assert self.accept(client) is client
        self.journal.note("accepted", client)
        with pytest.raises(LocalProtocolError, match="one unused object"):
            self.accept(Net())
        return None


def test_accept() -> None:
    server = Accepter()
    with serving(server) as address, associated(Net(), address) as client:
        assert client.c_echo().status == 0x0000
        (accepted,) = server.journal.wait_for("accepted")
        assert server.clients == [accepted]
    assert ended_with(server.journal) == [type(None)]


def test_default_accepts_with_an_object_of_the_same_kind() -> None:
    class Plain(DicomNet):
        """Overrides nothing."""

    server = Plain(CONFIGURATION)
    with serving(server) as address, associated(Net(), address) as client:
        assert client.c_echo().status == 0x0000
        assert type(server.get_client(0)) is Plain


def test_nothing_to_accept() -> None:
    with pytest.raises(LocalProtocolError, match="no connection waits"):
        DicomNet().accept(DicomNet())


def test_object_in_use_accepts_nothing() -> None:
    class Reusing(Net):
        def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
            with pytest.raises(LocalProtocolError, match="one unused object"):
                self.accept(self)
            self.journal.note("refused")
            return None

    server = Reusing()
    with serving(server) as address, RawPeer(address) as peer:
        server.journal.wait_for("refused")
        assert peer.read() is None
    assert server.client_count == 0


# State and information.


def test_listener_knows_its_clients_and_they_know_it() -> None:
    server = Net()
    with serving(server) as address:
        with associated(Net(), address) as first, associated(Net(), address) as second:
            server.journal.wait_for("associated", 2)
            assert server.client_count == len(server.clients) == 2
            clients = [server.get_client(index) for index in range(2)]
            assert clients == server.clients
            assert [client.server for client in clients] == [server, server]
            assert all(client.is_associated for client in clients)
            assert first.server is second.server is None
            for index in (2, -1):
                with pytest.raises(IndexError, match=f"no client {index}, there are 2"):
                    server.get_client(index)
        wait_until(lambda: server.client_count == 0, within=WITHIN, what="end of the connections")
        assert server.is_activated
        assert not server.is_connected
    assert not server.is_activated


def test_client_limit_in_the_associate_handler() -> None:
    """What `client_count` is for: reject 2/3/2 over a limit (PS3.8 Table 9-21)."""

    class Limited(Net):
        def on_receive_associate_request(self, request: object) -> None:
            assert self.server is not None
            if self.server.client_count > 1:
                self.send_associate_reject(result=2, source=3, reason=2)
            else:
                super().on_receive_associate_request(request)  # type: ignore[arg-type]

    with serving(Limited()) as address, associated(Net(), address) as first:
        second = Net()
        second.connect(*address)
        with pytest.raises(Exception, match="local limit exceeded"):
            second.associate(ask_for())
        assert first.c_echo().status == 0x0000


def test_message_under_way_is_counted() -> None:
    """Between two pieces of a data set, the message is under way, and other threads can see it."""
    client = Net()
    with serving(Net()) as address:
        assert (client.queue_send, client.queue_send_bytes) == (0, 0)
        started, go_on = threading.Event(), threading.Event()

        def pieces() -> Iterator[bytes]:
            yield b"one"
            started.set()
            assert go_on.wait(WITHIN)
            yield b"two"

        with associated(client, address):
            assert client.queue_send == 0
            context = client.context_for(CT_STORAGE)
            storing = in_background(lambda: client.c_store(context, "1.2.3", pieces()))
            assert started.wait(WITHIN)
            assert client.queue_send == 1
            go_on.set()
            storing.join(WITHIN)
            assert client.queue_send == 0
        assert (client.queue_send, client.queue_send_bytes) == (0, 0)


def test_bytes_that_the_peer_has_not_taken() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        connected = transport.Transport(ours)
        assert connected.unsent_bytes == 0
        connected.send([b"four"], 1.0)
        assert connected.unsent_bytes > 0
        theirs.recv(10)
        assert connected.unsent_bytes == 0
        connected.close()
        assert connected.unsent_bytes == 0


# Initialising.


def test_initialize(tmp_path: Path) -> None:
    net = Net()
    assert net.temp_dir is None
    net.initialize(temp_dir=tmp_path)
    assert net.temp_dir == tmp_path
    with serving(net), pytest.raises(LocalProtocolError, match="in use"):
        net.initialize()
    net.initialize(security="none")
    assert net.temp_dir is None


@pytest.mark.parametrize("name", ["iscl", "ISCL"])
def test_iscl_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(SecurityNotSupported, match="ISCL is retired"):
        DicomNet(security=name)
    with pytest.raises(SecurityNotSupported, match="ISCL is retired"):
        DicomNet().initialize(security=name)


def test_unknown_security_is_refused() -> None:
    with pytest.raises(SecurityNotSupported, match="'rot13' is not known"):
        DicomNet(security="rot13")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6() -> None:
    server = Net()
    address = server.listen(family=socket.AF_INET6)
    try:
        assert address[0] == "::1"
        with associated(Net(), address) as client:
            assert client.c_echo().status == 0x0000
    finally:
        server.close()
