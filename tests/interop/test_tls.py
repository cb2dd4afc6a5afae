"""DICOM over TLS with DCMTK's tools and pynetdicom: who gets in, who does not, and renewed certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from support import dcmtk, scu
from support.bundled import bundled_instances
from support.certificates import Authority, Certified
from support.deadline import wait_until
from support.instance import UNCOMPRESSED, dataset_offset
from support.peers import free_port
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

STORESCP = "STORESCP"


@dataclass(frozen=True, slots=True)
class SecureArchive:
    """A server with a port for TLS, on which it asks for certificates, and one instance in it."""

    server: PacsdServer
    tls_port: int
    authority: Authority
    identity: Certified
    """The server's: these very files are configured."""
    client: Certified
    revoked: Certified
    storescp_port: int
    instance: Instance


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureArchive]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    identity, client = authority.certify("pacs"), authority.certify("CT1")
    revoked = authority.certify("stolen")
    tls_port, storescp_port = free_port(), free_port()
    server = PacsdServer(
        tmp_path_factory.mktemp("secure"),
        peers=[
            Peer(ae_title=scu.CALLING_AE_TITLE, port=1, rules={"certificate": "CT1"}),
            Peer(ae_title=STORESCP, port=storescp_port, tls=True),
            Peer(ae_title="INTHECLEAR", port=storescp_port),
        ],
        settings={
            "dicom.tls": {
                "enabled": True,
                "port": tls_port,
                "certificate": str(identity.certificate),
                "private_key": str(identity.key),
                "ca": str(authority.certificate),
                "crl": str(authority.revoke(revoked)),
                "require_client_certificate": True,
            }
        },
    )
    server.start()
    instance = next(i for i in bundled_instances() if i.name == "CT_small.dcm")
    # Who is no peer needs no certificate on the plain port.
    scu.send_all(server, [instance], tmp_path_factory.mktemp("corpus"), calling="MODALITY")
    yield SecureArchive(server, tls_port, authority, identity, client, revoked, storescp_port, instance)
    server.stop()


def known(secure: SecureArchive) -> list[str | Path]:
    """DCMTK's options for a client with a certificate, which trusts our authority."""
    client, authority = secure.client, secure.authority
    return ["+tls", client.key, client.certificate, "+cf", authority.certificate, "--require-peer-cert"]


def by_tls(secure: SecureArchive) -> dict[str, Any]:
    """`scu`'s options for the same client."""
    context = ssl.create_default_context(cafile=secure.authority.certificate)
    context.load_cert_chain(secure.client.certificate, secure.client.key)
    return {"tls": context, "port": secure.tls_port}


@pytest.mark.parametrize("profile", ["--profile-bcp195-nd", "--profile-bcp195-ex"])
def test_echoscu_is_answered(secure: SecureArchive, profile: str) -> None:
    mark = secure.server.log_size()
    dcmtk.run("echoscu", secure.server, profile, *known(secure), port=secure.tls_port)
    secure.server.wait_for_log("association-released", after=mark)
    (accepted,) = [e for e in secure.server.log_events(after=mark) if e["event"] == "association-accepted"]
    assert accepted["certificate"] == "organizationName=Hospital, commonName=CT1"
    assert accepted["tls"] in ("TLSv1.2", "TLSv1.3")


def test_storescu_stores_and_findscu_finds(secure: SecureArchive, tmp_path: Path) -> None:
    instance = next(i for i in bundled_instances() if i.name == "MR_small.dcm")
    path = instance.write_file(tmp_path / "mr.dcm")
    dcmtk.run("storescu", secure.server, *known(secure), path, port=secure.tls_port)
    found = dcmtk.run(
        *("findscu", secure.server, "-S", *known(secure)),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={instance.study_instance_uid}"),
        port=secure.tls_port,
    )
    assert instance.study_instance_uid in found


def test_pynetdicom_gets_by_tls(secure: SecureArchive) -> None:
    outcome, inbox = scu.get(
        secure.server,
        scu.image_keys(secure.instance),
        [(secure.instance.sop_class_uid, [secure.instance.transfer_syntax_uid])],
        **by_tls(secure),
    )
    assert outcome.status == 0x0000
    received = inbox.received[secure.instance.sop_instance_uid]
    assert received.transfer_syntax_uid == secure.instance.transfer_syntax_uid


