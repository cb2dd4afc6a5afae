"""Common questions are answered through an index of the database and not by reading whole tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from pacsd.index import queries
from pacsd.model import FindQuery, QueryLevel, QueryModel

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = [
    ("PATIENT", {"PatientID": "P77"}),
    ("PATIENT", {"PatientName": "NAME77*"}),
    ("PATIENT", {"PatientName": "=name77*"}),
    ("STUDY", {"PatientName": "NAME77*", "NumberOfStudyRelatedInstances": "", "ModalitiesInStudy": ""}),
    ("STUDY", {"PatientID": "P7*7"}),
    ("STUDY", {"StudyInstanceUID": "1.77\\1.78"}),
    ("STUDY", {"AccessionNumber": "A77"}),
    ("STUDY", {"StudyDate": "20240101-20240102"}),
    ("STUDY", {"StudyDate": "20240101", "ModalitiesInStudy": "CT"}),
    ("STUDY", {"PatientID": "P77", "StudyDate": "-20240101"}),
    ("SERIES", {"StudyInstanceUID": "1.77", "Modality": "CT"}),
    ("IMAGE", {"StudyInstanceUID": "1.77", "SeriesInstanceUID": "1.77.1", "InstanceNumber": "1"}),
]


@pytest.mark.parametrize(("level", "keys"), QUESTIONS)
def test_no_table_is_read_whole(migrated_sqlite: Path, level: str, keys: dict[str, str]) -> None:
    """On SQLite, which decides without looking at sizes; PostgreSQL reads small tables whole, and rightly so."""
    plan = queries.plan(asked(level, keys), glob=True)
    engine = create_engine(f"sqlite:///{migrated_sqlite}")
    with engine.connect() as connection:
        text = str(plan.statement.compile(connection, compile_kwargs={"literal_binds": True}))
        steps = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    engine.dispose()
    assert any(step.startswith("SEARCH") for step in steps)
    # What the planner names anon_ are the few values below one study, not a table.
    assert [step for step in steps if step.startswith("SCAN") and "anon_" not in step] == []


def test_a_key_without_a_literal_prefix_reads_one_whole(migrated_sqlite: Path) -> None:
    """So that the test above is known to see it."""
    with pytest.raises(AssertionError):
        test_no_table_is_read_whole(migrated_sqlite, "STUDY", {"AccessionNumber": "*7"})


def asked(level: str, keys: dict[str, str]) -> FindQuery:
    model = QueryModel.PATIENT_ROOT if level == "PATIENT" else QueryModel.STUDY_ROOT
    return FindQuery(model=model, level=QueryLevel(level), keys=keys)
