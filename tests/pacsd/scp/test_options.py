"""Extended and common extended negotiation with the archive: what is answered is what is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from dicomnet import (
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    Status,
    SupportedAbstractSyntax,
    UserIdentity,
)
from pacsd.model import QueryOptions, Service
from pacsd.scp.access import AccessRules, Admission, KnownPeer
from pacsd.scp.service_table import SERVICES, STORAGE_SERVICE_CLASS
from support.archive_server import (
    EXPLICIT,
    ArchiveServer,
    Client,
    archive_server,
    association_request,
)
from support.fake_archive import altered

VERIFICATION = "1.2.840.10008.1.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MPPS = "1.2.840.10008.3.1.2.3.3"
PRIVATE = "1.3.12.2.1107.5.9.1"
FULL = b"\2\0\3\0\0\0"


# The bytes.


@pytest.mark.parametrize("service", [Service.FIND, Service.MOVE, Service.GET])
@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("count", range(1, 12))
def test_options_are_answered_as_they_are(service: Service, value: int, count: int) -> None:
    """One byte for each that was offered, and no more than the service has (PS3.4 §C.5)."""
    has = b"\1\1\0\0\0\1\1" if service is Service.FIND else b"\1\0"
    answer = has if value == 1 else bytes(len(has))
    assert SERVICES[service].application_information(bytes([value]) * count) == answer[:count]


@pytest.mark.parametrize("service", [Service.FIND, Service.MOVE, Service.GET])
@pytest.mark.parametrize("offered", [b"\0", b"\0\1\1\1\1\1\1\1", b"\1", b"\1" * 8, b"\2"])
def test_what_is_answered_is_what_is_done(service: Service, offered: bytes) -> None:
    answered = SERVICES[service].application_information(offered)
    assert answered is not None
    assert SERVICES[service].negotiated_options(answered).relational is (offered[0] == 1)
    assert SERVICES[service].negotiated_options(b"") == QueryOptions()


@pytest.mark.parametrize(
    ("offered", "options"),
    [
        (b"\1", QueryOptions(relational=True)),
        (b"\0\1", QueryOptions(combined_date_time=True)),
        (b"\0\0\0\0\0\1", QueryOptions(empty_values=True)),
        (b"\0\0\0\0\0\0\1", QueryOptions(multiple_values=True)),
        (b"\0\0\1\1\1", QueryOptions()),
    ],
)
def test_each_option_of_a_query_has_its_byte(offered: bytes, options: QueryOptions) -> None:
    answered = SERVICES[Service.FIND].application_information(offered)
    assert answered is not None
    assert SERVICES[Service.FIND].negotiated_options(answered) == options


@pytest.mark.parametrize("service", [Service.FIND, Service.MOVE, Service.GET, Service.ECHO])
def test_nothing_is_answered_to_nothing(service: Service) -> None:
    assert SERVICES[service].application_information(b"") is None


def test_verification_has_no_options() -> None:
    assert SERVICES[Service.ECHO].application_information(b"\1") is None


@pytest.mark.parametrize("offered", [b"\2\0\0\0\0\0", b"\3\0\0\0\2\0", b"", bytes(20)])
def test_storage_is_full_and_changes_nothing(offered: bytes) -> None:
    """PS3.4 Table B.3-2: level 2, bit preserving, no coercion."""
    assert SERVICES[Service.STORE].application_information(offered) == FULL


# Admission.


def admitted(*described: tuple[str, str], accept_unknown: bool = False) -> Admission:
    rules = AccessRules(
        ae_title="PACSD",
        check_called_ae_title=True,
        peers={},
        unknown_peers=frozenset(Service),
        accept_unknown_sop_classes=accept_unknown,
    )
    admission = rules.admit(asking((PRIVATE,), described=described), "")
    assert isinstance(admission, Admission)
    return admission


def asking(
    classes: Sequence[str],
    *,
    extended: dict[str, bytes] | None = None,
    described: Sequence[tuple[str, str]] = (),
    as_scp_of: Sequence[str] = (),
    identity: UserIdentity | None = None,
) -> AssociateRequest:
    request = association_request([(uid, (EXPLICIT,)) for uid in classes], as_scp_of=as_scp_of)
    information = replace(
        request.user_information,
        extended_negotiations=tuple(
            ExtendedNegotiation(sop_class_uid=uid, information=information)
            for uid, information in (extended or {}).items()
        ),
        common_extended_negotiations=tuple(
            CommonExtendedNegotiation(sop_class_uid=uid, service_class_uid=service_class)
            for uid, service_class in described
        ),
        user_identity=identity,
    )
    return replace(request, user_information=information)


def test_unknown_class_is_for_what_the_peer_says() -> None:
    admission = admitted((PRIVATE, STORAGE_SERVICE_CLASS), ("1.2.3", "1.2.840.10008.4.9"))
    assert admission.service_of(PRIVATE) is Service.STORE
    assert isinstance(admission.supports(PRIVATE), SupportedAbstractSyntax)
    for unsaid in ("1.2.3", "1.2.3.4"):
        assert admission.service_of(unsaid) is None
        assert admission.supports(unsaid) is ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    assert admitted().service_of(PRIVATE) is None
    assert admitted(accept_unknown=True).service_of(PRIVATE) is Service.STORE


@pytest.mark.parametrize(
    ("uid", "service"), [(MPPS, None), (FIND, Service.FIND), (VERIFICATION, Service.ECHO)]
)
def test_known_class_is_what_the_standard_says(uid: str, service: Service | None) -> None:
    assert admitted((uid, STORAGE_SERVICE_CLASS)).service_of(uid) is service


# Over a socket.


@contextmanager
def associated(server: ArchiveServer, request: AssociateRequest) -> Iterator[Client]:
    with Client() as net:
        net.connect(server.host, server.port)
        net.associate(request)
        yield net


def test_a_peer_is_told_what_we_have(server: ArchiveServer) -> None:
    offered = {FIND: b"\1\1\1", MOVE: b"\1", GET: b"\1\1\1", CT_STORAGE: b"\3\0\0\0\2\0", VERIFICATION: b"\1"}
    with associated(server, asking((*offered,), extended={**offered, MPPS: b"\1"})) as net:
        assert net.association is not None
        assert net.association.extended_negotiations == {
            FIND: b"\1\1\0",
            MOVE: b"\1",
            GET: b"\1\0",
            CT_STORAGE: FULL,
        }


def test_who_may_only_get_is_told_nothing_of_storage() -> None:
    peers = {"WORKSTATION": KnownPeer(frozenset({Service.GET}))}
    request = asking(
        (GET, FIND, CT_STORAGE), extended={GET: b"\1", FIND: b"\1", CT_STORAGE: FULL}, as_scp_of=(CT_STORAGE,)
    )
    with (
        archive_server(peers=peers) as server,
        associated(server, replace(request, calling_ae_title="WORKSTATION")) as net,
    ):
        assert net.association is not None
        assert len(net.association.presentation_contexts) == 2
        assert net.association.extended_negotiations == {GET: b"\1"}


def test_an_unknown_class_is_stored_for_its_service_class(server: ArchiveServer) -> None:
    instance = altered(1, SOPClassUID=PRIVATE)
    described = [(PRIVATE, STORAGE_SERVICE_CLASS), (MPPS, STORAGE_SERVICE_CLASS)]
    with associated(server, asking((PRIVATE, MPPS, "1.2.3.4"), described=described)) as net:
        assert net.association is not None
        (context,) = net.association.presentation_contexts.values()
        assert context.abstract_syntax == PRIVATE
        response = net.c_store(context, instance.sop_instance_uid, instance.dataset)
        assert response.status == Status.SUCCESS
    assert len(server.store.files) == 1
    with associated(server, asking((VERIFICATION, PRIVATE))) as net:
        assert net.association is not None
        assert net.association.contexts_of(PRIVATE) == [], "what another association said is forgotten"


def test_identities_are_not_checked_and_not_answered(server: ArchiveServer) -> None:
    identity = UserIdentity(identity_type=1, positive_response_requested=True, primary=b"somebody")
    with associated(server, asking((VERIFICATION,), identity=identity)) as net:
        assert net.association is not None
        assert net.association.user_identity_response is None
        assert net.c_echo().status == Status.SUCCESS
