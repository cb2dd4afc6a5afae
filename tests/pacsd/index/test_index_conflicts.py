"""Studies whose objects name different patients: found under each, told of, listed, and whole again once corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from contents import row_counts
from questions import query
from records import record

from pacsd.model import (
    DemographicsDifference,
    DuplicatePolicy,
    InstanceSelection,
    QueryLevel,
    QueryModel,
    StudyConflict,
)
from support.matches import matches_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import OpenIndex
    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord

STUDY = "1.2.1.1"
ALPHA = {"PatientID": "PA", "PatientName": "Alpha^A"}
BETA = {"PatientID": "PB", "PatientName": "Beta^B"}


def answers(index: Index, level: str, **keys: str) -> list[Mapping[str, str]]:
    return list(matches_of(index, query(level, model=QueryModel.PATIENT_ROOT, **keys)))


def two_patients() -> list[InstanceRecord]:
    """Two objects of one and one of the other, in one series."""
    return [record("1.1", **ALPHA), record("1.2", **ALPHA), record("1.3", **BETA)]


@pytest.fixture(params=["one batch", "batches", "the other way round"])
def index(request: pytest.FixtureRequest, open_index: OpenIndex) -> Index:
    """With the study of two patients in it."""
    index = open_index()
    sent = two_patients()
    if request.param == "one batch":
        index.commit(sent)
    else:
        for each in sent if request.param == "batches" else reversed(sent):
            index.commit([each])
    return index


@pytest.mark.parametrize(("patient", "count"), [(ALPHA, "2"), (BETA, "1")])
def test_the_study_is_found_under_each_patient(index: Index, patient: dict[str, str], count: str) -> None:
    name, number = patient["PatientName"], "NumberOfStudyRelatedInstances"
    found = answers(index, "STUDY", PatientID=patient["PatientID"], PatientName="", **{number: ""})
    assert [(each["PatientName"], each[number]) for each in found] == [(name, count)]
    found = answers(index, "STUDY", PatientID=patient["PatientID"], PatientName=name)
    assert len(found) == 1
    (answer,) = answers(index, "PATIENT", PatientID=patient["PatientID"], NumberOfPatientRelatedInstances="")
    assert answer["NumberOfPatientRelatedInstances"] == count
    (answer,) = answers(
        index,
        "SERIES",
        PatientID=patient["PatientID"],
        StudyInstanceUID=STUDY,
        NumberOfSeriesRelatedInstances="",
    )
    assert answer["NumberOfSeriesRelatedInstances"] == count


def test_an_image_is_answered_with_its_own_patient(index: Index) -> None:
    asked = query(
        "IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.2.1", PatientName="", SOPInstanceUID=""
    )
    named = {each["SOPInstanceUID"]: each["PatientName"] for each in matches_of(index, asked)}
    assert named == {"1.1": "Alpha^A", "1.2": "Alpha^A", "1.3": "Beta^B"}


def test_a_retrieve_gives_the_patient_s_own_and_of_the_study_all(index: Index) -> None:
    chosen = InstanceSelection(
        model=QueryModel.PATIENT_ROOT,
        level=QueryLevel.STUDY,
        patient_id="PB",
        study_instance_uids=(STUDY,),
    )
    assert [each.sop_instance_uid for each in index.locate(chosen)] == ["1.3"]
    whole = replace(chosen, model=QueryModel.STUDY_ROOT, patient_id=None)
    assert sorted(each.sop_instance_uid for each in index.locate(whole)) == ["1.1", "1.2", "1.3"]


def test_the_patients_are_listed_with_their_senders(index: Index) -> None:
    index.commit([record("1.4", calling_ae_title="OTHER", **BETA), record("9.1", study="9.9", **ALPHA)])
    listed = {each.patient_id: each for each in index.conflicts()}
    assert {each.study_instance_uid for each in listed.values()} == {STUDY}
    assert {key: (each.instances, each.senders) for key, each in listed.items()} == {
        "PA": (2, ("MODALITY",)),
        "PB": (2, ("MODALITY", "OTHER")),
    }


def test_a_conflict_is_told_once_for_each_patient_that_comes(open_index: OpenIndex) -> None:
    told: list[DemographicsDifference | StudyConflict] = []
    index = open_index(observe_difference=told.append)
    for each in (*two_patients(), record("1.4", **BETA), record("2.1", series="1.2.2.9", **BETA)):
        index.commit([each])
    assert told == [StudyConflict(STUDY, 2)]
    index.commit([record("1.5", PatientID=None)])
    assert told[1:] == [StudyConflict(STUDY, 3)]


def test_a_study_whose_objects_are_all_corrected_is_the_right_patient_s_alone(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE_OWN)
    index.commit([record(f"1.{number}", **ALPHA) for number in range(3)])
    for number in range(3):
        assert bool(list(index.conflicts())) is (number > 0)
        index.commit([record(f"1.{number}", path=f"{number}.dcm", checksum=f"new {number}", **BETA)])
    assert list(index.conflicts()) == []
    assert answers(index, "STUDY", PatientID="PA") == []
    assert answers(index, "PATIENT", PatientID="PA") == []
    assert len(answers(index, "STUDY", PatientID="PB")) == 1
    assert row_counts(index) == {"patients": 1, "studies": 1, "series": 1, "instances": 3}


def test_an_object_without_patient_id_is_nobody_else_s(open_index: OpenIndex) -> None:
    index = open_index()
    index.commit([record("1.1", **ALPHA), record("1.2", PatientID=None)])
    (answer,) = answers(index, "STUDY", PatientID="PA", NumberOfStudyRelatedInstances="")
    assert answer["NumberOfStudyRelatedInstances"] == "1"
    asked = query("STUDY", StudyInstanceUID=STUDY, PatientID="")
    assert [each["PatientID"] for each in matches_of(index, asked)] == ["PA", ""]
