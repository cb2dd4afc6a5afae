"""Attempts to commit: how long, with what pauses, and that what is in doubt stays in doubt."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import pytest
from questions import study_query
from records import record
from sqlalchemy.exc import DataError, OperationalError

from pacsd.effort import Effort
from pacsd.errors import IndexUnavailable, OperationCancelled
from pacsd.index.database import attempts, overtime
from pacsd.index.database.attempts import Patience
from pacsd.index.database.failures import OvertakenError, UnconfirmedError
from pacsd.index.read.answers import Matches
from pacsd.index.read.query_watch import Watch
from pacsd.index.read.spool import Spools
from pacsd.index.read.streams import Page
from pacsd.index.repository import Index
from pacsd.index.schema import migrations
from pacsd.index.write import commits
from pacsd.model import CommitOutcome, DuplicatePolicy, InstanceSelection, QueryLevel, QueryModel
from support.deadline import wait_until
from support.matches import matches_of
from support.postgres import postgres_server
from support.postgres_proxy import Hold, PostgresProxy, postgres_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence


class Clock:
    """Goes on by what is waited for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    """A minute, whose pauses take no time."""
    made = Patience(60.0, clock=clock)

    def wait(seconds: float) -> bool:
        clock.pauses.append(seconds)
        clock.now += seconds
        return False

    made._changed.wait = wait  # type: ignore[assignment,method-assign]
    return made


