"""A C-MOVE destination that answers as a test wants, and a C-MOVE to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dicomnet import (
    AssociateRequest,
    CStoreRequest,
    DicomNet,
    NetConfiguration,
    PresentationContext,
    ReceivedDataset,
    SubOperationResponse,
    SupportedAbstractSyntax,
)
from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from support.archive_server import EXPLICIT, TIMEOUTS, ArchiveServer, Client, archive_server
from support.fake_archive import altered
from support.instance import Instance

MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY = "1.2.3.4"
Reply = Callable[["Workstation", PresentationContext, CStoreRequest], int | None]


@dataclass
class Received:
    """What a destination has seen, over all its associations."""

    reply: Reply = lambda net, context, request: 0
    reject: bool = False
    associations: list[AssociateRequest] = field(default_factory=list)
    requests: list[CStoreRequest] = field(default_factory=list)
    datasets: list[bytes] = field(default_factory=list)
    ends: list[Exception | None] = field(default_factory=list)

    @property
    def uids(self) -> list[str]:
        return [request.affected_sop_instance_uid for request in self.requests]


class Workstation(DicomNet):
    """A storage SCP that takes every SOP class as it is proposed; a reply of None is its own business."""

    def __init__(self, seen: Received) -> None:
        super().__init__(NetConfiguration(timeouts=TIMEOUTS))
        self._seen = seen

    def on_accept(self, peer_address: tuple[str, int]) -> Workstation:
        return Workstation(self._seen)

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        self._seen.associations.append(request)
        if self._seen.reject:
            self.send_associate_reject(result=1, source=1, reason=3)
            return
        syntaxes = {uid for context in request.presentation_contexts for uid in context.transfer_syntaxes}
        self.accept_association(request, lambda _: SupportedAbstractSyntax(transfer_syntaxes=syntaxes))

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        self._seen.datasets.append(b"".join(bytes(fragment) for fragment in dataset))
        self._seen.requests.append(request)
        status = self._seen.reply(self, context, request)
        if status is not None:
            self.send_c_store_response(context, request, status=status)

    def on_close(self, error: Exception | None) -> None:
        self._seen.ends.append(error)


@contextmanager
def moving(
    reply: Reply = lambda net, context, request: 0, *, reject: bool = False, places: int = 100
) -> Iterator[tuple[ArchiveServer, Received]]:
    """A server that knows the destination WORKSTATION, and what that has received."""
    seen = Received(reply, reject)
    workstation = Workstation(seen)
    _, port = workstation.listen()
    try:
        with archive_server(destinations={"WORKSTATION": port}, places=places) as server:
            yield server, seen
    finally:
        workstation.close(timeout=5)


def study(count: int) -> list[Instance]:
    """Instances of one study."""
    return [altered(number, StudyInstanceUID=STUDY) for number in range(1, count + 1)]


def ask(
    net: Client, destination: str = "WORKSTATION", study_instance_uid: str = STUDY
) -> list[tuple[SubOperationResponse, list[str]]]:
    """Each response to one C-MOVE, with its list of failed instances."""
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study_instance_uid}
    identifier = write_identifier(elements_of(keys), EXPLICIT)
    answers = []
    for response, data in net.c_move(net.context_for(MOVE), identifier, move_destination=destination):
        failed = read_identifier(data, EXPLICIT).value("FailedSOPInstanceUIDList") if data else ""
        answers.append((response, failed.split("\\") if failed else []))
    return answers


def counts(response: SubOperationResponse) -> tuple[int | None, ...]:
    """Remaining, completed, failed, warning."""
    return (
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
    )
