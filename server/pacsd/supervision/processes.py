"""The server's processes: starting one with all that it needs, and clearing up after one that ended."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from pacsd.http.server import run_http
from pacsd.observability.logging import tell_repeats
from pacsd.observability.metrics import Metrics, forget_process, join_as
from pacsd.supervision.child_process import Child, fork
from pacsd.supervision.places import CallerCounts
from pacsd.supervision.shared_numbers import (
    SLOTS,
    AssociationCounter,
    IndexCompleteness,
    WorkerState,
    WorkerTable,
    shared_numbers,
)
from pacsd.supervision.signs_of_life import BEAT_SECONDS, OwnSigns, SignsOfLife
from pacsd.supervision.worker import SharedState, WorkerContext

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pacsd.model import ArchiveIdentity
    from pacsd.settings import Settings

__all__ = ["HOUSEKEEPING", "HTTP", "WORKER", "Processes"]

WORKER: Final = "worker"
HTTP: Final = "http"
HOUSEKEEPING: Final = "housekeeping"
_BEATS: Final = 30
"""In the time after which a process is called silent, at least."""


class Processes:
    """What lives now, each in a slot of its own. For the supervisor's one thread only."""

    def __init__(
        self,
        run_worker: Callable[[WorkerContext], int],
        identity: ArchiveIdentity,
        *,
        dicom: list[socket.socket],
        http: socket.socket | None,
        run_housekeeping: Callable[[WorkerContext], int] | None = None,
        dicom_tls: Sequence[socket.socket] = (),
        host_addresses: Path | None = None,
        private: Iterable[socket.socket] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`dicom`, `dicom_tls` and `http` are the listening sockets; `private` ones stay the supervisor's.

        `host_addresses` as `SharedState` has it.
        """
        self.run_housekeeping = run_housekeeping
        self.metrics = Metrics()
        self.workers = WorkerTable()
        self.dicom = dicom
        self.dicom_tls = list(dicom_tls)
        self.http = http
        self._run_worker = run_worker
        self._identity = identity
        self._host_addresses = host_addresses
        self._private = tuple(private)
        self._clock = clock
        self._associations = shared_numbers(SLOTS)
        self._callers = CallerCounts()
        self._completeness = IndexCompleteness()
        if run_housekeeping is None:
            self._completeness.complete()  # nobody would
        self._deaths = shared_numbers(1)
        self._reserved = shared_numbers(1 + SLOTS)
        self.signs = SignsOfLife()
        self.read_only = ""
        """As `WorkerContext.read_only`, for processes that are started from now on."""
        self._converting = shared_numbers(2 * SLOTS)
        self._children: dict[int, Child] = {}

    def __len__(self) -> int:
        return len(self._children)

    def all(self) -> list[Child]:
        """The living, oldest first."""
        return list(self._children.values())

    def of_role(self, role: str) -> list[Child]:
        """The living of one role."""
        return [child for child in self._children.values() if child.role == role]

    @property
    def room(self) -> int:
        """How many more could be started."""
        return self.workers.count(WorkerState.NONE)

    def start(self, role: str, settings: Settings) -> Child:
        """Fork one that goes by `settings` for all its life; raises OSError when there is no room for it."""
        slot = self.workers.free_slot()
        if slot is None:
            raise BlockingIOError(0, "too many processes still drain")
        self.workers.set(slot, WorkerState.STARTING if role == WORKER else WorkerState.OTHER)
        self.signs.begin(role, slot)
        self._reserved[0] = max(self._reserved[0], 1 + slot)
        if role == WORKER:
            self._callers.open(slot)
        try:
            child = fork(
                slot,
                role,
                lambda stop_fd: self._run(role, slot, stop_fd, settings),
                inherited=self._not_for(role),
            )
        except OSError:
            self.workers.set(slot, WorkerState.NONE)
            self.signs.forget(slot)
            raise
        self.signs.note_process(slot, child.pid)
        child.started = self._clock()
        self._children[child.pid] = child
        return child

    def lived(self, child: Child) -> float:
        """For how long it has been there, seconds."""
        return self._clock() - child.started

    def reap(self) -> Iterator[tuple[Child, int]]:
        """Those that ended since the last call with their `waitpid` status; what they held is given back."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            # As process 1 of a container, we also get orphans that we never started.
            if child is not None:
                self._clear_up(child)
                yield child, status

    @property
    def has_housekeeping(self) -> bool:
        """Whether there is to be such a process: there is nothing to do where nothing can be written."""
        return self.run_housekeeping is not None and not self.read_only

    def note_complete(self) -> None:
        """The index knows all files, and housekeeping need not see to it."""
        self._completeness.complete()

    def note_death(self) -> None:
        """A worker has died, and what it left was cleared up: housekeeping may look at the rest."""
        self._deaths[0] += 1

    def _clear_up(self, child: Child) -> None:
        child.channel.close()
        forget_process(str(child.slot))
        self._associations[child.slot] = 0
        self._reserved[1 + child.slot] = 0
        self.signs.forget(child.slot)
        if child.role == WORKER:
            self._callers.forget(child.slot)
        self._converting[child.slot] = self._converting[SLOTS + child.slot] = 0
        self.workers.set(child.slot, WorkerState.NONE)

    def _not_for(self, role: str) -> list[socket.socket]:
        """The sockets that a child of this role must not keep open."""
        others = [*self._private, *(child.channel for child in self._children.values())]
        if role != WORKER:
            others += [*self.dicom, *self.dicom_tls]
        if role != HTTP and self.http is not None:
            others.append(self.http)
        return others

    def _run(self, role: str, slot: int, stop_fd: int, settings: Settings) -> int:
        """In the child: its whole life."""
        join_as(str(slot))
        self.metrics.peers = frozenset(peer.ae_title for peer in settings.peer)
        associations = AssociationCounter(self._associations, slot, settings.dicom.max_associations)
        sockets = self.dicom if role == WORKER else [self.http] if self.http and role == HTTP else []
        context = WorkerContext(
            index=slot,
            sockets=sockets,
            tls_sockets=self.dicom_tls if role == WORKER else [],
            stop_fd=stop_fd,
            settings=settings,
            shared=SharedState(
                associations,
                self.metrics,
                self.workers,
                self._identity,
                self._completeness,
                self._deaths,
                self._host_addresses,
                self.signs,
                self._reserved,
                self._callers,
                self._converting,
            ),
            read_only=self.read_only,
            signs=OwnSigns(self.signs, slot),
        )
        runs = {WORKER: self._run_worker, HTTP: run_http, HOUSEKEEPING: self.run_housekeeping}
        run = runs[role]
        if run is None:
            return 0
        signs = context.signs
        signs.looks.append(tell_repeats)
        with signs.beating(min(BEAT_SECONDS, settings.server.beat_timeout / _BEATS)):
            return run(context)