class Told(Exception):
    """A driver's error with the SQLSTATE that a server has given, or None."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("told")
        self.sqlstate = sqlstate


def error(sqlstate: str | None) -> OperationalError:
    return OperationalError("a statement", None, Told(sqlstate))


PASSING = [
    *map(error, (None, "25006", "57P01", "57P03", "08006", "53300", "55P03", "57014")),
    UnconfirmedError(),
]


@pytest.mark.parametrize("cause", PASSING)
def test_what_passes_is_tried_until_the_deadline_with_growing_pauses(
    patience: Patience, clock: Clock, cause: Exception
) -> None:
    tried = patience.begin()
    assert tried.is_first
    while tried.go_on_after(cause):
        assert not tried.is_first
    assert clock.now == pytest.approx(1060.0)
    assert 0.025 <= clock.pauses[0] <= 0.05
    assert all(1.0 <= each <= 2.0 for each in clock.pauses[7:-1])
    assert 30 < len(clock.pauses) < 80


@pytest.mark.parametrize("cause", [OvertakenError(), error("40001"), error("40P01"), error("23503")])
def test_conflicts_are_tried_at_once_at_first(patience: Patience, clock: Clock, cause: Exception) -> None:
    tried = patience.begin()
    for _ in range(10):
        assert tried.go_on_after(cause)
    assert clock.pauses == []
    assert tried.go_on_after(cause)
    assert clock.pauses


@pytest.mark.parametrize("sqlstate", ["53100", "42P01", "22001", "XX001"])
def test_what_stays_is_not_tried_again(patience: Patience, clock: Clock, sqlstate: str) -> None:
    assert not patience.begin().go_on_after(error(sqlstate))
    assert clock.pauses == []


def test_who_comes_late_does_not_wait_longest(patience: Patience, clock: Clock) -> None:
    """The time that the database has been away counts for all commits together, until it is back."""
    first = patience.begin()
    assert first.go_on_after(error(None))
    clock.now = 1050.0
    second = patience.begin()
    while second.go_on_after(error(None)):
        pass
    assert clock.now == pytest.approx(1060.0, abs=0.1)
    third = patience.begin()
    while third.go_on_after(error(None)):
        pass
    assert clock.now == pytest.approx(1061.0, abs=0.1)
    third.succeeded()
    began = clock.now
    fourth = patience.begin()
    while fourth.go_on_after(error(None)):
        pass
    assert clock.now == pytest.approx(began + 60.0, abs=0.1)


def test_a_pause_ends_when_the_server_stops() -> None:
    patience = Patience(60.0)
    tried = patience.begin()
    went_on: list[bool] = []
    pausing = threading.Thread(target=lambda: went_on.append(patience.pause(50.0, float("inf"))))
    pausing.start()
    patience.end_within(0.0)
    pausing.join(10.0)
    assert not pausing.is_alive()
    assert not tried.go_on_after(error(None))
    assert not patience.begin().go_on_after(error(None))


def test_a_querys_pause_may_be_cancelled() -> None:
    cancelled = Effort(is_cancelled=lambda: True)
    with pytest.raises(OperationCancelled):
        Patience(60.0).pause(30.0, math.inf, cancelled.check)


@pytest.mark.parametrize("sqlstate", [None, "57P01", "57014", "40003", "25P03", "XX000"])
def test_a_commit_that_fails_so_may_be_written(patience: Patience, sqlstate: str | None) -> None:
    tried = patience.begin()
    with pytest.raises(OperationalError), tried.committing({}):
        raise error(sqlstate)
    assert tried.may_be_written
    for other in ("55P03", "40001", "53100", None):
        with pytest.raises(OperationalError):
            raise error(other)
        tried.go_on_after(error(other))
        assert tried.may_be_written
        assert tried.failure(error(other)).may_be_written


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "23503", "23505"])
def test_a_commit_that_is_refused_so_is_not_written(patience: Patience, sqlstate: str) -> None:
    tried = patience.begin()
    with pytest.raises(OperationalError), tried.committing({}):
        raise error(sqlstate)
    assert not tried.may_be_written
    assert tried.failure(error(sqlstate)).was_reached


class AsTheyAre:
    """Answers that are their rows."""

    def matching(self, rows: Sequence[Any], check: Callable[[], None]) -> Sequence[Any]:
        return rows

    def read(self, rows: Sequence[Any]) -> list[Any]:
        return list(rows)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.close()


def matches(pages: Callable[[], Generator[Page, None, None]], patience: Patience, watch: Watch) -> Matches:
    answers: Any = AsTheyAre()
    return Matches(
        pages, answers, patience.begin(), effort=Effort(), watch=watch, spools=Spools(None, 1 << 20)
    )


def test_a_query_is_begun_again_until_there_is_a_match(patience: Patience, watch: Watch) -> None:
    """What was answered must not come twice."""
    begun = 0

    def pages() -> Generator[Page, None, None]:
        nonlocal begun
        begun += 1
        yield Page([], is_last=False)
        if begun == 1:
            raise error("57P01")
        yield Page([("a match",)], is_last=False)
        raise error("57P01")

    found = matches(pages, patience, watch)
    assert [next(found) for _ in range(3)] == [[], [], [("a match",)]]
    with pytest.raises(IndexUnavailable):
        next(found)
    assert begun == 2


def test_a_query_ends_when_the_database_stays_away(patience: Patience, clock: Clock, watch: Watch) -> None:
    def pages() -> Generator[Page, None, None]:
        raise error(None)
        yield

    with pytest.raises(IndexUnavailable):
        next(matches(pages, patience, watch))
    assert clock.now == pytest.approx(1060.0)


# With a database.


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[PostgresProxy, str]]:
    with postgres_server() as server, postgres_proxy(server) as proxy:
        migrations.upgrade(server.url)
        yield proxy, server.url


@pytest.fixture
def proxy(proxied: tuple[PostgresProxy, str]) -> PostgresProxy:
    return proxied[0]


@pytest.fixture
def held_index(proxy: PostgresProxy) -> Iterator[Index]:
    index = Index(proxy.url("lock_timeout=100ms"), duplicates=DuplicatePolicy.KEEP_FIRST, commit_timeout=1.0)
    yield index
    proxy.takes_clients = True
    index.dispose()


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except IndexUnavailable as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def poison(*_arguments: object) -> None:
    raise DataError("a statement", None, Told("22001"))


def unforeseen(*_arguments: object) -> None:
    raise RuntimeError("not foreseen")


@pytest.mark.parametrize("way", ["short", "long"])
@pytest.mark.parametrize("then", ["locked", "no connection", "poison", "unforeseen"])
def test_a_later_failure_does_not_make_an_outcome_certain(
    held_index: Index, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch, way: str, then: str
) -> None:
    study = f"1.{['short', 'long'].index(way)}.{len(then)}"
    known, sent = (record(f"{study}.{each}", study=study, series=f"{study}.9") for each in (1, 2))
    if way == "short":
        held_index.commit([known])
    proxy.hold_next(Hold.MESSAGE)
    thread, results = in_background(lambda: held_index.commit([sent]))
    proxy.wait_until_held()
    if then in {"poison", "unforeseen"}:
        monkeypatch.setattr(commits, "write", poison if then == "poison" else unforeseen)
    proxy.takes_clients = then != "no connection"
    proxy.cut()
    thread.join(20.0)
    (failure,) = results
    assert isinstance(failure, IndexUnavailable)
    assert failure.may_be_written
    monkeypatch.undo()
    proxy.release()
    proxy.takes_clients = True
    assert held_index.has_path(sent.path)
    again = record(sent.sop_instance_uid, study=study, series=f"{study}.9", path=f"{study}/again.dcm")
    (result,) = held_index.commit([again])
    assert result.outcome is CommitOutcome.IDENTICAL  # type: ignore[union-attr]


def test_a_later_success_is_the_answer(held_index: Index, proxy: PostgresProxy) -> None:
    sent = [record(f"2.{number}", study="2.2", series="2.3") for number in range(3)]
    proxy.hold_next(Hold.ANSWER)
    thread, results = in_background(lambda: held_index.commit(sent))
    proxy.wait_until_held()
    proxy.cut()
    thread.join(20.0)
    assert [each.outcome for each in results[0]] == [CommitOutcome.STORED] * 3
    assert [each.obsolete_path for each in results[0]] == [None] * 3


def test_a_statement_that_is_cut_off_before_its_commit_leaves_no_doubt(
    held_index: Index, proxy: PostgresProxy
) -> None:
    """Without a COMMIT nothing takes effect, so the file may go."""
    held_index.commit([record("3.1", study="3.2", series="3.3")])
    proxy.takes_clients = False
    proxy.cut_all()
    with pytest.raises(IndexUnavailable) as failure:
        held_index.commit([record("3.4", study="3.2", series="3.3")])
    assert not failure.value.may_be_written
    assert not failure.value.was_reached
    proxy.takes_clients = True
    assert not held_index.has_path(record("3.4", study="3.2", series="3.3").path)


@pytest.mark.parametrize("way", ["short", "long"])
@pytest.mark.parametrize("hold", Hold)
def test_a_commit_that_is_never_answered_ends_in_doubt(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch, way: str, hold: Hold
) -> None:
    """Nobody cuts the connection, as when the leader is frozen: we do, in time for another attempt."""
    monkeypatch.setattr(overtime, "_AFTER_CANCEL", 0.5)
    monkeypatch.setattr(attempts, "_LEAST", 1.0)
    study = f"4.{['short', 'long'].index(way)}.{len(hold.value)}"
    known, sent = (record(f"{study}.{each}", study=study, series=f"{study}.9") for each in (1, 2))
    index = Index(proxy.url("lock_timeout=100ms"), duplicates=DuplicatePolicy.KEEP_FIRST, commit_timeout=4.0)
    if way == "short":
        index.commit([known])
    proxy.hold_next(hold)
    thread, results = in_background(lambda: index.commit([sent]))
    proxy.wait_until_held()
    thread.join(20.0)
    assert not thread.is_alive()
    (result,) = results
    if hold is Hold.MESSAGE:
        assert isinstance(result, IndexUnavailable)
        assert result.may_be_written
    else:
        assert [each.outcome for each in result] == [CommitOutcome.STORED]
    proxy.cut()
    if hold is Hold.MESSAGE:
        proxy.release()
    assert index.has_path(sent.path)
    index.dispose()


def test_a_stop_ends_a_commit_that_is_not_answered(proxy: PostgresProxy) -> None:
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST)
    sent = record("6.1", study="6.2", series="6.3")
    proxy.hold_next(Hold.MESSAGE)
    thread, results = in_background(lambda: index.commit([sent]))
    proxy.wait_until_held()
    index.end_attempts_within(0.0)
    thread.join(20.0)
    (failure,) = results
    assert isinstance(failure, IndexUnavailable)
    assert failure.may_be_written
    proxy.cut()
    proxy.release()
    assert index.has_path(sent.path)
    index.dispose()


def test_an_instance_of_a_known_series_takes_no_round_trip_too_many(proxy: PostgresProxy) -> None:
    """BEGIN, what is known of the series, the row, COMMIT."""
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST)
    index.commit([record("7.0", study="7.2", series="7.3")])
    for number in range(1, 20):  # statements that come often are prepared
        index.commit([record(f"7.{number}", study="7.2", series="7.3")])
    before = proxy.sent
    index.commit([record("7.90", study="7.2", series="7.3")])
    assert proxy.sent - before == 4
    index.dispose()


def test_an_index_that_is_disposed_of_leaves_no_thread(proxy: PostgresProxy) -> None:
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST)
    others = overtime_threads()
    for _ in range(2):
        index.commit([record("5.1", study="5.2", series="5.3")])
        assert overtime_threads() == others + 1
        index.dispose()
        assert overtime_threads() == others


def overtime_threads() -> int:
    return sum(thread.name == "index-overtime" for thread in threading.enumerate())


def test_what_a_store_asks_for_is_asked_again_until_the_database_is_back(proxy: PostgresProxy) -> None:
    """An instance that is kept already is looked up: that is no reason to refuse it either."""
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST, commit_timeout=20.0)
    kept = record("8.1", study="8.2", series="8.3")
    index.commit([kept])
    assert index.has_path(kept.path)
    proxy.takes_clients = False
    proxy.cut_all()
    asked = [
        in_background(lambda: index.find_by_sop_instance_uid(kept.sop_instance_uid)),
        in_background(lambda: index.has_path(kept.path)),
    ]
    wait_until(lambda: index._patience._away_since is not None, within=10, what="it is noticed")
    assert all(not results for _, results in asked)
    proxy.takes_clients = True
    for thread, _ in asked:
        thread.join(20.0)
    (_, (found,)), (_, (is_known,)) = asked
    assert found is not None
    assert found.path == kept.path
    assert is_known is True
    index.dispose()


STUDY = InstanceSelection(
    model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, study_instance_uids=("9.2",), patient_id=None
)
READS: dict[str, Any] = {
    "C-FIND": lambda index: [
        match["StudyInstanceUID"] for match in matches_of(index, study_query(StudyInstanceUID="9.2"))
    ],
    "C-FIND of many": lambda index: [match["StudyInstanceUID"] for match in matches_of(index, study_query())],
    "C-MOVE, C-GET": lambda index: [each.sop_instance_uid for each in index.locate(STUDY)],
    "count": lambda index: [str(index.count(STUDY))],
}


@pytest.mark.parametrize("read", READS)
def test_a_query_whose_connection_is_cut_is_asked_again(proxy: PostgresProxy, read: str) -> None:
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST)
    index.commit([record("9.1", study="9.2", series="9.3")])
    before = READS[read](index)
    assert before
    proxy.cut_next(b"studies")
    assert READS[read](index) == before
    assert not proxy.is_to_cut
    index.dispose()


@pytest.mark.parametrize("read", READS)
def test_a_query_waits_until_the_database_is_back(proxy: PostgresProxy, read: str) -> None:
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST)
    index.commit([record("9.1", study="9.2", series="9.3")])
    before = READS[read](index)
    proxy.takes_clients = False
    proxy.cut_all()
    thread, results = in_background(lambda: READS[read](index))
    wait_until(lambda: index._patience_to_read._away_since is not None, within=10, what="it is noticed")
    assert results == []
    proxy.takes_clients = True
    thread.join(20.0)
    assert results == [before]
    index.dispose()


def test_a_query_ends_with_the_server(proxy: PostgresProxy) -> None:
    index = Index(proxy.url(), duplicates=DuplicatePolicy.KEEP_FIRST)
    proxy.takes_clients = False
    thread, results = in_background(lambda: index.locate(STUDY))
    wait_until(lambda: index._patience_to_read._away_since is not None, within=10, what="it is noticed")
    index.end_attempts_within(0.0)
    thread.join(10.0)
    proxy.takes_clients = True
    assert isinstance(results[0], IndexUnavailable)
    index.dispose()
