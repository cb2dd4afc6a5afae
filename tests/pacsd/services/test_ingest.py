"""Taking instances in, on fakes that record what happens in which order and fail where they are told to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dicomnet import ConnectionLost
from pacsd.errors import (
    DatasetInvalid,
    DuplicateInstance,
    IndexUnavailable,
    StorageFull,
    StorageUnavailable,
)
from pacsd.model import CommitOutcome, DuplicatePolicy
from pacsd.services.ingest import Ingest
from pacsd.services.intake import Intake
from pacsd.services.verification import verify_file
from pacsd.storage.filesystem import FileStore
from pacsd.storage.layout import path_without_receipt
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.counted_metrics import CountedMetrics
from support.fake_archive import Archive, altered, incoming
from support.fake_index import FakeIndex
from support.service_parts import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.instance import Instance


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def instance() -> Instance:
    return altered()


# The order of effects.


def test_nothing_is_said_before_everything_is_durable(archive: Archive, instance: Instance) -> None:
    assert archive.take(instance, [instance.dataset[:100], instance.dataset[100:]]) is CommitOutcome.STORED
    assert archive.journal == [
        "begun",
        "write",
        "write",
        "file synced",
        "published",
        "directories synced",
        "committing",
        "committed",
    ]
    (record,) = archive.index.records.values()
    assert archive.store.durable == set(archive.store.files) == {record.path}
    assert archive.outcomes == [CommitOutcome.STORED]
    assert archive.batches == [1]


def test_an_obsolete_file_goes_only_behind_the_commit(instance: Instance) -> None:
    archive = Archive(DuplicatePolicy.REPLACE)
    archive.take(instance)
    (old_path,) = archive.store.files
    archive.journal.clear()
    assert archive.take(altered(StudyID="other")) is CommitOutcome.REPLACED
    assert archive.journal[-3:] == ["committing", "committed", "removed"]
    assert old_path not in archive.store.files
    assert len(archive.store.files) == 1


def test_the_record_says_what_was_received(archive: Archive, instance: Instance) -> None:
    archive.take(instance)
    (record,) = archive.index.records.values()
    content = archive.store.files[record.path]
    assert path_without_receipt(record.path) == (
        f"2026/01/02/{instance.study_instance_uid}/{instance.series_instance_uid}/{instance.sop_instance_uid}.dcm"
    )
    assert content[record.dataset_offset :] == instance.dataset
    assert record.size == len(content)
    assert record.received_at == NOW
    assert record.calling_ae_title == "MODALITY"
    assert record.transfer_syntax_uid == instance.transfer_syntax_uid
    assert record.attributes["PatientID"].startswith(PATIENT_ID)
    assert record.attributes["PatientName"].startswith(FAMILY_NAME)


def test_a_fragment_is_not_needed_when_the_next_comes(archive: Archive, instance: Instance) -> None:
    """The engine hands out views of one buffer that it reads into again."""
    buffer = bytearray(64)

    def fragments() -> Iterator[memoryview]:
        for start in range(0, len(instance.dataset), len(buffer)):
            part = instance.dataset[start : start + len(buffer)]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]
            buffer[:] = bytes(len(buffer))

    archive.take(instance, fragments())  # type: ignore[arg-type]
    (content,) = archive.store.files.values()
    assert content.endswith(instance.dataset)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 800), max_size=12))
def test_any_fragmentation_gives_the_same_file(cuts: list[int]) -> None:
    instance = altered()
    ends = [*sorted(cuts), len(instance.dataset)]
    starts = [0, *sorted(cuts)]
    archive = Archive()
    archive.take(instance, [instance.dataset[a:b] for a, b in zip(starts, ends, strict=True)])
    (content,) = archive.store.files.values()
    assert content.endswith(instance.dataset)
    assert len(content) - len(instance.dataset) < 1000


# What fails leaves nothing behind.


@pytest.mark.parametrize("received", [0, 1, 2])
def test_a_peer_that_vanishes_leaves_nothing(archive: Archive, instance: Instance, received: int) -> None:
    def fragments() -> Iterator[bytes]:
        for _ in range(received):
            yield instance.dataset[:50]
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        archive.take(instance, fragments())
    assert archive.holds_nothing()
    assert "published" not in archive.journal
    assert archive.outcomes == []


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ("begun", StorageFull("full")),
        ("write", StorageFull("full")),
        ("write", StorageUnavailable("broken")),
        ("file synced", StorageUnavailable("broken")),
        ("published", StorageUnavailable("broken")),
        ("directories synced", StorageUnavailable("broken")),
        ("directories synced", OSError("not foreseen")),
        ("committing", IndexUnavailable("locked")),
        ("committing", ValueError("not foreseen")),
    ],
)
def test_a_failure_before_the_commit_leaves_no_file_and_no_row(
    archive: Archive, instance: Instance, effect: str, error: Exception
) -> None:
    archive.failures[effect] = error
    with pytest.raises(type(error), match=str(error)):
        archive.take(instance)
    assert archive.holds_nothing()
    assert archive.outcomes == []
    archive.failures.clear()
    assert archive.take(instance) is CommitOutcome.STORED


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ("committed", IndexUnavailable("the connection broke behind the commit")),
        ("committed", KeyError("not foreseen")),
        ("observed", RuntimeError("metrics")),
    ],
)
def test_a_failure_behind_the_commit_never_takes_the_file(
    archive: Archive, instance: Instance, effect: str, error: Exception
) -> None:
    """A row without a file would be a loss; what the sender sends again is the same content."""
    archive.failures[effect] = error
    with pytest.raises(type(error)):
        archive.take(instance)
    (record,) = archive.index.records.values()
    assert set(archive.store.files) == {record.path}
    archive.failures.clear()
    assert archive.take(instance) is CommitOutcome.IDENTICAL
    assert set(archive.store.files) == {record.path}


def test_a_file_stays_while_the_index_cannot_say(archive: Archive, instance: Instance) -> None:
    archive.failures["committing"] = IndexUnavailable("gone")
    archive.failures["has path"] = IndexUnavailable("gone")
    with capture_logs() as logs, pytest.raises(IndexUnavailable):
        archive.take(instance)
    (path,) = archive.store.files
    assert [(line["event"], line["path"]) for line in logs] == [("file-left-for-next-start", path)]


def test_a_file_goes_where_the_index_was_never_reached(archive: Archive, instance: Instance) -> None:
    archive.failures["committing"] = IndexUnavailable("gone", was_reached=False)
    archive.failures["has path"] = IndexUnavailable("gone", was_reached=False)
    with pytest.raises(IndexUnavailable):
        archive.take(instance)
    assert not archive.store.files


def test_a_file_stays_while_its_row_may_come_back(archive: Archive, instance: Instance) -> None:
    """The commit failed halfway; that nobody sees its row now says nothing about the next start."""
    archive.failures["committing"] = IndexUnavailable("could not be synced", may_be_written=True)
    with capture_logs() as logs, pytest.raises(IndexUnavailable):
        archive.take(instance)
    (path,) = archive.store.files
    assert [(line["event"], line["path"]) for line in logs] == [("file-left-for-next-start", path)]


@pytest.mark.parametrize("policy", [DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REPLACE])
def test_an_obsolete_file_that_cannot_be_removed_is_no_failure(
    policy: DuplicatePolicy, instance: Instance
) -> None:
    archive = Archive(policy)
    archive.take(instance)
    archive.failures["removed"] = StorageUnavailable("read-only")
    with capture_logs() as logs:
        if policy is DuplicatePolicy.REPLACE:
            assert archive.take(altered(StudyID="other")) is CommitOutcome.REPLACED
        else:
            with pytest.raises(DuplicateInstance):
                archive.take(altered(StudyID="other"))
    assert "file-not-removed" in [line["event"] for line in logs]


# Duplicates.


def test_a_rejected_duplicate_raises_and_leaves_the_first(instance: Instance) -> None:
    archive = Archive(DuplicatePolicy.REJECT)
    archive.take(instance)
    kept = dict(archive.store.files)
    with pytest.raises(DuplicateInstance), capture_logs() as logs:
        archive.take(altered(StudyID="other"))
    assert archive.store.files == kept
    assert archive.outcomes == [CommitOutcome.STORED, CommitOutcome.REJECTED]
    assert [line["outcome"] for line in logs] == ["rejected"]
    assert FAMILY_NAME not in str(logs)


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_the_same_again_is_no_event(policy: DuplicatePolicy, instance: Instance) -> None:
    archive = Archive(policy)
    archive.take(instance)
    kept = dict(archive.store.files)
    with capture_logs() as logs:
        assert archive.take(instance) is CommitOutcome.IDENTICAL
    assert archive.store.files == kept
    assert logs == []


def altered_content(archive: Archive, change: Callable[[bytes], bytes]) -> str:
    """Damage the one file that is kept; return its path."""
    (path,) = archive.store.files
    archive.store.files[path] = change(archive.store.files[path])
    return path


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "cut short": lambda content: content[:-10],
    "empty": lambda content: b"",
    "grown": lambda content: content + bytes(2),
    "another instance's": lambda content: content[:-200] + bytes(200),
}


@pytest.mark.parametrize("policy", DuplicatePolicy)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("is_same", [True, False])
def test_a_damaged_file_gives_way_to_what_is_sent_again(
    policy: DuplicatePolicy, damage: Callable[[bytes], bytes], is_same: bool, instance: Instance
) -> None:
    """Whatever the policy: what is acknowledged is kept, and what is kept is whole."""
    archive = Archive(policy)
    archive.take(instance)
    damaged = altered_content(archive, damage)
    content = archive.store.files[damaged]
    again = instance if is_same else altered(StudyID="other")
    outcome = archive.take(again)
    if policy in (DuplicatePolicy.REPLACE, DuplicatePolicy.REPLACE_OWN) and not is_same:
        assert outcome is CommitOutcome.REPLACED
    else:
        assert outcome is CommitOutcome.HEALED
        assert archive.store.quarantined == {damaged: content}
    (record,) = archive.index.records.values()
    assert set(archive.store.files) == {record.path}
    assert archive.store.files[record.path].endswith(again.dataset)


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_a_lost_file_is_brought_back_by_what_is_sent_again(
    policy: DuplicatePolicy, instance: Instance
) -> None:
    archive = Archive(policy)
    archive.take(instance)
    archive.store.files.clear()
    assert archive.take(instance) is CommitOutcome.HEALED
    (record,) = archive.index.records.values()
    assert archive.store.files[record.path].endswith(instance.dataset)
    assert archive.take(instance) is CommitOutcome.IDENTICAL


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_a_lost_file_gives_way_to_other_content(policy: DuplicatePolicy, instance: Instance) -> None:
    archive = Archive(policy)
    archive.take(instance)
    archive.store.files.clear()
    other = altered(StudyID="other", PatientName="A^Much^Longer^Name")
    replaces = policy in (DuplicatePolicy.REPLACE, DuplicatePolicy.REPLACE_OWN)
    assert archive.take(other) is (CommitOutcome.REPLACED if replaces else CommitOutcome.HEALED)
    (record,) = archive.index.records.values()
    assert archive.store.files[record.path].endswith(other.dataset)
    assert record.size == len(archive.store.files[record.path])
    assert archive.take(other) is CommitOutcome.IDENTICAL


def test_a_file_is_read_once_as_long_as_nobody_touches_it(
    tmp_path: Path, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    archive = Archive()
    store = FileStore(tmp_path)
    store.open()
    archive.store = store  # type: ignore[assignment]
    archive.ingest = ingest_into(store, archive.index)
    monkeypatch.setattr(
        "pacsd.services.ingest.verify_file",
        lambda file, kept, by: (read.append(kept.path), verify_file(file, kept, by=by)),
    )
    archive.take(instance)
    for _ in range(3):
        assert archive.take(instance) is CommitOutcome.IDENTICAL
    assert len(read) == 1
    (path,) = store.published()
    content = (store.root / path).read_bytes()
    (store.root / path).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert archive.take(instance) is CommitOutcome.HEALED
    assert len(read) == 2


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_another_algorithm_for_checksums_does_not_make_another_content(
    policy: DuplicatePolicy, instance: Instance, tmp_path: Path
) -> None:
    """`storage.checksum` was changed since: what is kept has the other kind."""
    index = FakeIndex(policy)
    replaces = policy in (DuplicatePolicy.REPLACE, DuplicatePolicy.REPLACE_OWN)
    for algorithm in ("xxh3_128", "sha256"):
        store = FileStore(tmp_path, checksum_algorithm=algorithm)
        store.open()
        finish = Intake(ingest_into(store, index)).receive(incoming(instance), [instance.dataset])
        again = CommitOutcome.REPLACED if replaces else CommitOutcome.IDENTICAL
        assert finish() is (CommitOutcome.STORED if algorithm == "xxh3_128" else again)
    other = altered(StudyID="other")
    finish = Intake(ingest_into(store, index)).receive(incoming(other), [other.dataset])
    if replaces:
        assert finish() is CommitOutcome.REPLACED
    else:
        with pytest.raises(DuplicateInstance):
            finish()


def ingest_into(store: FileStore, index: FakeIndex) -> Ingest:
    return Ingest(
        store,
        index,
        metrics=CountedMetrics(),
        clock=lambda: 0.0,
    )


# Many at once.


def test_one_bad_instance_of_a_batch_hurts_nobody_else() -> None:
    archive = Archive()
    start = threading.Barrier(6, timeout=10)

    def take(number: int) -> str:
        start.wait()
        try:
            return archive.take(altered(number, StudyInstanceUID=None if number == 3 else "1.2.3")).value
        except DatasetInvalid:
            return "refused"

    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(take, range(1, 7)))
    assert outcomes == ["stored", "stored", "refused", "stored", "stored", "stored"]
    assert {record.path for record in archive.index.records.values()} == set(archive.store.files)
    assert sum(archive.batches) == 5
