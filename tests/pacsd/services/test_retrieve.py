"""Counting sub-operations: nothing is counted twice, and nothing is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pacsd.model import StoredInstance
from pacsd.services.retrieve import Progress, Sent, SubOperation


def instance(number: int) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=f"1.2.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{number}.dcm",
        size=1000,
        dataset_offset=400,
    )


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
