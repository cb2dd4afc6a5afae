"""Numbers that the supervisor and its forked processes all see, and what is kept in them."""

from __future__ import annotations

import mmap
import threading
from enum import IntEnum

__all__ = [
    "SLOTS",
    "AssociationCounter",
    "IndexCompleteness",
    "WorkerState",
    "WorkerTable",
    "shared_numbers",
]

SLOTS = 1024
"""Processes at once, at most: a reload doubles the workers for a while."""


def shared_numbers(count: int) -> memoryview:
    """`count` signed 64-bit numbers, all 0, in memory that a fork shares instead of copying.

    Reading or writing one is a single memory access. There is no lock: each number has one writer.
    """
    return memoryview(mmap.mmap(-1, count * 8)).cast("q")


class AssociationCounter:
    """How many associations are open over all processes, against `dicom.max_associations`.

    Each process counts in its own slot's number, so that the supervisor can take back what a killed one held.
    """

    def __init__(self, numbers: memoryview, slot: int, limit: int) -> None:
        self._numbers = numbers
        self._slot = slot
        self._limit = limit
        self._lock = threading.Lock()

    def enter(self, *, keep_free: int = 0) -> bool:
        """Count one more and say True, or say False because `max_associations` are open (reject: 2/3/2).

        So many as `keep_free` stay free behind it. Never lets in more than the limit; of two processes that ask for
        the last place at once, both may be refused.
        """
        with self._lock:
            self._numbers[self._slot] += 1
            if self.total <= self._limit - keep_free:
                return True
            self._numbers[self._slot] -= 1
            return False

    def leave(self) -> None:
        """One that entered has ended."""
        with self._lock:
            self._numbers[self._slot] -= 1

    @property
    def is_full(self) -> bool:
        """Whether all places are taken."""
        return self.total >= self._limit

    @property
    def own(self) -> int:
        """Open in this process."""
        return int(self._numbers[self._slot])

    @property
    def total(self) -> int:
        """Open in all processes."""
        return sum(self._numbers)


class IndexCompleteness:
    """Whether the index knows all stored files, and how many have been looked at; housekeeping writes it."""

    def __init__(self) -> None:
        self._numbers = shared_numbers(3)

    @property
    def is_complete(self) -> bool:
        """Whether answers from the index lack nothing."""
        return bool(self._numbers[0])

    @property
    def looked_at(self) -> tuple[int, int]:
        """How many files have been looked at, of how many."""
        return int(self._numbers[1]), int(self._numbers[2])

    def report(self, done: int, total: int) -> None:
        """So many of so many files have been looked at."""
        self._numbers[1], self._numbers[2] = done, total

    def complete(self) -> None:
        """All have been looked at."""
        self._numbers[0] = 1


class WorkerState(IntEnum):
    """What the process in a slot is about."""

    NONE = 0
    STARTING = 1
    READY = 2
    STOPPING = 3
    OTHER = 4
    """Not a worker."""


class WorkerTable:
    """The workers' states, for the health checks. A worker reports READY, all else the supervisor writes."""

    def __init__(self) -> None:
        self._states = shared_numbers(SLOTS)
        self._wanted = shared_numbers(1)

    @property
    def wanted(self) -> int:
        """How many workers there should be; 0 when the server stops."""
        return int(self._wanted[0])

    @wanted.setter
    def wanted(self, count: int) -> None:
        self._wanted[0] = count

    def set(self, slot: int, state: WorkerState) -> None:
        """Note the state of the process in `slot`."""
        self._states[slot] = state

    def get(self, slot: int) -> WorkerState:
        """The state of the process in `slot`."""
        return WorkerState(self._states[slot])

    def free_slot(self) -> int | None:
        """The lowest slot without a process, None if all are taken."""
        return next((slot for slot, state in enumerate(self._states) if state == WorkerState.NONE), None)

    def slots(self, *states: WorkerState) -> frozenset[int]:
        """Where processes in one of `states` are."""
        return frozenset(slot for slot, state in enumerate(self._states) if state in states)

    def count(self, *states: WorkerState) -> int:
        """Processes in one of `states`."""
        return sum(state in states for state in self._states)
