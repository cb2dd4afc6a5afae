"""The engine's exceptions: who was wrong, and what goes on the wire."""

from __future__ import annotations

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
]


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


class AssociationEnded(DicomNetError):
    """The association is over before the operation was; the subclasses say how."""


class AssociationAborted(AssociationEnded):
    """One side sent A-ABORT (PS3.8 §9.3.8): `source` 0 is the service user, 2 the provider."""

    def __init__(self, message: str, *, source: int, reason: int) -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason


class AssociationReleased(AssociationEnded):
    """The peer released the association while an operation still waited for its answer."""


class AssociationTimedOut(AssociationEnded):
    """The peer said nothing, or took nothing, until a deadline."""


class ConnectionLost(AssociationEnded):
    """The transport connection closed or failed without release or abort."""


class DatasetTooLong(DicomNetError):
    """A data set that had to be held in memory is longer than its limit."""
