"""Associations that lose rights while they do something: they finish it, if it is short, and end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs

from dicomnet import AssociationAborted, AssociationEnded, CStoreRequest, Status
from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.model import Service
from pacsd.scp import admitting_net
from pacsd.scp.access import AccessRules, KnownPeer
from pacsd.scu.peer import Peer
from support.archive_server import CLIENT, EXPLICIT, ArchiveServer, Client, archive_server, client
from support.deadline import wait_until
from support.fake_archive import altered
from support.workstation import MOVE, STUDY, counts, moving, study
from support.workstation import ask as move

VERIFICATION = "1.2.840.10008.1.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE = "1.2.840.10008.5.1.4.1.1.7"
WITHIN = 10.0


def rules(*services: Service, known: bool = False) -> AccessRules:
    """Rules by which everybody may do this, or only the client may."""
    peers = {CLIENT: KnownPeer(frozenset(services))} if known else {}
    return AccessRules(
        ae_title="RENAMED",
        check_called_ae_title=True,
        peers=peers,
        unknown_peers=frozenset() if known else frozenset(services),
        accept_unknown_sop_classes=False,
    )


def get(net: Client) -> list[int]:
    identifier = write_identifier(
        elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}), EXPLICIT
    )
    return [response.status for response, _ in net.c_get(net.context_for(GET), identifier)]


def test_only_who_loses_something_ends_and_the_log_says_what() -> None:
    """Even if we are called by another AE title now."""
    with (
        archive_server() as server,
        client(server, VERIFICATION, calling="ECHO") as kept,
        client(server, VERIFICATION, GET, calling="GETTER") as lost,
    ):
        with capture_logs() as logs:
            for _ in range(2):
                server.net.change_rules(rules(Service.ECHO))
        assert kept.c_echo().status == Status.SUCCESS
        with pytest.raises(AssociationAborted):
            lost.c_echo()
    (told,) = [each for each in logs if each["event"] == "rights-withdrawn"]
    assert (told["calling_ae_title"], told["reason"]) == ("GETTER", "it may not get any more")


def test_who_was_known_and_is_not_ends_and_not_the_other_way_round() -> None:
    with archive_server() as server, client(server, VERIFICATION) as net:
        server.net.change_rules(rules(Service.ECHO, known=True))
        assert net.c_echo().status == Status.SUCCESS
        with client(server, VERIFICATION, called="RENAMED") as known:
            server.net.change_rules(rules(Service.ECHO))
            assert net.c_echo().status == Status.SUCCESS
            with pytest.raises(AssociationAborted):
                known.c_echo()


class Interrupted:
    """A client's reply that has the rules changed when the first object comes."""

    def __init__(self, server: ArchiveServer) -> None:
        self.server = server
        self.asked: list[CStoreRequest] = []

    def __call__(self, request: CStoreRequest) -> int:
        self.asked.append(request)
        if len(self.asked) == 1:
            self.server.net.change_rules(rules(Service.ECHO, Service.STORE))
        return 0


@pytest.mark.parametrize(
    ("seconds", "status", "objects"), [(60.0, Status.SUCCESS, 3), (0.0, Status.NOT_AUTHORIZED, 1)]
)
def test_a_retrieve_is_finished_unless_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, seconds: float, status: int, objects: int
) -> None:
    monkeypatch.setattr(admitting_net, "_LAST_OPERATION_SECONDS", seconds)
    with archive_server() as server:
        server.keep(*study(3))
        reply = Interrupted(server)
        with client(server, GET, as_scp_of=[STORAGE], reply=reply) as net:
            assert get(net)[-1] == status
            assert len(reply.asked) == objects
            with pytest.raises(AssociationAborted):
                get(net)
    assert ("get", f"{status:04X}", CLIENT) in server.metrics.calls


def test_a_move_ends_before_its_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admitting_net, "_LAST_OPERATION_SECONDS", 0.0)
    running: list[ArchiveServer] = []

    def reply(*_: Any) -> int:
        running[0].net.change_rules(rules(Service.ECHO))
        return 0

    with moving(reply) as (server, seen):
        running.append(server)
        server.keep(*study(3))
        with client(server, MOVE) as net:
            (*_, (final, _)) = move(net)
            assert final.status == Status.NOT_AUTHORIZED
    assert len(seen.requests) == 1


@pytest.mark.parametrize("port", [None, 1])
def test_a_destination_that_is_removed_or_moved_gets_nothing_more(port: int | None) -> None:
    handlers: list[Any] = []

    def reply(*_: Any) -> int:
        handlers[0].destinations = {"WORKSTATION": Peer("WORKSTATION", "127.0.0.1", port)} if port else {}
        return 0

    with moving(reply) as (server, seen):
        handlers.append(server.move)
        server.keep(*study(3))
        with client(server, MOVE) as net:
            (*_, (final, failed)) = move(net)
            assert (final.status, counts(final)) == (0xB000, (None, 1, 2, 0))
            assert final.error_comment == "WORKSTATION is no peer at this address any more"
            (refused, _) = move(net)[-1]
            assert refused.status == (0xA702 if port else 0xA801)
    assert len(seen.requests) == 1
    assert len(failed) == 2


def test_a_step_that_does_not_end_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admitting_net, "_LAST_STEP_SECONDS", 0.0)
    with archive_server() as server:
        server.keep(*study(1))

        def reply(request: CStoreRequest) -> int:
            server.net.change_rules(rules(Service.ECHO))
            server.net.interrupt_withdrawn()
            wait_until(lambda: server.places.free == 99, within=WITHIN, what="the idle one alone is left")
            return 0

        with client(server, VERIFICATION, calling="IDLE") as idle:
            with (
                client(server, GET, as_scp_of=[STORAGE], reply=reply) as net,
                pytest.raises(AssociationEnded),
            ):
                get(net)
            assert idle.c_echo().status == Status.SUCCESS


@pytest.mark.parametrize("operations", [1, 4])
def test_what_was_sent_ahead_is_not_begun_any_more(operations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were received before the change are kept, and acknowledged as such."""
    instances = [altered(number) for number in range(1, 5)]
    with archive_server() as server:

        def change(*_: Any) -> None:
            server.net.change_rules(rules(Service.ECHO))

        with client(server, STORAGE, operations=operations) as net:
            changing = _ChangesAfterFirst(server.ingest.receive, change)
            monkeypatch.setattr(server.ingest, "receive", changing)
            statuses = store_ahead(net, [(each.sop_instance_uid, each.dataset) for each in instances])
    assert statuses[0] == Status.SUCCESS
    assert set(statuses[1:]) <= {Status.NOT_AUTHORIZED}
    assert len(server.store.files) == 1


class _ChangesAfterFirst:
    def __init__(self, receive: Any, change: Any) -> None:
        self._receive = receive
        self._change = change

    def __call__(self, *arguments: Any) -> Any:
        received = self._receive(*arguments)
        self._change()
        return received


def store_ahead(net: Client, objects: Iterable[tuple[str, bytes]]) -> list[int]:
    """Send all at once and return the statuses that come before the end."""
    context, statuses = net.context_for(STORAGE), []
    ids = []
    for number, (uid, dataset) in enumerate(objects, start=1):
        request = CStoreRequest(
            message_id=number, affected_sop_class_uid=STORAGE, affected_sop_instance_uid=uid
        )
        try:
            net.send_message(context, request, dataset)
        except AssociationEnded:
            break
        ids.append(number)
    try:
        for _ in ids:
            response, _data = net.await_response(*ids)
            statuses.append(int(response.status))
    except AssociationEnded:
        return statuses
    return statuses
