"""Which halves make an archive: what a start takes, what it refuses and advises, and kills at each step."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from pacsd.errors import ArchiveMismatch
from pacsd.model import ArchiveIdentity
from pacsd.services.archive import EVERYTHING, adopt_index, adopt_store, begin_generation
from support.memory_store import MemoryStore
from support.service_parts import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pacsd.index.repository import Index
    from pacsd.model import IndexState, StoredInstance

STORE_GENERATION, INDEX_GENERATION, SWEPT = 7, 7, 6


@dataclass(frozen=True)
class Case:
    """The identities of store and index, "" for none, and what each holds."""

    store: str
    index: str
    files: bool
    rows: bool
    advice: str = ""
    """In the refusal of a start; "" where it goes on."""
    swept: int | None = None
    """The swept generation after a start that goes on."""
    strangers: bool = False
    """The rows name other files than there are."""

    def __str__(self) -> str:
        halves = f"store {self.store or '-'} {'files' if self.files else 'empty'}"
        rows = "other rows" if self.strangers else "rows" if self.rows else "empty"
        return f"{halves}, index {self.index or '-'} {rows}"


NEW = STORE_GENERATION + 1
FOREIGN = "belongs to another store.*pacsd adopt index"
NO_INDEX = "the index is empty, but the store holds files.*pacsd adopt index"
NO_STORE = "holds no stored file.*is its disk mounted.*pacsd adopt store"
NOT_ITS_FILES = "not in the store.*pacsd adopt index"

CASES = [
    # Neither has an identity: new, or of a version that gave none.
    Case("", "", files=False, rows=False, swept=1),
    Case("", "", files=True, rows=True, swept=EVERYTHING),
    Case("", "", files=True, rows=True, strangers=True, advice=NOT_ITS_FILES),
    Case("", "", files=True, rows=False, advice=NO_INDEX),
    Case("", "", files=False, rows=True, advice=NO_STORE),
    # The store alone has one: the index is new, made anew, or older than identities.
    Case("A", "", files=False, rows=False, swept=NEW),
    Case("A", "", files=True, rows=True, swept=EVERYTHING),
    Case("A", "", files=True, rows=True, strangers=True, advice=NOT_ITS_FILES),
    Case("A", "", files=True, rows=False, advice=NO_INDEX),
    Case("A", "", files=False, rows=True, advice=NO_STORE),
    # The index alone has one: the store's disk is not mounted, or what it says of itself is lost.
    Case("", "A", files=False, rows=False, swept=NEW),
    Case("", "A", files=True, rows=True, swept=EVERYTHING),
    Case("", "A", files=True, rows=True, strangers=True, advice=NOT_ITS_FILES),
    Case("", "A", files=True, rows=False, advice=NO_INDEX),
    Case("", "A", files=False, rows=True, advice=NO_STORE),
    # Both have the same.
    Case("A", "A", files=False, rows=False, swept=NEW),
    Case("A", "A", files=True, rows=True, swept=SWEPT),
    Case("A", "A", files=True, rows=False, swept=SWEPT),
    Case("A", "A", files=False, rows=True, swept=SWEPT),
    Case("A", "A", files=True, rows=True, strangers=True, swept=SWEPT),
    # Each is another archive's.
    Case("A", "B", files=False, rows=False, advice=FOREIGN),
    Case("A", "B", files=True, rows=True, advice=FOREIGN),
    Case("A", "B", files=True, rows=True, strangers=True, advice=FOREIGN),
    Case("A", "B", files=True, rows=False, advice=FOREIGN),
    Case("A", "B", files=False, rows=True, advice=NO_STORE),
]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def arrange(case: Case, store: MemoryStore, index: Index) -> None:
    if case.store:
        store.identify(ArchiveIdentity(case.store, STORE_GENERATION))
    if case.index:
        index.claim(ArchiveIdentity(case.index, INDEX_GENERATION), swept_generation=SWEPT)
    if case.files:
        store.files[record_of(1).path] = b"content"
    if case.rows:
        index.commit([record_of(2 if case.strangers else 1)])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_start_takes_what_belongs_together(case: Case, store: MemoryStore, index: Index) -> None:
    arrange(case, store, index)
    before = (store.identity, index.state())
    if case.advice:
        with pytest.raises(ArchiveMismatch, match=case.advice):
            begin_generation(store, index)
        assert (store.identity, index.state()) == before, "a refusal changes nothing"
        return
    with capture_logs() as logs:
        begun = begin_generation(store, index)
    state = index.state()
    assert store.identity == begun == ArchiveIdentity(state.identity or "", state.generation)
    assert begun.identity == (case.store or case.index or begun.identity)
    assert begun.generation == (NEW if case.store or case.index else 1)
    assert state.swept_generation == case.swept
    is_missing = case.rows and (case.strangers or not case.files)
    assert ("stored-files-missing" in [line["event"] for line in logs]) == is_missing


@pytest.mark.parametrize("case", [case for case in CASES if case.advice], ids=str)
def test_the_advised_command_ends_the_refusal(case: Case, store: MemoryStore, index: Index) -> None:
    """All files are looked at then, whatever the halves were."""
    arrange(case, store, index)
    if case.advice.endswith("adopt index"):
        if case.files or case.store:
            adopt_index(store, index)
        else:
            pytest.fail("an index cannot be adopted by a store that is not there")
    else:
        adopt_store(store, index)
    adopted = index.state()
    assert store.identity == ArchiveIdentity(adopted.identity or "", adopted.generation)
    begun = begin_generation(store, index)
    assert begun.generation == adopted.generation + 1
    empty = not (case.files or case.rows)
    assert index.state().swept_generation == (begun.generation if empty else EVERYTHING)
    if case.store and case.advice.endswith("adopt index"):
        assert begun.identity == case.store, "the store stays what it was"
    elif case.index and case.advice.endswith("adopt store"):
        assert begun.identity == case.index, "the index stays what it was"


def test_an_index_is_not_adopted_by_a_store_that_is_not_there(store: MemoryStore, index: Index) -> None:
    """Its disk is not mounted: nothing may be written that says it is an archive."""
    index.commit([record_of()])
    with pytest.raises(ArchiveMismatch, match=r"is its disk mounted.*pacsd adopt store"):
        adopt_index(store, index)
    assert store.identity is None


@pytest.mark.parametrize("index_identity", ["", "A", "B"])
def test_an_index_with_rows_is_not_adopted_by_a_store_without_files(
    store: MemoryStore, index: Index, index_identity: str
) -> None:
    """Every instance would be missing; only `adopt store` says that this is meant."""
    arrange(Case("A", index_identity, files=False, rows=True), store, index)
    before = (store.identity, index.state())
    with pytest.raises(ArchiveMismatch, match=NO_STORE):
        adopt_index(store, index)
    assert (store.identity, index.state()) == before


def test_a_store_is_not_adopted_by_an_empty_index(store: MemoryStore, index: Index) -> None:
    arrange(Case("A", "", files=True, rows=False), store, index)
    with pytest.raises(ArchiveMismatch, match=r"the index is empty.*pacsd adopt index"):
        adopt_store(store, index)
    assert index.state().identity is None


@pytest.mark.parametrize(
    ("store_generation", "index_generation", "event", "swept"),
    [
        (7, 7, None, 6),
        (9, 7, "index-older-than-store", 6),
        (7, 9, "store-older-than-index", EVERYTHING),
    ],
)
def test_an_older_half_is_noticed(
    store: MemoryStore,
    index: Index,
    store_generation: int,
    index_generation: int,
    event: str | None,
    swept: int,
) -> None:
    arrange(Case("", "", files=True, rows=True), store, index)
    store.identify(ArchiveIdentity("A", store_generation))
    index.claim(ArchiveIdentity("A", index_generation), swept_generation=6)
    with capture_logs() as logs:
        begun = begin_generation(store, index)
    assert [line["event"] for line in logs] == ([event] if event else [])
    assert begun.generation == max(store_generation, index_generation) + 1, "no generation is used twice"
    assert index.state().swept_generation == swept


class KilledError(BaseException):
    """The process is gone."""


@dataclass
class Life:
    """How many more writes a process does before it is killed."""

    writes: int

    def write(self, write: Callable[[], None]) -> None:
        if not self.writes:
            raise KilledError
        self.writes -= 1
        write()


@dataclass
class MortalStore:
    """The store, for a process that is killed."""

    store: MemoryStore
    life: Life

    @property
    def identity(self) -> ArchiveIdentity | None:
        return self.store.identity

    def identify(self, identity: ArchiveIdentity) -> None:
        self.life.write(lambda: self.store.identify(identity))

    def published(self, days: Collection[str] | None) -> Iterator[str]:
        return self.store.published(days)

    def has(self, relative_path: str) -> bool:
        return self.store.has(relative_path)


@dataclass
class MortalIndex:
    """The index, for a process that is killed."""

    index: Index
    life: Life

    def state(self) -> IndexState:
        return self.index.state()

    def claim(self, identity: ArchiveIdentity, *, swept_generation: int, anew: bool = False) -> None:
        self.life.write(lambda: self.index.claim(identity, swept_generation=swept_generation))

    def stored_after(self, path: str, most: int) -> Sequence[StoredInstance]:
        return self.index.stored_after(path, most)


WRITES = range(3)
"""That a start or an adoption does at most, before the kill."""


@pytest.mark.parametrize("writes", WRITES)
@pytest.mark.parametrize("case", [case for case in CASES if not case.advice], ids=str)
def test_a_start_that_is_killed_is_made_good_by_the_next(
    case: Case, writes: int, store: MemoryStore, index: Index
) -> None:
    """No generation is used twice, and nothing counts as looked at that was not."""
    arrange(case, store, index)
    life = Life(writes)
    with suppress(KilledError):
        begin_generation(MortalStore(store, life), MortalIndex(index, life))
    at_the_kill = max(store.identity.generation if store.identity else 0, index.state().generation)
    begun = begin_generation(store, index)
    assert begun.generation == at_the_kill + 1
    swept = index.state().swept_generation
    assert swept <= (begun.generation if not (case.files or case.rows) else case.swept or 0)


@pytest.mark.parametrize("writes", WRITES)
@pytest.mark.parametrize("case", [case for case in CASES if case.advice and case.rows], ids=str)
def test_an_adoption_that_is_killed_is_repeated(
    case: Case, writes: int, store: MemoryStore, index: Index
) -> None:
    adopt = adopt_index if case.advice.endswith("adopt index") else adopt_store
    arrange(case, store, index)
    life = Life(writes)
    with suppress(KilledError):
        adopt(MortalStore(store, life), MortalIndex(index, life))
    adopt(store, index)
    assert index.state().swept_generation == EVERYTHING
    begin_generation(store, index)


def test_what_a_foreign_index_had_done_counts_for_nothing(store: MemoryStore, index: Index) -> None:
    arrange(Case("A", "B", files=True, rows=True), store, index)
    assert index.state().swept_generation == SWEPT
    adopt_index(store, index)
    assert index.state().swept_generation == EVERYTHING
