"""Who may do what, asked of running servers: certificates, hosts, destinations, and rights that are withdrawn."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from dicomnet import AssociationAborted, AssociationEnded, AssociationRejected, TlsConfiguration
from pacsd.dataset.identifier import elements_of, write_identifier
from support import scu
from support.archive_server import EXPLICIT, Client, association_request
from support.bundled import bundled_instances
from support.certificates import Authority, Certified
from support.deadline import wait_until
from support.peers import free_port
from support.server import AE_TITLE, PacsdServer, Peer
from support.wire import IMPLICIT_LITTLE_ENDIAN, associate_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERIFICATION = "1.2.840.10008.1.1"
FIND, MOVE, GET = (scu.STUDY_ROOT[service] for service in ("find", "move", "get"))
ACCEPTED, REJECTED = 2, 3
ELSEWHERE = "127.0.0.2"
WITHIN = 10.0
"""Seconds in which rights are gone; the documentation says: within seconds."""


# Certificates.


@dataclass(frozen=True, slots=True)
class SecureServer:
    """A server that requires certificates, with both ports open, and some clients that its authority certified."""

    server: PacsdServer
    tls_port: int
    authority: Authority
    clients: dict[str, Certified]

    def context(self, client: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.minimum_version = context.maximum_version = version
        shown = self.clients[client]
        context.load_cert_chain(shown.certificate, shown.key)
        return context

    def connect(
        self, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
    ) -> socket.socket:
        address = (self.server.host, self.tls_port if context else self.server.port)
        plain = socket.create_connection(address, timeout=WITHIN)
        if context is None:
            return plain
        return context.wrap_socket(plain, server_hostname=self.server.host, session=session)


def answer(connection: socket.socket, calling: str) -> int:
    """The type of the PDU by which a request under this AE title is answered; a rejection must be 1/1/3."""
    connection.sendall(associate_request(AE_TITLE, calling, [(1, VERIFICATION, IMPLICIT_LITTLE_ENDIAN)]))
    pdu = connection.recv(10)
    if pdu[0] == REJECTED:
        assert pdu[7:10] == b"\1\1\3"
    return pdu[0]


def fingerprint(certified: Certified) -> str:
    encoded = ssl.PEM_cert_to_DER_cert(certified.certificate.read_text())
    digits = hashlib.sha256(encoded).hexdigest().upper()
    return "SHA256:" + ":".join(digits[i : i + 2] for i in range(0, 64, 2))


def requiring_certificates(authority: Authority, port: int) -> dict[str, Any]:
    """A `[dicom.tls]` with a certificate of its own."""
    identity = authority.certify(f"pacs{port}")
    return {
        "enabled": True,
        "port": port,
        "certificate": str(identity.certificate),
        "private_key": str(identity.key),
        "ca": str(authority.certificate),
        "require_client_certificate": True,
    }


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    clients = {name: authority.certify(name) for name in ("CT1", "printed", "stranger")}
    clients["viewer"] = authority.certify("viewer", hosts="subjectAltName=DNS:viewer.example")
    tls_port = free_port()
    server = PacsdServer(
        tmp_path_factory.mktemp("secure"),
        peers=[
            Peer(ae_title="CT1", port=104, allow=["echo", "store"]),
            Peer(ae_title="WORKSTATION", port=104, rules={"certificate": ["viewer.example", "nobody"]}),
            Peer(ae_title="PRINTED", port=104, rules={"certificate": fingerprint(clients["printed"])}),
            Peer(ae_title="NONAME", port=104),
        ],
        settings={
            "server": {"workers": 1},
            "dicom.tls": requiring_certificates(authority, tls_port),
        },
    )
    server.start()
    yield SecureServer(server, tls_port, authority, clients)
    server.stop()


@pytest.mark.parametrize(
    ("calling", "shown", "reason"),
    [
        ("CT1", "CT1", None),
        ("WORKSTATION", "viewer", None),
        ("PRINTED", "printed", None),
        ("STRANGER", "stranger", None),
        ("WORKSTATION", "CT1", "certificate-of-another"),
        ("PRINTED", "CT1", "certificate-of-another"),
        ("CT1", "printed", "certificate-of-another"),
        ("NONAME", "stranger", "certificate-of-another"),
        ("STRANGER", "CT1", "certificate-of-another-peer"),
        ("STRANGER", "viewer", "certificate-of-another-peer"),
        # The plain port.
        ("CT1", None, "certificate-missing"),
        ("WORKSTATION", None, "certificate-missing"),
        ("NONAME", None, "certificate-missing"),
        ("STRANGER", None, None),
    ],
)
def test_an_ae_title_is_served_by_its_certificate(
    secure: SecureServer, calling: str, shown: str | None, reason: str | None
) -> None:
    server, mark = secure.server, secure.server.log_size()
    counted = server.metric("pacsd_associations_rejected_total", reason=str(reason))
    with closing(secure.connect(secure.context(shown) if shown else None)) as connection:
        assert answer(connection, calling) == (ACCEPTED if reason is None else REJECTED)
    if reason is not None:
        server.wait_for_log("association-rejected", after=mark)
        (told,) = [e for e in server.log_events(after=mark) if e["event"] == "association-rejected"]
        assert (told["reason"], told["calling_ae_title"]) == (reason, calling)
        assert told["explanation"]
        assert server.metric("pacsd_associations_rejected_total", reason=reason) == counted + 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_keeps_its_certificate(secure: SecureServer, version: ssl.TLSVersion) -> None:
    """TLS 1.2 resumes a session within one worker; by TLS 1.3 we offer none."""
    context = secure.context("CT1", version)
    with closing(secure.connect(context)) as first:
        assert answer(first, "CT1") == ACCEPTED
        assert isinstance(first, ssl.SSLSocket)
        session = first.session
    for calling, expected in (("CT1", ACCEPTED), ("WORKSTATION", REJECTED), ("STRANGER", REJECTED)):
        with closing(secure.connect(context, session)) as again:
            assert isinstance(again, ssl.SSLSocket)
            assert again.session_reused == (version is ssl.TLSVersion.TLSv1_2)
            assert answer(again, calling) == expected


def test_the_start_warns_of_the_plain_port(secure: SecureServer) -> None:
    (warned,) = [e for e in secure.server.log_events() if e["event"] == "plain-port-needs-no-certificate"]
    assert (warned["level"], warned["port"]) == ("warning", secure.server.port)
    assert "enabled = false" in warned["remedy"]


def test_tls_alone(secure: SecureServer, tmp_path: Path) -> None:
    tls_port = free_port()
    server = PacsdServer(
        tmp_path,
        settings={
            "dicom": {"enabled": False},
            "dicom.tls": requiring_certificates(secure.authority, tls_port),
        },
    )
    server.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=WITHIN)
    only = SecureServer(server, tls_port, secure.authority, secure.clients)
    with closing(only.connect(only.context("stranger"))) as connection:
        assert answer(connection, "STRANGER") == ACCEPTED
    assert "plain-port" not in server.log_text()
    server.stop()
    server.configure(settings={"dicom": {"enabled": False}})
    refused = server.run("check-config")
    assert refused.returncode != 0
    assert "dicom: nobody could call" in refused.stderr


def test_a_certificate_that_is_good_no_more_ends_its_associations(tmp_path: Path) -> None:
    """Revoked, or not the AE title's any more; others keep theirs, and so does who shows none."""
    authority = Authority(tmp_path / "authority")
    clients = {title: authority.certify(title) for title in ("STOLEN", "RENEWED", "KEPT", "UNKNOWN")}
    port = free_port()
    tls = requiring_certificates(authority, port) | {
        "crl": str(authority.revoke()),
        "require_client_certificate": False,
    }
    certificates = {title: title for title in ("STOLEN", "RENEWED", "KEPT")}
    server = PacsdServer(tmp_path / "server")

    def configure_certificates() -> None:
        peers = [
            Peer(ae_title=each, port=104, rules={"certificate": of}) for each, of in certificates.items()
        ]
        server.configure(peers=peers, settings={"server": {"workers": 1}, "dicom.tls": tls})

    configure_certificates()
    server.start()
    try:
        with ExitStack() as stack:
            callers = {}
            for title, shown in clients.items():
                caller = callers[title] = stack.enter_context(Caller(title))
                own = TlsConfiguration(
                    certificate=shown.certificate, private_key=shown.key, ca=authority.certificate
                )
                caller.connect(server.host, port, tls=own)
                caller.associate(association_request([(VERIFICATION, (EXPLICIT,))], calling=title))
            (plain,) = stack.enter_context(calling(server, "PLAIN", contexts=(VERIFICATION,)))
            assert all(caller.c_echo().status == 0 for caller in callers.values())
            authority.revoke(clients["STOLEN"], clients["UNKNOWN"])
            certificates["RENEWED"] = fingerprint(clients["KEPT"])
            configure_certificates()
            mark = server.log_size()
            assert "configuration-reloaded" in server.reload()
            wait_until(lambda: len(losers(server, mark)) == 3, within=WITHIN, what="all have lost")
            lost = dict(losers(server, mark))
            assert lost["STOLEN"] == lost["UNKNOWN"] == "its certificate is revoked"
            assert lost["RENEWED"].startswith(
                "certificate: the certificate shown is not that of this AE title"
            )
            assert all(callers[title].is_cut_off() for title in lost)
            assert callers["KEPT"].c_echo().status == plain.c_echo().status == 0
        server.stop()
    finally:
        if server.is_running:
            server.kill()


