"""The association of one connection: admitted or rejected once, counted and logged to its end."""

from __future__ import annotations

import secrets
from typing import Final

import structlog

from dicomnet import (
    AssociateRequest,
    AssociationAborted,
    ExtendedNegotiation,
    NegotiatedAssociation,
    NetConfiguration,
    PeerCertificate,
)
from pacsd.scp.access import LOCAL_LIMIT_EXCEEDED, Admission, Rejection
from pacsd.scp.normalized_services import NoNormalizedServices
from pacsd.scp.routes import Routes

__all__ = ["AdmittingNet"]

_log = structlog.get_logger()

_NOTHING: Final = Admission(frozenset(), accept_unknown_sop_classes=False)
"""What may be done before anybody is admitted."""


class AdmittingNet(NoNormalizedServices):
    """One connection as far as its association goes; `pacs_net.PacsNet` has the services."""

    def __init__(self, configuration: NetConfiguration, routes: Routes) -> None:
        super().__init__(configuration)
        self._routes = routes
        self._calling_ae_title = ""
        self._has_place = False
        self._admission = _NOTHING

    def on_secure(self, peer_certificate: PeerCertificate | None) -> None:
        """Have all that is logged of the connection name the peer's certificate."""
        if peer_certificate is not None:
            structlog.contextvars.bind_contextvars(certificate=peer_certificate.subject)

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        """Admit or reject, once for the whole association."""
        address = self.peer_address[0] if self.peer_address else ""
        self._calling_ae_title = request.calling_ae_title
        structlog.contextvars.bind_contextvars(
            association=secrets.token_hex(4), calling_ae_title=request.calling_ae_title, address=address
        )
        admission = self._routes.access.admit(request, address)
        if not isinstance(admission, Rejection) and not self._routes.places.enter():
            admission = LOCAL_LIMIT_EXCEEDED
        if isinstance(admission, Rejection):
            self._reject(admission, request)
            return
        self._has_place = True
        self._admission = admission
        self.accept_association(request, admission.supports)

    def answer_extended_negotiation(self, asked: ExtendedNegotiation) -> bytes | None:
        """Say which of the options that a peer offers or wants we really have."""
        return self._admission.answer_extended_negotiation(asked)

    def _reject(self, rejection: Rejection, request: AssociateRequest) -> None:
        _log.warning("association-rejected", reason=rejection.name, called_ae_title=request.called_ae_title)
        self._routes.metrics.association_rejected(rejection.name, request.calling_ae_title)
        self.send_associate_reject(result=rejection.result, source=rejection.source, reason=rejection.reason)

    def on_associated(self, association: NegotiatedAssociation) -> None:
        """Log and count it."""
        self._routes.metrics.association_accepted(self._calling_ae_title)
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
        metrics = self._routes.metrics
        metrics.bytes_received(self.bytes_received)
        metrics.bytes_sent(self.bytes_sent)
        if self.association is not None:
            self._report_end(error)
        elif error is not None:
            address = self.peer_address[0] if self.peer_address else ""
            _log.info("connection-ended-without-association", reason=str(error), address=address)
        structlog.contextvars.clear_contextvars()

    def _leave_place(self) -> None:
        if self._has_place:
            self._has_place = False
            self._routes.places.leave()

    def _report_end(self, error: Exception | None) -> None:
        if error is None:
            self._routes.metrics.association_released(self._calling_ae_title)
            _log.info("association-released")
            return
        source = "network"
        if isinstance(error, AssociationAborted):
            source = "peer" if error.by_peer else "local"
        self._routes.metrics.association_aborted(self._calling_ae_title, source)
        _log.warning("association-aborted", source=source, reason=str(error))
