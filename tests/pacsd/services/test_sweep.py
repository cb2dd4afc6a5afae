"""What a server makes of files without a row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from pacsd.errors import DatasetInvalid, StorageUnavailable
from pacsd.model import ArchiveIdentity, DuplicatePolicy
from pacsd.services.archive import adopt_index, begin_generation
from pacsd.services.records import record_of_file
from pacsd.services.sweep import SWEEP, complete_index, sweep_days
from support.fake_archive import altered, take
from support.fake_index import FakeIndex
from support.memory_store import MemoryStore
from support.rows import paths_of
from support.service_parts import record_at, record_of
from support.sweeps import RECEIVED, patient_names, run_sweep, start, sweeping, take_without_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord
    from support.sweeps import RECEIVED, patient_names, run_sweep, start, sweeping, take_without_row
from support.service_parts import OpenIndex


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_whole_file_without_a_row_is_indexed_and_found(store: MemoryStore, index: Index) -> None:
    path = take_without_row(store, altered(PatientName="Lost^Found"))
    assert patient_names(index) == []
    (finished,) = run_sweep(store, index)
    assert finished["files_indexed"] == 1
    assert patient_names(index) == ["Lost^Found"]
    assert paths_of(index) == [path]


def test_the_record_from_a_file_is_the_record_from_the_network(store: MemoryStore) -> None:
    received = FakeIndex()
    instance = altered()
    take(store, received, instance)
    (sent,) = received.records.values()
    assert record_of_file(store, sent.path, checksum_algorithm="xxh3_128") == sent


def test_sent_again_it_is_identical(store: MemoryStore, index: Index) -> None:
    """The sender of an instance that was never acknowledged sends it again."""
    instance = altered()
    path = take_without_row(store, instance)
    run_sweep(store, index)
    take(store, index, instance)
    assert paths_of(index) == list(store.published()) == [path]


@pytest.mark.parametrize("damage", ["garbage", "empty", "truncated", "no UID"])
def test_an_unreadable_file_stays_and_is_named(store: MemoryStore, index: Index, damage: str) -> None:
    path = take_without_row(store, altered(1))
    take_without_row(store, altered(2))
    content = store.files[path]
    store.files[path] = {
        "garbage": b"garbage" * 100,
        "empty": b"",
        "truncated": content[:-5],
        "no UID": content.replace(b"\x20\0\x0e\0UI", b"\x20\0\x0f\0UI"),
    }[damage]
    named, finished = run_sweep(store, index)
    assert (named["event"], named["path"], named["log_level"]) == ("file-not-indexed", path, "warning")
    assert named["reason"]
    assert finished["files_indexed"] == 1
    assert store.has(path)


@pytest.mark.parametrize("is_kept_whole", [True, False])
def test_an_unreadable_file_is_set_aside_only_for_a_whole_one(
    store: MemoryStore, index: Index, *, is_kept_whole: bool
) -> None:
    """What a worker leaves that died before it had moved the damaged file of an instance it has healed."""
    damaged = take_without_row(store, altered())
    take(store, index, altered())
    (kept,) = paths_of(index)
    for path in [damaged] if is_kept_whole else [damaged, kept]:
        store.files[path] = store.files[path][:-5]
    run_sweep(store, index)
    assert list(store.quarantined) == [damaged] * is_kept_whole
    assert sorted(store.published()) == sorted([kept] if is_kept_whole else [kept, damaged])


def test_a_missing_file_has_no_record(store: MemoryStore) -> None:
    with pytest.raises(StorageUnavailable):
        record_of_file(store, "2026/01/01/1/2/3.dcm", checksum_algorithm="xxh3_128")


def test_a_file_that_gave_way_is_not_brought_back(store: MemoryStore, open_index: OpenIndex) -> None:
    """A crash between the commit of a replacement and the removal of what it replaced."""
    first, second = altered(PatientName="Old^Name"), altered(PatientName="New^Name")
    replacing = open_index(DuplicatePolicy.REPLACE)
    take(store, replacing, first)
    (old_path,) = store.published()
    old_content = store.files[old_path]
    take(store, replacing, second, received=RECEIVED + timedelta(minutes=1))
    store.files[old_path] = old_content
    assert len(list(store.published())) == 2

    finished = run_sweep(store, open_index(DuplicatePolicy.KEEP_FIRST), policy=DuplicatePolicy.REPLACE)[-1]
    assert finished["files_indexed"] == 0
    assert patient_names(replacing) == ["New^Name"]
    assert list(store.published()) == paths_of(replacing)
    assert old_path not in store.published()
    assert list(store.quarantined) == [old_path]


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_an_older_index_takes_what_replaced_its_file(
    store: MemoryStore, open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    """Its row names a file that is gone: the other one is the last copy, whatever the policy."""
    index = open_index(DuplicatePolicy.KEEP_FIRST)
    take(store, index, altered(PatientName="Old^Name"))
    (old_path,) = store.published()
    new_path = take_without_row(store, altered(PatientName="New^Name"))
    store.remove(old_path)
    run_sweep(store, index, policy=policy)
    assert list(store.published()) == paths_of(index) == [new_path]
    assert patient_names(index) == ["New^Name"]


@pytest.mark.parametrize("damage", ["flipped bit", "cut short", "another instance's"])
def test_a_damaged_file_gives_way_to_a_whole_one(store: MemoryStore, index: Index, damage: str) -> None:
    take(store, index, altered())
    (damaged,) = store.published()
    whole = take_without_row(store, altered())
    content = store.files[damaged]
    changed = {
        "flipped bit": content[:-1] + bytes([content[-1] ^ 1]),
        "cut short": content[:-10],
        "another instance's": altered(7).dataset,
    }[damage]
    store.files[damaged] = changed
    run_sweep(store, index)
    assert list(store.published()) == paths_of(index) == [whole]
    assert store.quarantined == {damaged: changed}


@pytest.mark.parametrize("may_correct", [False, True])
@pytest.mark.parametrize("found_later", [False, True])
def test_of_two_senders_files_the_first_stays(
    store: MemoryStore, open_index: OpenIndex, may_correct: bool, found_later: bool
) -> None:
    """Who came second was refused; or, if both are of one sender that may correct nothing, was refused as well."""
    index = open_index(DuplicatePolicy.KEEP_FIRST)
    first_path = take_without_row(store, altered(StudyID="first"))
    second_path = take_without_row(store, altered(StudyID="second"), received=RECEIVED + timedelta(days=1))
    paths = [first_path, second_path]

    def read_record(path: str) -> InstanceRecord:
        record = record_of_file(store, path, checksum_algorithm="xxh3_128")
        other = may_correct and path == second_path
        return replace(
            record,
            may_correct=may_correct,
            is_from_file=True,
            calling_ae_title="OTHER" if other else record.calling_ae_title,
        )

    parts = sweeping(store, index, policy=DuplicatePolicy.REPLACE_OWN, read_record=read_record)
    order = sorted(paths, reverse=found_later)
    for path in order:
        assert sweep_days(parts, [path.rpartition("/")[0][:10]]) is not None
    assert paths_of(index) == [first_path]


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_the_later_of_two_whole_files_wins_where_the_policy_is_to_replace(
    store: MemoryStore, open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    """The replacement was acknowledged, and then an older index was put back before its file was removed."""
    index = open_index(DuplicatePolicy.KEEP_FIRST)
    take(store, index, altered(PatientName="Old^Name"))
    (old_path,) = store.published()
    new_path = take_without_row(
        store, altered(PatientName="New^Name"), received=RECEIVED + timedelta(minutes=1)
    )
    run_sweep(store, index, policy=policy)
    replaces = policy in (DuplicatePolicy.REPLACE, DuplicatePolicy.REPLACE_OWN)
    kept, other = (new_path, old_path) if replaces else (old_path, new_path)
    assert list(store.published()) == paths_of(index) == [kept]
    assert list(store.quarantined) == [other]


def test_a_copy_of_what_is_kept_goes(store: MemoryStore, index: Index) -> None:
    instance = altered()
    take(store, index, instance)
    kept = list(store.published())
    take_without_row(store, instance)
    run_sweep(store, index)
    assert list(store.published()) == paths_of(index) == kept


def test_only_what_came_since_the_index_was_complete_is_looked_at(store: MemoryStore, index: Index) -> None:
    assert start(store, index)
    old = take_without_row(store, altered(1), received=RECEIVED)
    take(store, index, altered(2), received=RECEIVED)
    take(store, index, altered(3), received=RECEIVED + timedelta(days=1))
    assert start(store, index)
    assert old in paths_of(index), "the days of the generation before are looked at"
    index.forget(altered(1).sop_instance_uid, old)
    assert start(store, index)
    assert old not in paths_of(index), "nothing came since"


@pytest.mark.parametrize("year", [1970, 1999, 2049])
def test_the_clock_does_not_say_where_to_look(store: MemoryStore, index: Index, year: int) -> None:
    assert start(store, index)
    path = take_without_row(store, altered(), received=datetime(year, 12, 31, tzinfo=UTC))
    assert start(store, index)
    assert paths_of(index) == [path]


def test_an_older_index_gets_all_that_it_lacks(
    store: MemoryStore, index: Index, open_index: OpenIndex, tmp_path: Path
) -> None:
    """The days of all generations since its own are looked at, however long ago that is."""
    start(store, index)
    for number in range(1, 4):
        take_without_row(store, altered(number), received=RECEIVED + timedelta(days=100 * number))
        store.identify(replace(store.identity or ArchiveIdentity("", 0), generation=1 + number))
    assert start(store, index)
    assert set(paths_of(index)) == set(store.published())
    assert len(set(paths_of(index))) == 3


def test_a_quarantine_that_was_ended_half_way_is_completed(store: MemoryStore, index: Index) -> None:
    """The row is gone by command: what was taken out of service does not come back."""
    take(store, index, altered())
    (path,) = store.published()
    store.announce_quarantine(path, "wrong patient")
    index.forget(altered().sop_instance_uid, path)
    run_sweep(store, index)
    assert paths_of(index) == list(store.published()) == []
    assert list(store.quarantined) == [path]


def test_an_announced_quarantine_takes_no_file_that_has_its_row(store: MemoryStore, index: Index) -> None:
    take(store, index, altered())
    (path,) = store.published()
    store.announce_quarantine(path, "wrong patient")
    run_sweep(store, index)
    assert paths_of(index) == list(store.published()) == [path]
    assert store.quarantined == {}


def test_an_adopted_index_is_looked_at_from_the_beginning(store: MemoryStore, index: Index) -> None:
    """Also where an earlier look was ended half way, and files of days that it had done have come back since."""
    start(store, index)
    for day in range(3):
        take_without_row(store, altered(1 + day), received=RECEIVED + timedelta(days=day))
    (first, *_) = store.published()
    content = store.files[first]
    adopt_index(store, index)
    store.remove(first)
    assert not start(store, index, is_stopped=stopping_after(1))
    store.files[first] = content
    adopt_index(store, index)
    assert start(store, index)
    assert set(paths_of(index)) == set(store.published())


def stopping_after(batches: int) -> Callable[[], bool]:
    left = iter([False] * batches)
    return lambda: next(left, True)


def test_an_interrupted_sweep_goes_on_until_all_is_known(store: MemoryStore, index: Index) -> None:
    start(store, index)
    paths = {
        take_without_row(store, altered(number), received=RECEIVED + timedelta(days=number))
        for number in range(1, 8)
    }
    for done in range(1, 7):
        assert not start(store, index, is_stopped=stopping_after(1))
        assert len(paths_of(index)) == done
        progress = index.progress_of(SWEEP)
        assert progress is not None
        assert progress.ended_at is None
    assert start(store, index)
    assert set(paths_of(index)) == paths
    progress = index.progress_of(SWEEP)
    assert progress is not None
    assert progress.ended_at is not None


def test_what_came_after_an_interrupted_sweep_is_looked_at_too(store: MemoryStore, index: Index) -> None:
    """A crash of the server that went on storing while it swept, on a day that it had done already."""
    start(store, index)
    for day in range(3):
        take_without_row(store, altered(1 + day), received=RECEIVED + timedelta(days=day))
    assert not start(store, index, is_stopped=stopping_after(1))
    take_without_row(store, altered(9), received=RECEIVED)
    assert start(store, index)
    assert set(paths_of(index)) == set(store.published())


def test_a_file_that_is_about_to_be_committed_is_left_alone(store: MemoryStore, index: Index) -> None:
    """Also where it is a copy of what is kept, which would go otherwise."""
    take(store, index, altered())
    kept = set(store.published())
    with store.begin(b"header") as file:
        file.write(altered().dataset)
        file.complete()
        file.sync()
        path = file.publish(record_at(next(iter(kept))))
        assert sweep_days(sweeping(store, index), store.days()) == 0
        assert set(store.published()) == kept | {path}
        assert set(paths_of(index)) == kept


def test_a_file_that_is_about_to_be_removed_is_left_alone(
    store: MemoryStore, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    take(store, index, altered(PatientName="Old^Name"))
    left: list[list[str]] = []

    def remove_late(self: MemoryStore, path: str) -> bool:
        sweep_days(sweeping(store, open_index(DuplicatePolicy.KEEP_FIRST)), store.days())
        left.append(list(store.published()))
        return remove(self, path)

    remove = MemoryStore.remove
    monkeypatch.setattr(MemoryStore, "remove", remove_late)
    take(store, index, altered(PatientName="New^Name"))
    assert [len(paths) for paths in left] == [2]
    assert list(store.published()) == paths_of(index)


def test_files_are_durable_before_their_rows() -> None:
    journal: list[str] = []
    store, index = MemoryStore(journal), FakeIndex(journal=journal)
    paths = [f"2026/01/02/1.2/1.3/1.4.{number:03}.dcm" for number in range(450)]
    store.files.update(dict.fromkeys(paths, b"content"))
    numbers = {path: number for number, path in enumerate(paths)}
    parts = sweeping(store, index, read_record=lambda path: record_of(numbers[path], path=path))
    assert sweep_days(parts, ["2026/01/02"]) == 450
    assert journal == ["directories synced", "committing", "committed"] * 3
    assert {record.path for record in index.records.values()} == set(paths)


def test_a_sweep_that_fails_is_not_noted(store: MemoryStore, index: Index) -> None:
    start(store, index)
    take_without_row(store, altered())
    begun = begin_generation(store, index)

    def fail(path: str) -> InstanceRecord:
        raise OSError(path)

    with pytest.raises(OSError, match="2026"):
        complete_index(
            sweeping(store, index, read_record=fail), swept_generation=1, generation=begun.generation
        )
    assert index.state().swept_generation == 1


def test_what_the_index_refuses_is_named() -> None:
    store, index = MemoryStore(), FakeIndex()
    path = "2026/01/02/1.2/1.3/1.4.dcm"
    store.files[path] = b"content"
    parts = sweeping(store, index, read_record=lambda path: record_of(path=path, SOPInstanceUID=""))
    with capture_logs() as logs:
        assert sweep_days(parts, store.days()) == 0
    assert [(line["event"], line.get("path")) for line in logs] == [("file-not-indexed", path)]
    assert path in store.files


def test_a_record_needs_its_uids(store: MemoryStore) -> None:
    path = take_without_row(store, altered())
    content = store.files[path]
    at = content.index(b"\x20\0\x0e\0UI")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    store.files[path] = content[: at + 6] + b"\0\0" + content[at + 8 + length :]
    with pytest.raises(DatasetInvalid) as refused:
        record_of_file(store, path, checksum_algorithm="xxh3_128")
    assert refused.value.keywords == ("SeriesInstanceUID",)
