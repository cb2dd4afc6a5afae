"""Queries that are cancelled, cost too much, or are taken slowly."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from questions import study_query
from records import record
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pacsd.effort import Effort
from pacsd.errors import IndexUnavailable, OperationCancelled, OperationTooCostly
from pacsd.index.database.engines import Connections
from pacsd.index.read import streams
from pacsd.index.read.streams import QueryPlaces, stream
from pacsd.model import InstanceSelection, QueryLevel, QueryModel
from support.deadline import wait_until
from support.matches import matches_of

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT x FROM c WHERE x < 0"
SOON = 5.0
"""Far less than what is interrupted would take."""
STUDIES = 300


def fill(index: Index, studies: int) -> None:
    index.commit([record(str(number), study=f"1.{number}") for number in range(studies)])


def test_waiting_for_a_place_may_be_cancelled() -> None:
    places = QueryPlaces(1)
    places.take(Effort())
    with pytest.raises(OperationCancelled):
        places.take(Effort(is_cancelled=lambda: True))
    places.give_back()
    places.take(Effort())


EVERYTHING = InstanceSelection(
    model=QueryModel.STUDY_ROOT,
    level=QueryLevel.STUDY,
    study_instance_uids=tuple(f"1.{number}" for number in range(STUDIES)),
)


def test_looking_up_a_page_of_a_retrieve_may_be_cancelled(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index()
    fill(index, STUDIES)
    cancelled = threading.Event()
    effort = Effort()
    located = index.locate(EVERYTHING, effort)
    effort.ask_instead(cancelled.is_set)

    def away(*_: object) -> None:
        cancelled.set()
        raise OperationalError("SELECT", None, psycopg.OperationalError("the server is away"))

    monkeypatch.setattr("pacsd.index.read.selection.by_sop_instance_uids", away)
    began = time.monotonic()
    with pytest.raises(OperationCancelled):
        located[STUDIES - 1]
    assert time.monotonic() - began < SOON


def test_the_time_that_sending_a_selection_takes_is_not_counted(open_index: OpenIndex) -> None:
    index = open_index()
    fill(index, 1)
    now = 0.0
    effort = Effort(seconds=60, clock=lambda: now)
    located = index.locate(EVERYTHING, effort)
    now += 3600
    effort.check()
    assert len(located) == 1


@pytest.mark.parametrize("effort", ["cancelled", "costly", "gone"])
def test_a_statement_is_interrupted(open_index: OpenIndex, effort: str) -> None:
    index = open_index()
    has_spoken = threading.Event()

    def look() -> bool:
        if effort == "gone":
            raise ConnectionError("the peer is gone")
        return has_spoken.is_set()

    given = Effort(
        seconds=0.3 if effort == "costly" else 60, is_cancelled=look, peer_has_spoken=has_spoken.is_set
    )
    if effort != "costly":
        threading.Timer(0.3, has_spoken.set).start()
    rows = stream(index._reading, ENDLESS, (), places=QueryPlaces(1), watch=index._watch, effort=given)
    given.go_on()
    began = time.monotonic()
    with pytest.raises(SQLAlchemyError):
        next(rows)
    assert time.monotonic() - began < SOON
    expected = {"cancelled": OperationCancelled, "costly": OperationTooCostly, "gone": ConnectionError}
    with pytest.raises(expected[effort]):
        given.check()
    # Its connection is good for the next one, or was replaced.
    assert list(index.find(study_query())) == [[]]


@pytest.mark.parametrize("how", ["asleep", "closed"])
def test_a_statement_is_interrupted_after_a_quiet_time(open_index: OpenIndex, how: str) -> None:
    index = open_index()
    assert list(index.find(study_query())) == [[]]
    if how == "closed":
        index._watch.close()
    wait_until(lambda: index._watch.is_asleep, within=SOON, what="nothing is watched any more")
    given = Effort(seconds=0.1)
    given.go_on()
    rows = stream(index._reading, ENDLESS, (), places=QueryPlaces(1), watch=index._watch, effort=given)
    began = time.monotonic()
    with pytest.raises(SQLAlchemyError):
        next(rows)
    assert time.monotonic() - began < SOON


def test_a_selection_that_is_cancelled_is_not_looked_up(open_index: OpenIndex) -> None:
    index = open_index()
    fill(index, 1)
    given = Effort(is_cancelled=lambda: True)
    given.look()
    chosen = InstanceSelection(
        model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, study_instance_uids=("1.0",)
    )
    with pytest.raises(OperationCancelled):
        index.locate(chosen, given)


def test_who_takes_matches_slowly_keeps_no_cursor_open(open_index: OpenIndex) -> None:
    """And gets what there was when he asked, all of it and in order."""
    index = open_index()
    fill(index, STUDIES)
    expected = list(matches_of(index, study_query()))
    matches = index.find(study_query())
    found = list(next(matches))
    pool = index._reading.pool
    wait_until(lambda: pool.checkedout() == 0, within=SOON, what="the connection is given back")
    fill(index, STUDIES + 10)
    for page in matches:
        found += page
        assert matches.is_exhausted == (len(found) == STUDIES)
    assert found == expected
    assert index._spools.taken == 0


def test_long_answers_come_in_short_pages(open_index: OpenIndex) -> None:
    """What a page holds is in memory until its peer has taken it."""
    index = open_index()
    length, studies = 60_000, 60
    index.commit(
        [
            record(str(number), study=f"1.{number}", PatientID=str(number), PatientComments="c" * length)
            for number in range(studies)
        ]
    )
    pages = list(index.find(study_query(PatientComments="")))
    assert [len(match["PatientComments"]) for page in pages for match in page] == [length] * studies
    assert max(map(len, pages)) == 10


def test_a_peer_may_cancel_between_two_pages(open_index: OpenIndex) -> None:
    index = open_index()
    fill(index, STUDIES)
    has_cancelled = threading.Event()
    given = Effort(is_cancelled=has_cancelled.is_set)
    with closing(index.find(study_query(), given)) as matches:
        next(matches)
        assert not given.look()
        has_cancelled.set()
        assert given.look()
        with pytest.raises(OperationCancelled):
            next(matches)


def test_nothing_is_left_of_matches_that_nobody_takes(open_index: OpenIndex) -> None:
    index = open_index()
    fill(index, STUDIES)
    matches = index.find(study_query())
    next(matches)
    wait_until(lambda: index._spools.taken > 0, within=SOON, what="the rest is put aside")
    matches.close()
    assert index._spools.taken == 0
    assert index._reading.pool.checkedout() == 0


def test_what_is_put_aside_has_a_limit(open_index: OpenIndex) -> None:
    index = open_index(spool_bytes=1000)
    fill(index, STUDIES)
    matches = index.find(study_query())
    next(matches)
    wait_until(lambda: index._reading.pool.checkedout() == 0, within=SOON, what="it has ended")
    with pytest.raises(OperationTooCostly, match="wait to be taken"):
        next(matches)
    assert index._spools.taken == 0


def test_queries_leave_connections_to_those_who_store(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LONGEST_WAIT", 0.1)
    index = open_index(connections=Connections(writing=2, reading=4))
    fill(index, STUDIES)
    queries = [index.find(study_query()) for _ in range(4)]
    for each in queries[:3]:
        next(each)
    with pytest.raises(IndexUnavailable, match="too many queries"):
        next(queries[3])
    assert index.find_by_sop_instance_uid(record("1").sop_instance_uid) is not None
    for each in queries:
        each.close()
