"""What one process does beside serving: it completes the index, sweeps up after dead workers, and scrubs the files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from pacsd.errors import IndexUnavailable, PacsdError
from pacsd.services.ports import Catalogue, Metrics
from pacsd.services.scrub import SCRUB, SCRUBBED, Scrub
from pacsd.services.sweep import Sweeping, complete_index, sweep_days

__all__ = ["Housekeeping"]

_log = structlog.get_logger()

_RETRY_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
"""Between looks whether a worker has died."""
_FAULT_SECONDS: Final = 5.0
"""Between looks whether the store still says which archive it is."""
_LATEST_DAYS: Final = 2
"""On one of these a file came that a worker was about to commit when it died."""


@dataclass(slots=True)
class Housekeeping:
    """For one process and its one thread. `keep` does it all."""

    sweeping: Sweeping
    index: Catalogue
    scrub: Scrub
    generation: int
    """The server's."""
    scrub_days: int
    """From one scrub to the next, begin to begin; 0: none."""
    scrub_bytes_per_second: float
    metrics: Metrics
    is_complete: Callable[[], bool]
    """Whether the index knows all files already, as an earlier process of this server has seen to."""
    note_complete: Callable[[], None]
    """Told when it does."""
    deaths: Callable[[], int]
    """How many workers have died since the server's start, and were cleared up after."""
    store_fault: Callable[[], str | None]
    """Says why the store no longer says which archive it is, and what to do; None where it does."""
    wait_for_stop: Callable[[float], bool]
    """Waits for so many seconds at most; returns whether all is to end."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    _is_stopped: bool = False
    _seen_deaths: int = 0
    """From the server's start: a process that takes over from a dead one sweeps up again what that may have missed."""
    _known_fault: str | None = None
    _next_look: float = float("-inf")

    def keep(self) -> None:
        """Work until told to stop. What fails is logged and tried again."""
        sweeping = replace(self.sweeping, is_stopped=lambda: self._stops(0))
        while not (self._is_stopped or self.is_complete() or self._attempt(lambda: self._complete(sweeping))):
            self._stops(_RETRY_SECONDS)
        next_step = self.clock()
        while not self._stops(min(_LOOK_SECONDS, max(0.0, next_step - self.clock()))):
            self._look_at_store()
            deaths = self.deaths()
            if deaths != self._seen_deaths and self._attempt(lambda: self._sweep_up(sweeping)):
                self._seen_deaths = deaths
            if self.clock() >= next_step:
                next_step = self.clock() + self._scrub_step()
        self._attempt(self._pause_scrub)

    def _look_at_store(self) -> None:
        """Tell once of each fault of the store's identity. The server goes on: it knows what the store was."""
        if self.clock() < self._next_look:
            return
        self._next_look = self.clock() + _FAULT_SECONDS
        fault = self.store_fault()
        if fault is not None and fault != self._known_fault:
            _log.error("store-identity-lost", reason=fault)
        elif fault is None and self._known_fault is not None:
            _log.info("store-identity-found")
        self._known_fault = fault

    def _stops(self, seconds: float) -> bool:
        self._is_stopped = self._is_stopped or self.wait_for_stop(seconds)
        return self._is_stopped

    def _attempt(self, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except IndexUnavailable as error:
            _log.warning("housekeeping-waits", reason=str(error), again_in_seconds=_RETRY_SECONDS)
        except PacsdError as error:
            _log.error("housekeeping-failed", reason=str(error), again_in_seconds=_RETRY_SECONDS)
        return False

    def _complete(self, sweeping: Sweeping) -> bool:
        swept = self.index.state().swept_generation
        if complete_index(sweeping, swept_generation=swept, generation=self.generation, now=self.now):
            self.note_complete()
            return True
        return self._is_stopped

    def _sweep_up(self, sweeping: Sweeping) -> bool:
        days = sweeping.store.received_days(self.generation)
        latest = (sweeping.store.days() if days is None else days)[-_LATEST_DAYS:]
        indexed = sweep_days(sweeping, latest)
        if indexed:
            _log.info("files-of-dead-worker-indexed", files=indexed)
        return indexed is not None

    def _scrub_step(self) -> float:
        """Scrub some more if it is time; return how many seconds to wait for the next step."""
        if not self.scrub_days:
            return 3600.0
        waits: list[float] = []

        def step() -> bool:
            waits.append(self._scrub_some())
            return True

        return waits[0] if self._attempt(step) else _RETRY_SECONDS

    def _scrub_some(self) -> float:
        if self.scrub.progress is None:
            earlier = self.index.progress_of(SCRUB)
            last = self.index.progress_of(SCRUBBED)
            known = last.ended_at if last and last.ended_at else (earlier.began_at if earlier else self.now())
            self.metrics.scrubbed(known.timestamp())
            if earlier and earlier.ended_at is not None:
                due = earlier.began_at + timedelta(days=self.scrub_days)
                if due > self.now():
                    return min(60.0, (due - self.now()).total_seconds())
            self.scrub.begin()
        read = self.scrub.step()
        progress = self.scrub.progress
        if read is None or (progress is not None and progress.ended_at is not None):
            if progress is not None:
                self.index.note_progress(SCRUBBED, progress)
                _log.info("scrub-finished", instances=progress.done, faults=progress.faults)
            self.scrub.progress = None
            return _LOOK_SECONDS
        return (read or 0) / self.scrub_bytes_per_second

    def _pause_scrub(self) -> bool:
        if self.scrub.progress is not None:
            self.scrub.pause()
        return True
