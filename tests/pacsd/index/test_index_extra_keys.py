"""index.extra_keys: the same answers as without, by an index; kept up to date with the rows, built for older ones."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from questions import patient_query, query
from records import RECEIVED_AT, record
from sqlalchemy import create_engine, text

from pacsd.errors import ReindexRefused
from pacsd.index.read import queries
from pacsd.index.schema.extra_keys import extra_key
from pacsd.model import DemographicsPolicy, DuplicatePolicy, ExtraKeysBuild
from pacsd.services.reindex import Reindexed, reindex

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from conftest import OpenIndex
    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord

KEYS = (
    "PatientComments", "OtherPatientNames", "PatientWeight", "PatientAge", "ProtocolName", "BodyPartExamined",
    "OperatorsName", "SeriesNumber", "KVP", "ImageType", "AcquisitionDateTime", "FrameOfReferenceUID",
)  # fmt: skip


def _records(begin: int = 0) -> list[InstanceRecord]:
    return [
        record(
            f"1.3.{n}",
            series=f"1.2.{n // 2}",
            study=f"1.1.{n // 4}",
            PatientID=f"P{n // 8}",
            PatientComments="x" * 500 if n // 8 == 1 else f"comment {n // 8}\\whole",
            OtherPatientNames=f"A{n // 8}^B\\Ä^Ö=山{n // 8}",
            PatientWeight=f"{70 + n // 4}.0",
            PatientAge=f"0{40 + n // 4}Y",
            ProtocolName=f"HEAD_{n // 2}%",
            BodyPartExamined="HEAD" if n % 4 < 2 else "FOOT",
            OperatorsName=f"Op{n // 2}^X",
            SeriesNumber=str(n // 2),
            KVP="-0" if n == 0 else f"{100 + n}",
            ImageType=f"ORIGINAL\\PRIMARY\\AXIAL{n}",
            AcquisitionDateTime=f"202401{n % 20 + 1:02}120000",
            FrameOfReferenceUID=f"1.9.{n // 2}",
        )
        for n in range(begin, begin + 16)
    ]


QUESTIONS = [
    patient_query("PATIENT", PatientID="", PatientComments="comment 0\\whole"),
    patient_query("PATIENT", PatientID="", PatientComments="xxxxx*"),
    patient_query("PATIENT", PatientID="", OtherPatientNames="ä^*"),
    patient_query("PATIENT", PatientID="", OtherPatientNames="Ä^ö=山1"),
    patient_query("PATIENT", PatientID="", OtherPatientNames="a1^b\\A0*"),
    query("STUDY", StudyInstanceUID="", PatientWeight="71"),
    query("STUDY", StudyInstanceUID="", PatientAge="041Y\\043Y"),
    query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1.0", ProtocolName="HEAD_0%"),
    query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1.1", ProtocolName="*_?%"),
    query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1.0", BodyPartExamined="FOOT"),
    query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1.0", OperatorsName="OP1*"),
    query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1.0", SeriesNumber="01"),
    query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1.0", FrameOfReferenceUID="1.9.1\\1.9.0"),
    query("IMAGE", SOPInstanceUID="", StudyInstanceUID="1.1.0", SeriesInstanceUID="1.2.0", KVP="0.0"),
    query("IMAGE", SOPInstanceUID="", StudyInstanceUID="1.1.0", SeriesInstanceUID="1.2.0", KVP="1.01e2"),
    query("IMAGE", SOPInstanceUID="", StudyInstanceUID="1.1.0", SeriesInstanceUID="1.2.0", ImageType="AXIAL1"),
    query("IMAGE", SOPInstanceUID="", StudyInstanceUID="1.1.0", SeriesInstanceUID="1.2.0", ImageType="PRIM*"),
    query("IMAGE", SOPInstanceUID="", StudyInstanceUID="1.1.0", SeriesInstanceUID="1.2.0",
          AcquisitionDateTime="20240102-"),
]  # fmt: skip


def _answers(index: Index) -> list[list[dict[str, str]]]:
    return [[dict(answer) for page in index.find(each) for answer in page] for each in QUESTIONS]


def _values(index: Index) -> set[tuple[str, str | None, int]]:
    statement = text("SELECT keyword, value, row_id FROM extra_values")
    with index._reading.connect() as connection:
        rows = [tuple(row) for row in connection.execute(statement)]
    assert len(rows) == len(set(rows))
    return set(rows)


def _forget(index: Index, keyword: str) -> None:
    with index._writing.begin() as connection:
        connection.execute(text("DELETE FROM extra_values WHERE keyword = :keyword"), {"keyword": keyword})


def _one_by_one(index: Index, records: Iterable[InstanceRecord]) -> None:
    for each in records:
        index.commit([each])


@pytest.mark.parametrize("is_built_later", [False, True])
def test_answers_are_those_without_extra_keys(open_index: OpenIndex, is_built_later: bool) -> None:
    plain = open_index()
    index = open_index(extra_keywords=KEYS)
    if is_built_later:
        _one_by_one(plain, _records())
        expected = _answers(plain)
        assert index.register_extra_keys() == tuple(sorted(KEYS))
        assert _answers(index) == expected, "by comparison, as long as nothing is built"
        assert reindex(index, KEYS) == Reindexed(tuple(sorted(KEYS)), 0)
    else:
        assert index.register_extra_keys() == ()
        _one_by_one(index, _records())
        expected = _answers(plain)
    assert all(expected), "each question has an answer"
    assert _answers(index) == expected


def test_a_value_that_is_not_in_the_index_is_not_found(open_index: OpenIndex) -> None:
    """So that the test above is known to ask the index."""
    index = open_index(extra_keywords=KEYS)
    index.register_extra_keys()
    index.commit(_records())
    for keyword in KEYS:
        _forget(index, keyword)
    assert not any(_answers(index))


def test_either_way_of_storing_keeps_the_same_values(open_index: OpenIndex) -> None:
    index = open_index(extra_keywords=KEYS)
    index.register_extra_keys()
    _one_by_one(index, _records())
    stored = _values(index)
    for keyword in KEYS:
        _forget(index, keyword)
    with index._writing.begin() as connection:
        connection.execute(text("UPDATE extra_keys SET is_built = false, built_to = 0"))
    reindex(index, KEYS)
    assert _values(index) == stored


def test_a_merged_header_brings_its_values_up_to_date(open_index: OpenIndex) -> None:
    keys = ("PatientComments", "PatientWeight", "ProtocolName")
    index = open_index(extra_keywords=keys)
    index.register_extra_keys()
    index.commit([record("1.1", PatientComments="old", PatientWeight="1", ProtocolName="A\\B")])
    index.commit([record("1.2", PatientComments="new", PatientWeight="2", ProtocolName="B\\C")])
    assert {(keyword, value) for keyword, value, _row in _values(index)} == {
        ("PatientComments", "new"), ("PatientWeight", "1.0"), ("ProtocolName", "A"), ("ProtocolName", "B"),
    }  # fmt: skip
    # What replaces the first object leaves the second to be the first.
    replacing = open_index(DuplicatePolicy.REPLACE, extra_keywords=keys)
    later = RECEIVED_AT + timedelta(seconds=1)
    replacing.commit(
        [record("1.1", checksum="other", path="other.dcm", PatientWeight="3", StudyID="7", received_at=later)]
    )
    assert {(keyword, value) for keyword, value, _row in _values(index)} == {
        ("PatientComments", "new"), ("PatientWeight", "2.0"), ("ProtocolName", "B"), ("ProtocolName", "C"),
    }  # fmt: skip


def test_a_value_that_is_ignored_leaves_no_trace(open_index: OpenIndex) -> None:
    index = open_index(extra_keywords=("PatientComments",), demographics=DemographicsPolicy.FIRST)
    index.register_extra_keys()
    index.commit([record("1.1", PatientComments="first")])
    index.commit([record("1.2", PatientComments="second")])
    assert {value for _keyword, value, _row in _values(index)} == {"first"}


def test_a_replaced_instance_has_its_new_values_alone(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE, extra_keywords=("KVP", "ProtocolName", "PatientComments"))
    index.register_extra_keys()
    first = record("1.1", KVP="100", ProtocolName="OLD", PatientComments="old")
    index.commit([first])
    moved = record(
        "1.1", series="1.9", study="1.8", PatientID="P2", checksum="other", path="other", KVP="200"
    )
    index.commit([moved])
    assert {(keyword, value) for keyword, value, _row in _values(index)} == {("KVP", "200.0")}


def test_a_key_that_is_left_out_for_a_while_begins_anew(open_index: OpenIndex) -> None:
    with_key = open_index(extra_keywords=("KVP",))
    with_key.register_extra_keys()
    with_key.commit([record("1.1", KVP="100")])
    without = open_index()
    assert without.register_extra_keys() == ()
    without.commit([record("1.2", KVP="100")])
    assert with_key.register_extra_keys() == ("KVP",)
    question = query(
        "IMAGE", SOPInstanceUID="", StudyInstanceUID="1.2.1.1", SeriesInstanceUID="1.2.2.1", KVP="100"
    )
    assert sum(len(page) for page in with_key.find(question)) == 2
    reindex(with_key, ("KVP",))
    assert sum(len(page) for page in with_key.find(question)) == 2


def test_values_of_a_key_that_is_left_out_are_removed(open_index: OpenIndex) -> None:
    index = open_index(extra_keywords=("KVP", "ImageType"))
    index.register_extra_keys()
    index.commit(_records())
    index = open_index(extra_keywords=("KVP",))
    assert index.register_extra_keys() == ()
    assert reindex(index, ("KVP",)) == Reindexed((), 48)
    assert {keyword for keyword, _value, _row in _values(index)} == {"KVP"}


def test_a_build_that_was_ended_is_taken_up_where_it_was(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsd.index.maintenance.extra_keys_build._STEP", 4)
    open_index().commit(_records())
    index = open_index(extra_keywords=("KVP",))
    index.register_extra_keys()

    class EndedError(Exception):
        pass

    def end(build: ExtraKeysBuild) -> None:
        if build.position:
            raise EndedError

    with pytest.raises(EndedError):
        reindex(index, ("KVP",), report=end)
    assert len(_values(index)) == 4
    positions: list[int] = []
    assert reindex(index, ("KVP",), report=lambda build: positions.append(build.position)).keywords == (
        "KVP",
    )
    assert len(positions) == 4, "where it stood, and three steps"
    assert len(_values(index)) == 16
    assert reindex(index, ("KVP",)) == Reindexed((), 0)


def test_what_is_stored_and_changed_during_a_build_is_found_after_it(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsd.index.maintenance.extra_keys_build._STEP", 2)
    open_index().commit([record(f"1.{n}", series=f"2.{n}", study=f"3.{n}", PatientID=f"P{n}",
                                PatientComments="before", KVP="1") for n in range(40)])  # fmt: skip
    keys = ("PatientComments", "KVP")
    index = open_index(DuplicatePolicy.REPLACE, extra_keywords=keys)
    index.register_extra_keys()
    begun = threading.Event()
    failures: list[BaseException] = []

    def store() -> None:
        try:
            begun.wait(20)
            for n in reversed(range(40)):
                changed = {"PatientComments": "after", "KVP": "2", "checksum": "other"}
                where = {"series": f"2.{n}", "study": f"3.{n}", "PatientID": f"P{n}"}
                index.commit([record(f"1.{n}", **where, **changed, path=f"changed/{n}")])
                index.commit([record(f"1.{n}.9", **where, **changed)])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=store)
    thread.start()
    reindex(index, keys, report=lambda _build: begun.set())
    thread.join(60)
    assert failures == []
    patients = {
        row for keyword, value, row in _values(index) if (keyword, value) == ("PatientComments", "after")
    }
    images = {row for keyword, value, row in _values(index) if (keyword, value) == ("KVP", "2.0")}
    assert (len(patients), len(images)) == (40, 80)
    assert len(_values(index)) == 120, "and nothing of what was before"


def test_an_extra_key_is_asked_through_its_index(migrated_sqlite: Path) -> None:
    """On SQLite, which decides without looking at sizes; PostgreSQL reads small tables whole, and rightly so."""
    question = query("SERIES", SeriesInstanceUID="", StudyInstanceUID="1.1", ProtocolName="HEAD*")
    engine = create_engine(f"sqlite:///{migrated_sqlite}")
    plan = queries.plan(question, type(engine.dialect), {"ProtocolName"})
    with engine.connect() as connection:
        explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {plan.text}", tuple(plan.parameters))
        steps = [row.detail for row in explained]
    engine.dispose()
    used = "ix_extra_values_keyword_value_row_id (keyword=? AND value>? AND value<?)"
    assert any(used in step for step in steps)


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("BodyPart", "no attribute"),
        ("RequestAttributesSequence", "sequence"),
        ("PixelData", "bulk data"),
        ("PatientID", "matched without it"),
        ("ModalitiesInStudy", "matched without it"),
        ("SOPInstanceUID", "matched without it"),
    ],
)
def test_an_attribute_that_cannot_be_an_extra_key_is_refused(keyword: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{keyword} is .*{reason}"):
        extra_key(keyword)


def test_keys_that_no_server_was_started_with_are_not_built(open_index: OpenIndex) -> None:
    index = open_index(extra_keywords=("KVP",))
    with pytest.raises(ReindexRefused, match=r"KVP in index\.extra_keys: start it again"):
        reindex(index, ("KVP",))
