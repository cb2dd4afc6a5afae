"""Common questions, retrieves and stores look at few rows of a large index, whatever the database.

On as many rows as it takes until PostgreSQL prefers an index: it reads small tables whole, and rightly so.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url
from watched import watched

from pacsd.model import FindQuery, InstanceSelection, QueryLevel, QueryModel, QueryOptions
from scale.archive import Archive, accession_number, day, family, series_uid, study_uid
from scale.filling import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watched import Watched

    from conftest import CreateDatabase
    from pacsd.model import InstanceRecord

ARCHIVE = Archive(10_000)
"""Studies; 30,000 instances."""
ONE = 2345
PATIENT_ID, NAME = ARCHIVE.patient_id(ONE), ARCHIVE.patient_name(ONE)
COUNTS = {"ModalitiesInStudy": "", "NumberOfStudyRelatedSeries": "", "NumberOfStudyRelatedInstances": ""}
TWO_DAYS, ALWAYS = f"{day(19)}-{day(20)}", f"{day(0)}-{day(99)}"
FAMILY = f"{family(782)}*"
MANY_NAMES, EVERY_DESCRIPTION = f"{NAME[0]}*", "EXAMINATION*"
STUDIES = "\\".join(map(study_uid, range(0, 1000, 100)))

QUESTIONS = [
    ("PATIENT", {"PatientID": PATIENT_ID}, 1, 10),
    ("PATIENT", {"PatientName": FAMILY}, 3, 20),
    ("PATIENT", {"PatientName": "=" + FAMILY}, 0, 10),
    ("PATIENT", {"PatientID": PATIENT_ID, "NumberOfPatientRelatedInstances": ""}, 1, 20),
    ("STUDY", {"PatientID": PATIENT_ID}, 2, 10),
    ("STUDY", {"PatientID": PATIENT_ID, **COUNTS}, 2, 50),
    ("STUDY", {"PatientID": f"{PATIENT_ID[:-1]}*"}, 20, 100),
    ("STUDY", {"PatientID": f"{PATIENT_ID[:-2]}?{PATIENT_ID[-1]}"}, 20, 300),
    ("STUDY", {"PatientName": NAME}, 2, 20),
    ("STUDY", {"PatientName": FAMILY}, 6, 40),
    ("STUDY", {"PatientName": FAMILY, **COUNTS}, 6, 150),
    ("STUDY", {"PatientName": FAMILY, "StudyDate": ALWAYS}, 6, 50),
    ("STUDY", {"AccessionNumber": accession_number(ONE)}, 1, 10),
    ("STUDY", {"AccessionNumber": accession_number(ONE), "StudyDate": ALWAYS, "PatientName": "*"}, 1, 15),
    ("STUDY", {"AccessionNumber": "NONE"}, 0, 5),
    ("STUDY", {"StudyInstanceUID": STUDIES}, 10, 60),
    ("STUDY", {"StudyDate": day(19)}, 120, 600),
    ("STUDY", {"StudyDate": f"{day(82)}-"}, 160, 800),
    ("STUDY", {"StudyDate": TWO_DAYS, "ModalitiesInStudy": "XA"}, 12, 1500),
    ("STUDY", {"StudyDate": TWO_DAYS, "PatientID": PATIENT_ID}, 1, 15),
    ("STUDY", {"StudyDate": ALWAYS, "PatientID": PATIENT_ID, "ModalitiesInStudy": "CR"}, 2, 20),
    ("STUDY", {"StudyDate": f"-{day(99)}", "PatientID": f"{PATIENT_ID[:-1]}*"}, 20, 120),
    ("STUDY", {"StudyDescription": EVERY_DESCRIPTION, "PatientID": PATIENT_ID}, 2, 20),
    ("STUDY", {"StudyDescription": f"EXAMINATION {ONE % 200}", "PatientID": PATIENT_ID}, 2, 20),
    ("STUDY", {"StudyDescription": EVERY_DESCRIPTION, "AccessionNumber": accession_number(ONE)}, 1, 15),
    ("STUDY", {"PatientName": MANY_NAMES, "PatientID": PATIENT_ID}, 2, 30),
    ("STUDY", {"PatientName": MANY_NAMES, "AccessionNumber": accession_number(ONE)}, 1, 20),
    ("STUDY", {"PatientName": MANY_NAMES, "StudyInstanceUID": study_uid(ONE)}, 1, 20),
    ("STUDY", {"ReferringPhysicianName": MANY_NAMES, "PatientID": PATIENT_ID}, 0, 30),
    ("PATIENT", {"PatientName": MANY_NAMES, "PatientID": PATIENT_ID}, 1, 20),
    ("SERIES", {"StudyInstanceUID": study_uid(ONE)}, 1, 10),
    ("SERIES", {"StudyInstanceUID": study_uid(ONE), "Modality": "CR", "SeriesDescription": "*"}, 1, 10),
    ("SERIES", {"StudyInstanceUID": study_uid(ONE), "NumberOfSeriesRelatedInstances": ""}, 1, 15),
    ("IMAGE", {"StudyInstanceUID": study_uid(7), "SeriesInstanceUID": series_uid(7, 1)}, 100, 400),
    (
        "IMAGE",
        {"StudyInstanceUID": study_uid(7), "SeriesInstanceUID": series_uid(7, 1), "InstanceNumber": "9"},
        1,
        400,
    ),
]
"""Level and keys, how many answers, and how many rows of any table may be looked at for them."""

RELATIONAL = [
    ("SERIES", {"PatientID": PATIENT_ID}, 2, 20),
    ("SERIES", {"PatientName": FAMILY}, 8, 60),
    ("SERIES", {"PatientName": FAMILY, "Modality": "MR"}, 2, 60),
    ("SERIES", {"StudyDate": day(19), "Modality": "XA"}, 6, 800),
    ("SERIES", {"SeriesInstanceUID": series_uid(4, 2)}, 1, 10),
    ("SERIES", {"StudyInstanceUID": STUDIES}, 20, 100),
    ("SERIES", {"AccessionNumber": accession_number(ONE)}, 1, 10),
    ("IMAGE", {"PatientID": PATIENT_ID}, 4, 30),
    ("IMAGE", {"SOPInstanceUID": next(ARCHIVE.instances(ONE)).sop_instance_uid}, 1, 10),
    ("IMAGE", {"SeriesInstanceUID": series_uid(7, 1), "InstanceNumber": "9"}, 1, 400),
    ("IMAGE", {"StudyInstanceUID": study_uid(ONE)}, 2, 20),
    ("IMAGE", {"AccessionNumber": accession_number(ONE)}, 2, 20),
]
"""The same, without the unique keys of the levels above."""

SELECTIONS = [
    (QueryModel.PATIENT_ROOT, QueryLevel.PATIENT, {"patient_id": PATIENT_ID}),
    (QueryModel.STUDY_ROOT, QueryLevel.STUDY, {"study_instance_uids": tuple(STUDIES.split("\\"))}),
    (
        QueryModel.STUDY_ROOT,
        QueryLevel.SERIES,
        {
            "study_instance_uids": (study_uid(4),),
            "series_instance_uids": (series_uid(4, 1), series_uid(4, 2)),
        },
    ),
    (
        QueryModel.STUDY_ROOT,
        QueryLevel.IMAGE,
        {
            "study_instance_uids": (study_uid(4),),
            "series_instance_uids": (series_uid(4, 1),),
            "sop_instance_uids": tuple(each.sop_instance_uid for each in ARCHIVE.instances(4)),
        },
    ),
]


@pytest.fixture(scope="module", params=["sqlite", "sqlite analysed", "postgresql"])
def large(request: pytest.FixtureRequest, create_database: CreateDatabase) -> Iterator[Watched]:
    """An index with the archive in it; the daemon has SQLite collect no statistics, but others may."""
    dialect, _, analysed = request.param.partition(" ")
    url = create_database(dialect)
    fill(url, ARCHIVE)
    if analysed:
        with closing(sqlite3.connect(make_url(url).database or "")) as connection:
            connection.execute("ANALYZE")
    with watched(url) as seen:
        yield seen


@pytest.fixture
def seen(large: Watched) -> Watched:
    """The same, of which nothing has been seen yet."""
    large.forget()
    return large


@pytest.mark.parametrize(("level", "keys", "answers", "most"), QUESTIONS)
def test_a_question_looks_at_few_rows(
    seen: Watched, level: str, keys: dict[str, str], answers: int, most: int
) -> None:
    assert ask(seen, level, keys) == answers
    assert_little_read(seen, most)


@pytest.mark.parametrize(("level", "keys", "answers", "most"), RELATIONAL)
def test_a_relational_question_looks_at_few_rows(
    seen: Watched, level: str, keys: dict[str, str], answers: int, most: int
) -> None:
    assert ask(seen, level, keys, QueryOptions(relational=True)) == answers
    assert_little_read(seen, most)


@pytest.mark.parametrize(("times", "answers"), [("1200-1159", 120), ("23-00", 10)])
def test_a_combined_range_looks_at_its_days_alone(seen: Watched, times: str, answers: int) -> None:
    keys = {"StudyDate": TWO_DAYS, "StudyTime": times}
    assert ask(seen, "STUDY", keys, QueryOptions(combined_date_time=True)) == answers
    assert_little_read(seen, 1200)


def test_the_few_without_a_value_are_found_by_an_index(seen: Watched) -> None:
    without_value = QueryOptions(empty_values=True)
    for keyword in ("AccessionNumber", "StudyDate", "PatientID", "PatientName"):
        assert ask(seen, "STUDY", {keyword: '""'}, without_value) == 0
    assert_little_read(seen, 20)


def test_a_question_asked_often_looks_at_no_more(seen: Watched) -> None:
    """A prepared statement may come to be planned for any values: here for days, of which most are few."""
    for offset in range(20):
        ask(seen, "STUDY", {"StudyDate": f"{day(offset)}-{day(80)}", "PatientID": ARCHIVE.patient_id(offset)})
    seen.forget()
    assert ask(seen, "STUDY", {"StudyDate": f"-{day(99)}", "PatientID": PATIENT_ID}) == 2
    assert ask(seen, "STUDY", {"StudyDate": f"{day(19)}-{day(19)}", "PatientID": PATIENT_ID}) == 1
    assert_little_read(seen, 250)


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        (QueryLevel.SERIES, {"series_instance_uids": (series_uid(4, 1), series_uid(7, 1))}),
        (
            QueryLevel.IMAGE,
            {"sop_instance_uids": tuple(each.sop_instance_uid for each in ARCHIVE.instances(4))},
        ),
    ],
)
def test_a_relational_retrieve_looks_at_few_rows(
    seen: Watched, level: QueryLevel, keys: dict[str, tuple[str, ...]]
) -> None:
    chosen = InstanceSelection(model=QueryModel.STUDY_ROOT, level=level, relational=True, **keys)  # type: ignore[arg-type]
    assert seen.index.locate(chosen)
    assert_little_read(seen, 500)


@pytest.mark.parametrize(("model", "level", "keys"), SELECTIONS)
def test_a_retrieve_looks_at_few_rows(
    seen: Watched, model: QueryModel, level: QueryLevel, keys: dict[str, str]
) -> None:
    assert seen.index.locate(InstanceSelection(model=model, level=level, **keys))  # type: ignore[arg-type]
    assert_little_read(seen, 400)


def test_stores_look_at_few_rows(seen: Watched) -> None:
    """Of what they are about: a series that is there, one instance twice, new series, studies and patients."""
    known = next(ARCHIVE.instances(ONE))
    again = [known, new_instance(known, "1")]
    new_series = new_instance(known, "2", series_instance_uid="2.25.2")
    new_study = new_instance(known, "3", series_instance_uid="2.25.3", study_instance_uid="2.25.4")
    stranger = replace(
        new_instance(known, "4", series_instance_uid="2.25.5", study_instance_uid="2.25.6"),
        attributes={**known.attributes, "PatientID": "STRANGER"},
    )
    for batch in ([again[1]], again, [new_series], [new_study], [stranger]):
        seen.forget()
        seen.index.commit(batch)
        assert_little_read(seen, 150)


def test_a_key_without_a_literal_prefix_reads_much(seen: Watched) -> None:
    """So that the tests above are known to see it."""
    ask(seen, "STUDY", {"AccessionNumber": "*7"})
    assert seen.read_whole()
    assert seen.looked_at > ARCHIVE.studies // 2


def ask(seen: Watched, level: str, keys: dict[str, str], options: QueryOptions | None = None) -> int:
    model = QueryModel.PATIENT_ROOT if level == "PATIENT" else QueryModel.STUDY_ROOT
    asked = FindQuery(model=model, level=QueryLevel(level), keys=keys, options=options or QueryOptions())
    return sum(map(len, seen.index.find(asked)))


def new_instance(known: InstanceRecord, number: str, **fields: str) -> InstanceRecord:
    uid = f"2.25.1.{number}"
    return replace(known, sop_instance_uid=uid, path=f"new/{number}.dcm", checksum=number, **fields)  # type: ignore[arg-type]


def assert_little_read(seen: Watched, most: int) -> None:
    assert seen.statements or seen.plans
    assert seen.read_whole() == []
    assert seen.looked_at <= most
