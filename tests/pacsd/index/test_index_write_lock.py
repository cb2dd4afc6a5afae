"""WriteLock: one holder at a time, a deadline, and a lock that dies with its holder."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from records import record

from pacsd.errors import IndexUnavailable
from pacsd.index.database.write_lock import WriteLock
from pacsd.index.repository import Index
from pacsd.model import CommitOutcome, CommitResult, DuplicatePolicy
from support.deadline import wait_until
from support.rows import paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 20.0
HOLD = """
import sys
from pathlib import Path
from pacsd.index.database.write_lock import WriteLock
with WriteLock(Path(sys.argv[1]), timeout=10).take():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the turn until it is written a line, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_waits_goes_on_when_the_holder_is_done(path: Path, holder: subprocess.Popen[str]) -> None:
    turns = WriteLock(path, timeout=DEADLINE)
    held = threading.Event()

    def take() -> None:
        with turns.take():
            held.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not held.wait(0.05)
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert held.wait(DEADLINE)
    waiting.join(DEADLINE)
    turns.close()


def test_a_killed_holder_leaves_no_lock(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait(DEADLINE)
    with WriteLock(path, timeout=DEADLINE).take():
        pass


def test_no_turn_in_time_is_unavailable_and_harms_nobody(path: Path, holder: subprocess.Popen[str]) -> None:
    before = set(threading.enumerate())
    impatient = WriteLock(path, timeout=0.05)
    for _attempt in range(3):
        with pytest.raises(IndexUnavailable, match="no turn"), impatient.take():
            pass
    assert [each.name for each in threading.enumerate() if each not in before] == ["index-turn"]
    holder.kill()
    holder.wait(DEADLINE)
    # The one who gave up must not have kept what it no longer wanted.
    with WriteLock(path, timeout=DEADLINE).take():
        pass
    with impatient.take():
        pass
    impatient.close()


def test_one_thread_does_all_the_waiting_and_ends_with_the_turns(path: Path) -> None:
    before = set(threading.enumerate())
    held, waiting = WriteLock(path, timeout=DEADLINE), WriteLock(path, timeout=DEADLINE)
    waiters = set()
    for _round in range(5):
        done = threading.Thread(target=_take_once, args=(waiting,))
        with held.take():
            done.start()
            wait_until(lambda: is_waiting(waiting), within=DEADLINE, what="the turn asked for")
            waiters |= {each for each in set(threading.enumerate()) - before if each.name == "index-turn"}
        done.join(DEADLINE)
    assert len(waiters) == 1
    waiting.close()
    held.close()
    (waiter,) = waiters
    waiter.join(DEADLINE)
    assert not waiter.is_alive()
    _take_once(waiting)
    waiting.close()


def test_turns_that_close_during_a_wait_keep_no_lock_and_no_thread(path: Path) -> None:
    holder, impatient = WriteLock(path, timeout=DEADLINE), WriteLock(path, timeout=0.01)
    before = set(threading.enumerate())
    with holder.take():
        with pytest.raises(IndexUnavailable, match="no turn"):
            _take_once(impatient)
        impatient.close()
        (waiter,) = set(threading.enumerate()) - before
    waiter.join(DEADLINE)
    assert not waiter.is_alive()
    for turns in (holder, impatient):
        _take_once(turns)
        turns.close()


def is_waiting(turns: WriteLock) -> bool:
    return turns._waiter is not None and turns._waiter.is_waiting


def _take_once(turns: WriteLock) -> None:
    with turns.take():
        pass


def test_threads_of_a_process_take_turns_too(path: Path) -> None:
    turns = WriteLock(path, timeout=0.05)
    with turns.take(), pytest.raises(IndexUnavailable), turns.take():
        pass
    with turns.take():
        pass


def test_many_threads_and_locks_exclude_each_other(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(turns: WriteLock) -> None:
        for _round in range(20):
            with turns.take():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    locks = [WriteLock(path, timeout=DEADLINE) for _ in range(3)]
    threads = [threading.Thread(target=work, args=(turns,)) for turns in locks for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(DEADLINE)
    assert len(most) == 20 * 9
    assert max(most) == 1
    for turns in locks:
        turns.close()


def test_a_lock_file_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    with (
        pytest.raises(IndexUnavailable, match=r"cannot be locked: No such file or directory \(.*/no/lock\)$"),
        WriteLock(tmp_path / "no" / "lock", timeout=1).take(),
    ):
        pass


def test_a_commit_waits_no_longer_than_its_turn_timeout(
    migrated_sqlite: Path, path: Path, holder: subprocess.Popen[str]
) -> None:
    index = Index(
        f"sqlite:///{migrated_sqlite}",
        duplicates=DuplicatePolicy.KEEP_FIRST,
        lock_file=path,
        turn_timeout=0.05,
    )
    with pytest.raises(IndexUnavailable):
        index.commit([record()])
    assert paths_of(index) == []
    holder.kill()
    holder.wait(DEADLINE)
    with WriteLock(path, timeout=DEADLINE).take():
        pass
    assert index.commit([]) == []
    index.dispose()


def test_a_commit_after_the_holder_died_succeeds(
    database_url: str, path: Path, holder: subprocess.Popen[str]
) -> None:
    index = Index(database_url, duplicates=DuplicatePolicy.KEEP_FIRST, lock_file=path, turn_timeout=DEADLINE)
    holder.kill()
    assert index.commit([record()]) == [CommitResult(CommitOutcome.STORED)]
    index.dispose()
