"""What is done beside serving, on a store in memory and the real index, with a clock and deaths of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from pacsd.errors import IndexUnavailable, StorageUnavailable
from pacsd.model import DuplicatePolicy, IndexState, WorkProgress
from pacsd.services.archive import begin_generation
from pacsd.services.housekeeping import Housekeeping
from pacsd.services.records import record_of_file
from pacsd.services.scrub import SCRUB, SCRUBBED, Scrub
from pacsd.services.sweep import Sweeping
from support.counted_metrics import CountedMetrics
from support.fake_archive import altered, take
from support.fake_index import FakeIndex
from support.memory_store import MemoryStore
from support.rows import paths_of
from support.service_parts import NOW

if TYPE_CHECKING:
    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord

BEGIN = NOW


@dataclass
class House:
    """A housekeeping process, whose time passes only where it waits; `events` happen at their second."""

    store: MemoryStore
    index: Index
    seconds: float = 0.0
    lasts: float = 20.0
    """Seconds until it is told to stop."""
    events: dict[float, Callable[[], object]] = field(default_factory=dict)
    deaths: int = 0
    is_complete: bool = False
    store_fault: str | None = None
    metrics: CountedMetrics = field(default_factory=CountedMetrics)
    waits: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def wait_for_stop(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.seconds += seconds
        for due in [due for due in sorted(self.events) if due <= self.seconds]:
            self.events.pop(due)()
        return self.seconds >= self.lasts

    def note_complete(self) -> None:
        self.is_complete = True

    def die(self) -> None:
        self.deaths += 1

    def keep(self, *, generation: int | None = None, **parts: Any) -> list[dict[str, Any]]:
        """Run until it is to stop; return what was logged."""
        begun = self.store.identity
        assert begun is not None
        given: dict[str, Any] = {
            "index": self.index,
            "scrub": self.new_scrub(),
            "scrub_days": 0,
            "scrub_bytes_per_second": 1e6,
            "read_record": partial(record_of_file, self.store, checksum_algorithm="xxh3_128"),
            **parts,
        }
        read_record = given.pop("read_record")
        house = Housekeeping(
            Sweeping(self.store, self.index, read_record=read_record, policy=DuplicatePolicy.KEEP_FIRST),
            generation=generation or begun.generation,
            metrics=self.metrics,
            is_complete=lambda: self.is_complete,
            note_complete=self.note_complete,
            deaths=lambda: self.deaths,
            store_fault=lambda: self.store_fault,
            wait_for_stop=self.wait_for_stop,
            now=self.now,
            clock=lambda: self.seconds,
            **given,
        )
        with capture_logs() as logs:
            house.keep()
        return [dict(line) for line in logs]

    def new_scrub(self) -> Scrub:
        return Scrub(
            store=self.store,
            index=self.index,
            work=SCRUB,
            by="checksum",
            report_fault=lambda fault: self.faults.append(fault.path),
            now=self.now,
            clock=lambda: self.seconds,
        )

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def house(store: MemoryStore, index: Index) -> House:
    begin_generation(store, index)
    return House(store, index)


def take_without_row(store: MemoryStore, number: int) -> None:
    take(store, FakeIndex(), altered(number))


def events_of(logs: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in logs]


def restart(house: House) -> None:
    """A server's next start."""
    begin_generation(house.store, house.index)
    house.is_complete = False


def test_the_index_is_completed_first(house: House) -> None:
    take_without_row(house.store, 1)
    restart(house)
    assert events_of(house.keep()) == ["index-is-completed", "index-complete"]
    assert house.is_complete
    assert paths_of(house.index) == list(house.store.published())
    assert house.store.identity is not None
    assert house.index.state().swept_generation == house.store.identity.generation


