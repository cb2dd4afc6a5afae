"""DICOM over TLS between two DicomNets, and with peers who do not keep to it (PS3.15 §B, RFC 9325)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    STUDY_ROOT_GET,
    WITHIN,
    Net,
    ask_for,
    associated,
    ended_with,
    serving,
    store,
)
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import STUDY_ROOT_FIND
from tests.support.certificates import Authority, Certified

from dicomnet import (
    AssociateRequest,
    AssociationAborted,
    AssociationEnded,
    AssociationTimedOut,
    ConnectionLost,
    PeerCertificate,
    TlsConfiguration,
    TlsHandshakeFailed,
)

OBJECT = bytes(range(256)) * 4000


class SecureNet(Net):
    """Notes whom the peer has proved to be, and when."""

    def on_secure(self, peer_certificate: PeerCertificate | None) -> None:
        self.journal.note("secure", peer_certificate and peer_certificate.common_name)

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        self.journal.note("asked by", self.peer_certificate and self.peer_certificate.common_name)
        super().on_receive_associate_request(request)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "Another CA")


@pytest.fixture(scope="module")
def server_identity(authority: Authority) -> Certified:
    return authority.certify("server")


@pytest.fixture(scope="module")
def client_identity(authority: Authority) -> Certified:
    return authority.certify("CT1")


def showing(identity: Certified, trusting: Authority | None = None, **more: bool) -> TlsConfiguration:
    ca = trusting.certificate if trusting else None
    return TlsConfiguration(certificate=identity.certificate, private_key=identity.key, ca=ca, **more)


def net(tls: TlsConfiguration | None, *, handshake: float = WITHIN) -> SecureNet:
    timeouts = replace(CONFIGURATION.timeouts, tls_handshake=handshake)
    return SecureNet(replace(CONFIGURATION, tls=tls, timeouts=timeouts))


@pytest.mark.parametrize(("version", "name"), [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")])
def test_services_over_each_version(
    authority: Authority, server_identity: Certified, version: str, name: str
) -> None:
    server, tls = net(showing(server_identity)), TlsConfiguration(ca=authority.certificate)
    tls.client_context.maximum_version = ssl.TLSVersion[version]
    client = net(tls)
    with serving(server) as address, associated(client, address, ask_for(as_storage_scp=True)):
        assert client.negotiated_cipher is not None
        assert client.negotiated_cipher.protocol == name
        assert client.negotiated_cipher.secret_bits in (128, 256)
        assert client.c_echo().status == 0
        assert store(client, "1.2.3", OBJECT) == 0
        assert server.objects["1.2.3"] == OBJECT
        answers = list(client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier"))
        assert [identifier for _, identifier in answers] == [OBJECT, None]
        assert [r.status for r, _ in client.c_get(client.context_for(STUDY_ROOT_GET), b"")][-1] == 0
        assert client.objects == server.objects
    assert server.journal.wait_for("closed") == [None]
    assert client.journal.of("closed") == [None]
    assert server.journal.of("secure") == [None]


@pytest.mark.parametrize("kind", [("-newkey", "rsa:2048"), ("-newkey", "ed25519")])
def test_other_kinds_of_keys(authority: Authority, kind: tuple[str, ...]) -> None:
    identity = authority.certify(kind[1].partition(":")[0], key=kind)
    client = net(TlsConfiguration(ca=authority.certificate))
    with serving(net(showing(identity))) as address, associated(client, address):
        assert client.c_echo().status == 0


def test_both_sides_know_whom_they_talk_to_before_the_association(
    authority: Authority, server_identity: Certified, client_identity: Certified
) -> None:
    server = net(showing(server_identity, authority, require_peer_certificate=True))
    client = net(showing(client_identity, authority))
    with serving(server) as address, associated(client, address):
        certificate = client.peer_certificate
    assert client.journal.of("secure") == ["server"]
    assert server.journal.of("secure") == ["CT1"]
    assert server.journal.of("asked by") == ["CT1"]
    assert certificate is not None
    assert certificate.subject == "organizationName=Hospital, commonName=server"
    assert certificate.issuer == "commonName=Test CA"
    assert certificate.alternative_names == ("DNS:localhost", "IP Address:127.0.0.1")
    assert ssl.DER_cert_to_PEM_cert(certificate.encoded) == server_identity.certificate.read_text()


def test_a_certificate_is_optional_unless_required(authority: Authority, server_identity: Certified) -> None:
    server = net(showing(server_identity, authority))
    with serving(server) as address, associated(net(TlsConfiguration(ca=authority.certificate)), address):
        assert server.journal.of("secure") == [None]


def test_a_second_connection_of_the_same_object_starts_anew(
    authority: Authority, server_identity: Certified
) -> None:
    client = net(TlsConfiguration(ca=authority.certificate))
    with serving(net(showing(server_identity))) as address, serving(Net()) as plain_address:
        with associated(client, address):
            assert client.peer_certificate is not None
        client.configuration = CONFIGURATION
        with associated(client, plain_address):
            assert client.peer_certificate is None
            assert client.negotiated_cipher is None


def test_tls_for_one_connection(authority: Authority, server_identity: Certified) -> None:
    client = net(None)
    with serving(net(showing(server_identity))) as address:
        client.connect(*address, tls=TlsConfiguration(ca=authority.certificate))
        client.associate(ask_for())
        assert client.c_echo().status == 0
        client.release()


def test_plain_and_secure_sockets_of_one_listener(authority: Authority, server_identity: Certified) -> None:
    server = net(showing(server_identity))
    secure, plain = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    addresses = secure.getsockname(), plain.getsockname()
    server.listen_on([secure], plain=[plain])
    try:
        for address, tls in zip(addresses, (TlsConfiguration(ca=authority.certificate), None), strict=True):
            with associated(net(tls), address) as client:
                assert client.c_echo().status == 0
    finally:
        server.close()


# Who is refused, on which side and in which words.


def refused(server: Net, client: Net, *, host: str = "127.0.0.1") -> tuple[str, str]:
    """Let an association fail; return the reasons that the client and the server have."""
    with serving(server) as (_, port):
        began = time.monotonic()
        with pytest.raises(ConnectionLost) as caught, associated(client, (host, port)):
            pytest.fail("it was accepted")
        (error,) = server.journal.wait_for("closed")
        assert time.monotonic() - began < 5
    assert isinstance(error, TlsHandshakeFailed)
    assert server.journal.of("associated") == []
    return str(caught.value), str(error)


def test_client_without_the_required_certificate(authority: Authority, server_identity: Certified) -> None:
    server = net(showing(server_identity, authority, require_peer_certificate=True))
    told, logged = refused(server, net(TlsConfiguration(ca=authority.certificate)))
    assert "the peer refuses: certificate required" in told
    assert "peer did not return a certificate" in logged


def test_client_of_another_authority(
    authority: Authority, foreign: Authority, server_identity: Certified
) -> None:
    server = net(showing(server_identity, authority))
    told, logged = refused(server, net(showing(foreign.certify("stranger"), authority)))
    assert "the peer refuses: unknown ca" in told
    assert "the peer's certificate is refused" in logged


def test_client_whose_certificate_has_expired(authority: Authority, server_identity: Certified) -> None:
    server = net(showing(server_identity, authority, require_peer_certificate=True))
    told, logged = refused(server, net(showing(authority.certify("old", expired=True), authority)))
    assert "the peer refuses: certificate expired" in told
    assert "the peer's certificate is refused: certificate has expired" in logged


def test_server_of_another_authority(foreign: Authority, server_identity: Certified) -> None:
    client = net(TlsConfiguration(ca=foreign.certificate))
    told, logged = refused(net(showing(server_identity)), client)
    assert "the peer's certificate is refused" in told
    assert "the peer refuses: unknown ca" in logged
    assert client.journal.of("closed") == []
    assert [type(error) for error in client.journal.of("connected")] == [TlsHandshakeFailed]
    assert not client.is_connected


def test_server_that_the_systems_authorities_do_not_know(server_identity: Certified) -> None:
    told, _ = refused(net(showing(server_identity)), net(TlsConfiguration()))
    assert "the peer's certificate is refused" in told


def test_server_whose_certificate_names_another_host(authority: Authority) -> None:
    elsewhere = authority.certify("elsewhere", hosts="subjectAltName=DNS:pacs.example")
    told, _ = refused(net(showing(elsewhere)), net(TlsConfiguration(ca=authority.certificate)))
    assert "IP address mismatch" in told
    lenient = net(TlsConfiguration(ca=authority.certificate, check_host_name=False))
    with serving(net(showing(elsewhere))) as address, associated(lenient, address):
        assert lenient.c_echo().status == 0


def test_plain_client_on_the_secure_port(server_identity: Certified) -> None:
    told, logged = refused(net(showing(server_identity)), net(None))
    assert "closed the connection" in told
    assert logged == "the peer does not speak TLS: it sends an A-ASSOCIATE-RQ in the clear"


def test_secure_client_on_the_plain_port(authority: Authority) -> None:
    server = net(None)
    with serving(server) as address:
        began = time.monotonic()
        with pytest.raises(TlsHandshakeFailed, match="the peer does not speak TLS"):
            net(TlsConfiguration(ca=authority.certificate)).connect(*address)
        (error,) = server.journal.wait_for("closed")
        assert time.monotonic() - began < 5
    assert isinstance(error, AssociationAborted)
    assert "16H: the peer speaks TLS where none is expected" in str(error)


def test_a_secure_client_that_stays_on_the_plain_port() -> None:
    """It may wait for a TLS answer for ever; we do not wait for it until ARTIM."""
    server = net(None)
    with serving(server) as address, RawPeer(address) as peer:
        began = time.monotonic()
        peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert ended_with(server.journal) == [AssociationAborted]
        assert time.monotonic() - began < CONFIGURATION.timeouts.artim / 2


def test_a_client_that_knows_only_old_ciphers(server_identity: Certified) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256")
    server = net(showing(server_identity))
    with serving(server) as address, socket.create_connection(address, timeout=WITHIN) as plain:
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            context.wrap_socket(plain)
        assert "no shared cipher" in str(*server.journal.wait_for("closed"))


# Deadlines and ends.


def test_handshake_deadline_of_a_peer_that_says_nothing(server_identity: Certified) -> None:
    server = net(showing(server_identity), handshake=0.2)
    with serving(server) as address, RawPeer(address) as peer:
        assert peer.read_to_end() == []
        assert ended_with(server.journal) == [AssociationTimedOut]


def test_handshake_deadline_of_a_peer_that_trickles(server_identity: Certified) -> None:
    server = net(showing(server_identity), handshake=0.3)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(500)
    with serving(server) as address, RawPeer(address) as peer:
        assert peer.trickle(hello, pause=0.05) < 20
        peer.socket.close()
        assert ended_with(server.journal) == [AssociationTimedOut]


def test_handshake_deadline_of_a_server_that_says_nothing(authority: Authority) -> None:
    client = net(TlsConfiguration(ca=authority.certificate), handshake=0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(AssociationTimedOut, match=r"no TLS handshake within 0\.2 s"),
    ):
        client.connect(*silent.getsockname())
    assert not client.is_connected


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
def test_a_peer_that_leaves_during_the_handshake(server_identity: Certified, sent: bytes) -> None:
    server = net(showing(server_identity))
    with serving(server) as address:
        with RawPeer(address) as peer:
            peer.send(sent)
        (error,) = server.journal.wait_for("closed")
    assert str(error) == "the peer closed the connection during the TLS handshake"


def spoil_with_garbage(peer: socket.socket) -> None:
    peer.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))


def spoil_by_closing(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("spoil", [spoil_with_garbage, spoil_by_closing])
def test_a_stream_that_is_spoilt_or_cut(
    authority: Authority, server_identity: Certified, spoil: Callable[[socket.socket], None]
) -> None:
    server, client = net(showing(server_identity)), net(TlsConfiguration(ca=authority.certificate))
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        assert client._upper_layer.channel is not None
        spoil(client._upper_layer.channel.transport._socket)
        assert ended_with(server.journal) == [ConnectionLost]
        client.close(graceful=False)


def test_a_closing_server_ends_idle_associations(authority: Authority, server_identity: Certified) -> None:
    server, client = net(showing(server_identity)), net(TlsConfiguration(ca=authority.certificate))
    address = server.listen()
    client.connect(*address)
    client.associate(ask_for())
    began = time.monotonic()
    server.close(timeout=WITHIN)
    assert time.monotonic() - began < 5
    with pytest.raises(AssociationEnded):
        client.c_echo()
    client.close()


def test_a_closing_server_does_not_wait_for_a_handshake(server_identity: Certified) -> None:
    server = net(showing(server_identity))
    address = server.listen()
    with RawPeer(address) as peer:
        peer.send(b"\x16")
        assert server.clients or server.journal.of("closed") == []
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 5


def test_a_long_answer_is_cancelled(authority: Authority, server_identity: Certified) -> None:
    """Looking for a C-CANCEL must neither wait nor miss what has come already."""
    server, client = net(showing(server_identity)), net(TlsConfiguration(ca=authority.certificate))
    server.objects["1.2.3"], server.endless = bytes(100), True
    with serving(server) as address, associated(client, address):
        answers = client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier")
        assert next(answers)[0].status == 0xFF00
        answers.close()
        assert server.journal.wait_for("cancel") == [1]
        assert client.c_echo().status == 0


# Revoked certificates (RFC 5280 §5).


@pytest.fixture
def revoking(tmp_path: Path) -> Authority:
    """An authority of its own, since what it revokes stays revoked."""
    return Authority(tmp_path)


def test_a_revoked_client_is_refused(revoking: Authority) -> None:
    good, revoked = revoking.certify("good"), revoking.certify("revoked")
    listed = replace(
        showing(revoking.certify("server"), revoking, require_peer_certificate=True),
        crl=revoking.revoke(revoked),
    )
    server = net(listed)
    with serving(server) as address:
        with associated(net(showing(good, revoking)), address) as client:
            assert client.c_echo().status == 0
        with pytest.raises(AssociationEnded), associated(net(showing(revoked, revoking)), address):
            pass
        refused = [error for error in server.journal.wait_for("closed", 2) if error is not None]
    assert [str(error) for error in refused] == [
        "TLS handshake failed: the peer's certificate is refused: certificate revoked"
    ]
    assert server.journal.of("secure") == ["good"]


def test_a_revoked_server_is_refused(revoking: Authority) -> None:
    identity = revoking.certify("server")
    before = TlsConfiguration(ca=revoking.certificate, crl=revoking.revoke())
    with serving(net(showing(identity))) as address:
        with associated(net(before), address) as client:
            assert client.c_echo().status == 0
        after = replace(before, crl=revoking.revoke(identity))
        with pytest.raises(TlsHandshakeFailed, match="certificate revoked"):
            net(after).connect(*address)


def test_a_revocation_list_that_is_out_of_date_lets_nobody_in(
    revoking: Authority, foreign: Authority
) -> None:
    """Nor does one of another authority: who keeps the right one away would get everybody in."""
    identity = revoking.certify("server")
    with serving(net(showing(identity))) as address:
        for crl, said in (
            (revoking.revoke(expired=True), "CRL has expired"),
            (foreign.revoke(), "unable to get certificate CRL"),
        ):
            with pytest.raises(TlsHandshakeFailed, match=said):
                net(TlsConfiguration(ca=revoking.certificate, crl=crl)).connect(*address)
