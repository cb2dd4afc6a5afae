"""Leader and followers, with real threads that meet at events; no test depends on how long anything takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsd.errors import DatasetInvalid, IndexUnavailable
from pacsd.services.group_commit import GroupCommit
from support.deadline import wait_until

DEADLINE = 10.0
Outcome = str | Exception


class GatedCommit:
    """A commit whose first batch waits at a gate, so that all others can queue behind it."""

    def __init__(self, answer: Callable[[Sequence[int]], Sequence[Outcome]] | None = None) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[threading.Thread] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self._answer = answer or (lambda items: [f"done {item}" for item in items])
        self._busy = threading.Lock()

    def __call__(self, items: Sequence[int]) -> Sequence[Outcome]:
        assert self._busy.acquire(blocking=False), "two commits at once"
        try:
            self.batches.append(list(items))
            self.threads.append(threading.current_thread())
            self.entered.set()
            assert self.gate.wait(DEADLINE)
            return self._answer(items)
        finally:
            self._busy.release()


class Submissions:
    """Submits each item from a thread of its own, one after the other."""

    def __init__(self, commit: GatedCommit) -> None:
        self.commit = commit
        self.group: GroupCommit[int, str] = GroupCommit(commit)
        self.outcomes: dict[int, Outcome] = {}
        self.threads: dict[int, threading.Thread] = {}

    def _submit(self, item: int) -> None:
        try:
            self.outcomes[item] = self.group.submit(item)()
        except Exception as error:
            self.outcomes[item] = error

    def lead_with(self, item: int) -> None:
        """Submit an item and return when its commit is under way."""
        self._start(item)
        assert self.commit.entered.wait(DEADLINE)

    def queue(self, items: Sequence[int]) -> None:
        """Submit items behind the commit under way, in this order."""
        for item in items:
            before = len(self.group._queue)
            self._start(item)
            wait_until(
                lambda before=before: len(self.group._queue) > before,  # type: ignore[misc]
                within=DEADLINE,
                what="a follower queues",
            )

    def _start(self, item: int) -> None:
        self.threads[item] = threading.Thread(target=self._submit, args=(item,), daemon=True)
        self.threads[item].start()

    def finish(self) -> None:
        """Open the gate and wait for everybody."""
        self.commit.gate.set()
        for thread in self.threads.values():
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a thread still waits"


def run(
    items: Sequence[int], answer: Callable[[Sequence[int]], Sequence[Outcome]] | None = None
) -> Submissions:
    """The first item leads; the others queue while its commit is under way."""
    submissions = Submissions(GatedCommit(answer))
    submissions.lead_with(items[0])
    submissions.queue(items[1:])
    submissions.finish()
    return submissions


def test_a_lone_item_is_committed_at_once_by_its_own_thread() -> None:
    threads = []

    def commit(items: Sequence[int]) -> Sequence[str]:
        threads.append(threading.current_thread())
        return [f"done {item}" for item in items]

    group: GroupCommit[int, str] = GroupCommit(commit)
    assert [group.submit(1)(), group.submit(2)()] == ["done 1", "done 2"]
    assert threads == [threading.current_thread()] * 2


def test_what_comes_during_a_commit_is_one_batch_in_order() -> None:
    submissions = run([1, 2, 3, 4])
    assert submissions.commit.batches == [[1], [2, 3, 4]]
    assert submissions.outcomes == {item: f"done {item}" for item in (1, 2, 3, 4)}


def test_the_lead_goes_to_the_next_that_waits() -> None:
    submissions = run([1, 2, 3])
    assert submissions.commit.threads == [submissions.threads[1], submissions.threads[2]]


def test_the_lead_is_free_again_at_the_end() -> None:
    submissions = run([1, 2, 3])
    assert submissions.group.submit(9)() == "done 9"
    assert submissions.commit.threads[-1] is threading.current_thread()


def test_a_batch_has_at_most_256_items() -> None:
    submissions = run(range(259))
    assert [len(batch) for batch in submissions.commit.batches] == [1, 256, 2]
    assert [item for batch in submissions.commit.batches for item in batch] == list(range(259))
    assert submissions.outcomes == {item: f"done {item}" for item in range(259)}


def test_a_poisoned_item_hurts_nobody_else() -> None:
    def answer(items: Sequence[int]) -> Sequence[Outcome]:
        return [DatasetInvalid("bad", keywords=("Rows",)) if item == 3 else f"done {item}" for item in items]

    outcomes = run([1, 2, 3, 4], answer).outcomes
    poisoned = outcomes.pop(3)
    assert isinstance(poisoned, DatasetInvalid)
    assert poisoned.keywords == ("Rows",)
    assert outcomes == {item: f"done {item}" for item in (1, 2, 4)}


def test_what_a_commit_raises_reaches_its_whole_batch_and_no_other() -> None:
    def answer(items: Sequence[int]) -> Sequence[Outcome]:
        if 2 in items:
            raise IndexUnavailable("the database is locked")
        return [f"done {item}" for item in items]

    submissions = run([1, 2, 3, 4], answer)
    assert submissions.outcomes.pop(1) == "done 1"
    for error in submissions.outcomes.values():
        assert isinstance(error, IndexUnavailable)
        assert str(error) == "the database is locked"
    assert submissions.group.submit(5)() == "done 5"


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_commit_that_forgets_somebody_fails_for_all(count: int) -> None:
    def answer(items: Sequence[int]) -> Sequence[Outcome]:
        return ["done"] * (1 if items == [1] else count)

    submissions = run([1, 2, 3, 4], answer)
    assert submissions.commit.batches == [[1], [2, 3, 4]], "nobody commits twice"
    assert submissions.outcomes.pop(1) == "done"
    assert {str(error) for error in submissions.outcomes.values()} == {f"{count} results for a batch of 3"}


class Unmakeable(Exception):
    """Cannot be made from its `args`, and so not be copied."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


