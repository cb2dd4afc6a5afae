"""One TLS connection over a socket pair: nothing that was received may be forgotten by waiting or letting go."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.certificates import Authority

from dicomnet import AssociationTimedOut, TlsConfiguration, TlsHandshakeFailed
from dicomnet.net.tls_transport import TlsTransport, client_transport
from dicomnet.net.transport import Transport, Wait

WITHIN = 20.0
CONTENT = bytes(range(256)) * 5000
"""More than any buffer here holds."""

Pair = tuple[TlsTransport, TlsTransport]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(authority: Authority) -> Iterator[Pair]:
    """A client and a server, past the handshake."""
    identity = authority.certify("server")
    tls = TlsConfiguration(
        certificate=identity.certificate, private_key=identity.key, ca=authority.certificate
    )
    ours, theirs = socket.socketpair()
    client = TlsTransport(ours, tls.client_context, is_server=False, host="localhost")
    server = TlsTransport(theirs, tls.server_context, is_server=True)
    shaking = threading.Thread(target=client.handshake, args=(WITHIN,))
    shaking.start()
    server.handshake(WITHIN)
    shaking.join()
    yield client, server
    client.close()
    server.close()


def sending(transport: TlsTransport, *buffers: bytes) -> threading.Thread:
    thread = threading.Thread(target=transport.send, args=(list(buffers), WITHIN))
    thread.start()
    return thread


@pytest.mark.parametrize("lets_go", [False, True])
def test_what_was_received_survives_waiting_and_letting_go(pair: Pair, lets_go: bool) -> None:
    client, server = pair
    thread, received = sending(client, b"PDU", CONTENT), bytearray()
    while len(received) < len(CONTENT) + 3:
        if lets_go:
            server.release_buffer()
        assert server.wait(WITHIN) is Wait.READABLE
        received += server.receive(WITHIN)
    thread.join()
    assert received == b"PDU" + CONTENT
    assert server.receive_nowait() is None
    assert server.wait(0) is Wait.TIMED_OUT


def test_an_idle_connection_holds_no_buffer(pair: Pair) -> None:
    client, server = pair
    client.send([b"one"], WITHIN)
    assert bytes(server.receive(WITHIN)) == b"one"
    server.release_buffer()
    assert server._plain is None
    assert server._buffer is None


def test_what_came_along_with_the_handshake_is_there(authority: Authority) -> None:
    """A client may send right behind its last handshake message, and the server receive both at once."""
    identity = authority.certify("server")
    tls = TlsConfiguration(
        certificate=identity.certificate, private_key=identity.key, ca=authority.certificate
    )
    ours, theirs = socket.socketpair()
    client = TlsTransport(ours, tls.client_context, is_server=False, host="localhost")
    server = TlsTransport(theirs, tls.server_context, is_server=True)
    for side, other in ((client, server), (server, client)):
        assert not side._shake_hands()
        side._flush(WITHIN)
        other._encrypted = Transport.receive(other, WITHIN)
        assert other._feed()
    assert client._shake_hands()
    client.send([b"A-ASSOCIATE-RQ"], WITHIN)
    server.handshake(WITHIN)
    assert server.wait(0) is Wait.READABLE
    assert bytes(server.receive(WITHIN)) == b"A-ASSOCIATE-RQ"
    client.close()
    server.close()


def test_waking_comes_before_what_was_received(pair: Pair) -> None:
    client, server = pair
    thread, received = sending(client, CONTENT), len(server.receive(WITHIN))
    woken, waker = socket.socketpair()
    with woken, waker:
        assert server.wait(WITHIN, woken.fileno()) is Wait.READABLE
        waker.send(b"x")
        assert server.wait(WITHIN, woken.fileno()) is Wait.WOKEN
    while received < len(CONTENT):
        received += len(server.receive(WITHIN))
    thread.join()


def test_a_record_that_is_never_whole_has_a_deadline(pair: Pair) -> None:
    client, server = pair
    client._tls.write(b"half of this record is late")
    record = client._outgoing.read()
    client._socket.sendall(record[:10])
    with pytest.raises(AssociationTimedOut):
        server.receive(0.1)
    assert server.receive_nowait() is None
    client._socket.sendall(record[10:])
    assert bytes(server.receive(WITHIN)) == b"half of this record is late"


def test_the_end_comes_behind_the_last_bytes(pair: Pair) -> None:
    client, server = pair
    client.send([b"last"], WITHIN)
    client.finish_writing()
    assert bytes(server.receive(WITHIN)) == b"last"
    for _ in range(2):
        assert server.wait(WITHIN) is Wait.READABLE
        assert bytes(server.receive(WITHIN)) == b""
    server.finish_writing()
    assert bytes(client.receive(WITHIN)) == b""


def test_a_host_that_no_certificate_can_name() -> None:
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        pytest.raises(TlsHandshakeFailed, match=r"no certificate can name the host '\.example'"),
    ):
        client_transport(ours, TlsConfiguration().client_context, ".example")


@cache
def server_context(authority: Authority) -> ssl.SSLContext:
    identity = authority.certify("server")
    return TlsConfiguration(certificate=identity.certificate, private_key=identity.key).server_context


def client_hello(authority: Authority) -> bytes:
    outgoing = ssl.MemoryBIO()
    context = TlsConfiguration(ca=authority.certificate).client_context
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_or_cut_hello_fails_the_handshake(data: st.DataObject, authority: Authority) -> None:
    """Nothing but the documented error comes of it, whatever the bytes."""
    hello = bytearray(client_hello(authority))
    for place, value in data.draw(
        st.dictionaries(st.integers(1, len(hello) - 1), st.integers(0, 255))
    ).items():
        hello[place] = value
    cut = data.draw(st.integers(1, len(hello)))
    tail = data.draw(st.binary(max_size=50))
    ours, theirs = socket.socketpair()
    server = TlsTransport(theirs, server_context(authority), is_server=True)
    with ours:
        ours.sendall(hello[:cut] + tail)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(TlsHandshakeFailed):
            server.handshake(WITHIN)
        server.close()
