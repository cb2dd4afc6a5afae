"""Associations over a real socket: who gets in, what is negotiated, and what metrics and logs tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from dicomnet import AssociationRejected, CFindRequest, CFindResponse, CStoreRequest, Status
from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.model import Service
from pacsd.scp.access import KnownPeer
from support.archive_server import CLIENT, EXPLICIT, ArchiveServer, archive_server, client
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.deadline import wait_until
from support.fake_archive import altered
from support.wire import RELEASE_REQUEST, WireAssociation

if TYPE_CHECKING:
    from dicomnet import PresentationContext
    from support.archive_server import Client

VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE = "1.2.840.10008.5.1.4.1.1.7"
UNEXPECTED = b"\x06" + RELEASE_REQUEST[1:]
"""The answer to a release that nobody has asked for."""
IMPLICIT, BIG_ENDIAN, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50"
BY_SERVICE = {
    Service.ECHO: VERIFICATION,
    Service.STORE: STORAGE,
    Service.FIND: FIND,
    Service.MOVE: MOVE,
    Service.GET: GET,
}


def accepted(net: Client) -> dict[str, PresentationContext]:
    """The accepted contexts by SOP class."""
    assert net.association is not None
    return {context.abstract_syntax: context for context in net.association.presentation_contexts.values()}


def rejection(server: ArchiveServer, **titles: str) -> tuple[int, int, int]:
    with pytest.raises(AssociationRejected) as rejected, client(server, VERIFICATION, **titles):  # type: ignore[arg-type]
        pass
    return rejected.value.result, rejected.value.source, rejected.value.reason


def test_another_called_ae_title_is_rejected(server: ArchiveServer) -> None:
    with capture_logs() as logs:
        assert rejection(server, called="OTHER") == (1, 1, 7)
    assert ("rejected", "called-ae-title-not-recognized", CLIENT) in server.metrics.calls
    assert [line["reason"] for line in logs if line["event"] == "association-rejected"] == [
        "called-ae-title-not-recognized"
    ]


def test_a_stranger_who_may_do_nothing_is_rejected() -> None:
    with archive_server(unknown_peers=()) as server:
        assert rejection(server, calling="STRANGER") == (1, 1, 3)
        assert ("rejected", "calling-ae-title-not-recognized", "STRANGER") in server.metrics.calls


@pytest.mark.parametrize("service", Service)
def test_only_permitted_services_have_contexts(service: Service) -> None:
    peers = {"ONE": KnownPeer(frozenset({service}))}
    with archive_server(peers=peers) as server, client(server, *BY_SERVICE.values(), calling="ONE") as net:
        expected = {BY_SERVICE[service]}
        usable = {uid for uid, context in accepted(net).items() if context.as_scu}
        # Who may only get has storage contexts too, in which we are the SCU; without role selection, in none.
        assert usable - {STORAGE} == expected - {STORAGE}
        assert (STORAGE in usable) == (service in (Service.STORE, Service.GET))


def test_who_may_get_but_not_store_is_told_so() -> None:
    peers = {"READER": KnownPeer(frozenset({Service.GET}))}
    with (
        archive_server(peers=peers) as server,
        client(server, GET, as_scp_of=[STORAGE], calling="READER") as net,
    ):
        context = accepted(net)[STORAGE]
        assert (context.as_scu, context.as_scp) == (False, True)


def test_who_may_get_but_not_store_cannot_store_without_roles_either() -> None:
    peers = {"READER": KnownPeer(frozenset({Service.GET}))}
    with archive_server(peers=peers) as server, client(server, STORAGE, calling="READER") as net:
        instance = altered()
        response = net.c_store(net.context_for(STORAGE), instance.sop_instance_uid, instance.dataset)
        assert (response.status, response.error_comment) == (
            Status.NOT_AUTHORIZED,
            "this AE title may not store",
        )
        assert server.store.files == {}


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ((IMPLICIT, EXPLICIT), EXPLICIT),
        ((IMPLICIT, BIG_ENDIAN), IMPLICIT),
        ((BIG_ENDIAN,), BIG_ENDIAN),
        ((JPEG,), None),
    ],
)
def test_queries_are_in_native_encodings_best_first(
    server: ArchiveServer, proposed: tuple[str, ...], chosen: str | None
) -> None:
    with client(server, FIND, syntaxes=proposed) as net:
        contexts = accepted(net)
        assert (contexts[FIND].transfer_syntax if FIND in contexts else None) == chosen


def test_compressed_storage_is_taken_as_the_sender_lists_it(server: ArchiveServer) -> None:
    with client(server, STORAGE, syntaxes=(JPEG, EXPLICIT)) as net:
        assert accepted(net)[STORAGE].transfer_syntax == JPEG


def test_an_association_too_many_is_rejected_and_a_place_comes_free_again() -> None:
    with archive_server(places=1) as server:
        with client(server, VERIFICATION) as first:
            assert rejection(server) == (2, 3, 2)
            assert first.c_echo().status == Status.SUCCESS
        wait_until(lambda: server.places.free == 1, within=10, what="the place is given back")
        with client(server, VERIFICATION) as another:
            assert another.c_echo().status == Status.SUCCESS
    assert ("rejected", "local-limit-exceeded", CLIENT) in server.metrics.calls
    assert server.places.free == 1


@pytest.mark.parametrize("ending", ["released", "aborted by us"])
def test_a_peer_that_does_not_close_gives_its_place_back_all_the_same(ending: str) -> None:
    """It may take as long as ARTIM, with which many such peers could keep all others out."""
    with (
        archive_server(places=1) as server,
        WireAssociation((server.host, server.port), [(VERIFICATION, IMPLICIT)]) as lingering,
    ):
        assert server.places.free == 0
        lingering.send(RELEASE_REQUEST if ending == "released" else UNEXPECTED)
        assert lingering.read_pdu().type == (6 if ending == "released" else 7)
        wait_until(lambda: server.places.free == 1, within=2, what="the place is given back")
        assert server.net.client_count == 1, "the connection still stands"
        with client(server, VERIFICATION) as another:
            assert another.c_echo().status == Status.SUCCESS
    assert server.places.free == 1, "each place is given back once"


def test_a_rejected_association_takes_no_place() -> None:
    with archive_server(places=1) as server:
        for _ in range(3):
            rejection(server, called="OTHER")
    assert server.places.free == 1


@pytest.mark.parametrize("ending", ["released", "aborted by the peer", "vanished"])
def test_how_an_association_ends_is_counted_and_logged(ending: str) -> None:
    with capture_logs() as logs, archive_server(places=1) as server:
        with client(server, VERIFICATION) as net:
            net.c_echo()
            if ending == "aborted by the peer":
                net.send_abort()
            elif ending == "vanished":
                net.interrupt()
        wait_until(lambda: server.places.free == 1, within=10, what="the place is given back")
    expected = {
        "released": [("released", CLIENT)],
        "aborted by the peer": [("aborted", CLIENT, "peer")],
        "vanished": [("aborted", CLIENT, "network")],
    }[ending]
    calls = server.metrics.calls
    assert calls[:2] == [("accepted", CLIENT), ("echo", "0000", CLIENT)]
    assert [call for call in calls if call[0] in ("released", "aborted")] == expected
    assert ("received", True) in calls
    assert ("sent", True) in calls
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == [
        "association-accepted",
        "association-released" if ending == "released" else "association-aborted",
    ]


def test_a_request_in_a_context_for_something_else_is_refused(server: ArchiveServer) -> None:
    """PS3.7 §C.5.9: 0122, SOP class not supported."""
    identifier = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY"}), EXPLICIT)
    with client(server, STORAGE, FIND) as net:
        storage = net.context_for(STORAGE)
        ((refused, _),) = net.c_find(storage, identifier)
        assert refused.status == 0x0122
        assert "for something else" in refused.error_comment
        assert [response.status for response, _ in net.c_get(storage, identifier)] == [0x0122]
        moved = net.c_move(storage, identifier, move_destination="X")
        assert [response.status for response, _ in moved] == [0x0122]
        assert net.c_store(net.context_for(FIND), "1.2.3", identifier).status == 0x0122
        find = net.context_for(FIND)
        request = CFindRequest(message_id=77, affected_sop_class_uid=STORAGE)
        net.send_message(find, request, identifier)
        response, _ = net.await_response(77)
        assert response.status == 0x0122, "the request is for another class than its context"
        assert isinstance(response, CFindResponse)
        assert response.offending_element == (0x00000002,)
    assert server.store.files == {}


def test_an_instance_of_another_class_than_its_context_is_not_stored(server: ArchiveServer) -> None:
    instance = altered()
    with client(server, STORAGE, "1.2.840.10008.5.1.4.1.1.2") as net:
        context = net.context_for("1.2.840.10008.5.1.4.1.1.2")
        for class_uid, status in ((STORAGE, 0x0122), ("", 0xA900)):
            request = CStoreRequest(
                message_id=9,
                affected_sop_class_uid=class_uid,
                affected_sop_instance_uid=instance.sop_instance_uid,
            )
            net.send_message(context, request, instance.dataset)
            assert net.await_response(9)[0].status == status
    assert server.store.files == {}


@pytest.mark.parametrize("abstract_syntax", [VERIFICATION, STORAGE, FIND])
def test_n_services_are_operations_that_no_class_here_has(
    server: ArchiveServer, abstract_syntax: str
) -> None:
    """PS3.7 §C.5.24: 0211, unrecognized operation."""
    with capture_logs() as logs, client(server, abstract_syntax) as net:
        context = net.context_for(abstract_syntax)
        empty = write_identifier([], EXPLICIT)
        answers = [
            net.n_get(context, "1.2.3")[0],
            net.n_set(context, "1.2.3", empty)[0],
            net.n_action(context, "1.2.3", 1)[0],
            net.n_create(context, dataset=empty)[0],
            net.n_delete(context, "1.2.3"),
            net.n_event_report(context, "1.2.3", 1)[0],
        ]
    assert {answer.status for answer in answers} == {0x0211}
    refused = [line["operation"] for line in logs if line["event"] == "operation-refused"]
    assert refused == ["NGet", "NSet", "NAction", "NCreate", "NDelete", "NEventReport"]


def test_stored_over_a_socket_and_nothing_of_the_patient_in_logs_and_metrics(server: ArchiveServer) -> None:
    good, bad = altered(1), altered(2, SeriesInstanceUID=None)
    with capture_logs() as logs, client(server, STORAGE, FIND) as net:
        context = net.context_for(STORAGE)
        assert net.c_store(context, good.sop_instance_uid, good.dataset).status == 0x0000
        refused = net.c_store(context, bad.sop_instance_uid, bad.dataset)
        assert refused.status == 0xC000
        assert refused.offending_element == (0x0020000E,)
        assert "SeriesInstanceUID" in refused.error_comment
        contradicting = net.c_store(context, "1.2.3.4", good.dataset)
        assert (contradicting.status, contradicting.offending_element) == (0xA900, (0x00080018,))
        keys = {"QueryRetrieveLevel": "STUDY", "PatientName": f"{FAMILY_NAME}*", "PatientID": ""}
        identifier = write_identifier(elements_of(keys), EXPLICIT)
        assert len(list(net.c_find(net.context_for(FIND), identifier))) == 2
    (content,) = server.store.files.values()
    assert content.endswith(good.dataset)
    operations = [call for call in server.metrics.calls if call[0] in ("store", "find")]
    assert operations == [
        ("store", "0000", CLIENT),
        ("store", "C000", CLIENT),
        ("store", "A900", CLIENT),
        ("find", "0000", CLIENT),
    ]
    told = str(logs) + str(server.metrics.calls)
    assert FAMILY_NAME not in told
    assert PATIENT_ID not in told
    assert "operation-refused" in told


def test_private_classes_are_stored_where_that_is_wanted() -> None:
    instance = altered(1, SOPClassUID="1.3.12.2.1107.5.9.1")
    with (
        archive_server(accept_unknown_sop_classes=True) as server,
        client(server, "1.3.12.2.1107.5.9.1") as net,
    ):
        context = net.context_for("1.3.12.2.1107.5.9.1")
        assert net.c_store(context, instance.sop_instance_uid, instance.dataset).status == 0x0000
