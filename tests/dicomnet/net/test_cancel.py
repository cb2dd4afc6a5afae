"""C-CANCEL on either side of a real socket (PS3.7 §9.3.2.3, §9.3.3.3, §9.3.4.3)."""

from __future__ import annotations

from itertools import islice

import pytest
from tests.dicomnet.net.nets import (
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    Net,
    ask_for,
    associated,
    serving,
)
from tests.dicomnet.pair import STUDY_ROOT_FIND

from dicomnet import CFindRequest, DicomNet, PresentationContext, ReceivedDataset, Status

MATCH = bytes(2000)
OBJECTS = {f"1.2.3.{number}": MATCH for number in range(1, 200)}


def endless_server() -> Net:
    server = Net(objects=OBJECTS)
    server.endless = True
    return server


def test_leaving_a_find_early_cancels_it() -> None:
    server = endless_server()
    with serving(server) as address, associated(Net(), address) as client:
        answers = client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier")
        assert [identifier for _, identifier in islice(answers, 3)] == [MATCH] * 3
        answers.close()
        assert server.journal.of("cancel") == [1]
        assert client.c_echo().status == 0x0000, "all answers up to the final one have been taken"


def test_leaving_before_the_first_answer_sends_nothing() -> None:
    server = endless_server()
    with serving(server) as address, associated(Net(), address) as client:
        client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier").close()
        assert client.c_echo().status == 0x0000
    assert server.journal.of("find") == []


def test_leaving_after_the_final_answer_cancels_nothing() -> None:
    server = Net()
    with serving(server) as address, associated(Net(), address) as client:
        answers = client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier")
        next(answers)
        answers.close()
        assert client.c_echo().status == 0x0000
    assert server.journal.of("cancel") == []


def test_cancelled_find_ends_with_cancel() -> None:
    server = endless_server()
    with serving(server) as address, associated(Net(), address) as client:
        context = client.context_for(STUDY_ROOT_FIND)
        answers = client.c_find(context, b"identifier")
        next(answers)
        client.send_c_cancel_request(context, message_id=1)
        *_, (final, identifier) = answers
    assert (final.status, identifier) == (Status.CANCEL, None)


def test_leaving_a_get_early_cancels_it() -> None:
    server, client = Net(objects=OBJECTS), Net()
    with serving(server) as address, associated(client, address, ask_for(as_storage_scp=True)):
        answers = client.c_get(client.context_for(STUDY_ROOT_GET), b"identifier")
        next(answers)
        answers.close()
        assert server.journal.of("cancel") == [1]
        assert 1 <= len(client.objects) < len(OBJECTS)
        assert client.c_echo().status == 0x0000


def test_cancelled_get_tells_what_remains() -> None:
    server, client = Net(objects=OBJECTS), Net()
    with serving(server) as address, associated(client, address, ask_for(as_storage_scp=True)):
        context = client.context_for(STUDY_ROOT_GET)
        answers = client.c_get(context, b"identifier")
        next(answers)
        client.send_c_cancel_request(context, message_id=1)
        *_, (final, _) = answers
    assert final.status == Status.CANCEL
    assert final.number_of_completed_suboperations == len(client.objects)
    assert final.number_of_remaining_suboperations == len(OBJECTS) - len(client.objects)


def test_leaving_a_move_early_cancels_it() -> None:
    server, destination = Net(objects=OBJECTS), Net()
    with serving(server) as address, serving(destination) as elsewhere:
        server.destinations["WORKSTATION"] = elsewhere
        with associated(Net(), address) as client:
            context = client.context_for(STUDY_ROOT_MOVE)
            answers = client.c_move(context, b"identifier", move_destination="WORKSTATION")
            next(answers)
            answers.close()
            assert server.journal.of("cancel") == [1]
            assert client.c_echo().status == 0x0000
    assert 1 <= len(destination.objects) < len(OBJECTS)


def test_late_cancel_is_ignored() -> None:
    """Peers number each request 1: what came too late for one must not end the next (PS3.7 §9.3.2.3)."""
    server = Net(objects=OBJECTS)
    with serving(server) as address, associated(Net(), address) as client:
        context = client.context_for(STUDY_ROOT_FIND)
        assert len(find_as_number_one(client, context)) == len(OBJECTS) + 1
        client.send_c_cancel_request(context, message_id=1)
        statuses = find_as_number_one(client, context)
    assert statuses == [Status.PENDING] * len(OBJECTS) + [Status.SUCCESS]
    assert server.journal.of("cancel") == [1]


def find_as_number_one(client: DicomNet, context: PresentationContext) -> list[int]:
    client.send_c_find_request(context, message_id=1, identifier=b"identifier")
    statuses = [Status.PENDING.value]
    while statuses[-1] == Status.PENDING:
        response, dataset = client.await_response(1)
        assert (dataset is not None) == (response.status == Status.PENDING)
        statuses.append(response.status)
    return statuses[1:]


def test_cancel_of_another_operation_is_ignored() -> None:
    server = Net(objects=OBJECTS)
    with serving(server) as address, associated(Net(), address) as client:
        context = client.context_for(STUDY_ROOT_FIND)
        client.send_c_find_request(context, message_id=1, identifier=b"identifier")
        client.send_c_cancel_request(context, message_id=2)
        statuses = [client.await_response(1)[0].status for _ in range(len(OBJECTS) + 1)]
    assert statuses[-1] == Status.SUCCESS


class Deaf(Net):
    """Never looks whether it is cancelled."""

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        for _ in range(50):
            self.send_c_find_response(context, request, status=Status.PENDING, identifier=MATCH)
        self.send_c_find_response(context, request, status=Status.SUCCESS)


@pytest.mark.parametrize("taken", [1, 50])
def test_server_that_does_not_listen_may_go_on(taken: int) -> None:
    """C-CANCEL is a wish: the client reads on to the end, whatever the end is."""
    with serving(Deaf()) as address, associated(Net(), address) as client:
        answers = client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier")
        assert len(list(islice(answers, taken))) == taken
        answers.close()
        assert client.c_echo().status == 0x0000