# Hosts, destinations, and what is withdrawn.


class Caller(Client):
    """An association with a running server."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def call(self, server: PacsdServer, *sop_classes: str, local: str = "127.0.0.1") -> Caller:
        storage = [each for each in sop_classes if each not in (VERIFICATION, FIND, MOVE, GET)]
        self.connect(server.host, server.port, local=(local, 0))
        self.associate(
            association_request(
                [(uid, (EXPLICIT,)) for uid in sop_classes], calling=self.title, as_scp_of=storage
            )
        )
        return self

    def finds(self) -> bool:
        keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}
        *_, (final, _) = self.c_find(self.context_for(FIND), write_identifier(elements_of(keys), EXPLICIT))
        return final.status == 0

    def is_cut_off(self) -> bool:
        """Whether the server has aborted; what it answers before is none of success."""
        try:
            return self.c_echo().status != 0
        except AssociationAborted as aborted:
            return aborted.by_peer


@contextmanager
def calling(
    server: PacsdServer, *titles: str, contexts: Sequence[str] = (VERIFICATION, FIND)
) -> Iterator[list[Caller]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Caller(title)).call(server, *contexts) for title in titles]


READING = ("echo", "store", "find", "move", "get")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    """One for all that follows, each test with a configuration of its own."""
    running = PacsdServer(tmp_path_factory.mktemp("open"))
    running.start()
    yield running
    running.stop()


def configure(server: PacsdServer, peers: Sequence[Peer], **settings: dict[str, Any]) -> None:
    """Have the server go by another configuration, and by no other any more."""
    server.configure(peers=peers, settings=settings)
    assert "configuration-reloaded" in server.reload()
    wait_until(lambda: len(server.storing_workers()) == 2, within=WITHIN, what="new workers alone are left")


def test_who_may_read_is_served_from_its_host_only(server: PacsdServer) -> None:
    configure(
        server,
        [
            Peer(ae_title="READER", port=104),
            Peer(ae_title="SENDER", port=104, allow=("echo", "store")),
            Peer(ae_title="ROAMER", port=104, rules={"check_host": False}),
            Peer(ae_title="STRICT", port=104, allow=("echo",), rules={"check_host": True}),
            Peer(ae_title="LOCAL", host="localhost", port=104),
        ],
    )
    wait_until(lambda: admits(server, "LOCAL"), within=WITHIN, what="the name is resolved")
    for title in ("READER", "SENDER", "ROAMER", "STRICT"):
        assert admits(server, title)
    mark = server.log_size()
    served = [t for t in ("READER", "SENDER", "ROAMER", "STRICT", "LOCAL") if admits(server, t, ELSEWHERE)]
    assert served == ["SENDER", "ROAMER"]
    reasons = [
        e["explanation"] for e in server.log_events(after=mark) if e["event"] == "association-rejected"
    ]
    assert len(reasons) == 3
    assert all("check_host = false" in each and "127.0.0.1" in each for each in reasons)


def admits(server: PacsdServer, title: str, local: str = "127.0.0.1") -> bool:
    with Caller(title) as caller:
        try:
            caller.call(server, VERIFICATION, local=local)
        except AssociationRejected as rejected:
            if (rejected.result, rejected.source, rejected.reason) != (1, 1, 3):
                raise
            return False
        return caller.c_echo().status == 0


def test_a_resolver_that_is_silent_delays_nobody(tmp_path: Path) -> None:
    """Not even where the configuration is taken up anew meanwhile: what was known before is known after."""
    hosts = tmp_path / "hosts.json"
    answers = {"workstation.example": "127.0.0.1", "slow.example": "silence"}
    hosts.write_text(json.dumps(answers))
    (tmp_path / "sitecustomize.py").write_text(RESOLVER.format(hosts=str(hosts)))
    server = PacsdServer(
        tmp_path,
        peers=[
            Peer(ae_title="NAMED", host="workstation.example", port=104),
            Peer(ae_title="SLOW", host="slow.example", port=104),
        ],
    )
    server.start(launcher=["env", f"PYTHONPATH={tmp_path}"])
    wait_until(lambda: admits(server, "NAMED"), within=WITHIN, what="the name is resolved")
    hosts.write_text(json.dumps(dict.fromkeys(answers, "silence")))
    assert "configuration-reloaded" in server.reload()
    wait_until(lambda: len(server.storing_workers()) == 2, within=WITHIN, what="new workers alone are left")
    mark = server.log_size()
    for title, expected in (("NAMED", True), ("SLOW", False), ("STRANGER", True)) * 4:
        began = time.monotonic()
        assert admits(server, title) == expected
        assert time.monotonic() - began < 2.0
    reasons = [e for e in server.log_events(after=mark) if e["event"] == "association-rejected"]
    assert {each["reason"] for each in reasons} == {"host-not-resolved"}
    server.stop()


RESOLVER = """
import json, socket, threading
ask = socket.getaddrinfo
def getaddrinfo(host, port, *arguments, flags=0, **options):
    if not str(host).endswith(".example") or flags & socket.AI_NUMERICHOST:
        return ask(host, port, *arguments, flags=flags, **options)
    with open({hosts!r}) as file:
        address = json.load(file)[host]
    if address == "silence":
        threading.Event().wait()
    return ask(address, port, *arguments, flags=flags, **options)
