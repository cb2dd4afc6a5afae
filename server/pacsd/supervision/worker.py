"""What a process is given by the supervisor."""

from __future__ import annotations

import os
import pickle
import select
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from pacsd.supervision.places import CallerCounts
from pacsd.supervision.shared_numbers import SLOTS, IndexCompleteness, WorkerState, shared_numbers
from pacsd.supervision.signs_of_life import OwnSigns, SignsOfLife

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pacsd.model import ArchiveIdentity
    from pacsd.observability.metrics import Metrics
    from pacsd.settings import Settings
    from pacsd.supervision.shared_numbers import AssociationCounter, WorkerTable

__all__ = ["RETIRE_MESSAGE", "SharedState", "Stop", "WorkerContext", "settings_file"]

RETIRE_MESSAGE: Final = b"r"
"""Comes with a `settings_file`, where the configuration has changed."""


@contextmanager
def settings_file(settings: Settings) -> Iterator[int]:
    """A file in memory with `settings`, to be sent along with RETIRE_MESSAGE.

    A file and not a message, whose length could fill the channel and have the supervisor wait for a worker.
    """
    descriptor = os.memfd_create("pacsd-settings")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            pickle.dump(settings, file)
        yield descriptor
    finally:
        os.close(descriptor)


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
    host_addresses: Path | None = None
    """The folder of `scp.host_addresses.RememberedAddresses`; None: each process looks up for itself."""
    signs: SignsOfLife = field(default_factory=SignsOfLife)
    reserved: memoryview = field(default_factory=lambda: shared_numbers(1 + SLOTS))
    """Bytes that each process is about to write to the store; see `storage.room`."""
    callers: CallerCounts = field(default_factory=CallerCounts)
    """How many associations each of them has open, in all processes."""
    converting: memoryview = field(default_factory=lambda: shared_numbers(2 * SLOTS))
    """Bytes that conversions hold, of each process; see `dataset.transcode.Transcoder`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """A process's own: it serves `sockets` until told to stop, then drains and returns its exit status."""

    index: int
    """From 0, different in all living processes; a replacement may get its predecessor's."""
    sockets: Mapping[str, socket.socket]
    """Listening, by their sections in the configuration; shared with others: close them when told to stop, no earlier.

    Another process may be quicker to accept: who waits with select must not block in accept.
    """
    stop_fd: int
    """Readable when the worker is to stop, also because the supervisor is gone; see `wait_for_stop`."""
    settings: Settings
    """Those of the worker's start, by which it serves; see `take_new_settings`."""
    shared: SharedState
    _new_settings: list[Settings] = field(default_factory=list)
    read_only: str = ""
    """Why nothing can be stored, for as long as this process lives; "" where it can."""
    signs: OwnSigns = field(default_factory=lambda: OwnSigns(SignsOfLife(), 0))
    """Where this process shows its progress."""

    def ready(self) -> None:
        """Say that connections are being accepted: once; /readyz waits for it."""
        self.shared.workers.set(self.index, WorkerState.READY)

    def wait_for_stop(self, timeout: float | None = None) -> Stop | None:
        """Block until the worker is to stop, or for `timeout` seconds: then None.

        A RETIRE is reported once, and the next call waits for the SHUTDOWN that may still come, which is
        reported each time, or for the RETIRE of a further reload.
        """
        readable, _, _ = select.select([self.stop_fd], [], [], timeout)
        if not readable:
            return None
        with socket.socket(fileno=os.dup(self.stop_fd)) as channel:
            message, files, _, _ = socket.recv_fds(channel, len(RETIRE_MESSAGE), 1)
        for descriptor in files:
            # By pread: all who are sent the file share its position.
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            os.close(descriptor)
            self._new_settings[:] = [pickle.loads(content)]  # noqa: S301  nobody else can have written it
        return Stop.RETIRE if message == RETIRE_MESSAGE else Stop.SHUTDOWN

    def take_new_settings(self) -> Settings | None:
        """Return the settings that the last RETIRE came with, once: rights that were granted before go by them."""
        return self._new_settings.pop() if self._new_settings else None
