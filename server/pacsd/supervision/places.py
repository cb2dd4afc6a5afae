"""Who has the places for associations: how many there are for each address and each AE title, over all processes."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pacsd.supervision.shared_numbers import SLOTS, shared_numbers

if TYPE_CHECKING:
    from pacsd.supervision.shared_numbers import AssociationCounter

__all__ = ["CallerCounts", "PlaceLimits", "Places"]

_WAYS: Final = 8
_SETS: Final = 1024
_ENTRIES: Final = _SETS * _WAYS
"""Of one process: three times as many as it has callers, so that a set is full once in ten thousand times."""
_COUNT_BITS: Final = 20
_COUNT: Final = (1 << _COUNT_BITS) - 1
_TAG: Final = (1 << (62 - _COUNT_BITS)) - 1


class CallerCounts:
    """How many associations each caller has open in each process, in memory that a fork shares.

    Each process counts in its slot's part alone, so there is no lock, and what a killed one held can be taken back.
    A caller stands there as a keyed hash, which nobody outside can aim at. Where a set of entries is full, one more
    caller is not counted: a limit may then be passed, but nobody is refused for another one's sake.
    """

    def __init__(self) -> None:
        self._numbers = shared_numbers(SLOTS * _ENTRIES)
        self._slots = shared_numbers(1)
        """One more than the highest slot that was ever used."""
        self._slots[0] = 1
        self._key = os.urandom(16)

    def open(self, slot: int) -> None:
        """Let a process count in a slot; for the supervisor, before the process begins."""
        self._slots[0] = max(self._slots[0], slot + 1)

    def forget(self, slot: int) -> None:
        """Give back what the process in a slot held; it is dead."""
        self._numbers[slot * _ENTRIES : (slot + 1) * _ENTRIES] = memoryview(bytes(_ENTRIES * 8)).cast("q")

    def add(self, slot: int, caller: str, change: int) -> None:
        """Count one more, or one less, in this process; a process calls it on one thread at a time."""
        begin, tag = self._place(caller)
        begin += slot * _ENTRIES
        entries = self._numbers[begin : begin + _WAYS].tolist()
        free = None
        for at, entry in enumerate(entries, begin):
            if entry >> _COUNT_BITS == tag and entry & _COUNT:
                self._numbers[at] = entry + change
                return
            if free is None and not entry & _COUNT:
                free = at
        if free is not None and change > 0:
            self._numbers[free] = (tag << _COUNT_BITS) + change

    def own(self, slot: int, caller: str) -> int:
        """In the process in a slot."""
        begin, tag = self._place(caller)
        begin += slot * _ENTRIES
        entries = self._numbers[begin : begin + _WAYS].tolist()
        return sum(entry & _COUNT for entry in entries if entry >> _COUNT_BITS == tag)

    def total(self, caller: str) -> int:
        """Over all processes."""
        begin, tag = self._place(caller)
        total = 0
        for at in range(begin, begin + self._slots[0] * _ENTRIES, _ENTRIES):
            for entry in self._numbers[at : at + _WAYS].tolist():
                if entry >> _COUNT_BITS == tag:
                    total += entry & _COUNT
        return total

    def _place(self, caller: str) -> tuple[int, int]:
        digest = hashlib.blake2b(
            caller.encode("utf-8", "surrogateescape"), digest_size=8, key=self._key
        ).digest()
        number = int.from_bytes(digest, "big")
        return number % _SETS * _WAYS, (number // _SETS & _TAG) or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLimits:
    """How many associations may be open; 0 is no limit."""

    kept_for_peers: int = 0
    """Places that who is no configured peer does not get: the last ones. Half of them are for proven ones alone."""
    per_address: int = 0
    per_title: int = 0


class Places:
    """The places of one process's associations, against the limits over all processes."""

    def __init__(
        self, associations: AssociationCounter, callers: CallerCounts, slot: int, limits: PlaceLimits
    ) -> None:
        self._associations = associations
        self._callers = callers
        self._slot = slot
        self._limits = limits
        self._lock = threading.Lock()

    def enter(self, address: str, caller: str, *, is_known: bool, is_proven: bool) -> str | None:
        """Take a place for a caller and return None, or return the name of the limit that is reached.

        Of two processes that ask for the last place at once, both may be refused. An address is counted as it is
        written. `caller` is who calls, as far as that can be told. `is_known` says whether the configuration names it,
        and `is_proven` whether it is certainly this peer.
        """
        limits = self._limits
        kept = 0 if is_proven else limits.kept_for_peers // 2 if is_known else limits.kept_for_peers
        if not self._associations.enter(keep_free=kept):
            return "places-kept-for-peers" if kept and not self._associations.is_full else "max-associations"
        reached = None
        by_address, by_title = _callers(address, caller)
        with self._lock:
            for counted in (by_address, by_title):
                self._callers.add(self._slot, counted, 1)
            if 0 < limits.per_address < self._callers.total(by_address):
                reached = "associations-per-address"
            elif 0 < limits.per_title < self._callers.total(by_title):
                reached = "associations-per-title"
        if reached is not None:
            self.leave(address, caller)
        return reached

    def leave(self, address: str, caller: str) -> None:
        """Give back the place of one that entered as this caller from this address."""
        with self._lock:
            for counted in _callers(address, caller):
                self._callers.add(self._slot, counted, -1)
        self._associations.leave()


def _callers(address: str, caller: str) -> tuple[str, str]:
    return f"address {address}", f"title {caller}"