socket.getaddrinfo = getaddrinfo
"""


def moved(net: Caller, destination: str) -> tuple[int, str]:
    keys = write_identifier(
        elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}), EXPLICIT
    )
    *_, (final, _) = net.c_move(net.context_for(MOVE), keys, move_destination=destination)
    return final.status, final.error_comment


def test_rights_that_are_withdrawn_end_associations_that_had_them(server: PacsdServer) -> None:
    everybody = {
        title: Peer(ae_title=title, port=104)
        for title in ("REMOVED", "NOFIND", "MOVED", "FEWER", "SAME", "MORE", "LATER")
    }
    everybody["MORE"] = Peer(ae_title="MORE", port=104, rules={"move_to": ["SAME"]})
    configure(server, list(everybody.values()), access={"unknown_peers": ["echo", "find"]})
    contexts = (VERIFICATION, FIND, MOVE)
    with (
        calling(server, *everybody, "STRANGER", contexts=contexts) as callers,
        calling(server, "NOFIND", "FEWER", contexts=(VERIFICATION,)) as only_echoing,
    ):
        by_title = {each.title: each for each in callers}
        assert moved(by_title["MORE"], "SAME")[0] == 0
        status, comment = moved(by_title["MORE"], "LATER")
        assert (status, comment) == (0xA801, "this AE title may not move to 'LATER'")
        assert moved(by_title["MORE"], "NOBODY") == (0xA801, "this AE title may not move to 'NOBODY'")
        assert moved(by_title["SAME"], "LATER")[0] == 0

        # What is refused changes nothing.
        server.configure(peers=[Peer(ae_title="SAME", port=104, rules={"move_to": ["NOBODY"]})])
        assert "access.move_to" not in (said := server.reload())
        assert "configuration-refused" in said
        assert all(each.finds() for each in callers)

        new = dict(everybody)
        del new["REMOVED"]
        new["NOFIND"] = Peer(ae_title="NOFIND", port=104, allow=("echo", "store", "move", "get"))
        new["MOVED"] = Peer(ae_title="MOVED", port=104, host=ELSEWHERE)
        new["FEWER"] = Peer(ae_title="FEWER", port=104, rules={"move_to": ["SAME"]})
        new["MORE"] = Peer(ae_title="MORE", port=104, rules={"move_to": ["SAME", "LATER"]})
        server.configure(peers=list(new.values()), settings={"access": {"unknown_peers": ["echo"]}})
        mark = server.log_size()
        assert "configuration-reloaded" in server.reload()
        losing = {"REMOVED", "NOFIND", "MOVED", "FEWER", "STRANGER"}
        wait_until(lambda: len(losers(server, mark)) == len(losing), within=WITHIN, what="all have lost")
        assert {title for title, _ in losers(server, mark)} == losing
        for title, why in losers(server, mark):
            assert why, title
            assert by_title[title].is_cut_off()
        for each in (*only_echoing, by_title["SAME"], by_title["MORE"], by_title["LATER"]):
            assert each.c_echo().status == 0
        assert by_title["SAME"].finds()

        # Two reloads at once: what either of them takes away is gone, on workers of each generation.
        with calling(server, "LATER", "SAME") as second_generation:
            mark = server.log_size()
            del new["LATER"]
            new["MORE"] = everybody["MORE"]
            server.configure(peers=list(new.values()))
            os.kill(server.pid, signal.SIGHUP)
            assert "configuration-reloaded" in server.reload()
            wait_until(lambda: len(losers(server, mark)) == 2, within=WITHIN, what="both have lost")
            assert {title for title, _ in losers(server, mark)} == {"LATER"}
            assert by_title["LATER"].is_cut_off()
            assert second_generation[0].is_cut_off()
            for each in (by_title["SAME"], by_title["MORE"], second_generation[1]):
                assert each.finds()


def losers(server: PacsdServer, mark: int) -> list[tuple[str, str]]:
    """Calling AE title and reason of the associations that were told to have lost rights."""
    events = server.log_events(after=mark)
    return [(e["calling_ae_title"], e["reason"]) for e in events if e["event"] == "rights-withdrawn"]


class Slow(Caller):
    """Takes its time over the objects that it gets."""

    def __init__(self, title: str, server: PacsdServer) -> None:
        super().__init__(title)
        self.under_test = server
        self.reloaded = 0.0
        self._reply = self.take

    def take(self, request: Any) -> int:
        if not self.reloaded:
            mark = self.under_test.log_size()
            self.under_test.configure()
            self.under_test.reload()
            self.under_test.wait_for_log("rights-withdrawn", after=mark, within=WITHIN)
            self.reloaded = time.monotonic()
        else:
            wait_until(lambda: time.monotonic() > self.reloaded + 3.5, within=WITHIN, what="time passes")
        return 0


def test_a_long_operation_of_who_has_lost_its_rights_is_cut_short(
    server: PacsdServer, tmp_path: Path
) -> None:
    configure(server, [Peer(ae_title="GETTER", port=104)])
    instances = [each for each in bundled_instances() if each.transfer_syntax_uid == EXPLICIT]
    study = max(
        {each.study_instance_uid for each in instances}, key=[e.study_instance_uid for e in instances].count
    )
    wanted = [each for each in instances if each.study_instance_uid == study]
    assert len(wanted) > 3
    scu.send_all(server, wanted, tmp_path)
    keys = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study}), EXPLICIT)
    classes = sorted({each.sop_class_uid for each in wanted})
    with Slow("GETTER", server) as net:
        net.call(server, VERIFICATION, GET, *classes)
        *_, (final, _) = net.c_get(net.context_for(GET), keys)
        assert (final.status, final.error_comment) == (0x0124, "rights of this AE title were withdrawn")
        assert len(net.received) < len(wanted)
        with pytest.raises(AssociationEnded):
            net.c_echo()
    assert not admits_reader(server)


def admits_reader(server: PacsdServer) -> bool:
    """Whether GETTER may still get: as a stranger it has no such context."""
    with Caller("GETTER") as caller:
        caller.call(server, VERIFICATION, GET)
        assert caller.association is not None
        return len(caller.association.presentation_contexts) > 1
