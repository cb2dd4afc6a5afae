"""PacsNet: the archive's side of one connection. It routes requests to their handlers, and counts and logs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from dicomnet import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NetConfiguration,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
    PresentationContext,
    ReceivedDataset,
    Request,
    Status,
    SubOperationFields,
)
from pacsd.effort import Effort
from pacsd.errors import OperationCancelled
from pacsd.model import QueryOptions
from pacsd.scp.admitting_net import AdmittingNet
from pacsd.scp.bandwidth import Meter
from pacsd.scp.extended_negotiation import negotiated_options
from pacsd.scp.normalized_services import refuse_unrecognized
from pacsd.scp.operations import log_operation, logger_of_association, safely
from pacsd.scp.routes import Routes
from pacsd.scp.service_table import ServiceRow, row_for
from pacsd.scp.statuses import Answer
from pacsd.services.intake import Intake

__all__ = ["PacsNet"]

Outcome = TypeVar("Outcome")

_AFFECTED_SOP_CLASS_UID: Final = 0x00000002


class PacsNet(AdmittingNet):
    """One connection to the archive, or its listener."""

    def __init__(self, configuration: NetConfiguration, routes: Routes, meter: Meter | None = None) -> None:
        super().__init__(configuration, routes, meter)
        self.intake = Intake(routes.ingest)
        self._operations_log = logger_of_association()

    def on_accept(self, peer_address: tuple[str, int]) -> PacsNet:
        """Serve each connection by an object of its own."""
        self.routes.note_connection()
        if self.routes.bandwidth is None:
            return PacsNet(self.configuration, self.routes)
        meter = self.routes.bandwidth.meter(self.configuration.while_waiting)
        return PacsNet(replace(self.configuration, while_waiting=meter), self.routes, meter)

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        """Answer a C-ECHO, as `service_table` says; so all that follow."""
        self._answer(context, request)

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-STORE."""
        self._answer(context, request, dataset)

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-FIND."""
        self._answer(context, request, dataset)

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-MOVE."""
        self._answer(context, request, dataset)

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-GET."""
        self._answer(context, request, dataset)

    def on_receive_n_report_request(
        self, context: PresentationContext, request: NEventReportRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-EVENT-REPORT."""
        self._answer(context, request, dataset)

    def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
        """Answer an N-GET."""
        self._answer(context, request)

    def on_receive_n_set_request(
        self, context: PresentationContext, request: NSetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-SET."""
        self._answer(context, request, dataset)

    def on_receive_n_action_request(
        self, context: PresentationContext, request: NActionRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-ACTION."""
        self._answer(context, request, dataset)

    def on_receive_n_create_request(
        self, context: PresentationContext, request: NCreateRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-CREATE."""
        self._answer(context, request, dataset)

    def on_receive_n_delete_request(self, context: PresentationContext, request: NDeleteRequest) -> None:
        """Answer an N-DELETE."""
        self._answer(context, request)

    def _answer(
        self, context: PresentationContext, request: Request, dataset: ReceivedDataset | None = None
    ) -> None:
        row = row_for(request, self.admission.service_of(context.abstract_syntax))
        if row is None:
            refuse_unrecognized(self, context, request)
        else:
            row.answer(self, row, context, request, dataset)

    # What handlers need of the connection.

    def identifier(self, dataset: ReceivedDataset) -> bytes:
        """Return a request's identifier; raises DatasetTooLong."""
        return dataset.read(self.configuration.limits.identifier_length)

    def effort(self, request: Request) -> Effort:
        """Return what a query, or a retrieve's, may cost."""
        return Effort(
            seconds=self.routes.query_seconds,
            is_cancelled=lambda: self.is_stopped(request),
            peer_has_spoken=lambda: self.peer_has_spoken or self.lost_rights_before(0.0),
        )

    def options(self, row: ServiceRow, context: PresentationContext) -> QueryOptions:
        """Return what the association's extended negotiation turned on for this SOP class."""
        answered = self.association.extended_negotiations if self.association else {}
        return negotiated_options(row, answered.get(context.abstract_syntax, b""))

    def run_operation(
        self,
        row: ServiceRow,
        context: PresentationContext,
        request: Request,
        *,
        perform: Callable[[], Answer],
        respond: Callable[[Answer], None],
    ) -> None:
        """Perform an operation in a context that is meant for it, turn what goes wrong into an answer, and respond.

        It is counted and logged when the peer has its answer: that takes a tenth of the time that a query takes.
        """
        started = time.monotonic()
        answer = self.attempt(row, context, request, perform)
        seconds = time.monotonic() - started
        try:
            respond(answer)
        finally:
            self.report(row, request, answer, seconds)

    def report(self, row: ServiceRow, request: Request, answer: Answer, seconds: float) -> None:
        """Count and log an operation that ends here."""
        self.routes.metrics.operation(row.service, answer.status, seconds, self.calling_ae_title)
        log_operation(self._operations_log, row.service, request, answer, seconds)

    def attempt(
        self, row: ServiceRow, context: PresentationContext, request: Request, perform: Callable[[], Outcome]
    ) -> Outcome | Answer:
        """Do what is meant for this context and permitted; turn what goes wrong into an answer."""
        if self.admission.service_of(context.abstract_syntax) is not row.service or not context.as_scp:
            return _refused(Status.SOP_CLASS_NOT_SUPPORTED, "its presentation context is for something else")
        if request.sop_class_uid not in ("", context.abstract_syntax):
            return _refused(
                Status.SOP_CLASS_NOT_SUPPORTED,
                "Affected SOP Class UID is not that of its presentation context",
                _AFFECTED_SOP_CLASS_UID,
            )
        if row.service not in self.admission.services:
            # In the storage contexts of a peer that may get but not store, without role selection.
            return _refused(Status.NOT_AUTHORIZED, f"this AE title may not {row.service.value}")

        def look() -> None:
            if self.is_stopped(request):
                raise OperationCancelled("nobody waits for the operation any more")

        def perform_in_turn() -> Outcome:
            # A store's or an echo's peer has nothing to cancel, and what it sends meanwhile is the next request.
            self.turns.enter(look=look if row.asks_index else None)
            try:
                self.require_rights()
                if row.asks_index:
                    self.routes.require_complete(look)
                return perform()
            finally:
                self.turns.leave()

        return safely(row, perform_in_turn)


def _refused(status: Status, why: str, *offending: int) -> Answer:
    fields = SubOperationFields(error_comment=why)
    if offending:
        fields["offending_element"] = offending
    return Answer(status, fields)