class Away:
    """The index of a database that is away for the first few questions."""

    def __init__(self, index: Index, times: int, error: Exception) -> None:
        self.left, self._index, self._error = times, index, error
        self.progress_of, self.note_progress = index.progress_of, index.note_progress

    def state(self) -> IndexState:
        if self.left:
            self.left -= 1
            raise self._error
        return self._index.state()


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (IndexUnavailable("away"), "housekeeping-waits"),
        (StorageUnavailable("away"), "housekeeping-failed"),
    ],
)
def test_what_fails_is_tried_again(house: House, error: Exception, event: str) -> None:
    take_without_row(house.store, 1)
    restart(house)
    logs = house.keep(index=Away(house.index, 2, error))
    assert events_of(logs) == [event, event, "index-is-completed", "index-complete"]
    assert logs[0]["reason"] == "away"
    assert house.seconds >= 10, "it waits in between"
    assert house.is_complete


def test_a_stop_is_obeyed_while_the_index_is_completed(house: House) -> None:
    for number in range(1, 4):
        take_without_row(house.store, number)
    restart(house)
    house.lasts = 0.0
    assert events_of(house.keep()) == ["index-is-completed"]
    assert not house.is_complete
    assert paths_of(house.index) == []
    assert sum(house.waits) == 0


def test_a_stop_is_obeyed_while_the_index_is_away(house: House) -> None:
    house.lasts = 5.0
    assert events_of(house.keep(index=Away(house.index, 99, IndexUnavailable("away")))) == [
        "housekeeping-waits"
    ]
    assert not house.is_complete


def test_a_dead_workers_files_are_indexed_within_seconds(house: House) -> None:
    def die() -> None:
        take_without_row(house.store, 1)
        house.die()

    house.events[3.0] = die
    logs = house.keep()
    assert events_of(logs) == ["index-complete", "files-of-dead-worker-indexed"]
    assert logs[-1]["files"] == 1
    assert paths_of(house.index) == list(house.store.published())
    assert max(house.waits) <= 1.0


def test_without_a_death_nothing_is_swept(house: House) -> None:
    house.events[3.0] = lambda: take_without_row(house.store, 1)
    assert events_of(house.keep()) == ["index-complete"]
    assert paths_of(house.index) == []


def test_a_sweep_that_fails_is_tried_again(house: House) -> None:
    failures = iter([StorageUnavailable("away")])

    def read_record(path: str) -> InstanceRecord:
        for failure in failures:
            raise IndexUnavailable(str(failure))
        return record_of_file(house.store, path, checksum_algorithm="xxh3_128")

    def die() -> None:
        take_without_row(house.store, 1)
        house.die()

    house.events[3.0] = die
    assert events_of(house.keep(read_record=read_record)) == [
        "index-complete",
        "housekeeping-waits",
        "files-of-dead-worker-indexed",
    ]


def test_who_takes_over_from_a_dead_one_looks_at_what_that_may_have_missed(house: House) -> None:
    """A worker and housekeeping are killed at about the same time, as when memory is short."""
    house.keep()
    take_without_row(house.store, 1)
    house.die()
    house.lasts += 20
    assert events_of(house.keep()) == ["files-of-dead-worker-indexed"]
    assert paths_of(house.index) == list(house.store.published())


def test_a_scrub_is_paced(house: House) -> None:
    for number in range(1, 121):
        take(house.store, house.index, altered(number))
    size = sum(map(len, house.store.files.values()))
    house.lasts, house.is_complete = 300.0, True
    logs = house.keep(scrub_days=30, scrub_bytes_per_second=size / 100)
    assert events_of(logs) == ["scrub-finished"]
    assert (logs[-1]["instances"], logs[-1]["faults"]) == (120, 0)
    done = house.index.progress_of(SCRUBBED)
    assert done is not None
    assert done.ended_at is not None
    assert 99 <= (done.ended_at - done.began_at).total_seconds() <= 105
    assert max(house.waits) <= 1.0, "a death would be noticed all the same"


