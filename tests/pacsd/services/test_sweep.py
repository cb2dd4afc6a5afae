"""What the next start makes of what a crash has left, with the real store and index."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from pacsd.errors import DatasetInvalid, StorageUnavailable
from pacsd.model import DuplicatePolicy, FindQuery, QueryLevel, QueryModel
from pacsd.services.ingest import Ingest
from pacsd.services.intake import Intake
from pacsd.services.records import record_of_file
from pacsd.services.sweep import sweep
from pacsd.storage.filesystem import FileStore
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.fake_archive import altered, incoming
from support.fake_index import FakeIndex
from support.fake_store import FakeStore
from support.matches import matches_of
from support.service_parts import record_of

if TYPE_CHECKING:
    from pathlib import Path

    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord
    from support.instance import Instance
    from support.service_parts import OpenIndex

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "store")
    store.open()
    return store


@pytest.fixture
def index(open_index: OpenIndex) -> Index:
    return open_index(DuplicatePolicy.KEEP_FIRST)


def take(
    store: FileStore, index: Index | FakeIndex, instance: Instance, *, received: datetime = RECEIVED
) -> None:
    ingest = Ingest(
        store,
        index,
        observe_batch=lambda size, seconds: None,
        observe_outcome=lambda outcome: None,
        now=lambda: received,
        clock=lambda: 0.0,
    )
    Intake(ingest).receive(incoming(instance), [instance.dataset])()


def take_without_row(store: FileStore, instance: Instance, *, received: datetime = RECEIVED) -> str:
    """Store a file as a crash leaves it between its renaming and the commit; return its path."""
    before = set(store.published())
    take(store, FakeIndex(), instance, received=received)
    (path,) = set(store.published()) - before
    return path


def run_sweep(store: FileStore, index: Index, now: datetime = RECEIVED) -> list[dict[str, Any]]:
    """Sweep; return what was logged, the closing line last."""
    with capture_logs() as logs:
        sweep(
            store,
            index,
            read_record=partial(record_of_file, store, checksum_algorithm="xxh3_128"),
            now=lambda: now,
        )
    assert FAMILY_NAME not in str(logs)
    assert PATIENT_ID not in str(logs)
    return [dict(line) for line in logs]


def patient_names(index: Index) -> list[str]:
    query = FindQuery(model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, keys={"PatientName": ""})
    return [match["PatientName"] for match in matches_of(index, query)]


def test_half_files_go(store: FileStore, index: Index) -> None:
    for number in range(3):
        (store.root / "incoming" / f"1-{number}.part").write_bytes(b"half")
    (finished,) = run_sweep(store, index)
    assert finished["half_files_removed"] == 3
    assert list(store.leftovers()) == []


def test_a_whole_file_without_a_row_is_indexed_and_found(store: FileStore, index: Index) -> None:
    path = take_without_row(store, altered(PatientName="Lost^Found"))
    assert patient_names(index) == []
    (finished,) = run_sweep(store, index)
    assert finished["files_indexed"] == 1
    assert patient_names(index) == ["Lost^Found"]
    assert list(index.paths()) == [path]


def test_the_record_from_a_file_is_the_record_from_the_network(store: FileStore) -> None:
    received = FakeIndex()
    instance = altered()
    take(store, received, instance)
    (sent,) = received.records.values()
    os.utime(store.root / sent.path, (RECEIVED.timestamp(), RECEIVED.timestamp()))
    assert record_of_file(store, sent.path, checksum_algorithm="xxh3_128") == sent


def test_sent_again_it_is_identical(store: FileStore, index: Index) -> None:
    """The sender of an instance that was never acknowledged sends it again."""
    instance = altered()
    path = take_without_row(store, instance)
    run_sweep(store, index)
    take(store, index, instance)
    assert list(index.paths()) == list(store.published()) == [path]


def test_a_second_run_does_nothing(store: FileStore, index: Index) -> None:
    take_without_row(store, altered(1))
    take(store, index, altered(2))
    (store.root / "incoming" / "1-1.part").write_bytes(b"half")
    run_sweep(store, index)
    before = {path: (store.root / path).stat().st_mtime_ns for path in store.published()}
    (finished,) = run_sweep(store, index)
    assert (finished["half_files_removed"], finished["files_indexed"]) == (0, 0)
    assert {path: (store.root / path).stat().st_mtime_ns for path in store.published()} == before
    assert len(list(index.paths())) == 2


@pytest.mark.parametrize("damage", ["garbage", "empty", "truncated", "no UID"])
def test_an_unreadable_file_stays_and_is_named(store: FileStore, index: Index, damage: str) -> None:
    path = take_without_row(store, altered(1))
    take_without_row(store, altered(2))
    file = store.root / path
    content = file.read_bytes()
    file.write_bytes(
        {
            "garbage": b"garbage" * 100,
            "empty": b"",
            "truncated": content[:-5],
            "no UID": content.replace(b"\x20\0\x0e\0UI", b"\x20\0\x0f\0UI"),
        }[damage]
    )
    named, finished = run_sweep(store, index)
    assert (named["event"], named["path"], named["log_level"]) == ("file-not-indexed", path, "warning")
    assert named["reason"]
    assert finished["files_indexed"] == 1
    assert file.exists()


def test_a_file_that_the_disk_does_not_give_stays_and_is_named(store: FileStore, index: Index) -> None:
    """A directory under a file's name stands for a bad sector: it opens for nobody, root included."""
    path = take_without_row(store, altered(1))
    good = take_without_row(store, altered(2))

    def read_record(asked: str) -> InstanceRecord:
        if asked == path:
            (store.root / path).unlink()
            (store.root / path).mkdir()
        return record_of_file(store, asked, checksum_algorithm="xxh3_128")

    with capture_logs() as logs:
        sweep(store, index, read_record=read_record)
    assert [line["path"] for line in logs if line["event"] == "file-not-indexed"] == [path]
    assert list(index.paths()) == [good]


