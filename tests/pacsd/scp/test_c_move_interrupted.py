"""C-MOVEs that end early: cancelled, or the requestor is gone (PS3.7 §9.3.4.3)."""

from __future__ import annotations

import itertools
import select
import threading
import time

import pytest
from tests.dicomnet.net.gate import in_background
from tests.dicomnet.net.raw_acceptor import listening

from dicomnet import CStoreRequest, PresentationContext, Status, SubOperationResponse
from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.errors import StorageUnavailable
from pacsd.scp import retrieving
from pacsd.services.verification import LARGEST_HELD
from support.archive_server import EXPLICIT, TIMEOUTS, ArchiveServer, archive_server, client
from support.deadline import wait_until
from support.memory_store import MemoryObject
from support.service_parts import record_of
from support.workstation import MOVE, STUDY, Reply, Workstation, ask, counts, moving, study


def test_a_cancelled_move_stops_the_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieving, "_LAST_SECONDS", 60.0)  # not so long as to be broken off
    cancelled = threading.Event()
    under_way = threading.Event()

    def wait_at_second(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int:
        if len(seen.requests) == 2:
            under_way.set()
            assert cancelled.wait(10)
        return 0

    with moving(wait_at_second) as (server, seen):
        server.keep(*study(5))
        with client(server, MOVE) as net:
            context = net.context_for(MOVE)
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}
            net.send_c_move_request(
                context,
                message_id=5,
                move_destination="WORKSTATION",
                identifier=write_identifier(elements_of(keys), EXPLICIT),
            )
            assert under_way.wait(10)
            net.send_c_cancel_request(context, message_id=5)
            cancelled.set()
            response = net.await_response(5)[0]
            while response.status == Status.PENDING:
                response = net.await_response(5)[0]
    assert isinstance(response, SubOperationResponse)
    assert (response.status, counts(response)) == (Status.CANCEL, (3, 2, 0, 0))
    assert len(seen.requests) == 2
    assert seen.ends == [None]


def wait_until_readable(server: ArchiveServer) -> None:
    """Return when the server's socket has what its only client sent."""
    (served,) = server.net.clients
    assert served._upper_layer.channel is not None
    assert select.select([served._upper_layer.channel.transport._socket], [], [], 10)[0]


def test_a_requestor_that_vanishes_stops_the_delivery() -> None:
    vanished, under_way = threading.Event(), threading.Event()

    def wait_at_second(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int:
        if len(seen.requests) == 2:
            under_way.set()
            assert vanished.wait(10)
        return 0

    with moving(wait_at_second, places=1) as (server, seen):
        server.keep(*study(20))
        with client(server, MOVE) as net:
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}
            net.send_c_move_request(
                net.context_for(MOVE),
                message_id=5,
                move_destination="WORKSTATION",
                identifier=write_identifier(elements_of(keys), EXPLICIT),
            )
            assert under_way.wait(10)
            net.interrupt()
            wait_until_readable(server)
            vanished.set()
        wait_until(lambda: server.places.free == 1, within=10, what="the server ends the association")
        wait_until(lambda: bool(seen.ends), within=10, what="the delivery ends")
    assert len(seen.requests) == 2
    assert seen.ends == [None], "the destination is released in order"


def test_a_destination_that_does_not_close_after_our_abort_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk fails in the middle of a data set, which ends the association; whoever asked hears of it at once."""
    dataset = bytes(3 * LARGEST_HELD)
    reads = itertools.count()

    def failing(file: MemoryObject, position: int, buffers: list[memoryview]) -> int:
        if next(reads) == 2:
            raise StorageUnavailable("cannot read a stored object: the disk fails")
        return read(file, position, buffers)

    read = MemoryObject.read_into
    with listening() as destination:
        accepting = in_background(destination.accept)
        with archive_server(
            destinations={"WORKSTATION": destination.address[1]}, verify_by="length"
        ) as server:
            record = record_of(1, StudyInstanceUID=STUDY, path="1.dcm", size=400 + len(dataset))
            server.index.records[record.sop_instance_uid] = record
            server.store.files[record.path] = bytes(400) + dataset
            monkeypatch.setattr(MemoryObject, "read_into", failing)
            with client(server, MOVE) as net:
                began = time.monotonic()
                reading = in_background(lambda: (accepting.join(), destination.read_to_end()))
                *_, (final, failed) = ask(net)
                assert time.monotonic() - began < TIMEOUTS.artim
                reading.join()
    assert (final.status, counts(final), len(failed)) == (0xA702, (None, 0, 1, 0), 1)
    assert final.error_comment.startswith("cannot read a stored object: the disk fails")
    assert server.counted.damaged == ["retrieve"]


def aborting_at(*numbers: int) -> Reply:
    """A destination that can't bear some of the objects that come, counted from 1 (as DCMTK with malformed ones)."""
    received = itertools.count(1)

    def reply(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int | None:
        if next(received) not in numbers:
            return 0
        net.send_abort()
        return None

    return reply


def test_an_abort_of_the_destination_costs_one_instance() -> None:
    instances = study(5)
    with moving(aborting_at(2)) as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            *_, (final, failed) = ask(net)
    assert (final.status, counts(final)) == (0xB000, (None, 4, 1, 0))
    assert failed == [instances[1].sop_instance_uid]
    assert [request.affected_sop_instance_uid for request in seen.requests] == [
        instance.sop_instance_uid for instance in instances
    ]
    assert len(seen.associations) == 2


def test_a_destination_that_aborts_everything_is_given_up() -> None:
    instances = study(9)
    with moving(aborting_at(*range(1, 10))) as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            *_, (final, failed) = ask(net)
    assert (final.status, counts(final)) == (0xA702, (None, 0, 9, 0))
    assert failed == [instance.sop_instance_uid for instance in instances]
    assert len(seen.requests) == len(seen.associations) == 3


def test_aborts_that_are_not_in_a_row_do_not_end_the_delivery() -> None:
    instances = study(9)
    with moving(aborting_at(1, 2, 4, 5, 7, 8)) as (server, seen):
        server.keep(*instances)
        with client(server, MOVE) as net:
            *_, (final, _) = ask(net)
    assert (final.status, counts(final)) == (0xB000, (None, 3, 6, 0))
    assert len(seen.associations) == 7