def test_a_scrub_is_due_after_so_many_days(house: House) -> None:
    take(house.store, house.index, altered())
    day = 86400.0
    house.lasts = 0.5
    house.keep()
    moments: list[datetime] = []
    for seconds in (1 * day, 20 * day, 30.9 * day, 31.1 * day, 40 * day):
        house.seconds, house.lasts = seconds, seconds + 10
        if "scrub-finished" in events_of(house.keep(scrub_days=30)):
            moments.append(house.now())
    assert [round((moment - BEGIN).total_seconds() / day) for moment in moments] == [1, 31]


def test_no_scrub_is_made_where_none_is_wanted(house: House) -> None:
    take(house.store, house.index, altered())
    house.lasts, house.is_complete = 86400.0, True
    assert events_of(house.keep(scrub_days=0)) == []
    assert house.metrics.scrubs == []
    assert house.index.progress_of(SCRUB) is None


def test_a_scrub_goes_on_in_the_next_process(house: House) -> None:
    """Ended in the middle; the age is that of the last one that came to its end, or of the first one's begin."""
    for number in range(1, 121):
        take(house.store, house.index, altered(number))
    house.lasts = 5.0
    house.keep(scrub_days=30, scrub_bytes_per_second=1.0)
    half = house.index.progress_of(SCRUB)
    assert half is not None
    assert (half.done, half.ended_at) == (50, None)
    assert set(house.metrics.scrubs) == {BEGIN.timestamp()}
    house.lasts = 50.0
    assert events_of(house.keep(scrub_days=30)) == ["scrub-finished"]
    done = house.index.progress_of(SCRUBBED)
    assert done is not None
    assert (done.done, done.began_at) == (120, half.began_at)
    assert done.ended_at is not None
    assert house.metrics.scrubs[-1] == done.ended_at.timestamp()


def test_the_age_of_the_last_scrub_is_known_from_the_begin(house: House) -> None:
    ended = BEGIN - timedelta(days=3)
    for work in (SCRUB, SCRUBBED):
        house.index.note_progress(work, WorkProgress(began_at=ended, ended_at=ended))
    house.keep(scrub_days=30)
    assert set(house.metrics.scrubs) == {ended.timestamp()}


def test_a_fault_is_reported_once_in_a_scrub(house: House) -> None:
    take(house.store, house.index, altered())
    (path,) = house.store.published()
    house.store.files[path] = b"damaged"
    logs = house.keep(scrub_days=1)
    assert house.faults == [path]
    assert [line["faults"] for line in logs if line["event"] == "scrub-finished"] == [1]


def test_a_scrub_waits_for_the_database(house: House) -> None:
    take(house.store, house.index, altered())
    house.is_complete = True
    scrub = house.new_scrub()
    scrub.index = Unreachable(scrub.index)  # type: ignore[assignment]
    assert events_of(house.keep(scrub_days=1, scrub=scrub)) == [
        "housekeeping-waits",
        "scrub-finished",
    ]


class Unreachable:
    """The index of a database that is away when rows are first asked for."""

    def __init__(self, index: Any) -> None:
        self._index, self._left = index, 1

    def __getattr__(self, name: str) -> Any:
        if name == "stored_after" and self._left:
            self._left = 0
            raise IndexUnavailable("away")
        return getattr(self._index, name)


def test_a_store_that_no_longer_says_what_it_is_is_told_of_once(house: House) -> None:
    def say(fault: str | None) -> Callable[[], None]:
        return lambda: setattr(house, "store_fault", fault)

    house.is_complete, house.lasts = True, 40.0
    house.events = {5.5: say("it is missing"), 20.5: say("it is damaged"), 30.5: say(None)}
    told = [line for line in house.keep() if line["event"].startswith("store-identity")]
    assert events_of(told) == ["store-identity-lost", "store-identity-lost", "store-identity-found"]
    assert ["missing" in line["reason"] for line in told[:2]] == [True, False]
    assert "damaged" in told[1]["reason"]
