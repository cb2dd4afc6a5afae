"""What a DicomNet is told when it is made: deadlines and limits."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from dicomnet.limits import Limits
from dicomnet.net.tls import TlsConfiguration

__all__ = ["NetConfiguration", "Timeouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for a peer, in seconds; at the end the association is aborted."""

    connect: float = 10.0
    """For the transport connection."""
    tls_handshake: float = 10.0
    """For the whole TLS handshake, behind the transport connection and before anything of DICOM."""
    artim: float = 30.0
    """For the A-ASSOCIATE-RQ of a new connection, and for the peer to close a finished one (PS3.8 §9.1.5)."""
    association: float = 30.0
    """For the answer to our own A-ASSOCIATE-RQ or A-RELEASE-RQ."""
    dimse: float = 60.0
    """For the next bytes of a message under way, and for the next answer to our own request."""
    idle: float = 600.0
    """For the next request on a standing association."""
    write: float = 60.0
    """For the peer to take any of the bytes that we send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetConfiguration:
    """Settings of one connection, or of all that a listener accepts."""

    maximum_length: int = 262144
    """Largest P-DATA-TF PDU-length that we ask the peer to send, bytes; 0 = no limit. Larger ones are taken too:
    they are streamed and cost no memory."""
    maximum_connections: int = 0
    """Connections that a listener serves at once, associated or not; further ones are closed as soon as they are
    accepted. 0 = no limit. Leave room above the associations that are to stand, so that one too many is rejected
    in words (PS3.8 Table 9-21)."""
    maximum_unassociated: int = 0
    """Of these, connections on which no association stands: still silent, rejected, or not closed by the peer yet. For
    one more the oldest on which nothing comes is closed; see `Callbacks.on_connection_dropped`. 0 = no limit."""
    maximum_unassociated_per_address: int = 0
    """The same for those from one address."""
    maximum_operations: int = 32
    """Operations that a peer which asks for a window (PS3.7 §D.3.3.3) may have outstanding with us, and we with it;
    1 = one at a time, as without a window."""
    while_waiting: AbstractContextManager[None] = field(default_factory=nullcontext)
    """Entered around each wait for a peer during an operation, by the thread that waits; many may be in it at once."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    tls: TlsConfiguration | None = None
    """Speak TLS: to all that we call, and on what `listen` opens. None: in the clear."""
