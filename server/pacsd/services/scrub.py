"""Comparing the index with the files, in both directions: `pacsd verify`, and the scrub that never ends.

How far it is gets remembered in the index, so that it goes on where it was ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from pacsd.errors import InstanceDamaged, StorageUnavailable
from pacsd.model import StoredInstance, WorkProgress
from pacsd.services.ports import Catalogue, ListedStore
from pacsd.services.verification import VerifyBy, open_instance, verify_file

__all__ = ["SCRUB", "SCRUBBED", "VERIFY", "Fault", "Scrub"]

SCRUB: Final = "scrub"
"""The name in the index of the progress of the scrub in the background."""
SCRUBBED: Final = "scrubbed"
"""Of the last that came to its end."""
VERIFY: Final[dict[VerifyBy, str]] = {"checksum": "verify", "length": "verify-length"}
"""Of `pacsd verify`, by what it compares: what was compared by length only is not done for one that reads content."""

_PAGE: Final = 50
_STEP_BYTES: Final = 64_000_000
"""After so many bytes a step ends, also in the middle of a page: it can be paced, and stopped, between steps only."""
_FILES_AT_ONCE: Final = 500
_NOTE_SECONDS: Final = 5.0
"""Between notes of how far it is: so much is read again at most."""
_MOMENT: Final = 1.0
"""Seconds after which a file without a row is looked at again before it is called a fault."""
_DAYS: Final = "day "
"""Begins a position in the second part, which goes by days of receipt; one in the first is a path."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one file; `sop_instance_uid` is "" for a file that no row names."""

    path: str
    reason: str
    sop_instance_uid: str = ""


@dataclass(slots=True, kw_only=True)
class Scrub:
    """One comparison of the whole archive, in steps. `work` is the name under which its progress is kept."""

    store: ListedStore
    index: Catalogue
    work: str
    by: VerifyBy
    report_fault: Callable[[Fault], None]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    progress: WorkProgress | None = None
    _noted: float = float("-inf")

    def begin(self, *, anew: bool = False) -> WorkProgress:
        """Take up what was ended before its end, or begin; return how far it is."""
        progress = self.index.progress_of(self.work)
        if anew or progress is None or progress.ended_at is not None:
            progress = WorkProgress(began_at=self.now())
        self.progress = replace(progress, total=self.index.count_instances())
        self._note()
        return self.progress

    @property
    def reached(self) -> WorkProgress:
        """How far it is; only after `begin`."""
        if self.progress is None:
            raise ValueError("it has not begun")
        return self.progress

    def step(self) -> int | None:
        """Compare some more; return how many bytes were read, None if nothing is left. Faults are reported."""
        progress = self.progress or self.begin()
        if progress.ended_at is not None:
            return None
        read = (
            self._compare_files(progress)
            if progress.position.startswith(_DAYS)
            else self._compare_rows(progress)
        )
        has_ended = self.progress is not None and self.progress.ended_at is not None
        if has_ended or self.clock() >= self._noted + _NOTE_SECONDS:
            self._note()
        return read

    def pause(self) -> None:
        """Remember how far it is, as it may be ended now."""
        self._note()

    def _note(self) -> None:
        if self.progress is not None:
            self.index.note_progress(self.work, self.progress)
            self._noted = self.clock()

    def _compare_rows(self, progress: WorkProgress) -> int:
        stored = self.index.stored_after(progress.position, _PAGE)
        if not stored:
            self.progress = replace(progress, position=_DAYS)
            return 0
        faults = compared = read = 0
        for instance in stored:
            reason = self._fault_of(instance)
            if reason is not None:
                faults += 1
                self.report_fault(Fault(instance.path, reason, instance.sop_instance_uid))
            compared += 1
            read += instance.size if self.by == "checksum" else 0
            if read >= _STEP_BYTES:
                break
        self.progress = replace(
            progress,
            position=stored[compared - 1].path,
            done=progress.done + compared,
            total=max(progress.total or 0, progress.done + compared),
            faults=progress.faults + faults,
        )
        return read

    def _fault_of(self, instance: StoredInstance) -> str | None:
        try:
            with open_instance(self.store, instance) as file:
                # What is in memory says nothing of the disk; and nobody else needs what is read here.
                file.forget_cached()
                try:
                    verify_file(file, instance, by=self.by)
                finally:
                    file.forget_cached()
        except (InstanceDamaged, StorageUnavailable) as error:
            kept = self.index.find_by_sop_instance_uid(instance.sop_instance_uid)
            # Replaced or removed meanwhile: what is kept now has its turn, or had it.
            return str(error) if kept == instance else None
        return None

    def _extra_files(self, paths: Sequence[str]) -> list[str]:
        """Return those of the files that are there, named by no row, and not about to be."""
        return [
            path
            for path in self.index.unknown_paths(paths)
            if not self.store.is_incoming(path) and self.index.unknown_paths([path]) and self.store.has(path)
        ]

    def _compare_files(self, progress: WorkProgress) -> int:
        done = progress.position.removeprefix(_DAYS)
        day = next((day for day in self.store.days() if day > done), None)
        if day is None:
            self.progress = replace(progress, position="", ended_at=self.now())
            return 0
        suspects: list[str] = []
        paths = self.store.published([day])
        while batch := list(islice(paths, _FILES_AT_ONCE)):
            suspects += self._extra_files(batch)
        if suspects:
            # Who replaces an instance removes its old file a moment after the row has changed.
            self.wait(_MOMENT)
        faults = 0
        for start in range(0, len(suspects), _FILES_AT_ONCE):
            for path in self._extra_files(suspects[start : start + _FILES_AT_ONCE]):
                faults += 1
                self.report_fault(Fault(path, "no row of the index names this file"))
        self.progress = replace(progress, position=f"{_DAYS}{day}", faults=progress.faults + faults)
        return 0
