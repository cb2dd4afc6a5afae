"""PacsNet: the archive's side of one connection. It routes requests to their handlers, and counts and logs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from dicomnet import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NetConfiguration,
    PresentationContext,
    ReceivedDataset,
    Request,
    Status,
    SubOperationFields,
)
from pacsd.effort import Effort
from pacsd.errors import OperationCancelled
from pacsd.model import QueryOptions, Service
from pacsd.scp.admitting_net import AdmittingNet
from pacsd.scp.extended_negotiation import negotiated_options
from pacsd.scp.find import Matches
from pacsd.scp.operations import log_operation, logger_of_association, safely
from pacsd.scp.routes import Routes
from pacsd.scp.statuses import Answer
from pacsd.scp.store import StoreHandler

__all__ = ["PacsNet"]

Outcome = TypeVar("Outcome")

_FROM_INDEX: Final = frozenset((Service.FIND, Service.MOVE, Service.GET))
"""Answered from what the index knows."""
_AFFECTED_SOP_CLASS_UID: Final = 0x00000002


class PacsNet(AdmittingNet):
    """One connection to the archive, or its listener."""

    def __init__(self, configuration: NetConfiguration, routes: Routes) -> None:
        super().__init__(configuration, routes)
        self._store = StoreHandler(routes.ingest)
        self._operations_log = logger_of_association()

    def on_accept(self, peer_address: tuple[str, int]) -> PacsNet:
        """Serve each connection by an object of its own."""
        self._routes.note_connection()
        return PacsNet(self.configuration, self._routes)

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        """Answer a C-ECHO."""
        self._serve(
            Service.ECHO,
            context,
            request,
            perform=lambda: Answer(Status.SUCCESS),
            respond=lambda answer: self.send_c_echo_response(context, request, status=answer.status),
        )

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        """Receive an instance, and answer when it is kept: with others, where the peer sends several ahead."""
        started = time.monotonic()
        received = self._attempt(
            Service.STORE,
            context,
            request,
            lambda: self._store.handle(
                context,
                request,
                dataset,
                calling_ae_title=self._calling_ae_title,
                default_character_set=self._admission.default_character_set,
                may_correct=self._admission.is_known,
            ),
        )

        def respond() -> None:
            if isinstance(received, Answer):
                answer = received
            else:
                self._turns.enter()  # however long it takes: what was received cannot be left as it is
                try:
                    answer = safely(Service.STORE, received)
                finally:
                    self._turns.leave()
            self._report(Service.STORE, request, answer, time.monotonic() - started)
            self.send_c_store_response(context, request, status=answer.status, **answer.explanation)

        self.answer_later(request, respond)

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a query; the last matches leave in one write with the final response."""
        last: list[Matches] = []

        def send(matches: Matches) -> None:
            with self.gathering():
                for identifier in matches.identifiers:
                    self.send_c_find_response(context, request, status=matches.status, identifier=identifier)

        def send_or_hold(matches: Matches) -> None:
            if matches.are_last:
                last.append(matches)
            else:
                send(matches)

        def respond(answer: Answer) -> None:
            with self.gathering():
                for matches in last:
                    send(matches)
                self.send_c_find_response(context, request, status=answer.status, **answer.explanation)

        self._serve(
            Service.FIND,
            context,
            request,
            perform=lambda: self._routes.find.handle(
                context,
                dataset,
                options=self._options(Service.FIND, context),
                default_character_set=self._admission.default_character_set,
                send_matches=send_or_hold,
                effort=self._effort(request),
                rules=self._admission.answers,
            ),
            respond=respond,
        )

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        """Send a selection to a third party."""

        def send_pending(counts: SubOperationFields) -> None:
            self.send_c_move_response(context, request, status=Status.PENDING, **counts)

        def respond(answer: Answer) -> None:
            self.send_c_move_response(
                context, request, status=answer.status, identifier=answer.identifier, **answer.fields
            )

        self._serve(
            Service.MOVE,
            context,
            request,
            perform=lambda: self._routes.move.handle(
                context,
                request,
                dataset,
                calling_ae_title=self._calling_ae_title,
                options=self._options(Service.MOVE, context),
                default_character_set=self._admission.default_character_set,
                move_to=self._admission.move_to,
                send_pending=send_pending,
                is_cancelled=lambda: self.is_stopped(request),
                effort=self._effort(request),
            ),
            respond=respond,
        )

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        """Send a selection back."""

        def send_pending(counts: SubOperationFields) -> None:
            self.send_c_get_response(context, request, status=Status.PENDING, **counts)

        def respond(answer: Answer) -> None:
            self.send_c_get_response(
                context, request, status=answer.status, identifier=answer.identifier, **answer.fields
            )

        self._serve(
            Service.GET,
            context,
            request,
            perform=lambda: self._routes.get.handle(
                self,
                context,
                request,
                dataset,
                options=self._options(Service.GET, context),
                default_character_set=self._admission.default_character_set,
                send_pending=send_pending,
                is_cancelled=lambda: self.is_stopped(request),
                effort=self._effort(request),
            ),
            respond=respond,
        )

    def _effort(self, request: Request) -> Effort:
        """Return what a query, or a retrieve's, may cost."""
        return Effort(
            seconds=self._routes.query_seconds,
            is_cancelled=lambda: self.is_stopped(request),
            peer_has_spoken=lambda: self.peer_has_spoken or self.lost_rights_before(0.0),
        )

    def _options(self, service: Service, context: PresentationContext) -> QueryOptions:
        """Return what the association's extended negotiation turned on for this SOP class."""
        answered = self.association.extended_negotiations if self.association else {}
        return negotiated_options(service, answered.get(context.abstract_syntax, b""))

    def _serve(
        self,
        service: Service,
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
        answer = self._attempt(service, context, request, perform)
        seconds = time.monotonic() - started
        try:
            respond(answer)
        finally:
            self._report(service, request, answer, seconds)

    def _report(self, service: Service, request: Request, answer: Answer, seconds: float) -> None:
        """Count and log an operation that ends here."""
        self._routes.metrics.operation(service, answer.status, seconds, self._calling_ae_title)
        log_operation(self._operations_log, service, request, answer, seconds)

    def _attempt(
        self, service: Service, context: PresentationContext, request: Request, perform: Callable[[], Outcome]
    ) -> Outcome | Answer:
        """Do what is meant for this context and permitted; turn what goes wrong into an answer."""
        if self._admission.service_of(context.abstract_syntax) is not service or not context.as_scp:
            return _refused(Status.SOP_CLASS_NOT_SUPPORTED, "its presentation context is for something else")
        if request.sop_class_uid not in ("", context.abstract_syntax):
            return _refused(
                Status.SOP_CLASS_NOT_SUPPORTED,
                "Affected SOP Class UID is not that of its presentation context",
                _AFFECTED_SOP_CLASS_UID,
            )
        if service not in self._admission.services:
            # In the storage contexts of a peer that may get but not store, without role selection.
            return _refused(Status.NOT_AUTHORIZED, f"this AE title may not {service.value}")

        def look() -> None:
            if self.is_stopped(request):
                raise OperationCancelled("nobody waits for the operation any more")

        def perform_in_turn() -> Outcome:
            # A store's or an echo's peer has nothing to cancel, and what it sends meanwhile is the next request.
            self._turns.enter(self._turns.longest_wait, look if service in _FROM_INDEX else None)
            try:
                self.require_rights()
                if service in _FROM_INDEX:
                    self._routes.require_complete(look)
                return perform()
            finally:
                self._turns.leave()

        return safely(service, perform_in_turn)


def _refused(status: Status, why: str, *offending: int) -> Answer:
    fields = SubOperationFields(error_comment=why)
    if offending:
        fields["offending_element"] = offending
    return Answer(status, fields)
