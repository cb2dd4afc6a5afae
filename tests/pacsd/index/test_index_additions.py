"""The short way of a commit: what takes it, and that it leaves the same rows as the long way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import record
from sqlalchemy import create_engine, select, text

from pacsd.index.repository import Index
from pacsd.index.schema.rows import split_record
from pacsd.index.schema.tables import instances, metadata, patients, series, studies
from pacsd.index.write import additions, commits, existing_series
from pacsd.index.write.additions import add
from pacsd.model import CommitOutcome, CommitResult, DuplicatePolicy, InstanceRecord

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import OpenIndex

STORED = CommitResult(CommitOutcome.STORED)


def added(index: Index, *records: InstanceRecord) -> bool:
    return add(index._writing, [split_record(each) for each in records])


@pytest.mark.parametrize(
    "batch",
    [
        [record("1.2")],
        [record("1.3"), record("1.2")],
        [record("1.2", ImageComments="of the instance alone")],
        [record(f"1.1.{number}") for number in range(300)],
    ],
    ids=["one", "two", "instance's own", "many"],
)
def test_new_instances_of_a_known_series_take_the_short_way(
    index: Index, batch: list[InstanceRecord]
) -> None:
    index.commit([record("1.1")])
    before = rows_of(index)
    assert added(index, *batch)
    after = rows_of(index)
    assert [after[name] for name in ("patients", "studies", "series")] == [
        before[name] for name in ("patients", "studies", "series")
    ]
    assert len(after["instances"]) == 1 + len(batch)


@pytest.mark.parametrize(
    "batch",
    [
        [record("1.1", path="again.dcm")],
        [record("1.1", checksum="other", path="other.dcm")],
        [record("1.2"), record("1.1", path="again.dcm")],
        [record("1.2"), record("1.2", path="again.dcm")],
        [record("1.2", series="1.9")],
        [record("1.2", study="1.9")],
        [record("1.2", PatientID="P2")],
        [record("1.2", PatientID=None)],
        [record("1.2", is_from_file=True)],
        [record("1.2", PatientName="", StudyDate=None)],
        [record("1.2"), record("1.3", PatientName="New^Name")],
        [record("1.2", StudyDate="20260103")],
        [record("1.2", SeriesNumber="7")],
        [record("1.2", path=record("1.1").path)],
        [record("1.2"), record("1.3", size=2**70)],
        [record("1.2", path="bad\udc80path")],
        [record("1.2", size=None)],
        [record(f"1.{number}", series=f"1.9.{number}") for number in range(300)],
    ],
    ids=[
        "identical", "other content", "one known", "twice", "new series", "other study", "other patient", "no patient",
        "from a file", "fewer attributes", "new name", "new date",
        "new number", "path of another", "overflow", "surrogate", "no size", "many series",
    ],
)  # fmt: skip
def test_what_is_more_than_that_leaves_no_trace_there(index: Index, batch: list[InstanceRecord]) -> None:
    index.commit([record("1.1")])
    before = rows_of(index)
    assert not added(index, *batch)
    assert rows_of(index) == before


def test_a_commit_of_a_known_series_takes_the_short_way(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.commit([record("1.1")])
    monkeypatch.setattr(commits, "write", lambda *_arguments: pytest.fail("the long way"))
    assert index.commit([record("1.2"), record("1.3")]) == [STORED, STORED]


def test_prepared_statements_are_compiled_once_and_touch_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(f"sqlite:///{tmp_path}/none.db", duplicates=DuplicatePolicy.KEEP_FIRST)
    index.prepare()
    monkeypatch.setattr(additions, "_Statements", lambda _dialect: pytest.fail("compiled again"))
    index.prepare()
    assert list(tmp_path.iterdir()) == []
    index.dispose()


def test_long_headers_are_compared_but_not_remembered(index: Index) -> None:
    long = {"PatientComments": "x" * 100_000}
    index.commit([record("1.1", **long)])
    index.commit([record("1.2")])
    assert added(index, record("1.2.1"))
    before = existing_series._remembered.cache_info()
    assert added(index, record("1.3", **long))
    assert not added(index, record("1.4", PatientComments="y" * 100_000))
    after = existing_series._remembered.cache_info()
    assert after.currsize == before.currsize
    assert after.hits - before.hits == 4  # of study and series, twice


def test_many_series_are_known_at_once(index: Index) -> None:
    everywhere = [(f"1.{number}", f"2.{number}") for number in range(50)]
    index.commit([record(f"3.{series}", series=series, study=study) for series, study in everywhere])
    again = [record(f"4.{series}", series=series, study=study) for series, study in everywhere]
    assert added(index, *again)
    keys = {(row["study"], row["series"], row["sop_instance_uid"]) for row in rows_of(index)["instances"]}
    assert {(study, series, f"4.{series}") for series, study in everywhere} <= keys


def test_a_series_that_another_process_removed_is_made_again(open_index: OpenIndex) -> None:
    ours, theirs = open_index(), open_index(DuplicatePolicy.REPLACE)
    ours.commit([record("1.1")])
    assert added(ours, record("1.2"))
    theirs.commit(
        [
            record(uid, study="9.9", series="9.8", checksum="other", path=f"{uid}.dcm")
            for uid in ("1.1", "1.2")
        ]
    )
    assert ours.commit([record("1.3")]) == [STORED]
    kept = {(row["study"], row["sop_instance_uid"]) for row in rows_of(ours)["instances"]}
    assert kept == {("1.2.1.1", "1.3"), ("9.9", "1.1"), ("9.9", "1.2")}


def test_a_connection_that_was_cut_is_replaced(migrated_postgres: str) -> None:
    index = Index(migrated_postgres, duplicates=DuplicatePolicy.KEEP_FIRST)
    empty(index)
    index.commit([record("1.1")])
    assert added(index, record("1.2"))
    engine = create_engine(migrated_postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'pacsd'"
        assert connection.execute(text(cut)).scalars().all().count(True) > 0
    engine.dispose()
    assert index.commit([record("1.3")]) == [STORED]
    assert added(index, record("1.4"))
    index.dispose()


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "PatientID": st.sampled_from(["P1", "P2", "P3", "", None]),
        "PatientName": st.sampled_from(["A", "B", "", None]),
        "StudyDate": st.sampled_from(["20260102", "20260103"]),
        "SeriesNumber": st.sampled_from(["1", "2"]),
    },
)
RECORDS = st.builds(
    lambda instance, study, series, content, header: record(
        f"3.{instance}", study=f"1.{study}", series=f"2.{series}", checksum=f"content:{content}", **header,
        path=f"{instance}/{study}/{series}/{content}",
    ),
    st.integers(1, 12), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), HEADERS,
)  # fmt: skip
COMMITS = st.lists(st.tuples(st.booleans(), st.lists(RECORDS, min_size=1, max_size=3)), max_size=10)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy=st.sampled_from(DuplicatePolicy), sequence=COMMITS)
def test_two_writers_leave_the_rows_that_one_would_by_the_long_way(
    database_url: str, policy: DuplicatePolicy, sequence: list[tuple[bool, list[InstanceRecord]]]
) -> None:
    pair = [Index(database_url, duplicates=policy) for _ in range(2)]
    empty(pair[0])
    results = [pair[is_second].commit(batch) for is_second, batch in sequence]
    rows = rows_of(pair[0])
    empty(pair[0])
    expected = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commits, "add", lambda *_arguments: False)
        for _is_second, batch in sequence:
            alone = Index(database_url, duplicates=policy)
            expected.append(alone.commit(batch))
            alone.dispose()
    assert list(map(repr, results)) == list(map(repr, expected))
    assert rows == rows_of(pair[0])
    for each in pair:
        each.dispose()


def empty(index: Index) -> None:
    with index._writing.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


def rows_of(index: Index) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, with what stands above each by its natural key, in an order of their own."""
    of_study = studies.join(patients, studies.c.patient_row_id == patients.c.id)
    of_series = series.join(studies, series.c.study_row_id == studies.c.id)
    of_instance = instances.join(series, instances.c.series_row_id == series.c.id).join(
        studies, series.c.study_row_id == studies.c.id
    )
    study, of = studies.c.study_instance_uid.label("study"), series.c.series_instance_uid.label("series")
    statements = {
        "patients": select(patients),
        "studies": select(studies, patients.c.patient_key).select_from(of_study),
        "series": select(series, study).select_from(of_series),
        "instances": select(instances, study, of).select_from(of_instance),
    }
    with index._reading.connect() as connection:
        rows = {name: connection.execute(each).mappings().all() for name, each in statements.items()}
    return {
        name: sorted(
            ({key: row[key] for key in row if key != "id" and not key.endswith("row_id")} for row in each),
            key=lambda row: [str(value) for value in row.values()],
        )
        for name, each in rows.items()
    }
