"""What a worker process is given by the supervisor."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from pacsd.supervision.shared_numbers import IndexCompleteness, WorkerState, shared_numbers

if TYPE_CHECKING:
    import socket

    from pacsd.model import ArchiveIdentity
    from pacsd.observability.metrics import Metrics
    from pacsd.settings import Settings
    from pacsd.supervision.shared_numbers import AssociationCounter, WorkerTable

__all__ = ["RETIRE_MESSAGE", "SharedState", "Stop", "WorkerContext"]

RETIRE_MESSAGE: Final = b"r"


class Stop(Enum):
    """Why a worker is to take no new connections any more."""

    RETIRE = "retire"
    """Another worker with a new configuration takes over: running associations may go on to their end."""
    SHUTDOWN = "shutdown"
    """The server stops: what still runs after `server.shutdown_timeout` is aborted."""


@dataclass(frozen=True, slots=True)
class SharedState:
    """What the processes of one server have in common."""

    associations: AssociationCounter
    metrics: Metrics
    workers: WorkerTable
    identity: ArchiveIdentity
    """Of the archive, with the generation that this server has begun, whatever becomes of the file that says so."""
    completeness: IndexCompleteness = field(default_factory=IndexCompleteness)
    deaths: memoryview = field(default_factory=lambda: shared_numbers(1))
    """One number: how many workers have died since the server's start; what they left is to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """A worker's own: it serves `sockets` until told to stop, then drains and returns its exit status."""

    index: int
    """From 0, different in all living processes; a replacement may get its predecessor's."""
    sockets: list[socket.socket]
    """Listening for DICOM, shared with the other workers: close them when told to stop, no earlier.

    Another worker may be quicker to accept: who waits with select must not block in accept.
    """
    tls_sockets: list[socket.socket] = field(default_factory=list)
    """As `sockets`, for DICOM over TLS."""
    stop_fd: int
    """Readable when the worker is to stop, also because the supervisor is gone; see `wait_for_stop`."""
    settings: Settings
    shared: SharedState

    def ready(self) -> None:
        """Say that connections are being accepted: once; /readyz waits for it."""
        self.shared.workers.set(self.index, WorkerState.READY)

    def wait_for_stop(self, timeout: float | None = None) -> Stop | None:
        """Block until the worker is to stop, or for `timeout` seconds: then None.

        A RETIRE is reported once, and the next call waits for the SHUTDOWN that may still come, which is
        reported each time.
        """
        readable, _, _ = select.select([self.stop_fd], [], [], timeout)
        if not readable:
            return None
        return Stop.RETIRE if os.read(self.stop_fd, 1) == RETIRE_MESSAGE else Stop.SHUTDOWN
