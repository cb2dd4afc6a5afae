"""The sub-operations of a retrieve: which file is sent, and that none is counted twice or forgotten."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pacsd.dataset.checksums import new_checksum
from pacsd.errors import IndexUnavailable, InstanceDamaged, PacsdError, StorageUnavailable, TranscodingFailed
from pacsd.model import InstanceRecord, StoredInstance
from pacsd.services.retrieve import KeptInstances, Progress, Sent, SubOperation
from pacsd.services.verification import DatasetBuffer
from support.counted_metrics import CountedMetrics
from support.fake_index import FakeIndex
from support.memory_store import MemoryObject, MemoryStore
from support.service_parts import record_of


def instance(number: int) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=f"1.2.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{number}.dcm",
        size=1000,
        dataset_offset=400,
    )


class Kept:
    """One instance that is kept, on fakes, to be opened for a retrieve."""

    def __init__(self) -> None:
        self.store, self.index = MemoryStore(), FakeIndex()
        self.metrics = CountedMetrics()
        self.damaged = self.metrics.damaged
        self.kept = KeptInstances(self.store, self.index, verify_by="checksum", metrics=self.metrics)
        self.record = self.replaced_by(b"the first", "first.dcm")

    def replaced_by(self, dataset: bytes, path: str, **changes: str) -> InstanceRecord:
        """Keep another version, and remove the file of the one before."""
        checksum = new_checksum("xxh3_128")
        checksum.update(dataset)
        record = record_of(
            path=path,
            size=400 + len(dataset),
            dataset_offset=400,
            checksum=f"xxh3_128:{checksum.hexdigest()}",
            **changes,
        )
        self.store.files.clear()
        self.store.files[path] = bytes(400) + dataset
        self.index.records[record.sop_instance_uid] = record
        return record

    def located(self) -> StoredInstance:
        """The instance as a selection has it now."""
        found = self.index.find_by_sop_instance_uid(self.record.sop_instance_uid)
        assert found is not None
        return found

    def sent(self, chosen: StoredInstance) -> tuple[StoredInstance, bytes]:
        """What would be sent for an instance that was selected."""
        with self.kept.opened(chosen, DatasetBuffer()) as opened:
            assert opened.dataset is not None
            return opened.instance, bytes(opened.dataset)


def test_what_is_whole_is_sent_without_asking_the_index() -> None:
    archive = Kept()
    chosen = archive.located()
    archive.index.journal.clear()
    assert archive.sent(chosen) == (chosen, b"the first")
    assert archive.index.journal == []


@pytest.mark.parametrize(
    "path", ["second.dcm", "first.dcm"], ids=["another name", "the name that became free"]
)
def test_what_was_replaced_since_it_was_selected_is_looked_up_again(path: str) -> None:
    """What the index says now counts, its transfer syntax too."""
    archive = Kept()
    chosen = archive.located()
    archive.replaced_by(b"the other", path, transfer_syntax_uid="1.2.840.10008.1.2")
    with capture_logs() as logs:
        now, dataset = archive.sent(chosen)
    assert (now.path, now.transfer_syntax_uid, dataset) == (path, "1.2.840.10008.1.2", b"the other")
    assert archive.damaged == logs == []


def test_what_was_opened_is_kept() -> None:
    archive = Kept()
    with archive.kept.opened(archive.located(), DatasetBuffer()) as opened:
        archive.replaced_by(b"the other", "second.dcm")
        assert opened.file.read_at(400, 100) == b"the first"


def test_files_are_closed() -> None:
    archive = Kept()
    with archive.kept.opened(archive.located(), DatasetBuffer()) as opened:
        assert not opened.file.closed
    assert opened.file.closed


DAMAGE = {"missing": None, "shorter": b"the firs", "longer": b"the first!", "other content": b"the_first"}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=list(DAMAGE))
def test_what_the_index_still_names_is_damaged(content: bytes | None) -> None:
    archive = Kept()
    if content is None:
        archive.store.files.clear()
    else:
        archive.store.files["first.dcm"] = bytes(400) + content
    with capture_logs() as logs, pytest.raises(InstanceDamaged) as raised:
        archive.sent(archive.located())
    (line,) = logs
    assert line == {
        "event": "instance-damaged",
        "log_level": "error",
        "noticed": "retrieve",
        "sop_instance_uid": archive.record.sop_instance_uid,
        "path": "first.dcm",
        "reason": str(raised.value),
    }
    assert archive.damaged == ["retrieve"]


def test_a_replacement_that_is_damaged_is_told_by_its_own_path() -> None:
    archive = Kept()
    chosen = archive.located()
    archive.replaced_by(b"the other", "second.dcm")
    archive.store.files["second.dcm"] += b"?"
    with capture_logs() as logs, pytest.raises(InstanceDamaged):
        archive.sent(chosen)
    assert [line["path"] for line in logs] == ["second.dcm"]


def test_what_is_not_kept_any_more_is_no_damage() -> None:
    archive = Kept()
    chosen = archive.located()
    archive.store.files.clear()
    archive.index.records.clear()
    with pytest.raises(StorageUnavailable, match="not kept any more"):
        archive.sent(chosen)
    assert archive.damaged == []


def test_without_the_index_nobody_can_say_whether_it_is_damage() -> None:
    archive = Kept()
    chosen = archive.located()
    archive.store.files.clear()
    archive.index.failures["find by SOP Instance UID"] = IndexUnavailable("gone")
    with pytest.raises(InstanceDamaged, match="missing"):
        archive.sent(chosen)
    assert archive.damaged == []


def test_what_is_replaced_without_end_is_given_up() -> None:
    archive = Kept()
    versions = itertools.count()
    found = FakeIndex.find_by_sop_instance_uid

    class Restless(FakeIndex):
        def find_by_sop_instance_uid(self, sop_instance_uid: str) -> StoredInstance | None:
            current = found(self, sop_instance_uid)
            return None if current is None else replace(current, path=f"{next(versions)}.dcm")

    restless = Restless(records=archive.index.records)
    kept = KeptInstances(archive.store, restless, verify_by="checksum", metrics=archive.metrics)
    chosen = archive.located()
    archive.store.files.clear()
    with pytest.raises(StorageUnavailable, match="again and again"), ExitStack() as stack:
        stack.enter_context(kept.opened(chosen, DatasetBuffer()))
    assert archive.damaged == []


READING_FAILS = {
    "in a large file": StorageUnavailable("cannot read a stored object: Input/output error"),
    "behind its end": StorageUnavailable("a stored file ends at 500 of 1000 bytes"),
    "while it is transcoded": TranscodingFailed("the stored data set cannot be transcoded"),
}


@pytest.mark.parametrize("error", READING_FAILS.values(), ids=list(READING_FAILS))
def test_what_cannot_be_read_while_it_is_sent_is_damage(error: PacsdError) -> None:
    archive = Kept()
    error.__cause__ = StorageUnavailable("cannot read a stored object: Input/output error")
    with (
        capture_logs() as logs,
        pytest.raises(PacsdError) as raised,
        archive.kept.opened(archive.located(), DatasetBuffer()),
    ):
        raise error
    assert [(line["event"], line["reason"]) for line in logs] == [("instance-damaged", str(raised.value))]
    assert raised.value is error
    assert archive.damaged == ["retrieve"]


def test_a_process_without_file_descriptors_says_nothing_of_what_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = Kept()
    error = StorageUnavailable("cannot open a stored object: Too many open files", lacks_resources=True)
    with pytest.raises(StorageUnavailable), archive.kept.opened(archive.located(), DatasetBuffer()):
        raise error

    def fail(_store: MemoryStore, _path: str) -> MemoryObject:
        raise error

    monkeypatch.setattr(MemoryStore, "open_object", fail)
    with pytest.raises(StorageUnavailable, match="Too many"), ExitStack() as stack:
        stack.enter_context(archive.kept.opened(archive.located(), DatasetBuffer()))
    assert archive.damaged == []


def test_what_the_peer_cannot_take_is_no_damage() -> None:
    archive = Kept()
    with pytest.raises(TranscodingFailed), archive.kept.opened(archive.located(), DatasetBuffer()):
        raise TranscodingFailed("no decoder for it")
    assert archive.damaged == []


@given(outcomes=st.lists(st.sampled_from(SubOperation), max_size=30), lost_at=st.none() | st.integers(0, 30))
def test_the_counts_are_always_the_total(outcomes: list[SubOperation], lost_at: int | None) -> None:
    instances = [instance(number) for number in range(len(outcomes))]
    progress = Progress(remaining=len(instances))
    end = len(outcomes) if lost_at is None else min(lost_at, len(outcomes))
    for each, outcome in zip(instances[:end], outcomes[:end], strict=True):
        progress.count(Sent(each, outcome))
        done = progress.completed + progress.failed + progress.warning
        assert progress.remaining + done == len(instances)
    progress.fail_remaining(instances)
    assert progress.remaining == 0
    assert progress.completed == outcomes[:end].count(SubOperation.COMPLETED)
    assert progress.warning == outcomes[:end].count(SubOperation.WARNING)
    failed = [n for n, outcome in enumerate(outcomes) if n >= end or outcome is SubOperation.FAILED]
    assert progress.failed == len(failed)
    assert progress.failed_sop_instance_uids == [f"1.2.{number}" for number in failed]


def test_the_first_reason_is_the_one_told() -> None:
    progress = Progress(remaining=3)
    progress.count(Sent(instance(1), SubOperation.COMPLETED))
    progress.count(Sent(instance(2), SubOperation.FAILED, "no room"))
    progress.count(Sent(instance(3), SubOperation.WARNING, "coerced"))
    assert progress.reason == "no room"