def test_a_missing_file_has_no_record(store: FileStore) -> None:
    with pytest.raises(StorageUnavailable):
        record_of_file(store, "2026/01/01/1/2/3.dcm", checksum_algorithm="xxh3_128")


class FailingDisk:
    """Opens a file whose first read ends in EIO."""

    def open_dataset(self, relative_path: str) -> io.FileIO:
        return io.FileIO("/proc/self/mem", "r")


def test_a_disk_that_fails_while_reading_is_told() -> None:
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        record_of_file(FailingDisk(), "2026/01/02/1/2/3.dcm", checksum_algorithm="xxh3_128")


def test_a_file_that_gave_way_is_not_brought_back(store: FileStore, open_index: OpenIndex) -> None:
    """A crash between the commit of a replacement and the removal of what it replaced."""
    first, second = altered(PatientName="Old^Name"), altered(PatientName="New^Name")
    replacing = open_index(DuplicatePolicy.REPLACE)
    take(store, replacing, first)
    (old_path,) = store.published()
    old_content = (store.root / old_path).read_bytes()
    take(store, replacing, second)
    (store.root / old_path).write_bytes(old_content)
    assert len(list(store.published())) == 2

    (finished,) = run_sweep(store, open_index(DuplicatePolicy.KEEP_FIRST))
    assert finished["files_indexed"] == 0
    assert patient_names(replacing) == ["New^Name"]
    assert list(store.published()) == list(replacing.paths())
    assert old_path not in store.published()


def test_a_copy_of_what_is_kept_goes(store: FileStore, index: Index) -> None:
    instance = altered()
    take(store, index, instance)
    kept = list(store.published())
    take_without_row(store, instance)
    run_sweep(store, index)
    assert list(store.published()) == list(index.paths()) == kept


def test_only_days_since_the_last_sweep_are_looked_at(store: FileStore, index: Index) -> None:
    old = take_without_row(store, altered(1), received=RECEIVED - timedelta(days=30))
    store.note_sweep(RECEIVED - timedelta(days=10))
    take(store, index, altered(4))
    within_margin = take_without_row(store, altered(2), received=RECEIVED - timedelta(days=12))
    recent = take_without_row(store, altered(3), received=RECEIVED - timedelta(days=1))
    run_sweep(store, index)
    assert set(index.paths()) == {*store.published()} - {old}
    assert {within_margin, recent} < set(index.paths())


def test_an_index_that_was_lost_is_made_anew(store: FileStore, index: Index) -> None:
    old = take_without_row(store, altered(1), received=RECEIVED - timedelta(days=30))
    store.note_sweep(RECEIVED)
    run_sweep(store, index)
    assert list(index.paths()) == [old]


def test_the_first_sweep_looks_at_everything(store: FileStore, index: Index) -> None:
    path = take_without_row(store, altered(), received=datetime(1999, 12, 31, tzinfo=UTC))
    run_sweep(store, index)
    assert list(index.paths()) == [path]
    assert store.last_sweep == RECEIVED


def test_files_are_durable_before_their_rows() -> None:
    journal: list[str] = []
    store, index = FakeStore(journal), FakeIndex(journal=journal)
    paths = [f"2026/01/02/1.2/1.3/1.4.{number}.dcm" for number in range(450)]
    store.files.update(dict.fromkeys(paths, b"content"))
    numbers = {path: number for number, path in enumerate(paths)}
    sweep(store, index, read_record=lambda path: record_of(numbers[path], path=path), now=lambda: RECEIVED)
    effects = [effect for effect in journal if effect != "has path"]
    assert effects == ["directories synced", "committing", "committed"] * 3 + ["sweep noted"]
    assert {record.path for record in index.records.values()} == set(paths)


def test_a_sweep_that_fails_is_not_noted() -> None:
    store, index = FakeStore(), FakeIndex()
    store.files["2026/01/02/1.2/1.3/1.4.dcm"] = b"content"
    index.failures["committing"] = StorageUnavailable("gone")
    with pytest.raises(StorageUnavailable):
        sweep(store, index, read_record=lambda path: record_of(path=path))
    assert store.last_sweep is None


def test_what_the_index_refuses_is_named() -> None:
    store, index = FakeStore(), FakeIndex()
    path = "2026/01/02/1.2/1.3/1.4.dcm"
    store.files[path] = b"content"
    with capture_logs() as logs:
        sweep(store, index, read_record=lambda path: record_of(path=path, SOPInstanceUID=""))
    assert [(line["event"], line.get("path")) for line in logs] == [
        ("file-not-indexed", path),
        ("sweep-finished", None),
    ]
    assert path in store.files


def test_a_record_needs_its_uids(store: FileStore) -> None:
    path = take_without_row(store, altered())
    file = store.root / path
    content = file.read_bytes()
    at = content.index(b"\x20\0\x0e\0UI")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    file.write_bytes(content[: at + 6] + b"\0\0" + content[at + 8 + length :])
    with pytest.raises(DatasetInvalid) as refused:
        record_of_file(store, path, checksum_algorithm="xxh3_128")
    assert refused.value.keywords == ("SeriesInstanceUID",)
