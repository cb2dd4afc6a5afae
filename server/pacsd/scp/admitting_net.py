"""The association of one connection: admitted or rejected, ended where it loses a right, counted and logged."""

from __future__ import annotations

import secrets
import time
from typing import Final

import structlog

from dicomnet import (
    AssociateRequest,
    AssociationAborted,
    DicomNet,
    ExtendedNegotiation,
    NegotiatedAssociation,
    NetConfiguration,
    PeerCertificate,
    Request,
)
from pacsd.errors import RightsWithdrawn
from pacsd.model import Service
from pacsd.scp.access import LOCAL_LIMIT_EXCEEDED, AccessRules, Admission, Rejection
from pacsd.scp.bandwidth import Meter
from pacsd.scp.routes import Routes
from pacsd.services.intake import Intake

__all__ = ["AdmittingNet"]

_log = structlog.get_logger()

_NOTHING: Final = Admission(frozenset(), accept_unknown_sop_classes=False)
"""What may be done before anybody is admitted."""
_LAST_OPERATION_SECONDS: Final = 3.0
"""That an operation may still run when its association has lost a right; then it ends before its next step."""
_LAST_STEP_SECONDS: Final = 10.0
"""Until the connection of such an association is broken, whatever is under way on it."""


class AdmittingNet(DicomNet):
    """One connection as far as its association goes; `pacs_net.PacsNet` has the services."""

    def __init__(self, configuration: NetConfiguration, routes: Routes, meter: Meter | None = None) -> None:
        """`meter` is what `configuration` has as `while_waiting`, where the bandwidth is limited."""
        super().__init__(configuration)
        self._meter = meter
        self.routes = routes
        self.intake = Intake(routes.ingest)
        """What the association brings in."""
        self.calling_ae_title = ""
        self._place: tuple[str, str] | None = None
        """For whom it was taken: address and caller."""
        self.admission = _NOTHING
        self._request: AssociateRequest | None = None
        self._withdrawn_at: float | None = None
        """When the association lost a right, by `time.monotonic`."""
        self._caller = ""
        self.turns = routes.turns.of_nobody
        """Around work on an operation."""

    def on_secure(self, peer_certificate: PeerCertificate | None) -> None:
        """Have all that is logged of the connection name the peer's certificate."""
        if peer_certificate is not None:
            structlog.contextvars.bind_contextvars(certificate=peer_certificate.subject)

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        """Admit or reject, once for the whole association."""
        self.calling_ae_title = request.calling_ae_title
        structlog.contextvars.bind_contextvars(
            association=secrets.token_hex(4), calling_ae_title=request.calling_ae_title, address=self._address
        )
        admission = self._admit(request)
        if isinstance(admission, Rejection):
            _log.warning(
                "association-rejected",
                reason=admission.name,
                called_ae_title=request.called_ae_title,
                **({"explanation": admission.explanation} if admission.explanation else {}),
            )
            self._reject(admission, request)
            return
        address, title = self._address, request.calling_ae_title
        # Anybody can claim a title, so nobody takes by it what is another one's, who has it at another address.
        caller = title if admission.is_proven else f"{title} at {address}"
        limit = self.routes.places.enter(
            address, caller, is_known=admission.is_known, is_proven=admission.is_proven
        )
        if limit is not None:
            self.routes.exceeded.note(limit, caller if limit == "associations-per-title" else address)
            self._reject(LOCAL_LIMIT_EXCEEDED, request)
            return
        self._place = (address, caller)
        # What strangers call themselves says nothing of who they are.
        self._caller = f"title {caller}" if admission.is_known else f"address {address}"
        self.turns = self.routes.turns.enter(self._caller)
        if self._meter is not None:
            self._meter.begin(self, self._caller)
        self.accept_association(request, admission.supports)

    def on_connection_dropped(self, peer_address: tuple[str, int], limit: str) -> None:
        """Note that a connection without an association had to go."""
        self.routes.exceeded.note(limit, peer_address[0])

    @property
    def _address(self) -> str:
        return self.peer_address[0] if self.peer_address else ""

    def _admit(self, request: AssociateRequest) -> Admission | Rejection:
        """Decide by the rules that hold now. If they change meanwhile, `lost_rights` has not missed this request."""
        while True:
            access = self.routes.access
            admission = access.admit(request, self._address, self.peer_certificate)
            if not isinstance(admission, Rejection):
                self._request, self.admission = request, admission
            if self.routes.access is access:
                return admission

    # When the rules change; on the thread of who changes them.

    def change_rules(self, access: AccessRules) -> None:
        """As the listener: go by `access` from now on, and end the associations that lose a right by it.

        An operation under way is finished first, as far as that takes few seconds.
        """
        self.routes.access = access
        losers: dict[DicomNet, str] = {}
        for client in self.clients:
            if isinstance(client, AdmittingNet) and (why := client.lost_rights(access)):
                losers[client] = f"rights were withdrawn: {why}"
        self.dismiss(losers)

    def lost_rights(self, access: AccessRules) -> str:
        """Note, and return in words, what this association may not do any more by other rules; "": nothing.

        What it might do but has no presentation context for is no loss. Repeated, it says "".
        """
        request = self._request
        if request is None or self._withdrawn_at is not None:
            return ""
        certificate = self.peer_certificate
        admission = access.admit_caller(request, self._address, certificate)
        if certificate is not None and access.is_revoked(certificate):
            why = "its certificate is revoked"
        elif isinstance(admission, Rejection):
            why = admission.explanation or admission.name
        else:
            why = self.admission.lost_by(admission, self._used_services(request))
        if why:
            self._withdrawn_at = time.monotonic()
            title = request.calling_ae_title
            _log.warning("rights-withdrawn", calling_ae_title=title, address=self._address, reason=why)
        return why

    def _used_services(self, request: AssociateRequest) -> frozenset[Service]:
        """Return the services that the association has contexts for, or asks for while it is being answered."""
        if self.association is None:
            syntaxes = {each.abstract_syntax for each in request.presentation_contexts}
        else:
            contexts = self.association.presentation_contexts.values()
            syntaxes = {each.abstract_syntax for each in contexts if each.as_scp}
        used = {self.admission.service_of(each) for each in syntaxes}
        return frozenset(service for service in used if service is not None)

    def interrupt_withdrawn(self) -> None:
        """As the listener: break the connections that lost a right some time ago and have not ended since."""
        for client in self.clients:
            if isinstance(client, AdmittingNet) and client.lost_rights_before(_LAST_STEP_SECONDS):
                client.interrupt()

    def lost_rights_before(self, seconds: float) -> bool:
        """Say whether the association lost a right, so many seconds ago or more."""
        return self._withdrawn_at is not None and time.monotonic() - self._withdrawn_at >= seconds

    def require_rights(self, *, for_seconds: float = 0.0) -> None:
        """Raise RightsWithdrawn where the association lost a right, more than `for_seconds` ago."""
        if self._withdrawn_at is not None and self.lost_rights_before(for_seconds):
            raise RightsWithdrawn("rights of this AE title were withdrawn")

    def is_stopped(self, request: Request) -> bool:
        """As `is_cancelled`; raise RightsWithdrawn where a right was lost, and the operation has had time to end."""
        self.require_rights(for_seconds=_LAST_OPERATION_SECONDS)
        return self.is_cancelled(request)

    # The association.

    def answer_extended_negotiation(self, asked: ExtendedNegotiation) -> bytes | None:
        """Say which of the options that a peer offers or wants we really have."""
        return self.admission.answer_extended_negotiation(asked)

    def _reject(self, rejection: Rejection, request: AssociateRequest) -> None:
        self.routes.metrics.association_rejected(rejection.name, request.calling_ae_title)
        self.send_associate_reject(result=rejection.result, source=rejection.source, reason=rejection.reason)

    def on_associated(self, association: NegotiatedAssociation) -> None:
        """Log and count it."""
        self.routes.metrics.association_accepted(self.calling_ae_title)
        cipher = self.negotiated_cipher
        _log.info(
            "association-accepted",
            contexts=len(association.presentation_contexts),
            **({"tls": cipher.protocol, "cipher": cipher.name} if cipher else {}),
        )

    def on_disassociated(self, error: Exception | None) -> None:
        """Give the place back, however long the peer takes to close the connection."""
        self._leave_place()

    def on_close(self, error: Exception | None) -> None:
        """Log and count the end."""
        self._leave_place()  # where the acceptance failed, there was no association
        metrics = self.routes.metrics
        metrics.bytes_received(self.bytes_received)
        metrics.bytes_sent(self.bytes_sent)
        if self.association is not None:
            self._report_end(error)
        elif error is not None:
            _log.info("connection-ended-without-association", reason=str(error), address=self._address)
        structlog.contextvars.clear_contextvars()

    def _leave_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            self.routes.places.leave(*place)
            self.routes.turns.leave(self._caller)
            if self._meter is not None:
                self._meter.end()

    def _report_end(self, error: Exception | None) -> None:
        if error is None:
            self.routes.metrics.association_released(self.calling_ae_title)
            _log.info("association-released")
            return
        source = "network"
        if isinstance(error, AssociationAborted):
            source = "peer" if error.by_peer else "local"
        self.routes.metrics.association_aborted(self.calling_ae_title, source)
        _log.warning("association-aborted", source=source, reason=str(error))