@pytest.mark.parametrize(
    "raised",
    [DatasetInvalid("bad", keywords=("Rows",), mismatch=True), OSError(5, "oh"), Unmakeable("a", "b")],
)
def test_each_thread_raises_an_exception_of_its_own(raised: Exception) -> None:
    def answer(items: Sequence[int]) -> Sequence[Outcome]:
        if 1 not in items:
            raise raised
        return ["done"]

    submissions = run([1, 2, 3, 4, 5], answer)
    errors = [submissions.outcomes[item] for item in (2, 3, 4, 5)]
    assert len({id(error) for error in errors}) == 4
    assert {str(error) for error in errors} == {str(raised)}
    assert errors[0] is raised
    for error in errors[1:]:
        assert isinstance(error, Exception)
        assert error.__cause__ is raised
        assert error.__dict__ == (raised.__dict__ if type(error) is type(raised) else {})
        assert functions(error.__traceback__) == ["_submit", "_result_of"]


def functions(traceback: TracebackType | None) -> list[str]:
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    bad_items=st.sets(st.integers(0, 95)),
    bad_batch=st.integers(-1, 20),
)
def test_any_load_is_committed_once_each_and_never_two_at_once(
    counts: list[int], bad_items: set[int], bad_batch: int
) -> None:
    busy, batches = threading.Lock(), list[list[int]]()

    def commit(items: Sequence[int]) -> Sequence[Outcome]:
        assert busy.acquire(blocking=False), "two commits at once"
        try:
            batches.append(list(items))
            if len(batches) - 1 == bad_batch:
                raise IndexUnavailable("for all")
            return [DatasetInvalid("for one") if item in bad_items else f"done {item}" for item in items]
        finally:
            busy.release()

    group: GroupCommit[int, str] = GroupCommit(commit)
    start = threading.Barrier(len(counts))

    def submit_all(number: int) -> dict[int, str]:
        start.wait(DEADLINE)
        return {item: outcome_of(group, item) for item in range(number * 12, number * 12 + counts[number])}

    with ThreadPoolExecutor(len(counts)) as threads:
        outcomes: dict[int, str] = {}
        for each in threads.map(submit_all, range(len(counts))):
            outcomes.update(each)
    committed = [item for batch in batches for item in batch]
    assert sorted(committed) == sorted(outcomes)
    doomed = set(batches[bad_batch]) if 0 <= bad_batch < len(batches) else set()
    for item, outcome in outcomes.items():
        expected = "for all" if item in doomed else "for one" if item in bad_items else f"done {item}"
        assert outcome == expected


def test_what_nobody_waits_for_yet_is_committed_along() -> None:
    commit = GatedCommit()
    commit.gate.set()
    group: GroupCommit[int, str] = GroupCommit(commit)
    waits = [group.submit(item) for item in range(5)]
    assert commit.batches == []
    assert waits[3]() == "done 3"
    assert [wait() for wait in waits] == [f"done {item}" for item in range(5)]
    assert commit.batches == [[0, 1, 2, 3, 4]]


def test_lead_goes_to_nobody_who_does_not_wait() -> None:
    """Otherwise all behind would wait for a thread that is busy with something else."""
    submissions = Submissions(GatedCommit())
    submissions.lead_with(1)
    put_off = submissions.group.submit(2)
    submissions.commit.gate.set()
    submissions.finish()
    assert submissions.commit.batches == [[1]]
    assert submissions.group.submit(3)() == "done 3"
    assert submissions.commit.batches == [[1], [2, 3]]
    assert put_off() == "done 2"


def test_more_than_one_batch_before_the_lead_comes_to_its_own_item() -> None:
    commit = GatedCommit()
    commit.gate.set()
    group: GroupCommit[int, str] = GroupCommit(commit)
    waits = [group.submit(item) for item in range(300)]
    assert waits[-1]() == "done 299"
    assert [len(batch) for batch in commit.batches] == [256, 44]


def outcome_of(group: GroupCommit[int, str], item: int) -> str:
    try:
        return group.submit(item)()
    except (IndexUnavailable, DatasetInvalid) as error:
        return str(error)
