"""C-MOVE over real sockets: to a destination that answers as a test wants (PS3.4 §C.4.2)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from dicomnet import (
    CFindResponse,
    CMoveRequest,
    CStoreRequest,
    PresentationContext,
    Status,
    SubOperationResponse,
)
from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.model import InstanceRecord
from pacsd.scp import retrieving
from support.archive_server import CLIENT, EXPLICIT, archive_server, client
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.deadline import wait_until
from support.peers import free_port
from support.service_parts import record_of
from support.workstation import MOVE, STUDY, Workstation, ask, counts, moving, study

if TYPE_CHECKING:
    from support.instance import Instance


def test_a_study_goes_to_its_destination() -> None:
    instances = study(3)
    with moving() as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            (pending, _), (final, failed) = ask(net)
    assert (pending.status, counts(pending)) == (Status.PENDING, (3, 0, 0, 0))
    assert (final.status, counts(final), failed) == (Status.SUCCESS, (None, 3, 0, 0), [])
    assert seen.datasets == [each.dataset for each in instances]
    (association,) = seen.associations
    assert (association.calling_ae_title, association.called_ae_title) == ("PACSD", "WORKSTATION")
    assert seen.ends == [None], "released in order"
    for request in seen.requests:
        assert request.move_originator_application_entity_title == CLIENT
        assert request.move_originator_message_id == 1


def test_a_slow_destination_does_not_silence_the_pending_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieving, "_PENDING_INTERVAL", 0.01)
    enough = threading.Event()

    def reply(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int:
        assert enough.wait(10)
        return 0

    with moving(reply) as (server, _):
        server.keep(*study(2))
        with client(server, MOVE) as net:
            seen = []
            identifier = write_identifier(
                elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}), EXPLICIT
            )
            for response, _data in net.c_move(
                net.context_for(MOVE), identifier, move_destination="WORKSTATION"
            ):
                seen.append((response.status, counts(response)))
                if len(seen) == 4:
                    enough.set()
    assert seen[:4] == [(Status.PENDING, (2, 0, 0, 0))] * 4
    assert seen[-1] == (Status.SUCCESS, (None, 2, 0, 0))


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_the_requests_priority_is_that_of_its_suboperations(priority: int) -> None:
    identifier = write_identifier(
        elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}), EXPLICIT
    )
    with moving() as (server, seen):
        server.keep(*study(1))
        with client(server, MOVE) as net:
            request = CMoveRequest(
                message_id=9, affected_sop_class_uid=MOVE, move_destination="WORKSTATION", priority=priority
            )
            net.send_message(net.context_for(MOVE), request, identifier)
            while net.await_response(9)[0].status == Status.PENDING:
                pass
    assert [request.priority for request in seen.requests] == [priority]


def test_nothing_selected_calls_nobody() -> None:
    with moving() as (server, seen), client(server, MOVE) as net:
        ((final, _),) = ask(net, study_instance_uid="1.2.9")
    assert (final.status, counts(final)) == (Status.SUCCESS, (None, 0, 0, 0))
    assert seen.associations == []


@pytest.mark.parametrize("destination", ["NOBODY", "", "workstation"])
def test_an_unknown_destination_is_named(destination: str) -> None:
    """PS3.4 Table C.4-2: A801."""
    with moving() as (server, seen), capture_logs() as logs:
        server.keep(*study(1))
        with client(server, MOVE) as net:
            ((final, failed),) = ask(net, destination)
    assert (final.status, failed) == (0xA801, [])
    assert repr(destination) in final.error_comment
    assert seen.associations == []
    assert [line["comment"] for line in logs if line["event"] == "operation-refused"] == [final.error_comment]


def assert_all_failed(
    answers: list[tuple[SubOperationResponse, list[str]]], instances: list[Instance]
) -> None:
    """A702, and every instance on the list (reference §4.6: not A801)."""
    final, failed = answers[-1]
    assert (final.status, counts(final)) == (0xA702, (None, 0, len(instances), 0))
    assert failed == [each.sop_instance_uid for each in instances]
    assert "WORKSTATION" in final.error_comment


def test_an_unreachable_destination_fails_all() -> None:
    instances = study(3)
    with archive_server(destinations={"WORKSTATION": free_port()}) as server:
        server.keep(*instances)
        with client(server, MOVE) as net:
            assert_all_failed(ask(net), instances)


def test_a_destination_that_rejects_fails_all() -> None:
    instances = study(3)
    with moving(reject=True) as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            answers = ask(net)
    assert_all_failed(answers, instances)
    assert len(seen.associations) == 1
    assert seen.requests == []


def test_a_destination_that_answers_nonsense_fails_all() -> None:
    def nonsense(net: Workstation, context: PresentationContext, request: CStoreRequest) -> None:
        net.send_message(context, CFindResponse(message_id_being_responded_to=request.message_id, status=0))

    instances = study(3)
    with moving(nonsense) as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            assert_all_failed(ask(net), instances)
    assert len(seen.requests) == 1


@pytest.mark.parametrize("way", ["abort", "vanish"])
def test_a_destination_that_goes_half_way_fails_the_rest(way: str) -> None:
    def leave_at_third(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int | None:
        if len(seen.requests) < 3:
            return 0
        if way == "abort":
            net.send_abort()
        else:
            net.interrupt()
        return None

    instances = study(5)
    with moving(leave_at_third) as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            *_, (final, failed) = ask(net)
    assert (final.status, counts(final)) == (0xB000, (None, 2, 3, 0))
    assert failed == [each.sop_instance_uid for each in instances[2:]]


def test_warnings_and_failures_are_counted_and_named_and_no_patient() -> None:
    statuses = iter([0x0000, 0xB000, 0xA700, 0xC123])
    instances = study(4)
    with moving(lambda net, context, request: next(statuses)) as (server, _), capture_logs() as logs:
        server.keep(*instances)
        with client(server, MOVE) as net:
            *_, (final, failed) = ask(net)
        wait_until(
            lambda: ("released", CLIENT) in server.metrics.calls, within=10, what="the association ends"
        )
    assert (final.status, counts(final)) == (0xB000, (None, 1, 2, 1))
    assert failed == [each.sop_instance_uid for each in instances[2:]]
    assert ("move", "B000", CLIENT) in server.metrics.calls
    told = str(logs) + str(server.metrics.calls)
    assert FAMILY_NAME not in told
    assert PATIENT_ID not in told


def test_more_contexts_than_one_association_carries_are_split() -> None:
    """PS3.8 §9.3.2.2: 128 are the most; each class here needs two."""
    with moving() as (server, seen):
        for number in range(150):
            record = classy_record(number)
            server.index.records[record.sop_instance_uid] = record
            server.store.files[record.path] = b"h" * record.dataset_offset + b"dataset!"
        with client(server, MOVE) as net:
            *_, (final, _) = ask(net)
    assert (final.status, counts(final)) == (Status.SUCCESS, (None, 150, 0, 0))
    sizes = [len(association.presentation_contexts) for association in seen.associations]
    assert sizes == [128, 128, 44]
    assert seen.uids == [f"1.2.1.{number}" for number in range(150)]
    assert seen.ends == [None, None, None]


def classy_record(number: int) -> InstanceRecord:
    """One of many instances, each of a class of its own."""
    return record_of(
        SOPInstanceUID=f"1.2.1.{number}",
        SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{number}",
        StudyInstanceUID=STUDY,
        path=f"2026/01/02/{number}.dcm",
        size=408,
        dataset_offset=400,
        checksum="",
    )


def test_a_second_association_that_fails_leaves_the_first_part_done() -> None:
    with moving() as (server, seen):

        def refuse_from_now(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int:
            seen.reject = True
            return 0

        seen.reply = refuse_from_now
        for number in range(100):
            record = classy_record(number)
            server.index.records[record.sop_instance_uid] = record
            server.store.files[record.path] = b"h" * record.dataset_offset + b"dataset!"
        with client(server, MOVE) as net:
            *_, (final, failed) = ask(net)
    assert (final.status, counts(final)) == (0xB000, (None, 64, 36, 0))
    assert failed == [f"1.2.1.{number}" for number in range(64, 100)]
