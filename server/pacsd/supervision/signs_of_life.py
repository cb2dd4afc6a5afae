"""Signs of life: what each process shows of its progress in shared memory, and what its silence means.

A thread in each process beats each second, so an idle process beats and one that waits for a slow disk does too. A
process that does not beat is stopped, or its interpreter hangs. What it is busy with is noted beside: since when its
commit has been at one attempt, since when it has held the index's turn, and since when it has left connections waiting.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

from pacsd.supervision.shared_numbers import SLOTS, shared_numbers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "BEAT_SECONDS",
    "PARTS",
    "SUPERVISOR",
    "Acceptance",
    "OwnSigns",
    "SignsOfLife",
    "Stagnation",
]

PARTS: Final = ("beat", "accept", "commit", "turn")
"""What may stand still: the process itself, its taking of connections, a commit, the index's turn that it holds."""
SUPERVISOR: Final = "supervisor"
BEAT_SECONDS: Final = 1.0
"""Between beats, at most."""

_log = structlog.get_logger()

_FIELDS: Final = 2 + len(PARTS)
_PID, _ROLE, _BEAT, _ACCEPT, _COMMIT, _TURN = range(_FIELDS)
"""What there is of each process; the parts' times are in nanoseconds, 0 where nothing is under way."""
_SUPERVISOR: Final = SLOTS
_GRACE: Final = (SLOTS + 1) * _FIELDS


@dataclass(frozen=True, slots=True)
class Stagnation:
    """One part of a process that has shown no progress for so many seconds."""

    slot: int
    pid: int
    role: str
    part: str
    seconds: float


class SignsOfLife:
    """All processes' signs. CLOCK_MONOTONIC, which stands still while the machine is suspended."""

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        parts_of: Mapping[str, Sequence[str]] = MappingProxyType({"worker": PARTS}),
    ) -> None:
        """`parts_of` says which of `PARTS` there are in the processes of each role."""
        self.parts_of = {SUPERVISOR: PARTS[:1], **parts_of}
        """By role, the supervisor's among them."""
        self._roles = ("", *self.parts_of)
        self._numbers = shared_numbers(_GRACE + 1)
        self.clock: Final = clock

    def begin(self, role: str, slot: int = _SUPERVISOR) -> OwnSigns:
        """A process begins to beat, in its slot; the supervisor has one of its own."""
        self.forget(slot)
        numbers = self.of_slot(slot)
        numbers[_ROLE] = self._roles.index(role)
        numbers[_BEAT] = self.clock()
        return OwnSigns(self, slot)

    def of_slot(self, slot: int) -> memoryview:
        """Return the numbers of the process in a slot."""
        return self._numbers[slot * _FIELDS : (slot + 1) * _FIELDS]

    def forget(self, slot: int) -> None:
        """The process in a slot is gone."""
        numbers = self.of_slot(slot)
        for field in range(_FIELDS):
            numbers[field] = 0

    def give_grace(self) -> None:
        """Let all silences count from now: nobody could do anything for a while, such as on a frozen machine."""
        self._numbers[_GRACE] = self.clock()

    def note_process(self, slot: int, pid: int) -> None:
        """Say which process is in a slot."""
        self.of_slot(slot)[_PID] = pid

    def all(self) -> Iterator[Stagnation]:
        """Yield, for each process, how old each sign is; those that have nothing under way are left out."""
        now, grace = self.clock(), self._numbers[_GRACE]
        # Of a thousand slots few are used.
        used = [slot for slot, role in enumerate(self._numbers[_ROLE:_GRACE:_FIELDS].tolist()) if role]
        for slot in used:
            pid, role, *times = self.of_slot(slot)
            for part, since in zip(PARTS, times, strict=True):
                if since:
                    seconds = max(0, now - max(since, grace)) / 1e9
                    yield Stagnation(slot, pid, self._roles[role], part, seconds)

    def standing_still(self, *, silent_after: float, busy_after: float) -> list[Stagnation]:
        """Return who has not beaten for `silent_after` seconds, and what stands still for `busy_after`.

        With a silent process goes the turn that it holds, as nobody else has it before it is killed.
        """
        found = list(self.all())
        silent = {each.slot for each in found if each.part == "beat" and each.seconds > silent_after}
        return [
            each
            for each in found
            if (each.slot in silent and each.part in {"beat", "turn"})
            or (each.part != "beat" and each.seconds > busy_after)
        ]


class OwnSigns:
    """What one process shows of itself; any of its threads may."""

    def __init__(self, signs: SignsOfLife, slot: int) -> None:
        self._numbers = signs.of_slot(slot)
        self._clock = signs.clock
        self.looks: list[Callable[[], None]] = []
        """What is done with each beat; must take no time and raise nothing."""

    def beat(self) -> None:
        """Show that the process lives."""
        self._numbers[_PID] = os.getpid()
        self._numbers[_BEAT] = self._clock()

    def note_accepting(self, *, is_stuck: bool) -> None:
        """Connections wait and none was taken since the last look, or not."""
        if is_stuck != bool(self._numbers[_ACCEPT]):
            self._numbers[_ACCEPT] = self._clock() if is_stuck else 0

    # With each commit, so these do nothing else.

    def note_commit(self, is_under_way: bool) -> None:  # noqa: FBT001  a callback's only argument
        """A commit begins, or none is under way any more."""
        self._numbers[_COMMIT] = self._clock() if is_under_way else 0

    def note_attempt(self) -> None:
        """A commit makes another attempt: it does not stand still."""
        if self._numbers[_COMMIT]:
            self.note_commit(True)

    def note_turn(self, is_held: bool) -> None:  # noqa: FBT001  a callback's only argument
        """The process has the turn to write to the index now, or has given it back."""
        self._numbers[_TURN] = self._clock() if is_held else 0

    @contextmanager
    def beating(self, interval: float = BEAT_SECONDS) -> Iterator[None]:
        """Beat every `interval` seconds in a thread, for the length of a `with` block."""
        ended = threading.Event()

        def keep_beating() -> None:
            while not ended.wait(interval):
                self.beat()
                for look in tuple(self.looks):
                    try:
                        look()
                    except Exception:
                        # It must not silence the process, which would be killed for it.
                        _log.exception("look-failed")

        thread = threading.Thread(target=keep_beating, name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class Acceptance:
    """Whether a process takes the connections that wait: it does not if some wait at two looks and none was taken."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = tuple(sockets)
        self._taken = 0
        self._seen = 0

    def note(self) -> None:
        """A connection was taken."""
        self._taken += 1

    def is_stuck(self) -> bool:
        """Look; never waits."""
        taken, seen = self._taken, self._seen
        self._seen = taken
        if taken != seen:
            return False
        poll = select.poll()
        for listening in self._sockets:
            if (descriptor := listening.fileno()) >= 0:  # it is closed when the process stops accepting
                poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
