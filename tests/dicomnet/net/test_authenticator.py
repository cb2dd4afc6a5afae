"""User identity over real sockets: an authenticator of our own, and pynetdicom in both roles."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from tests.dicomnet.net.nets import CONFIGURATION, Net, ask_for, associated, ended_with, serving
from tests.dicomnet.pair import EXPLICIT, VERIFICATION

from dicomnet import (
    AssociateRequest,
    AssociationEnded,
    AssociationRejected,
    DicomAssociate,
    IdentityAccepted,
    IdentityDecision,
    IdentityRefused,
    NetConfiguration,
    UserIdentity,
    UserIdentityType,
)

PASSCODE = "correct horse battery staple"
TOKEN = "eyJhbGciOiJub25lIn0.e30."
TICKET = b"ticket of the server"
NAME, NAME_AND_PASSCODE, KERBEROS, SAML, JWT = UserIdentityType

Authenticator = Callable[[UserIdentity | None], IdentityDecision]


def decide(identity: UserIdentity | None) -> IdentityDecision:
    """Know one user by each kind of proof; insist on one."""
    match identity and identity.kind:
        case UserIdentityType.USER_NAME:
            known = identity.primary == b"somebody"
        case UserIdentityType.USER_NAME_AND_PASSCODE:
            known = (identity.primary, identity.secondary) == (b"somebody", PASSCODE.encode())
        case UserIdentityType.KERBEROS | UserIdentityType.SAML | UserIdentityType.JSON_WEB_TOKEN:
            known = identity.primary == TOKEN.encode()
        case _:
            known = False
    return IdentityAccepted(server_response=TICKET) if known else IdentityRefused()


class Guarded(Net):
    """Asks its authenticator, and writes down that it has."""

    def __init__(
        self, configuration: NetConfiguration = CONFIGURATION, *, objects: dict[str, bytes] | None = None
    ) -> None:
        super().__init__(configuration, objects=objects)
        self.decide: Authenticator = decide

    def on_accept(self, peer_address: tuple[str, int]) -> Guarded:
        client = Guarded(self.configuration)
        client.journal, client.decide = self.journal, self.decide
        return client

    def authenticate(self, identity: UserIdentity | None, request: AssociateRequest) -> IdentityDecision:
        assert request.user_information.user_identity is identity
        self.journal.note("authenticate", (request.calling_ae_title, identity and identity.identity_type))
        return self.decide(identity)


def user(
    kind: int, primary: str = "somebody", secondary: str = "", *, wants_answer: bool = True
) -> UserIdentity:
    return UserIdentity(
        identity_type=kind,
        positive_response_requested=wants_answer,
        primary=primary.encode(),
        secondary=secondary.encode(),
    )


def asking_as(identity: UserIdentity | None) -> AssociateRequest:
    request = ask_for()
    return replace(request, user_information=replace(request.user_information, user_identity=identity))


def rejection(server: Net, identity: UserIdentity | None) -> tuple[int, int, int]:
    """Return result, source and reason; and see that both sides end in order."""
    client = Net()
    with serving(server) as address:
        client.connect(*address)
        with pytest.raises(AssociationRejected) as raised:
            client.associate(asking_as(identity))
        assert server.journal.wait_for("closed") == [None]
    assert ended_with(client.journal) == [AssociationRejected]
    assert server.journal.of("associated") == []
    return raised.value.result, raised.value.source, raised.value.reason


@pytest.mark.parametrize(
    ("identity", "response"),
    [
        (user(NAME), b""),
        (user(NAME_AND_PASSCODE, secondary=PASSCODE), b""),
        (user(KERBEROS, TOKEN), TICKET),
        (user(SAML, TOKEN), TICKET),
        (user(JWT, TOKEN), TICKET),
        (user(NAME, wants_answer=False), None),
        (user(JWT, TOKEN, wants_answer=False), None),
    ],
)
def test_known_user_is_accepted(identity: UserIdentity, response: bytes | None) -> None:
    server, client = Guarded(), Net()
    with serving(server) as address, associated(client, address, asking_as(identity)):
        assert client.association is not None
        assert client.association.user_identity_response == response
        assert client.association.peer.user_identity_response == response
        assert client.c_echo().status == 0x0000
    assert server.journal.of("authenticate") == [("MODALITY", identity.identity_type)]


@pytest.mark.parametrize(
    "identity",
    [
        user(NAME, "nobody"),
        user(NAME_AND_PASSCODE, secondary="guess"),
        user(NAME_AND_PASSCODE, secondary=""),
        user(JWT, "forged"),
        user(KERBEROS, ""),
        user(0),
        user(6),
        user(255, TOKEN),
        None,
    ],
)
def test_unknown_user_is_rejected(identity: UserIdentity | None) -> None:
    """As a service user does it, permanently; an unknown type cannot be verified, and None has shown nothing."""
    server = Guarded()
    assert rejection(server, identity) == (1, 1, 1)
    happened = [what for what, _ in server.journal.entries]
    assert happened == ["authenticate", "closed"]


def test_nobody_need_be_anybody_where_the_authenticator_says_so() -> None:
    server, client = Guarded(), Net()
    server.decide = lambda identity: IdentityAccepted(server_response=TICKET)
    with serving(server) as address, associated(client, address, asking_as(None)):
        assert client.association is not None
        assert client.association.peer.user_identity_response is None


def test_who_checks_nothing_answers_nothing() -> None:
    """PS3.7 §D.3.3.7: the requestor sees by the answer that is missing that its identity was not processed."""
    client = Net()
    with serving(Net()) as address, associated(client, address, asking_as(user(JWT, TOKEN))):
        assert client.association is not None
        assert client.association.user_identity_response is None
        assert client.c_echo().status == 0x0000


def test_associate_object_carries_it() -> None:
    request = DicomAssociate.default(called_ae_title="ARCHIVE", calling_ae_title="MODALITY")
    request.add_presentation_context(VERIFICATION)
    request.user_identity = user(SAML, TOKEN)
    with serving(Guarded()) as address, Net() as client:
        client.connect(*address)
        assert client.associate(request).user_identity_response == TICKET


# What goes wrong in an authenticator.


def fail(identity: UserIdentity | None) -> IdentityDecision:
    users: dict[str, str] = {}
    assert identity is not None
    users[identity.secondary.decode()]
    return IdentityAccepted()


def test_authenticator_that_fails_lets_nobody_in_and_tells_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Guarded()
    server.decide = fail
    with caplog.at_level(logging.DEBUG):
        assert rejection(server, user(NAME_AND_PASSCODE, secondary=PASSCODE)) == (1, 1, 1)
    assert "the authenticator failed with KeyError" in caplog.text
    assert PASSCODE not in caplog.text


def test_response_that_fits_no_item_ends_the_association(caplog: pytest.LogCaptureFixture) -> None:
    server, client = Guarded(), Net()
    server.decide = lambda identity: IdentityAccepted(server_response=PASSCODE.encode() * 10_000)
    with serving(server) as address:
        client.connect(*address)
        with pytest.raises(AssociationEnded):
            client.associate(asking_as(user(JWT, TOKEN)))
        (error,) = server.journal.wait_for("closed")
    assert "must be from 0 to 65535" in str(error)
    assert PASSCODE not in caplog.text + repr(error)


@pytest.mark.parametrize("secondary", [PASSCODE, f"not {PASSCODE}"])
def test_no_secret_is_logged(secondary: str, caplog: pytest.LogCaptureFixture) -> None:
    server, client = Guarded(), Net()
    told = ""
    with caplog.at_level(logging.DEBUG), serving(server) as address:
        client.connect(*address)
        try:
            client.associate(asking_as(user(NAME_AND_PASSCODE, secondary=secondary)))
        except AssociationRejected as error:
            told = f"{error!r} {error}"
        client.close()
        server.journal.wait_for("closed")
    assert PASSCODE not in caplog.text + told + repr(client.journal.entries) + repr(server.journal.entries)


# pynetdicom as SCU.


def pynetdicom_user(kind: int, primary: bytes, secondary: bytes = b"") -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = kind
    item.positive_response_requested = True
    item.primary_field = primary
    if kind == NAME_AND_PASSCODE:
        item.secondary_field = secondary
    return item


@pytest.mark.parametrize(
    ("kind", "primary", "secondary", "response"),
    [
        (1, b"somebody", b"", b""),
        (2, b"somebody", PASSCODE.encode(), b""),
        (3, TOKEN.encode(), b"", TICKET),
        (4, TOKEN.encode(), b"", TICKET),
        (5, TOKEN.encode(), b"", TICKET),
        (2, b"somebody", b"guess", None),
        (5, b"forged", b"", None),
    ],
)
def test_pynetdicom_is_authenticated(
    kind: int, primary: bytes, secondary: bytes, response: bytes | None
) -> None:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(VERIFICATION, EXPLICIT)
    item = pynetdicom_user(kind, primary, secondary)
    with serving(Guarded()) as address:
        association = entity.associate(*address, ext_neg=[item])
        try:
            assert association.is_established == (response is not None)
            assert association.is_rejected == (response is None)
            if response is None:
                answer = association.acceptor.primitive
                assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 1)
            else:
                said = association.acceptor.user_identity
                assert said is not None
                assert said.server_response == response
                assert association.send_c_echo().Status == 0x0000
        finally:
            association.release()
            entity.shutdown()


# pynetdicom as SCP.


@contextmanager
def pynetdicom_scp(answer: tuple[bool, bytes | None], seen: list[tuple]) -> Iterator[tuple[str, int]]:
    def handle(event: evt.Event) -> tuple[bool, bytes | None]:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field))
        return answer

    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(VERIFICATION, EXPLICIT)
    listener = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_USER_ID, handle), (evt.EVT_C_ECHO, lambda _: 0)]
    )
    assert listener is not None
    try:
        yield listener.socket.getsockname()
    finally:
        listener.shutdown()


@pytest.mark.parametrize(
    ("identity", "answer"),
    [(user(NAME_AND_PASSCODE, secondary=PASSCODE), None), (user(KERBEROS, TOKEN), TICKET)],
)
def test_pynetdicom_verifies_us(identity: UserIdentity, answer: bytes | None) -> None:
    """To names and passcodes it never answers, even where asked to."""
    seen: list[tuple] = []
    client = Net()
    with pynetdicom_scp((True, TICKET), seen) as address, associated(client, address, asking_as(identity)):
        assert client.association is not None
        assert client.association.user_identity_response == answer
        assert client.c_echo().status == 0x0000
    assert [(kind, primary) for kind, primary, _ in seen] == [(identity.identity_type, identity.primary)]
    assert (seen[0][2] or b"") == identity.secondary


def test_pynetdicom_refuses_us() -> None:
    client = Net()
    with pynetdicom_scp((False, None), []) as address:
        client.connect(*address)
        with pytest.raises(AssociationRejected):
            client.associate(asking_as(user(JWT, TOKEN)))
    assert ended_with(client.journal) == [AssociationRejected]
