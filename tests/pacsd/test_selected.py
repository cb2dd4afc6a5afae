"""A retrieve's selection: all of its instances in order, little memory, and what is gone is still counted."""

from __future__ import annotations

import tracemalloc
from functools import partial

import pytest

from pacsd.model import StoredInstance
from pacsd.selected import PAGE, SelectedInstances, kinds_of, uids_from

BYTES_EACH = 100
MANY = 50 * PAGE


def stored(number: int) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=f"1.2.840.113619.2.55.3.604688119.971.1360768541.{number:09}",
        sop_class_uid=f"1.2.840.10008.5.1.4.1.1.{number % 3}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"2026/11/30/1.2.840.113619.2.55.3/1.2.3/{number}.dcm",
        size=number,
        dataset_offset=300,
        checksum=f"xxh3_128:{number:032}",
    )


def selected(count: int, gone: frozenset[int] = frozenset()) -> SelectedInstances:
    known = {stored(number).sop_instance_uid: number for number in range(count) if number not in gone}
    made = SelectedInstances(lambda uids: {uid: stored(known[uid]) for uid in uids if uid in known})
    for number in range(count):
        each = stored(number)
        kind = (each.sop_class_uid, each.transfer_syntax_uid)
        made.add(each.sop_instance_uid, kind, partial(stored, number))
    return made


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 7])
def test_all_come_in_order(count: int) -> None:
    made = selected(count)
    expected = [stored(number) for number in range(count)]
    assert len(made) == count
    assert list(made) == expected
    assert [made[place] for place in reversed(range(count))] == expected[::-1]
    assert made[-2:] == expected[-2:]
    assert list(kinds_of(made)) == list(kinds_of(expected))
    for place in {0, count // 2, count}:
        assert list(uids_from(made, place)) == list(uids_from(expected, place))
    with pytest.raises(IndexError):
        made[count]


def test_what_is_gone_has_no_file() -> None:
    made = selected(2 * PAGE, frozenset({PAGE + 3}))
    assert made[PAGE + 2] == stored(PAGE + 2)
    gone, wanted = made[PAGE + 3], stored(PAGE + 3)
    assert (gone.sop_instance_uid, gone.sop_class_uid) == (wanted.sop_instance_uid, wanted.sop_class_uid)
    assert gone.path != wanted.path


def test_an_instance_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        made = SelectedInstances(lambda uids: {})
        before = tracemalloc.get_traced_memory()[0]
        for number in range(MANY):
            each = stored(number)
            kind = (each.sop_class_uid, each.transfer_syntax_uid)
            made.add(each.sop_instance_uid, kind, partial(stored, number))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(made) == MANY
    assert taken / MANY < BYTES_EACH
