"""One operation: performed if it is permitted, whatever goes wrong becomes its answer, and it is counted and logged."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from dicomnet import (
    AssociationEnded,
    CStoreRequest,
    DatasetTooLong,
    PresentationContext,
    Request,
    Status,
    StatusClass,
    SubOperationFields,
    status_class,
)
from pacsd.effort import Effort
from pacsd.errors import OperationCancelled, PacsdError
from pacsd.model import QueryOptions, Service
from pacsd.scp.admitting_net import AdmittingNet
from pacsd.scp.service_table import ServiceRow
from pacsd.scp.statuses import Answer, answer_for

__all__ = ["Handler", "Operation", "logger_of_association", "safely"]

_log = structlog.get_logger()
_levels = logging.getLogger()

_AFFECTED_SOP_CLASS_UID: Final = 0x00000002
_FREQUENT: Final = (Service.ECHO, Service.STORE)
_FRAMES_LOGGED: Final = 6

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Operation:
    """One request on its way to its answer, for the handler of its service."""

    net: AdmittingNet
    row: ServiceRow
    service: Service | None
    """That the context is for, as far as any is."""
    context: PresentationContext
    request: Any
    """The DIMSE request, one of the row's."""
    dataset: Any
    """As it was received, None where there is none."""
    log: structlog.typing.FilteringBoundLogger

    def read_identifier(self) -> bytes:
        """Return the request's identifier, which can be read once; raises DatasetTooLong."""
        data: bytes = self.dataset.read(self.net.configuration.limits.identifier_length)
        return data

    def new_effort(self) -> Effort:
        """Return what a query, or the looking up of a retrieve's instances, may cost from now on."""
        net, request = self.net, self.request
        return Effort(
            seconds=net.routes.query_seconds,
            is_cancelled=lambda: net.is_stopped(request),
            peer_has_spoken=lambda: net.peer_has_spoken or net.lost_rights_before(0.0),
        )

    @property
    def options(self) -> QueryOptions:
        """What the association's extended negotiation turned on for this SOP class."""
        answered = self.net.association.extended_negotiations if self.net.association else {}
        return self.row.negotiated_options(answered.get(self.context.abstract_syntax, b""))

    def is_stopped(self) -> bool:
        """Say whether it is cancelled; raises RightsWithdrawn as `AdmittingNet.is_stopped`."""
        return self.net.is_stopped(self.request)

    def run(self, perform: Callable[[], Answer], respond: Callable[[Answer], None]) -> None:
        """Perform it in a context that is meant for it, turn what goes wrong into an answer, and respond.

        It is counted and logged when the peer has its answer: that takes a tenth of the time that a query takes.
        """
        started = time.monotonic()
        answer = self.attempt(perform)
        seconds = time.monotonic() - started
        try:
            respond(answer)
        finally:
            self.report(answer, seconds)

    def report(self, answer: Answer, seconds: float) -> None:
        """Count and log that it ends here."""
        service = self.row.service
        self.net.routes.metrics.operation(service, answer.status, seconds, self.net.calling_ae_title)
        _log_operation(self.log, service, self.request, answer, seconds)

    def attempt(self, perform: Callable[[], Outcome]) -> Outcome | Answer:
        """Do what is meant for this context and permitted; turn what goes wrong into an answer."""
        net, row, request, context = self.net, self.row, self.request, self.context
        if self.service is not row.service or not context.as_scp:
            return _refused(Status.SOP_CLASS_NOT_SUPPORTED, "its presentation context is for something else")
        if request.sop_class_uid not in ("", context.abstract_syntax):
            return _refused(
                Status.SOP_CLASS_NOT_SUPPORTED,
                "Affected SOP Class UID is not that of its presentation context",
                _AFFECTED_SOP_CLASS_UID,
            )
        if row.service not in net.admission.services:
            # In the storage contexts of a peer that may get but not store, without role selection.
            return _refused(Status.NOT_AUTHORIZED, f"this AE title may not {row.service.value}")

        def look() -> None:
            if net.is_stopped(request):
                raise OperationCancelled("nobody waits for the operation any more")

        def perform_in_turn() -> Outcome:
            # A store's or an echo's peer has nothing to cancel, and what it sends meanwhile is the next request.
            net.turns.enter(look=look if row.asks_index else None)
            try:
                net.require_rights()
                if row.asks_index:
                    net.routes.require_complete(look)
                return perform()
            finally:
                net.turns.leave()

        return safely(row, perform_in_turn)


Handler = Callable[[Operation], None]
"""Answers an operation of its service."""


def _refused(status: Status, why: str, *offending: int) -> Answer:
    fields = SubOperationFields(error_comment=why)
    if offending:
        fields["offending_element"] = offending
    return Answer(status, fields)


def safely(row: ServiceRow, perform: Callable[[], Outcome]) -> Outcome | Answer:
    """Return what `perform` does, or the answer that tells of its error; AssociationEnded alone is raised."""
    try:
        return perform()
    except AssociationEnded:
        raise
    except (PacsdError, DatasetTooLong) as error:
        return answer_for(row.statuses, error)
    except Exception as error:
        _log.error(
            "unexpected-error", service=row.service.value, error=type(error).__name__, where=_where(error)
        )
        return answer_for(row.statuses, error)


def _where(error: Exception) -> list[str]:
    """Return the innermost places that an exception passed."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
    return [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames]


def logger_of_association() -> structlog.typing.FilteringBoundLogger:
    """Return a logger for `Operation.log`, made ready once: that takes as long as half of a line does."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__).bind()
    return bound


def _log_operation(
    log: structlog.typing.FilteringBoundLogger,
    service: Service,
    request: Request,
    answer: Answer,
    seconds: float,
) -> None:
    """Log a finished operation: what is refused or incomplete as a warning with its reason.

    The thousands of ordinary stores are logged for debugging only.
    """
    comment = answer.fields.get("error_comment")
    is_ordinary = service in _FREQUENT and not comment
    if is_ordinary and not _levels.isEnabledFor(logging.DEBUG):
        return  # before anything is made of it: a line that nobody sees would cost more than the answer
    facts: dict[str, Any] = {
        "service": service.value,
        "status": f"{answer.status:04X}",
        "milliseconds": round(seconds * 1000, 1),
    }
    if comment:
        if isinstance(request, CStoreRequest):
            facts["sop_instance_uid"] = request.affected_sop_instance_uid
        is_warning = status_class(answer.status) is StatusClass.WARNING
        event = "operation-incomplete" if is_warning else "operation-refused"
        log.warning(event, comment=comment, **facts)
    else:
        (log.debug if is_ordinary else log.info)("operation", **facts)
