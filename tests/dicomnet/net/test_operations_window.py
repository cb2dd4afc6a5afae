"""Several operations of one association at once, where both sides have agreed on it (PS3.7 §D.3.3.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    WITHIN,
    Journal,
    Net,
    ask_for,
    associated,
    ended_with,
    serving,
)
from tests.dicomnet.net.raw_acceptor import RawAcceptor, listening
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import CT_STORAGE, send

from dicomnet import (
    AssociateRequest,
    AssociationAborted,
    AsynchronousOperationsWindow,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    ConnectionLost,
    CStoreRequest,
    CStoreResponse,
    DicomNet,
    LocalProtocolError,
    NetConfiguration,
    OutgoingInstance,
    PresentationContext,
    ReceivedDataset,
    Status,
)
from dicomnet.dimse.events import MessageReceived
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.pdu import ReleaseRequest
from dicomnet.upper_layer.writer import write_pdu

ECHO, STORAGE, FIND = 1, 3, 5


class LaterNet(Net):
    """Puts off its answers to C-STOREs; the journal tells "received" and "answered", in order."""

    failing: frozenset[int] = frozenset()

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.all_is_here = threading.Event()
        """What the test sends in one go has come; until then nothing is looked at."""
        self.all_is_here.set()

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        client = super().on_accept(peer_address)
        assert isinstance(client, LaterNet)
        client.failing = self.failing
        client.all_is_here = self.all_is_here
        return client

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        self.objects[request.affected_sop_instance_uid] = b"".join(map(bytes, dataset))
        self.journal.note("received", request.message_id)
        assert self.all_is_here.wait(WITHIN)

        def answer() -> None:
            self.journal.note("answered", request.message_id)
            if request.message_id in self.failing:
                raise RuntimeError("a handler's mistake")
            self.send_c_store_response(context, request, status=Status.SUCCESS)

        self.answer_later(request, answer)


def send_at_once(peer: RawPeer, server: LaterNet, content: bytes) -> None:
    """Have the server go on only when all of it has come, however the system cuts it."""
    server.all_is_here.clear()
    peer.send(content)
    server.all_is_here.set()


def window_of(operations: int, *, as_storage_scp: bool = False) -> AssociateRequest:
    request = ask_for(as_storage_scp=as_storage_scp)
    window = AsynchronousOperationsWindow(maximum_invoked=operations, maximum_performed=operations)
    return replace(
        request,
        user_information=replace(request.user_information, asynchronous_operations_window=window),
    )


def stores(peer: RawPeer, message_ids: range, *, length: int = 5000) -> bytes:
    return b"".join(
        send(
            peer.connection,
            STORAGE,
            CStoreRequest(message_id=number, affected_sop_instance_uid=f"1.2.{number}"),
            bytes([number]) * length,
        )
        for number in message_ids
    )


def answers(peer: RawPeer, count: int) -> list[int]:
    """Read so many responses; return the message IDs they are for."""
    numbers = []
    for _ in range(count):
        event = peer.read()
        assert isinstance(event, MessageReceived)
        assert isinstance(event.message, CStoreResponse | CEchoResponse | CFindResponse)
        numbers.append(event.message.message_id_being_responded_to)
    return numbers


def batches(journal: Journal) -> list[list[object]]:
    """Return the operations that were answered together: without another being received in between."""
    together = list[list[object]]()
    was_answer = False
    for what, detail in journal.entries:
        if what == "answered":
            if not was_answer:
                together.append([])
            together[-1].append(detail)
        if what in ("answered", "received"):
            was_answer = what == "answered"
    return together


# As SCP.


def test_operations_within_the_window_are_answered_together() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        send_at_once(peer, server, stores(peer, range(1, 7)))
        assert answers(peer, 6) == [1, 2, 3, 4, 5, 6]
    assert batches(server.journal) == [[1, 2, 3, 4, 5, 6]]
    assert server.objects == {f"1.2.{number}": bytes([number]) * 5000 for number in range(1, 7)}


def test_no_more_wait_for_their_answers_than_the_window_has() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(4)) as peer:
        send_at_once(peer, server, stores(peer, range(1, 11)))
        assert answers(peer, 10) == list(range(1, 11))
    assert [len(batch) for batch in batches(server.journal)] == [4, 4, 2]


def test_server_grants_no_more_than_it_is_configured_to() -> None:
    server = LaterNet(replace(CONFIGURATION, maximum_operations=3))
    with serving(server) as address, RawPeer(address).associate(window_of(0)) as peer:
        send_at_once(peer, server, stores(peer, range(1, 8)))
        assert answers(peer, 7) == list(range(1, 8))
        negotiated = peer.connection.negotiated
        assert negotiated is not None
        assert negotiated.maximum_operations_invoked == 3
    assert [len(batch) for batch in batches(server.journal)] == [3, 3, 1]


def test_without_a_window_each_is_answered_before_the_next_is_looked_at() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate() as peer:
        send_at_once(peer, server, stores(peer, range(1, 6)))
        assert answers(peer, 5) == [1, 2, 3, 4, 5]
    assert batches(server.journal) == [[1], [2], [3], [4], [5]]


def test_answers_do_not_wait_for_a_peer_that_pauses_inside_a_data_set() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        third = stores(peer, range(3, 4), length=100_000)
        peer.send(stores(peer, range(1, 3)) + third[:50_000])
        assert answers(peer, 2) == [1, 2]
        peer.send(third[50_000:])
        assert answers(peer, 1) == [3]
    assert server.objects["1.2.3"] == bytes([3]) * 100_000


def test_request_of_another_kind_is_served_behind_the_answers() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        echo = send(peer.connection, ECHO, CEchoRequest(message_id=3))
        send_at_once(peer, server, stores(peer, range(1, 3)) + echo + stores(peer, range(4, 6)))
        assert answers(peer, 5) == [1, 2, 3, 4, 5]
    assert batches(server.journal) == [[1, 2], [4, 5]]


def test_find_sees_what_was_stored_just_before_it() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        find = send(peer.connection, FIND, CFindRequest(message_id=2), b"identifier")
        send_at_once(peer, server, stores(peer, range(1, 2)) + find)
        assert answers(peer, 1) == [1]
        assert answers(peer, 1) == [2]


def test_release_is_confirmed_behind_the_answers() -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        stream = stores(peer, range(1, 4))
        peer.connection.request_release()
        peer.connection.data_to_send()
        peer.send(stream + write_pdu(ReleaseRequest()))
        assert answers(peer, 3) == [1, 2, 3]
        assert isinstance(peer.read(), ul.ReleaseConfirmed)
        peer.socket.close()
        assert ended_with(server.journal) == [type(None)]


@pytest.mark.parametrize("is_abort", [True, False])
def test_what_was_received_is_finished_though_the_peer_is_gone(is_abort: bool) -> None:
    server = LaterNet()
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        stream = stores(peer, range(1, 4))
        half = stores(peer, range(4, 5), length=50_000)[:20_000]
        if is_abort:
            peer.connection.abort()
            peer.send(stream + b"".join(peer.connection.data_to_send()))
            peer.socket.close()
        else:
            peer.send(stream + half)
            peer.socket.close()
        (ended,) = ended_with(server.journal)
    assert ended is (AssociationAborted if is_abort else ConnectionLost)
    assert server.journal.of("answered") == server.journal.of("received") != []
    assert "1.2.4" not in server.objects


def test_one_answer_that_fails_keeps_none_of_the_others_from_being_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = LaterNet()
    server.failing = frozenset([2])
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        send_at_once(peer, server, stores(peer, range(1, 4)))
        assert answers(peer, 2) == [1, 3]
        assert isinstance(peer.read(), ul.AbortReceived)
        peer.socket.close()
        assert ended_with(server.journal) == [RuntimeError]
    assert server.journal.of("answered") == [1, 2, 3]
    assert "unexpectedly" in caplog.text


def test_nothing_is_put_off_outside_a_connection() -> None:
    with pytest.raises(LocalProtocolError):
        Net().answer_later(CStoreRequest(message_id=1), lambda: None)


def test_cancel_behind_another_request_is_noticed() -> None:
    server = Net(objects={"1.2.3": b"one"})
    server.endless = True
    with serving(server) as address, RawPeer(address).associate(window_of(8)) as peer:
        first = send(peer.connection, FIND, CFindRequest(message_id=1), b"first")
        second = send(peer.connection, FIND, CFindRequest(message_id=2), b"second")
        cancel = send(peer.connection, FIND, CCancelRequest(message_id_being_responded_to=1))
        cancel_too = send(peer.connection, FIND, CCancelRequest(message_id_being_responded_to=2))
        peer.send(first + second + cancel + cancel_too)
        finals = list[tuple[int, int]]()
        while len(finals) < 2:
            event = peer.read()
            if isinstance(event, MessageReceived) and isinstance(event.message, CFindResponse):
                response = event.message
                if response.status != Status.PENDING:
                    finals.append((response.message_id_being_responded_to, response.status))
    assert finals == [(1, Status.CANCEL), (2, Status.CANCEL)]
    assert server.journal.of("find") == [b"first", b"second"]


# As SCU.


def objects(net: DicomNet, count: int, taken: Journal | None = None) -> Iterator[OutgoingInstance]:
    (context,) = net.association.contexts_of(CT_STORAGE) if net.association else ()
    for number in range(count):
        if taken is not None:
            taken.note("taken", number)
        yield OutgoingInstance(context, f"1.2.{number}", bytes([number]) * 3000)


def answer(acceptor: RawAcceptor, received: MessageReceived, status: int = 0) -> None:
    assert isinstance(received.message, CStoreRequest)
    response = CStoreResponse(message_id_being_responded_to=received.message.message_id, status=status)
    acceptor.send_message(received.context.context_id, response)


def with_acceptor(script: Callable[[RawAcceptor], None], use: Callable[[Net], None], operations: int) -> None:
    """Let a client associate with a raw acceptor, with a window, and use it while the script runs."""
    with listening() as acceptor, ThreadPoolExecutor(1) as thread:

        def run() -> None:
            acceptor.accept(maximum_operations=32)
            script(acceptor)
            acceptor.read_to_end()

        done = thread.submit(run)
        with associated(client := Net(), acceptor.address, window_of(operations, as_storage_scp=True)):
            use(client)
        done.result(WITHIN)


def test_objects_are_sent_ahead_as_far_as_the_window_goes() -> None:
    """The acceptor answers nothing before it has three, and then the other way round."""

    def script(acceptor: RawAcceptor) -> None:
        for _ in range(3):
            received = [acceptor.read() for _ in range(3)]
            for number, each in enumerate(reversed(received)):
                answer(acceptor, each, status=0xB000 + number)

    def use(client: Net) -> None:
        verdicts = [
            (instance.sop_instance_uid, response.status)
            for instance, response in client.c_store_all(objects(client, 9))
        ]
        assert sorted(uid for uid, _ in verdicts) == [f"1.2.{number}" for number in range(9)]
        assert verdicts[:3] == [("1.2.2", 0xB000), ("1.2.1", 0xB001), ("1.2.0", 0xB002)]

    with_acceptor(script, use, operations=3)


def test_no_more_is_sent_ahead_than_the_window_has() -> None:
    taken = Journal()

    def script(acceptor: RawAcceptor) -> None:
        for _ in range(6):
            answer(acceptor, acceptor.read())

    def use(client: Net) -> None:
        verdicts = client.c_store_all(objects(client, 6, taken))
        next(verdicts)
        assert taken.of("taken") == [0, 1, 2], "the third is at hand when the first is answered"
        next(verdicts)
        assert taken.of("taken") == [0, 1, 2, 3]
        assert len(list(verdicts)) == 4

    with_acceptor(script, use, operations=2)


def test_leaving_early_takes_the_answers_to_what_was_sent() -> None:
    def script(acceptor: RawAcceptor) -> None:
        for each in [acceptor.read() for _ in range(4)]:
            answer(acceptor, each)
        echo = acceptor.read()
        assert isinstance(echo.message, CEchoRequest)
        response = CEchoResponse(message_id_being_responded_to=echo.message.message_id, status=0)
        acceptor.send_message(echo.context.context_id, response)

    def use(client: Net) -> None:
        verdicts = client.c_store_all(objects(client, 100))
        next(verdicts)
        verdicts.close()
        assert client.c_echo().status == Status.SUCCESS
        assert client.journal.of("stray") == []

    with_acceptor(script, use, operations=4)


@pytest.mark.parametrize("operations", [0, 1, 5, 32])
def test_both_sides_by_themselves(operations: int) -> None:
    server = LaterNet()
    with serving(server) as address, associated(Net(), address, window_of(operations)) as client:
        verdicts = list(client.c_store_all(objects(client, 50)))
    assert [response.status for _, response in verdicts] == [Status.SUCCESS] * 50
    assert server.objects == {f"1.2.{number}": bytes([number]) * 3000 for number in range(50)}
    assert max(map(len, batches(server.journal))) <= (operations or NetConfiguration().maximum_operations)


# Requests that come while a client serves one.


class NestingNet(Net):
    """Asks back for an echo while it takes an object in."""

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        dataset.drain()
        self.journal.note("stored", request.affected_sop_instance_uid)
        assert self.c_echo().status == Status.SUCCESS
        self.send_c_store_response(context, request, status=Status.SUCCESS)


def test_request_held_by_a_client_is_served_when_the_one_before_it_is_done() -> None:
    with listening() as acceptor, ThreadPoolExecutor(1) as thread:

        def respond(echo: MessageReceived) -> None:
            assert isinstance(echo.message, CEchoRequest)
            response = CEchoResponse(message_id_being_responded_to=echo.message.message_id, status=0)
            acceptor.send_message(echo.context.context_id, response)

        def run() -> None:
            acceptor.accept()
            first = acceptor.read()
            for number in (1, 2):
                request = CStoreRequest(message_id=number, affected_sop_instance_uid=f"1.2.{number}")
                acceptor.send_message(STORAGE, request, b"object")
            for number in (1, 2):
                respond(acceptor.read())
                stored = acceptor.read().message
                assert isinstance(stored, CStoreResponse)
                assert stored.message_id_being_responded_to == number
            respond(first)
            acceptor.read_to_end()

        done = thread.submit(run)
        client = NestingNet()
        with associated(client, acceptor.address, ask_for(as_storage_scp=True)):
            assert client.c_echo().status == Status.SUCCESS
        done.result(WITHIN)
    assert client.journal.of("stored") == ["1.2.1", "1.2.2"]
