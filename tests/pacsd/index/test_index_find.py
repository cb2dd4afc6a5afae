"""Index.find: the levels and their hierarchy, returned values, streaming and a database that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from questions import patient_query, query, study_query
from records import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, record

from pacsd.errors import IdentifierInvalid, IndexUnavailable
from pacsd.model import DuplicatePolicy, QueryModel, QueryOptions
from support.matches import matches_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import OpenIndex
    from pacsd.index.repository import Index


@pytest.mark.parametrize(
    ("model", "level", "keys", "keyword"),
    [
        (QueryModel.STUDY_ROOT, "PATIENT", {"PatientID": "P1"}, "QueryRetrieveLevel"),
        (QueryModel.STUDY_ROOT, "SERIES", {}, "StudyInstanceUID"),
        (QueryModel.STUDY_ROOT, "SERIES", {"StudyInstanceUID": ""}, "StudyInstanceUID"),
        (QueryModel.STUDY_ROOT, "SERIES", {"StudyInstanceUID": "*"}, "StudyInstanceUID"),
        (QueryModel.STUDY_ROOT, "SERIES", {"StudyInstanceUID": "1.2\\1.3"}, "StudyInstanceUID"),
        (QueryModel.STUDY_ROOT, "IMAGE", {"StudyInstanceUID": "1.2"}, "SeriesInstanceUID"),
        (QueryModel.STUDY_ROOT, "IMAGE", {"SeriesInstanceUID": "1.2"}, "StudyInstanceUID"),
        (QueryModel.PATIENT_ROOT, "STUDY", {"StudyInstanceUID": "1.2"}, "PatientID"),
        (QueryModel.PATIENT_ROOT, "STUDY", {"PatientID": "P*"}, "PatientID"),
        (QueryModel.PATIENT_ROOT, "SERIES", {"PatientID": "P1"}, "StudyInstanceUID"),
        (QueryModel.PATIENT_ROOT, "IMAGE", {"StudyInstanceUID": "1", "SeriesInstanceUID": "1"}, "PatientID"),
        (QueryModel.STUDY_ROOT, "STUDY", {"SeriesInstanceUID": "1.2"}, "SeriesInstanceUID"),
        (QueryModel.PATIENT_ROOT, "PATIENT", {"StudyInstanceUID": "1.2"}, "StudyInstanceUID"),
        (QueryModel.PATIENT_STUDY_ONLY, "STUDY", {}, "PatientID"),
        (
            QueryModel.PATIENT_STUDY_ONLY,
            "STUDY",
            {"PatientID": "P1", "SOPInstanceUID": "1"},
            "SOPInstanceUID",
        ),
        (QueryModel.PATIENT_STUDY_ONLY, "SERIES", {"PatientID": "P1"}, "QueryRetrieveLevel"),
        (QueryModel.PATIENT_STUDY_ONLY, "IMAGE", {"PatientID": "P1"}, "QueryRetrieveLevel"),
    ],
)
def test_the_hierarchy_is_kept(
    index: Index, model: QueryModel, level: str, keys: dict[str, str], keyword: str
) -> None:
    """PS3.4 C.4.1.2.1: unique keys of all levels above, single-valued, and none below."""
    with pytest.raises(IdentifierInvalid) as refused:
        index.find(query(level, model=model, **keys))
    assert refused.value.keywords == (keyword,)


@pytest.mark.parametrize(
    ("model", "level", "keys", "keyword"),
    [
        (QueryModel.STUDY_ROOT, "PATIENT", {"PatientID": "P1"}, "QueryRetrieveLevel"),
        (QueryModel.STUDY_ROOT, "STUDY", {"SeriesInstanceUID": "1.2"}, "SeriesInstanceUID"),
        (QueryModel.PATIENT_ROOT, "SERIES", {"SOPInstanceUID": "1\\2"}, "SOPInstanceUID"),
    ],
)
def test_a_relational_query_keeps_to_its_model_and_level(
    index: Index, model: QueryModel, level: str, keys: dict[str, str], keyword: str
) -> None:
    asked = query(level, model=model, options=QueryOptions(relational=True), **keys)
    with pytest.raises(IdentifierInvalid) as refused:
        index.find(asked)
    assert refused.value.keywords == (keyword,)


@pytest.fixture
def archive(index: Index) -> Index:
    """Two patients; the first has a study of two series, CT with two instances and MR with one."""
    first = {"PatientID": "P1", "PatientName": "Doe^Jane", "StudyDescription": "Knee"}
    ct = {**first, "Modality": "CT", "SeriesNumber": "1", "study": "1.1", "series": "1.1.1"}
    mr = {**first, "Modality": "MR", "SeriesNumber": "2", "study": "1.1", "series": "1.1.2"}
    index.commit(
        [
            record("1.1.1.1", **ct, InstanceNumber="1"),
            record("1.1.1.2", **ct, InstanceNumber="2", ImageType="DERIVED\\PRIMARY"),
            record("1.1.2.1", **mr, sop_class_uid=MR_IMAGE_STORAGE, InstanceNumber="1"),
            record("2.1.1.1", study="2.1", series="2.1.1", PatientID="P2", PatientName="Roe^Rick"),
            record("2.2.1.1", study="2.2", series="2.2.1", PatientID="P2", PatientName="Roe^Rick"),
        ]
    )
    return index


def test_patient_level(archive: Index) -> None:
    keys = dict.fromkeys(
        (
            "PatientID",
            "PatientName",
            "NumberOfPatientRelatedStudies",
            "NumberOfPatientRelatedSeries",
            "NumberOfPatientRelatedInstances",
        ),
        "",
    )
    answers = [
        tuple(answer[keyword] for keyword in keys)
        for answer in matches_of(archive, patient_query("PATIENT", **keys))
    ]
    assert sorted(answers) == [("P1", "Doe^Jane", "1", "2", "3"), ("P2", "Roe^Rick", "2", "2", "2")]


def test_study_level(archive: Index) -> None:
    keys = {
        "QueryRetrieveLevel": "STUDY",
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyInstanceUID": "1.1",
        "PatientName": "",
        "StudyDescription": "",
        "AccessionNumber": "",
        "ModalitiesInStudy": "",
        "SOPClassesInStudy": "",
        "NumberOfStudyRelatedSeries": "",
        "NumberOfStudyRelatedInstances": "",
        "NumberOfPatientRelatedStudies": "",
    }
    assert list(matches_of(archive, query("STUDY", **keys))) == [
        {
            "StudyInstanceUID": "1.1",
            "PatientName": "Doe^Jane",
            "StudyDescription": "Knee",
            "AccessionNumber": "",
            "ModalitiesInStudy": "CT\\MR",
            "SOPClassesInStudy": f"{CT_IMAGE_STORAGE}\\{MR_IMAGE_STORAGE}",
            "NumberOfStudyRelatedSeries": "2",
            "NumberOfStudyRelatedInstances": "3",
            "NumberOfPatientRelatedStudies": "1",
        }
    ]


def test_a_study_found_by_one_modality_is_returned_with_all(archive: Index) -> None:
    (answer,) = matches_of(archive, study_query(ModalitiesInStudy="MR"))
    assert answer["ModalitiesInStudy"] == "CT\\MR"


def test_a_list_of_uids_is_answered_by_each_alone(archive: Index) -> None:
    answers = list(matches_of(archive, study_query(StudyInstanceUID="2.1\\1.1\\9.9")))
    assert sorted(answer["StudyInstanceUID"] for answer in answers) == ["1.1", "2.1"]


def test_series_level(archive: Index) -> None:
    keys = {
        "StudyInstanceUID": "1.1",
        "SeriesInstanceUID": "",
        "Modality": "",
        "PatientID": "",
        "NumberOfSeriesRelatedInstances": "",
        "ModalitiesInStudy": "",
    }
    answers = [tuple(answer.values()) for answer in matches_of(archive, query("SERIES", **keys))]
    assert sorted(answers) == [
        ("1.1", "1.1.1", "CT", "P1", "2", "CT\\MR"),
        ("1.1", "1.1.2", "MR", "P1", "1", "CT\\MR"),
    ]
    numbered = {"StudyInstanceUID": "1.1", "SeriesNumber": "02.0", "SeriesInstanceUID": ""}
    assert [answer["SeriesInstanceUID"] for answer in matches_of(archive, query("SERIES", **numbered))] == [
        "1.1.2"
    ]


def test_image_level(archive: Index) -> None:
    keys = {
        "PatientID": "P1",
        "StudyInstanceUID": "1.1",
        "SeriesInstanceUID": "1.1.1",
        "SOPInstanceUID": "",
        "SOPClassUID": "",
        "InstanceNumber": "2",
        "ImageType": "PRIMARY",
        "AvailableTransferSyntaxUID": "",
        "Rows": "",
    }
    (answer,) = matches_of(archive, patient_query("IMAGE", **keys))
    assert answer["SOPInstanceUID"] == "1.1.1.2"
    assert answer["SOPClassUID"] == CT_IMAGE_STORAGE
    assert answer["ImageType"] == "DERIVED\\PRIMARY"
    assert answer["AvailableTransferSyntaxUID"] == "1.2.840.10008.1.2.1"
    assert answer["Rows"] == ""


def test_patient_root_stays_within_the_patient(archive: Index) -> None:
    keys = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": ""}
    assert list(matches_of(archive, patient_query("SERIES", PatientID="P2", **keys))) == []
    assert len(list(matches_of(archive, patient_query("SERIES", PatientID="P1", **keys)))) == 2


def test_keys_that_are_not_supported_are_named_and_returned_empty(archive: Index) -> None:
    asked = study_query(
        QueryRetrieveLevel="STUDY",
        RetrieveAETitle="",
        ReferencedImageSequence="",
        NoSuchKeyword="x",
        PixelData="",
        Modality="CT",
        PatientName="Doe*",
    )
    assert archive.unsupported_keys(asked) == (
        "ReferencedImageSequence", "NoSuchKeyword", "PixelData", "Modality",
    )  # fmt: skip
    assert list(matches_of(archive, asked)) == [
        {
            "StudyInstanceUID": "1.1",
            "PatientName": "Doe^Jane",
            "ReferencedImageSequence": "",
            "NoSuchKeyword": "",
            "PixelData": "",
            "Modality": "",
        }
    ]


def test_values_return_as_they_were_received(index: Index) -> None:
    index.commit(
        [record(StudyDate="2024.01.31", StudyTime="12:30", PatientName="Smith^John^^^", StudyID=" 7 ")]
    )
    asked = study_query(StudyDate="20240131", StudyTime="12", PatientName="SMITH*", StudyID="7")
    (answer,) = matches_of(index, asked)
    assert answer == {
        "StudyInstanceUID": "1.2.1.1",
        "StudyDate": "2024.01.31",
        "StudyTime": "12:30",
        "PatientName": "Smith^John^^^",
        "StudyID": " 7 ",
    }


def test_answers_stream_in_a_fixed_order_while_more_is_committed(index: Index) -> None:
    index.commit([record(f"1.{n}", study=f"1.2.1.{n}", PatientID=f"P{n}") for n in range(1000, 1600)])
    answers = matches_of(index, study_query())
    assert next(answers)["StudyInstanceUID"] == "1.2.1.1000"
    index.commit([record("2.1", study="2.1")])
    assert [answer["StudyInstanceUID"] for answer in answers][:599] == [
        f"1.2.1.{n}" for n in range(1001, 1600)
    ]


def test_a_replaced_instance_changes_the_counts(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    index.commit([record("1.1"), record("1.2")])
    index.commit([record("1.2", checksum="other", Modality="MR", series="1.2.2.2")])
    (answer,) = matches_of(index, study_query(NumberOfStudyRelatedInstances="", ModalitiesInStudy=""))
    assert answer["NumberOfStudyRelatedInstances"] == "2"
    assert answer["ModalitiesInStudy"] == "CT\\MR"


def test_a_lost_database_is_unavailable(empty_database_url: str) -> None:
    from pacsd.index.repository import Index

    index = Index(empty_database_url, duplicates=DuplicatePolicy.REJECT)
    with pytest.raises(IndexUnavailable) as failure:
        list(matches_of(index, study_query()))
    assert failure.value.__cause__ is not None
    with pytest.raises(IndexUnavailable):
        index.count_instances()
    with pytest.raises(IndexUnavailable):
        index.commit([record()])
    index.dispose()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    from pacsd.index.repository import Index

    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    index = Index(f"sqlite:///{tmp_path}/index.db", duplicates=DuplicatePolicy.REJECT)
    with pytest.raises(IndexUnavailable):
        index.count_instances()
    with pytest.raises(IndexUnavailable):
        index.commit([record()])
    index.dispose()
