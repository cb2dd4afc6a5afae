"""The archive's side of connections, listening on a real socket, with everything behind it a fake."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dicomnet import (
    AssociateRequest,
    AsynchronousOperationsWindow,
    CStoreRequest,
    DicomNet,
    NetConfiguration,
    PresentationContext,
    ProposedPresentationContext,
    ReceivedDataset,
    RoleSelection,
    Timeouts,
    own_user_information,
)
from pacsd.dataset.part10 import DicomFile
from pacsd.errors import TranscodingFailed
from pacsd.model import Service
from pacsd.scp.access import AccessRules, AnswerRules, KnownPeer
from pacsd.scp.echo import answer_echo
from pacsd.scp.exceeded_limits import ExceededLimits
from pacsd.scp.find import FindHandler
from pacsd.scp.get import GetHandler
from pacsd.scp.move import MoveHandler
from pacsd.scp.pacs_net import PacsNet
from pacsd.scp.routes import Routes
from pacsd.scp.store import answer_store
from pacsd.scp.turns import Turns
from pacsd.scu.peer import Peer
from pacsd.scu.storing import Transcode
from pacsd.services.ingest import Ingest
from pacsd.services.intake import Intake
from pacsd.services.long_values import LongValues
from pacsd.services.query import Queries
from pacsd.services.retrieve import KeptInstances
from pacsd.services.verification import VerifyBy
from support.counted_metrics import CountedMetrics
from support.fake_archive import incoming
from support.fake_index import FakeIndex
from support.instance import Instance
from support.memory_store import MemoryStore

AE_TITLE = "PACSD"
CLIENT = "TESTSCU"
UNLIMITED = AnswerRules()
EXPLICIT = "1.2.840.10008.1.2.1"
TIMEOUTS = Timeouts(connect=5, artim=5, association=5, dimse=10, idle=20, write=10)
StoreReply = Callable[[CStoreRequest], int]


@dataclass(slots=True)
class RecordedMetrics:
    """Every call as its name and arguments, without seconds and byte counts."""

    calls: list[tuple[object, ...]] = field(default_factory=list)

    def association_accepted(self, peer: str) -> None:
        self.calls.append(("accepted", peer))

    def association_rejected(self, reason: str, peer: str = "") -> None:
        self.calls.append(("rejected", reason, peer))

    def association_released(self, peer: str) -> None:
        self.calls.append(("released", peer))

    def association_aborted(self, peer: str, source: str) -> None:
        self.calls.append(("aborted", peer, source))

    def operation(self, service: Service, status: int, seconds: float, peer: str) -> None:
        assert seconds >= 0
        self.calls.append((service.value, f"{status:04X}", peer))

    def limit_exceeded(self, limit: str) -> None:
        self.calls.append(("limit", limit))

    def bytes_received(self, count: int) -> None:
        self.calls.append(("received", count > 0))

    def bytes_sent(self, count: int) -> None:
        self.calls.append(("sent", count > 0))


class CountedPlaces:
    """Places for so many associations at once."""

    def __init__(self, places: int) -> None:
        self.free = places
        self._lock = threading.Lock()

    def enter(self, address: str, caller: str, *, is_known: bool, is_proven: bool) -> str | None:
        with self._lock:
            if self.free == 0:
                return "max-associations"
            self.free -= 1
            return None

    def leave(self, address: str, caller: str) -> None:
        with self._lock:
            self.free += 1


def no_transcoding(
    file: DicomFile, syntaxes: Collection[str], *, is_cancelled: Callable[[], bool]
) -> tuple[str, bytes]:
    """Stands in for `dataset.transcode` where nothing can be converted."""
    raise TranscodingFailed("nothing is converted here")


@dataclass(slots=True, kw_only=True)
class ArchiveServer:
    """A running server and what stands behind it."""

    port: int
    store: MemoryStore
    index: FakeIndex
    ingest: Ingest
    metrics: RecordedMetrics
    counted: CountedMetrics
    """By the services."""
    places: CountedPlaces
    net: PacsNet
    move: MoveHandler
    host: str = "127.0.0.1"

    def keep(self, *instances: Instance) -> None:
        """Put instances into the archive, past the network."""
        for instance in instances:
            Intake(self.ingest).receive(incoming(instance), [instance.dataset])()


@contextmanager
def archive_server(
    *,
    destinations: Mapping[str, int] = {},
    peers: Mapping[str, KnownPeer] = {},
    unknown_peers: Collection[Service] = tuple(Service),
    unknown_peers_answers: AnswerRules = UNLIMITED,
    places: int = 100,
    operations_per_peer: int = 16,
    transcode: Transcode = no_transcoding,
    clock: Callable[[], float] = time.monotonic,
    accept_unknown_sop_classes: bool = False,
    verify_by: VerifyBy = "checksum",
) -> Iterator[ArchiveServer]:
    """Serve on a free port; `destinations` are ports of C-MOVE destinations by AE title."""
    store, index, metrics, services = MemoryStore(), FakeIndex(), RecordedMetrics(), CountedMetrics()
    counted = CountedPlaces(places)
    ingest = Ingest(store, index, metrics=services, clock=lambda: 0.0)
    configuration = NetConfiguration(timeouts=TIMEOUTS)
    instances = KeptInstances(store, index, verify_by=verify_by, metrics=services)
    routes = Routes(
        access=AccessRules(
            ae_title=AE_TITLE,
            check_called_ae_title=True,
            peers=peers,
            unknown_peers=frozenset(unknown_peers),
            unknown_peers_answers=unknown_peers_answers,
            accept_unknown_sop_classes=accept_unknown_sop_classes,
        ),
        places=counted,
        ingest=ingest,
        metrics=metrics,
        exceeded=ExceededLimits(metrics.limit_exceeded),
        turns=Turns(operations_per_peer, longest_wait=30.0, note_refusal=lambda _: None),
    )
    move = MoveHandler(
        index,
        instances,
        transcode,
        destinations={title: Peer(title, "127.0.0.1", port) for title, port in destinations.items()},
        ae_title=AE_TITLE,
        new_net=lambda: DicomNet(configuration),
        clock=clock,
    )
    queries = Queries(index, long_values=LongValues(store, index, default_character_set=lambda _: "").of)
    handlers = {
        Service.ECHO: answer_echo,
        Service.STORE: answer_store,
        Service.FIND: FindHandler(queries, ae_title=AE_TITLE).answer,
        Service.MOVE: move.answer,
        Service.GET: GetHandler(index, instances, transcode, clock=clock).answer,
    }
    net = PacsNet(configuration, routes, handlers)
    _, port = net.listen()
    try:
        yield ArchiveServer(
            port=port,
            store=store,
            index=index,
            ingest=ingest,
            metrics=metrics,
            counted=services,
            places=counted,
            net=net,
            move=move,
        )
    finally:
        net.close(timeout=5)


class Client(DicomNet):
    """A connection of our own engine that keeps what is sent to it; `reply` says with which status."""

    def __init__(self, reply: StoreReply | None = None) -> None:
        super().__init__(NetConfiguration(timeouts=TIMEOUTS))
        self.received: dict[str, tuple[str, bytes]] = {}
        """Transfer syntax and data set by SOP Instance UID."""
        self.requests: list[CStoreRequest] = []
        self._reply = reply or (lambda request: 0)

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        content = b"".join(bytes(fragment) for fragment in dataset)
        self.requests.append(request)
        status = self._reply(request)
        if status == 0:
            self.received[request.affected_sop_instance_uid] = (context.transfer_syntax, content)
        self.send_c_store_response(context, request, status=status)


def association_request(
    contexts: Iterable[tuple[str, Sequence[str]]],
    *,
    calling: str = CLIENT,
    called: str = AE_TITLE,
    as_scp_of: Iterable[str] = (),
    operations: int = 1,
) -> AssociateRequest:
    """A request with one context for each pair of SOP class and transfer syntaxes."""
    return AssociateRequest(
        called_ae_title=called,
        calling_ae_title=calling,
        presentation_contexts=tuple(
            ProposedPresentationContext(
                context_id=2 * number + 1, abstract_syntax=abstract, transfer_syntaxes=tuple(syntaxes)
            )
            for number, (abstract, syntaxes) in enumerate(contexts)
        ),
        user_information=own_user_information(
            maximum_length=16384,
            roles=tuple(
                RoleSelection(sop_class_uid=uid, scu_role=True, scp_role=True)
                for uid in dict.fromkeys(as_scp_of)
            ),
            window=AsynchronousOperationsWindow(maximum_invoked=operations, maximum_performed=operations),
        ),
    )


@contextmanager
def client(
    server: ArchiveServer,
    *sop_classes: str,
    syntaxes: Sequence[str] = (EXPLICIT,),
    calling: str = CLIENT,
    called: str = AE_TITLE,
    as_scp_of: Sequence[str] = (),
    reply: StoreReply | None = None,
    operations: int = 1,
) -> Iterator[Client]:
    """An association with the server, released at the end; raises what `associate` raises."""
    contexts = [(uid, syntaxes) for uid in (*sop_classes, *as_scp_of)]
    request = association_request(
        contexts, calling=calling, called=called, as_scp_of=as_scp_of, operations=operations
    )
    with Client(reply) as net:
        net.connect(server.host, server.port)
        net.associate(request)
        yield net
