"""The server's processes: starting one with all that it needs, and clearing up after one that ended."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pacsd.model import ArchiveIdentity
    from pacsd.settings import Settings
    from pacsd.supervision.process_role import ProcessRole

__all__ = ["Processes"]

_BEATS: Final = 30
"""In the time after which a process is called silent, at least."""


class Processes:
    """What lives now, each in a slot of its own. For the supervisor's one thread only."""

    def __init__(
        self,
        roles: Sequence[ProcessRole],
        identity: ArchiveIdentity,
        *,
        sockets: Mapping[str, socket.socket],
        host_addresses: Path | None = None,
        private: Iterable[socket.socket] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sockets` are the listening ones, by their sections; `private` ones stay the supervisor's.

        `host_addresses` as `SharedState` has it.
        """
        self.metrics = Metrics()
        self.workers = WorkerTable()
        self.sockets = sockets
        self._roles = tuple(roles)
        self._identity = identity
        self._host_addresses = host_addresses
        self._private = tuple(private)
        self._clock = clock
        self._associations = shared_numbers(SLOTS)
        self._callers = CallerCounts()
        self._completeness = IndexCompleteness()
        if not any(role.needs_disk for role in roles):
            self._completeness.complete()  # nobody would
        self._deaths = shared_numbers(1)
        self._reserved = shared_numbers(1 + SLOTS)
        self.signs = SignsOfLife(parts_of={role.name: role.parts for role in roles})
        self.read_only = ""
        """As `WorkerContext.read_only`, for processes that are started from now on."""
        self._converting = shared_numbers(2 * SLOTS)
        self._children: dict[int, Child] = {}

    def __len__(self) -> int:
        return len(self._children)

    def all(self) -> list[Child]:
        """The living, oldest first."""
        return list(self._children.values())

    @property
    def serving(self) -> list[Child]:
        """The living that serve associations, oldest first: workers."""
        return [child for child in self._children.values() if child.role.serves_associations]

    def of_role(self, role: ProcessRole) -> list[Child]:
        """The living of one role."""
        return [child for child in self._children.values() if child.role is role]

    def roles(self) -> list[ProcessRole]:
        """Those of which there are to be processes, as far as they have something to do."""
        return [
            role
            for role in self._roles
            if (not role.sockets or not self.sockets.keys().isdisjoint(role.sockets))
            and not (role.needs_disk and self.read_only)
        ]

    @property
    def room(self) -> int:
        """How many more could be started."""
        return self.workers.count(WorkerState.NONE)

    def start(self, role: ProcessRole, settings: Settings) -> Child:
        """Fork one that goes by `settings` for all its life; raises OSError when there is no room for it."""
        slot = self.workers.free_slot()
        if slot is None:
            raise BlockingIOError(0, "too many processes still drain")
        self.metrics.count_from_nought(peer.ae_title for peer in settings.peer)
        self.workers.set(slot, WorkerState.STARTING if role.serves_associations else WorkerState.OTHER)
        self.signs.begin(role.name, slot)
        self._reserved[0] = max(self._reserved[0], 1 + slot)
        if role.serves_associations:
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
                child.has_served = self.workers.get(child.slot) is WorkerState.READY
                self._clear_up(child)
                yield child, status

    def close_sockets(self) -> None:
        """Listen no more, but for those that end last."""
        for role in self._roles:
            for section in () if role.ends_last else role.sockets:
                if section in self.sockets:
                    self.sockets[section].close()

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
        if child.role.serves_associations:
            self._callers.forget(child.slot)
        self._converting[child.slot] = self._converting[SLOTS + child.slot] = 0
        self.workers.set(child.slot, WorkerState.NONE)

    def _not_for(self, role: ProcessRole) -> list[socket.socket]:
        """The sockets that a child of this role must not keep open."""
        others = [*self._private, *(child.channel for child in self._children.values())]
        return others + [each for section, each in self.sockets.items() if section not in role.sockets]

    def _run(self, role: ProcessRole, slot: int, stop_fd: int, settings: Settings) -> int:
        """In the child: its whole life."""
        join_as(str(slot))
        self.metrics.peers = frozenset(peer.ae_title for peer in settings.peer)
        associations = AssociationCounter(self._associations, slot, settings.dicom.max_associations)
        context = WorkerContext(
            index=slot,
            sockets={name: each for name, each in self.sockets.items() if name in role.sockets},
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
        signs = context.signs
        signs.looks.append(tell_repeats)
        with signs.beating(min(BEAT_SECONDS, settings.server.beat_timeout / _BEATS)):
            return role.run(context)
