"""Our client judged by pynetdicom as the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from tests.dicomnet.net.nets import (
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    Net,
    ask_for,
    associated,
    ended_with,
    serving,
    store,
)
from tests.dicomnet.net.test_pynetdicom_as_scu import OBJECTS, an_object, encoded, query
from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, IMPLICIT, STUDY_ROOT_FIND, VERIFICATION

from dicomnet import AssociationAborted, AssociationRejected

FEW, MANY = 5, 400


class Archive:
    """pynetdicom's handlers over `OBJECTS`."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.cancelled = 0
        self.count = FEW
        self.destination = ("127.0.0.1", 1)

    def store(self, event: evt.Event) -> int:
        self.stored[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0x0000

    def _answers(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for number in range(1, self.count + 1):
            if event.is_cancelled:
                self.cancelled += 1
                yield 0xFE00, None
                return
            yield 0xFF00, an_object(number)

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        assert encoded(event.identifier) == encoded(query())
        yield from self._answers(event)

    def get(self, event: evt.Event) -> Iterator[object]:
        yield self.count
        yield from self._answers(event)

    def move(self, event: evt.Event) -> Iterator[object]:
        assert event.move_destination == "WORKSTATION"
        yield *self.destination, {"contexts": [build_context(CT_STORAGE, EXPLICIT)]}
        yield self.count
        yield from self._answers(event)

    @contextmanager
    def serving(self, *, maximum_length: int = 16384, called: str = "") -> Iterator[tuple[str, int]]:
        entity = AE(ae_title="ARCHIVE")
        entity.maximum_pdu_size = maximum_length
        entity.require_called_aet = bool(called)
        for sop_class in (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET):
            entity.add_supported_context(sop_class, [EXPLICIT, IMPLICIT])
        entity.add_supported_context(CT_STORAGE, [EXPLICIT, IMPLICIT], scu_role=True, scp_role=True)
        handlers = [
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_C_GET, self.get),
            (evt.EVT_C_MOVE, self.move),
        ]
        listener = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers, ae_title=called or None
        )
        assert listener is not None
        try:
            yield listener.socket.getsockname()
        finally:
            listener.shutdown()


def test_echo() -> None:
    client = Net()
    with Archive().serving() as address:
        with associated(client, address):
            assert client.c_echo().status == 0x0000
        assert client.journal.of("closed") == [None]


@pytest.mark.parametrize("maximum_length", [0, 4096, 262144])
def test_store(maximum_length: int) -> None:
    archive, dataset = Archive(), encoded(an_object(1, extra=526_000))
    with archive.serving(maximum_length=maximum_length) as address, associated(Net(), address) as client:
        assert store(client, "1.2.3.1", dataset) == 0x0000
        assert store(client, "1.2.3.2", [dataset[:1001], dataset[1001:]]) == 0x0000
    assert archive.stored == {"1.2.3.1": dataset, "1.2.3.2": dataset}


def test_find() -> None:
    with Archive().serving() as address, associated(Net(), address) as client:
        *pending, (final, _) = client.c_find(client.context_for(STUDY_ROOT_FIND), encoded(query()))
    assert [identifier for _, identifier in pending] == list(OBJECTS.values())
    assert final.status == 0x0000


def test_leaving_a_find_early_cancels_it() -> None:
    archive = Archive()
    archive.count = MANY
    with archive.serving() as address, associated(Net(), address) as client:
        answers = client.c_find(client.context_for(STUDY_ROOT_FIND), encoded(query()))
        assert len(list(islice(answers, 3))) == 3
        answers.close()
        assert client.c_echo().status == 0x0000


def test_get() -> None:
    client = Net()
    with Archive().serving() as address, associated(client, address, ask_for(as_storage_scp=True)):
        *_, (final, _) = client.c_get(client.context_for(STUDY_ROOT_GET), encoded(query()))
    assert (final.status, final.number_of_completed_suboperations) == (0x0000, FEW)
    assert client.objects == OBJECTS


def test_leaving_a_get_early_cancels_it() -> None:
    archive, client = Archive(), Net()
    archive.count = MANY
    with archive.serving() as address, associated(client, address, ask_for(as_storage_scp=True)):
        answers = client.c_get(client.context_for(STUDY_ROOT_GET), encoded(query()))
        next(answers)
        answers.close()
        assert archive.cancelled == 1
        assert 1 <= len(client.objects) < MANY
        assert client.c_echo().status == 0x0000


def test_move() -> None:
    archive, destination = Archive(), Net()
    with archive.serving() as address, serving(destination) as archive.destination:
        with associated(Net(), address) as client:
            context = client.context_for(STUDY_ROOT_MOVE)
            *_, (final, _) = client.c_move(context, encoded(query()), move_destination="WORKSTATION")
        assert destination.journal.wait_for("closed") == [None]
    assert (final.status, final.number_of_completed_suboperations) == (0x0000, FEW)
    assert destination.objects == OBJECTS


def test_rejection() -> None:
    client = Net()
    with Archive().serving(called="SOMEBODY_ELSE") as address:
        client.connect(*address)
        with pytest.raises(AssociationRejected, match="called AE title not recognized") as raised:
            client.associate(ask_for())
    assert (raised.value.result, raised.value.source, raised.value.reason) == (1, 1, 7)
    assert ended_with(client.journal) == [AssociationRejected]
    assert not client.is_connected


def test_abort_in_an_operation() -> None:
    archive = Archive()

    def abort(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, an_object(1)
        event.assoc.abort()

    archive.find = abort  # type: ignore[method-assign]
    client = Net()
    with archive.serving() as address, associated(client, address):
        answers = client.c_find(client.context_for(STUDY_ROOT_FIND), encoded(query()))
        with pytest.raises(AssociationAborted) as raised:
            list(answers)
        assert raised.value.by_peer
    assert len(client.journal.of("closed")) == 1
