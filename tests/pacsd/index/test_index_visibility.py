"""What readers see while several processes store the same new patients, studies and series, round after round."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING, Any

from questions import query
from records import record
from sqlalchemy import text

from pacsd.index.repository import Index
from pacsd.model import CommitOutcome, CommitResult, DuplicatePolicy, InstanceRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier

    from conftest import OpenIndex

ROUNDS = 24
PROCESSES = 3
DEADLINE = 60.0
EXTRA_KEYS = ("PatientComments", "ProtocolName", "KVP")


def _instance(writer: int, number: int) -> InstanceRecord:
    """The first of its study for every writer, and of its patient in every fourth round."""
    return record(
        f"1.3.{number}.{writer}",
        series=f"1.2.{number}",
        study=f"1.1.{number}",
        PatientID=f"P{number // 4}",
        PatientComments=f"writer {writer}",
        ProtocolName=f"writer {writer}",
        KVP=f"{writer}",
    )


def _write(url: str, writer: int, barrier: Barrier, outcomes: Any) -> None:
    index = Index(url, duplicates=DuplicatePolicy.KEEP_FIRST, extra_keywords=EXTRA_KEYS)
    for number in range(ROUNDS):
        barrier.wait(DEADLINE)
        outcomes.put(index.commit([_instance(writer, number)]))
    index.dispose()


def test_a_study_is_seen_whole_and_once(open_index: OpenIndex, database_url: str) -> None:
    index = open_index(extra_keywords=EXTRA_KEYS)
    assert index.register_extra_keys() == ()
    spawn = multiprocessing.get_context("spawn")
    barrier, outcomes = spawn.Barrier(PROCESSES), spawn.SimpleQueue()
    writers = [
        spawn.Process(target=_write, args=(database_url, writer, barrier, outcomes))
        for writer in range(PROCESSES)
    ]
    for each in writers:
        each.start()

    seen = set()
    while any(each.is_alive() for each in writers):
        seen.add(_look(index))
    for each in writers:
        each.join(DEADLINE)
        assert each.exitcode == 0
    assert _look(index) == ROUNDS
    assert seen - {0, ROUNDS}, "it looked while they wrote"

    results = [outcomes.get() for _ in range(PROCESSES * ROUNDS)]
    assert results == [[CommitResult(CommitOutcome.STORED)]] * PROCESSES * ROUNDS
    counts = {
        name: len(list(_rows(index, f"SELECT id FROM {name}"))) for name in ("patients", "studies", "series")
    }
    assert counts == {"patients": ROUNDS // 4, "studies": ROUNDS, "series": ROUNDS}
    for keyword, table in zip(EXTRA_KEYS, ("patients", "series", "instances"), strict=True):
        assert _kept(index, keyword) == _in_headers(index, keyword, table)


def _look(index: Index) -> int:
    """How many studies there are: none without series and instances, and none twice."""
    asked = query(
        "STUDY", StudyInstanceUID="", NumberOfStudyRelatedSeries="", NumberOfStudyRelatedInstances=""
    )
    studies = [answer for page in index.find(asked) for answer in page]
    assert len({answer["StudyInstanceUID"] for answer in studies}) == len(studies)
    for answer in studies:
        assert answer["NumberOfStudyRelatedSeries"] == "1"
        assert 1 <= int(answer["NumberOfStudyRelatedInstances"]) <= PROCESSES
    return len(studies)


def _rows(index: Index, statement: str) -> Iterator[Any]:
    with index._reading.connect() as connection:
        yield from connection.execute(text(statement))


def _kept(index: Index, keyword: str) -> list[tuple[int, str]]:
    statement = f"SELECT row_id, value FROM extra_values WHERE keyword = '{keyword}' ORDER BY row_id"
    return [(row.row_id, row.value) for row in _rows(index, statement)]


def _in_headers(index: Index, keyword: str, table: str) -> list[tuple[int, str]]:
    rows = _rows(index, f"SELECT id, header FROM {table} ORDER BY id")
    values = [(row.id, json.loads(row.header)[keyword]) for row in rows]
    return [(row_id, f"{value}.0" if keyword == "KVP" else value) for row_id, value in values]
