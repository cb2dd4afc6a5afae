"""What the Upper Layer tells its user: the indications and confirmations of PS3.8 §7, as values."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnet.errors import RemoteProtocolError
from dicomnet.upper_layer.pdu import AssociateAccept, AssociateReject, AssociateRequest, PresentationDataValue

__all__ = [
    "AbortReceived",
    "AssociateAccepted",
    "AssociateRejected",
    "AssociateRequested",
    "DataReceived",
    "Indication",
    "ProtocolViolated",
    "ReleaseConfirmed",
    "ReleaseRequested",
    "TransportLost",
]


@dataclass(frozen=True, slots=True)
class AssociateRequested:
    """A-ASSOCIATE indication: answer with accept or reject."""

    request: AssociateRequest


@dataclass(frozen=True, slots=True)
class AssociateAccepted:
    """A-ASSOCIATE confirmation, accepted: the association stands."""

    accept: AssociateAccept


@dataclass(frozen=True, slots=True)
class AssociateRejected:
    """A-ASSOCIATE confirmation, rejected."""

    reject: AssociateReject


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A-RELEASE indication: answer when the running operations are done."""


@dataclass(frozen=True, slots=True)
class ReleaseConfirmed:
    """A-RELEASE confirmation."""


@dataclass(frozen=True, slots=True)
class AbortReceived:
    """A-ABORT or A-P-ABORT indication, as the peer sent it: source 0 is its user, 2 its provider."""

    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class ProtocolViolated:
    """A-P-ABORT indication of our own: the peer broke the protocol and was sent A-ABORT."""

    error: RemoteProtocolError


@dataclass(frozen=True, slots=True)
class TransportLost:
    """A-P-ABORT indication: the transport connection closed under the association."""


@dataclass(frozen=True, slots=True)
class DataReceived:
    """P-DATA indication."""

    value: PresentationDataValue


Indication = (
    AssociateRequested
    | AssociateAccepted
    | AssociateRejected
    | ReleaseRequested
    | ReleaseConfirmed
    | AbortReceived
    | ProtocolViolated
    | TransportLost
    | DataReceived
)
