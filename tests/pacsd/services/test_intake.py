"""Instances that one association has sent ahead, and that are finished together."""

from __future__ import annotations

import pytest

from pacsd.errors import DatasetInvalid, IndexUnavailable, StorageUnavailable
from pacsd.model import CommitOutcome
from pacsd.services.intake import Intake
from support.fake_archive import Archive, altered, incoming


@pytest.fixture
def archive() -> Archive:
    return Archive()


def test_the_first_to_finish_does_it_for_all(archive: Archive) -> None:
    intake = Intake(archive.ingest)
    instances = [altered(number) for number in range(5)]
    finishing = [intake.receive(incoming(each), [each.dataset]) for each in instances]
    assert archive.batches == []
    assert archive.outcomes == []
    assert finishing[2]() is CommitOutcome.STORED
    assert archive.batches == [5]
    assert [finish() for finish in (*finishing[:2], *finishing[3:])] == [CommitOutcome.STORED] * 4
    assert archive.batches == [5]
    assert sorted(archive.index.records) == sorted(each.sop_instance_uid for each in instances)
    assert not archive.store.incoming


def test_files_are_durable_before_their_names_and_these_before_the_rows(archive: Archive) -> None:
    intake = Intake(archive.ingest)
    instances = [altered(number) for number in range(3)]
    finishing = [intake.receive(incoming(each), [each.dataset]) for each in instances]
    archive.journal.clear()
    finishing[0]()
    assert archive.journal[:3] == ["file synced"] * 3
    assert archive.journal[3:6] == ["published"] * 3
    assert archive.journal[6:8] == ["directories synced", "committing"]


def test_what_is_received_later_is_finished_later(archive: Archive) -> None:
    intake = Intake(archive.ingest)
    first, second = altered(1), altered(2)
    finish_first = intake.receive(incoming(first), [first.dataset])
    finish_first()
    finish_second = intake.receive(incoming(second), [second.dataset])
    finish_second()
    assert archive.batches == [1, 1]


def test_a_bad_one_is_refused_and_the_others_are_kept(archive: Archive) -> None:
    intake = Intake(archive.ingest)
    good, bad = altered(1), altered(2, StudyInstanceUID=None)
    finish = intake.receive(incoming(good), [good.dataset])
    with pytest.raises(DatasetInvalid):
        intake.receive(incoming(bad), [bad.dataset])
    assert finish() is CommitOutcome.STORED
    assert list(archive.index.records) == [good.sop_instance_uid]
    assert not archive.store.incoming


@pytest.mark.parametrize("effect", ["file synced", "published"])
def test_a_disk_that_fails_for_one_leaves_nothing_of_that_one(archive: Archive, effect: str) -> None:
    intake = Intake(archive.ingest)
    instances = [altered(number) for number in range(2)]
    finishing = [intake.receive(incoming(each), [each.dataset]) for each in instances]
    archive.failures[effect] = StorageUnavailable("broken")
    for finish in finishing:
        with pytest.raises(StorageUnavailable, match="broken"):
            finish()
    assert archive.holds_nothing()
    archive.failures.clear()
    assert archive.take(instances[0]) is CommitOutcome.STORED


def test_an_index_that_fails_fails_for_each(archive: Archive) -> None:
    intake = Intake(archive.ingest)
    finishing = [intake.receive(incoming(each), [each.dataset]) for each in (altered(1), altered(2))]
    archive.failures["committing"] = IndexUnavailable("locked")
    for finish in finishing:
        with pytest.raises(IndexUnavailable):
            finish()
    assert archive.holds_nothing()


def test_the_same_instance_sent_twice_ahead_is_kept_once(archive: Archive) -> None:
    intake = Intake(archive.ingest)
    instance = altered(1)
    finishing = [intake.receive(incoming(instance), [instance.dataset]) for _ in range(2)]
    assert [finish() for finish in finishing] == [CommitOutcome.STORED, CommitOutcome.IDENTICAL]
    assert len(archive.store.files) == 1
