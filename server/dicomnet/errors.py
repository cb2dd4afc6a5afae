"""The engine's exceptions: who was wrong, and what goes on the wire."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AssociationAborted",
    "AssociationEnded",
    "AssociationRejected",
    "AssociationReleased",
    "AssociationTimedOut",
    "ConnectionLost",
    "DatasetTooLong",
    "DicomNetError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "SecurityNotSupported",
    "TlsConfigurationError",
    "TlsHandshakeFailed",
]


_REJECT_CAUSES: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given by its service provider",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""By source and reason (PS3.8 Table 9-21)."""


class DicomNetError(Exception):
    """The root of all that the engine raises."""


class LocalProtocolError(DicomNetError):
    """The caller asked for what the protocol does not allow now; nothing was sent, the state is unchanged."""


class RemoteProtocolError(DicomNetError):
    """The peer broke the protocol; `reason` is the A-P-ABORT reason to send (PS3.8 §9.3.8, source 2)."""

    def __init__(self, message: str, *, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason


class AssociationRejected(DicomNetError):
    """The peer answered A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    def __init__(self, message: str, *, result: int, source: int, reason: int) -> None:
        super().__init__(message)
        self.result = result
        self.source = source
        self.reason = reason

    @classmethod
    def by(cls, result: int, source: int, reason: int) -> AssociationRejected:
        """Return the exception for the three numbers of an A-ASSOCIATE-RJ, told in words."""
        lasting = "permanently" if result == 1 else "for now"
        cause = _REJECT_CAUSES.get((source, reason), f"source {source}, reason {reason}")
        return cls(
            f"the peer rejected the association {lasting}: {cause}",
            result=result,
            source=source,
            reason=reason,
        )


class AssociationEnded(DicomNetError):
    """The association is over before the operation was; the subclasses say how."""


class AssociationAborted(AssociationEnded):
    """One side, the peer or we, sent A-ABORT (PS3.8 §9.3.8): `source` 0 is its service user, 2 its provider."""

    def __init__(self, message: str, *, source: int, reason: int, by_peer: bool = False) -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason
        self.by_peer = by_peer


class AssociationReleased(AssociationEnded):
    """The peer released the association while an operation still waited for its answer."""


class AssociationTimedOut(AssociationEnded):
    """The peer said nothing, or took nothing, until a deadline."""


class ConnectionLost(AssociationEnded):
    """The transport connection closed or failed without release or abort."""


class SecurityNotSupported(DicomNetError):
    """A security mechanism was asked for that is retired or not known (PS3.15 Annex B)."""


class TlsHandshakeFailed(ConnectionLost):
    """The transport connection stood, but TLS did not come about on it: a certificate is refused, or no TLS spoken."""


class TlsConfigurationError(DicomNetError):
    """A certificate or key cannot be used; `part` is the field of `TlsConfiguration` that is at fault."""

    def __init__(self, message: str, *, part: str) -> None:
        super().__init__(message)
        self.part = part


class DatasetTooLong(DicomNetError):
    """A data set that had to be held in memory is longer than its limit."""