def test_storescp_is_sent_to_by_tls(secure: SecureArchive, tmp_path: Path) -> None:
    """As a C-MOVE destination that asks for our certificate and that we ask for its own."""
    identity = secure.authority.certify("storescp")
    options = ("+tls", identity.key, identity.certificate, "+cf", secure.authority.certificate, "-rc", "+xa")
    folder = tmp_path / "received"
    with dcmtk.storescp(STORESCP, folder, *map(str, options), port=secure.storescp_port):
        outcome = scu.move(secure.server, scu.image_keys(secure.instance), STORESCP, **by_tls(secure))
        refused = scu.move(secure.server, scu.image_keys(secure.instance), "INTHECLEAR", **by_tls(secure))
    assert outcome.status == 0x0000, outcome.error_comment
    (path,) = folder.iterdir()
    content = path.read_bytes()
    assert content[dataset_offset(content) :] == secure.instance.dataset
    assert refused.status != 0x0000


def test_a_destination_with_a_foreign_certificate_gets_nothing(secure: SecureArchive, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign", "Another CA").certify("storescp")
    folder = tmp_path / "received"
    options = ("+tls", str(foreign.key), str(foreign.certificate), "-ic", "+xa")
    with dcmtk.storescp(STORESCP, folder, *options, port=secure.storescp_port):
        mark = secure.server.log_size()
        outcome = scu.move(secure.server, scu.image_keys(secure.instance), STORESCP, **by_tls(secure))
    assert outcome.status != 0x0000
    assert "certificate is refused" in str(secure.server.log_events(after=mark))
    assert list(folder.iterdir()) == []


def test_clients_that_do_not_prove_who_they_are(secure: SecureArchive, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign", "Another CA").certify("stranger")
    expired = secure.authority.certify("expired", expired=True)
    revoked = secure.revoked
    trust = ("+cf", secure.authority.certificate)
    for options, reason in (
        (("--anonymous-tls", *trust), "peer did not return a certificate"),
        (("+tls", foreign.key, foreign.certificate, *trust), "certificate is refused"),
        (("+tls", expired.key, expired.certificate, *trust), "certificate has expired"),
        (("+tls", revoked.key, revoked.certificate, *trust), "certificate revoked"),
        ((), "it sends an A-ASSOCIATE-RQ in the clear"),
    ):
        mark = secure.server.log_size()
        done = dcmtk.run_unchecked("echoscu", secure.server, *options, port=secure.tls_port)
        assert done.returncode != 0, done.stdout
        secure.server.wait_for_log(reason, after=mark)


def test_a_tls_client_on_the_plain_port(secure: SecureArchive) -> None:
    mark = secure.server.log_size()
    assert dcmtk.run_unchecked("echoscu", secure.server, *known(secure)).returncode != 0
    secure.server.wait_for_log("the peer speaks TLS where none is expected", after=mark)


def shown_certificate(secure: SecureArchive) -> str:
    """The serial number of the certificate that the server shows now."""
    address = (secure.server.host, secure.tls_port)
    with (
        socket.create_connection(address, timeout=10) as plain,
        by_tls(secure)["tls"].wrap_socket(plain, server_hostname=secure.server.host) as tls,
    ):
        certificate = tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def test_renewed_certificates_are_taken_up_on_sighup(secure: SecureArchive) -> None:
    before = shown_certificate(secure)
    with scu.association(secure.server, [("1.2.840.10008.1.1", UNCOMPRESSED[:1])], calling="CT1") as peer:
        renewed = secure.authority.certify("renewed")
        shutil.copy(renewed.key, secure.identity.key)
        assert "configuration-refused" in (said := secure.server.reload())
        assert "dicom.tls.private_key" in said
        assert shown_certificate(secure) == before

        shutil.copy(renewed.certificate, secure.identity.certificate)
        assert "configuration-reloaded" in secure.server.reload()
        # A worker that is told to retire may take a connection or two until it hears of it.
        wait_until(
            lambda: before not in {shown_certificate(secure) for _ in range(8)},
            within=10,
            what="all workers show the renewed certificate",
        )
        assert peer.send_c_echo().Status == 0x0000, "running associations go on"
