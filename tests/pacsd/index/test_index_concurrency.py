"""Several processes that commit the same new patients, studies and instances at once."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING, Any

import pytest
from records import record
from sqlalchemy import text

from pacsd.index.database.engines import database_url as parsed
from pacsd.index.database.engines import reading_engine
from pacsd.index.repository import Index
from pacsd.model import CommitOutcome, CommitResult, DuplicatePolicy, InstanceRecord
from support.rows import paths_of

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

ROUNDS = 15
PROCESSES = 3
DEADLINE = 60.0


def _round(writer: int, number: int) -> list[InstanceRecord]:
    """New patients, studies and series shared by all writers; instances of one's own, and some that all send."""
    batch = []
    for each in (number, number + 1):
        where = {"study": f"1.{each}", "series": f"1.{each}.1", "PatientID": f"P{each // 3}"}
        batch.append(record(f"1.{each}.1.{writer}.{number}", **where, PatientComments=f"{writer}"))
        batch.append(record(f"1.{each}.1.9.{number}", **where, path=f"{writer}/{each}/{number}"))
    # Each writer in an order of its own: who locks in the order of arrival would wait in a circle.
    return batch if writer % 2 else batch[::-1]


def _write(url: str, writer: int, policy: str, barrier: Barrier, outcomes: Any) -> None:
    index = Index(url, duplicates=DuplicatePolicy(policy))
    for number in range(ROUNDS):
        barrier.wait(DEADLINE)
        outcomes.put([(writer, result) for result in index.commit(_round(writer, number))])
    index.dispose()


@pytest.mark.parametrize("policy", [DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REPLACE])
def test_processes_that_meet_the_same_new_study_never_make_two(
    database_url: str, policy: DuplicatePolicy
) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, outcomes = spawn.Barrier(PROCESSES), spawn.Queue()
    writers = [
        spawn.Process(target=_write, args=(database_url, writer, policy.value, barrier, outcomes))
        for writer in range(PROCESSES)
    ]
    for each in writers:
        each.start()
    rounds = [outcomes.get(timeout=DEADLINE) for _ in range(PROCESSES * ROUNDS)]
    for each in writers:
        each.join(DEADLINE)
        assert each.exitcode == 0

    results = [result for part in rounds for _writer, result in part]
    assert all(isinstance(result, CommitResult) for result in results)
    shared = ROUNDS * 2
    stored = sum(result.outcome is CommitOutcome.STORED for result in results)
    assert stored == shared + PROCESSES * ROUNDS * 2
    # Same checksum: whoever comes second is told that it is kept already, and its file is not needed.
    identical = [result for result in results if result.outcome is CommitOutcome.IDENTICAL]
    assert len(identical) == shared * (PROCESSES - 1)

    studies = ROUNDS + 1
    engine = reading_engine(parsed(database_url))
    with engine.connect() as connection:
        counts = {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("patients", "studies", "series", "instances")
        }
        paths = set(connection.execute(text("SELECT path FROM instances")).scalars())
    engine.dispose()
    assert counts == {
        "patients": ROUNDS // 3 + 1,
        "studies": studies,
        "series": studies,
        "instances": stored,
    }
    assert not paths & {result.obsolete_path for result in results}


def test_threads_share_an_index(database_url: str) -> None:
    index = Index(database_url, duplicates=DuplicatePolicy.KEEP_FIRST)
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(ROUNDS):
                index.commit(_round(writer, number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(DEADLINE)
    assert failures == []
    assert len(paths_of(index)) == ROUNDS * 2 + 4 * ROUNDS * 2
    index.dispose()
