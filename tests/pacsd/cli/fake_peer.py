"""A peer whose every answer a test decides: a DicomNet of our own engine on a free port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dicomnet import (
    AssociateRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    ContextResult,
    CStoreRequest,
    Dataset,
    DicomNet,
    NetConfiguration,
    PresentationContext,
    ReceivedDataset,
    SubOperationFields,
    SupportedAbstractSyntax,
    TlsConfiguration,
)
from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class Final:
    """A final response to a retrieve."""

    status: int
    fields: SubOperationFields = field(default_factory=SubOperationFields)
    failed: str = ""


@dataclass(slots=True)
class Script:
    """What the peer does, and what it was asked; each `on_*` may raise or call `net.send_abort`."""

    refused_classes: frozenset[str] = frozenset()
    transfer_syntaxes: tuple[str, ...] = (EXPLICIT, IMPLICIT)
    rejection: tuple[int, int, int] | None = None
    on_echo: Callable[[], int] = lambda: 0
    on_store: Callable[[DicomNet, CStoreRequest], tuple[int, str]] = lambda _net, _request: (0, "")
    matches: Callable[[dict[str, str]], Sequence[dict[str, str]]] = lambda _keys: ()
    find_status: int = 0
    find_comment: str = ""
    sent_by_get: Sequence[tuple[str, str, Dataset]] = ()
    """SOP class, SOP instance and data set of each sub-operation."""
    final: Final | None = None
    pending: Sequence[SubOperationFields] = ()

    requests: list[AssociateRequest] = field(default_factory=list)
    received: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Transfer syntax and data set by SOP Instance UID."""
    asked: list[dict[str, str]] = field(default_factory=list)
    moved_to: list[str] = field(default_factory=list)
    get_statuses: list[int] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)


class FakePeer(DicomNet):
    script: Script

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet:
        child = FakePeer(self.configuration)
        child.script = self.script
        return child

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        self.script.requests.append(request)
        if self.script.rejection:
            result, source, reason = self.script.rejection
            self.send_associate_reject(result=result, source=source, reason=reason)
        else:
            super().on_receive_associate_request(request)

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        if abstract_syntax in self.script.refused_classes:
            return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        return SupportedAbstractSyntax(transfer_syntaxes=self.script.transfer_syntaxes, requestor_as_scp=True)

    def on_receive_c_echo_request(self, context: PresentationContext, request) -> None:  # type: ignore[no-untyped-def]
        self.send_c_echo_response(context, request, status=self.script.on_echo())

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        data = dataset.read(1 << 26)
        status, comment = self.script.on_store(self, request)
        if not self.is_associated:
            return
        if status == 0:
            self.script.received[request.affected_sop_instance_uid] = (context.transfer_syntax, data)
        self.send_c_store_response(context, request, status=status, error_comment=comment)

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        keys = read_identifier(dataset.read(1 << 20), context.transfer_syntax).keys
        self.script.asked.append(keys)
        for match in self.script.matches(keys):
            if self.is_cancelled(request):
                self.script.cancelled.set()
                self.send_c_find_response(context, request, status=0xFE00)
                return
            data = write_identifier(elements_of(match), context.transfer_syntax)
            self.send_c_find_response(context, request, status=0xFF00, identifier=data)
        self.send_c_find_response(
            context, request, status=self.script.find_status, error_comment=self.script.find_comment
        )

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        self.script.asked.append(read_identifier(dataset.read(1 << 20), context.transfer_syntax).keys)
        for sop_class_uid, sop_instance_uid, data in self.script.sent_by_get:
            response = self.c_store(self.context_for(sop_class_uid), sop_instance_uid, data)
            self.script.get_statuses.append(response.status)
        final = self.script.final or Final(0)
        self.send_c_get_response(
            context, request, status=final.status, identifier=_failed(final, context), **final.fields
        )

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        self.script.asked.append(read_identifier(dataset.read(1 << 20), context.transfer_syntax).keys)
        self.script.moved_to.append(request.move_destination)
        for counts in self.script.pending:
            self.send_c_move_response(context, request, status=0xFF00, **counts)
        final = self.script.final or Final(0)
        self.send_c_move_response(
            context, request, status=final.status, identifier=_failed(final, context), **final.fields
        )


def _failed(final: Final, context: PresentationContext) -> bytes | None:
    if not final.failed:
        return None
    return write_identifier(elements_of({"FailedSOPInstanceUIDList": final.failed}), context.transfer_syntax)


def endless(match: Callable[[int], dict[str, str]]) -> Iterator[dict[str, str]]:
    """More matches than anybody reads."""
    number = 0
    while True:
        yield match(number)
        number += 1


@contextmanager
def fake_peer(script: Script, tls: TlsConfiguration | None = None) -> Iterator[tuple[str, int]]:
    """Serve a script for the length of the block; yields host and port."""
    net = FakePeer(NetConfiguration(tls=tls))
    net.script = script
    address = net.listen()
    try:
        yield address
    finally:
        net.close()
