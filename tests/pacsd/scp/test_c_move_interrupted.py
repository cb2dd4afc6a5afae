"""C-MOVEs that end early: cancelled, or the requestor is gone (PS3.7 §9.3.4.3)."""

from __future__ import annotations

import select
import threading

from dicomnet import CStoreRequest, PresentationContext, Status, SubOperationResponse
from pacsd.identifier import elements_of, write_identifier
from support.archive_server import EXPLICIT, ArchiveServer, client
from support.deadline import wait_until
from support.workstation import MOVE, STUDY, Workstation, counts, moving, study


def test_a_cancelled_move_stops_the_delivery() -> None:
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
            wait_until_readable(server)
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
    assert served._channel is not None
    assert select.select([served._channel.transport._socket], [], [], 10)[0]


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
