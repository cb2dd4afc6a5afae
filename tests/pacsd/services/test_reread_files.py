"""Headers read again from what is stored, and what cannot be read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pacsd.model import DuplicatePolicy
from pacsd.services.ingest import Ingest
from pacsd.services.intake import Intake
from pacsd.services.records import attributes_of_file
from pacsd.services.reindex import Reread, reread_files
from support.counted_metrics import CountedMetrics
from support.fake_archive import altered, incoming
from support.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pacsd.index.repository import Index
    from pacsd.model import StoredInstance, WorkProgress
    from support.service_parts import OpenIndex


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class WatchedIndex:
    """Instances, and what the index was told of their files."""

    def __init__(self, stored: Sequence[StoredInstance]) -> None:
        self.stored = sorted(stored, key=lambda each: each.path)
        self.refreshed: list[Mapping[str, Mapping[str, str]]] = []
        self.progress: dict[str, WorkProgress] = {}
        self.left = -1
        """How many steps succeed before one is interrupted; negative: all."""

    def stored_after(self, path: str, most: int) -> Sequence[StoredInstance]:
        return [each for each in self.stored if each.path > path][:most]

    def refresh(self, attributes: Mapping[str, Mapping[str, str]]) -> int:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt
        self.refreshed.append(attributes)
        return len(attributes)

    def progress_of(self, work: str) -> WorkProgress | None:
        return self.progress.get(work)

    def note_progress(self, work: str, reached: WorkProgress) -> None:
        self.progress[work] = reached


def _keep(store: MemoryStore, index: Index, numbers: range) -> list[StoredInstance]:
    ingest = Ingest(
        store,
        index,
        metrics=CountedMetrics(),
        clock=lambda: 0.0,
    )
    instances = [altered(number, ProtocolName=f"protocol {number}") for number in numbers]
    for instance in instances:
        Intake(ingest).receive(incoming(instance), [instance.dataset])()
    found = [index.find_by_sop_instance_uid(each.sop_instance_uid) for each in instances]
    assert None not in found
    return [each for each in found if each is not None]


def test_every_file_is_read_in_steps(store: MemoryStore, open_index: OpenIndex) -> None:
    index = WatchedIndex(_keep(store, open_index(DuplicatePolicy.KEEP_FIRST), range(101)))
    reports: list[Reread] = []
    done = reread_files(
        index, partial(attributes_of_file, store), report=reports.append, report_unreadable=pytest.fail
    )
    assert done == Reread(read=101, changed=101)
    assert [each.read for each in reports] == [100, 101]
    read = {path: attributes for step in index.refreshed for path, attributes in step.items()}
    assert list(read) == [each.path for each in index.stored]
    assert {each["ProtocolName"] for each in read.values()} == {f"protocol {n}" for n in range(101)}


def test_an_interrupted_run_is_taken_up_where_it_was(store: MemoryStore, open_index: OpenIndex) -> None:
    index = WatchedIndex(_keep(store, open_index(DuplicatePolicy.KEEP_FIRST), range(101)))
    read = partial(attributes_of_file, store)
    index.left = 1
    with pytest.raises(KeyboardInterrupt):
        reread_files(index, read, report_unreadable=pytest.fail)
    done = reread_files(index, read, report_unreadable=pytest.fail)
    assert done == Reread(read=1, changed=1, earlier=100)
    assert [path for step in index.refreshed for path in step] == [each.path for each in index.stored]
    assert reread_files(index, read, report_unreadable=pytest.fail) == Reread(read=101, changed=101)


def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(
    store: MemoryStore, open_index: OpenIndex
) -> None:
    gone, cut, other, whole = _keep(store, open_index(DuplicatePolicy.KEEP_FIRST), range(4))
    store.remove(gone.path)
    store.files[cut.path] = store.files[cut.path][: cut.dataset_offset + 100]
    index = WatchedIndex([gone, cut, replace(other, sop_instance_uid="1.2.3"), whole])
    unreadable: dict[str, str] = {}
    done = reread_files(index, partial(attributes_of_file, store), report_unreadable=unreadable.__setitem__)
    assert done == Reread(read=1, changed=1, unreadable=3)
    assert set(unreadable) == {gone.path, cut.path, other.path}
    assert "another instance" in unreadable[other.path]
    assert "truncated" in unreadable[cut.path]
    assert [list(step) for step in index.refreshed] == [[whole.path]]


def test_an_empty_archive_has_nothing_to_read(store: MemoryStore, open_index: OpenIndex) -> None:
    done = reread_files(
        open_index(DuplicatePolicy.KEEP_FIRST),
        partial(attributes_of_file, store),
        report_unreadable=pytest.fail,
    )
    assert done == Reread()
