"""Index.find: the matching rules of PS3.4 C.2.2.2 as a table, the hierarchy, returned values and streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import CT_IMAGE_STORAGE, record

from pacsd.errors import IdentifierInvalid, IndexUnavailable
from pacsd.model import DuplicatePolicy, FindQuery, QueryLevel, QueryModel

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import OpenIndex
    from pacsd.index.repository import Index

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"


def study_query(**keys: str) -> FindQuery:
    return FindQuery(
        model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, keys={"StudyInstanceUID": "", **keys}
    )


def query(level: str, *, model: QueryModel = QueryModel.STUDY_ROOT, **keys: str) -> FindQuery:
    return FindQuery(model=model, level=QueryLevel(level), keys=keys)


def patient_query(level: str, **keys: str) -> FindQuery:
    return query(level, model=QueryModel.PATIENT_ROOT, **keys)


# What is kept, the key, and whether it matches. The keyword names the VR: each is of the study or the
# patient.
MATCHING = [
    # C.2.2.2.3 Universal
    ("StudyDescription", "CHEST", "", True),
    ("StudyDescription", None, "", True),
    ("StudyDescription", None, "*", True),
    ("StudyDescription", "CHEST", "**", True),
    ("StudyDate", None, "*", True),
    ("PatientName", None, "*", True),
    ("StudyDescription", "CHEST", "   ", True),
    # C.2.2.2.1 Single value: exact, case sensitive, padding not significant
    ("StudyDescription", "CHEST", "CHEST", True),
    ("StudyDescription", "CHEST ", " CHEST", True),
    ("StudyDescription", "CHEST", "CHEST  ", True),
    ("StudyDescription", "CHEST", "chest", False),
    ("StudyDescription", "CHEST", "CHES", False),
    ("StudyDescription", None, "CHEST", False),
    ("StudyDescription", "", "CHEST", False),
    ("AccessionNumber", "00012", "12", False),
    ("PatientID", "P1", "P1", True),
    ("PatientID", "P1", "p1", False),
    ("PatientSex", "F", "F", True),
    ("PatientAge", "042Y", "042Y", True),
    ("PatientAge", "042Y", "041Y", False),
    # C.2.2.2.4 Wild card
    ("StudyDescription", "CHEST PA", "CHEST*", True),
    ("StudyDescription", "CHEST", "CHEST*", True),
    ("StudyDescription", "CHEST PA", "*PA", True),
    ("StudyDescription", "CHEST PA", "*EST*", True),
    ("StudyDescription", "CHEST PA", "C*T*A", True),
    ("StudyDescription", "CHEST", "CH?ST", True),
    ("StudyDescription", "CHEST", "CHEST?", False),
    ("StudyDescription", "CHEST", "?????", True),
    ("StudyDescription", "CHEST", "????", False),
    ("StudyDescription", "CHEST", "chest*", False),
    ("StudyDescription", "CHEST", "*e*", False),
    ("StudyDescription", None, "?*", False),
    ("StudyDescription", "50% DOSE", "50%*", True),
    ("StudyDescription", "500 DOSE", "50%*", False),
    ("StudyDescription", "A_B", "A_?", True),
    ("StudyDescription", "AxB", "A_?", False),
    ("StudyDescription", "A/B", "A/*B", True),
    ("StudyDescription", "A[x]B", "A[x]*", True),
    ("StudyDescription", "AxB", "A[x]*", False),
    ("StudyDescription", "A^B", "A[^x]*", False),
    ("StudyDescription", "Brustkorb Größe", "*Gr?ße", True),
    ("StudyDescription", "胸部CT", "胸?CT", True),
    ("StudyDescription", "胸部CT", "胸*", True),
    ("StudyDescription", "x\U0010ffff", "x\U0010ffff*", True),
    ("StudyDescription", "x\ue000", "x\ud7ff*", False),
    ("StudyComments", "line\\two", "line\\two", True),
    ("StudyComments", "line two", "line*", True),
    ("StudyComments", "line two", "LINE*", False),
    # C.2.2.2.1.? PN: without regard to case; empty components at the end don't count
    ("PatientName", "Smith^John", "smith^JOHN", True),
    ("PatientName", "Smith^John^^^", "Smith^John", True),
    ("PatientName", "Smith^John", "Smith^John^^^", True),
    ("PatientName", "Smith^John", "Smith", False),
    ("PatientName", "Smith^John", "Smith*", True),
    ("PatientName", "Smith^John", "sm?th^j*", True),
    ("PatientName", "Smith", "Smith^*", True),
    ("PatientName", "Smith^John", "Smith^*", True),
    ("PatientName", "Smithson^John", "Smith^*", False),
    ("PatientName", "Smith^John", "*john*", True),
    ("PatientName", "Smith^John", "*^john", True),
    ("PatientName", "Smith ^John", "Smith^John", True),
    ("PatientName", "GROẞ^Änne", "groß^änne", True),
    ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "yamada^tarou", True),
    ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田^太郎", True),
    ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "やまだ*", True),
    ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田*", True),
    ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田*=", True),
    ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "=Yamada*", False),
    ("PatientName", "Yamada^Tarou=山田^太郎", "yamada*=山田*", True),
    ("PatientName", "Yamada^Tarou=山田^太郎", "yamada*=山本*", False),
    ("PatientName", "=山田^太郎", "山田*", True),
    ("ReferringPhysicianName", "House^Greg", "HOUSE*", True),
    ("ReferringPhysicianName", None, "HOUSE*", False),
    ("NameOfPhysiciansReadingStudy", "House^Greg\\Wilson^James", "wilson*", True),
    ("NameOfPhysiciansReadingStudy", "House^Greg\\Wilson^James", "cuddy*", False),
    # C.2.2.2.5 Range: dates
    ("StudyDate", "20240131", "20240131", True),
    ("StudyDate", "20240131", "20240130", False),
    ("StudyDate", "2024.01.31", "20240131", True),
    ("StudyDate", "20240131", "2024.01.31", True),
    ("StudyDate", "20240131", "2024-01-31", True),
    ("StudyDate", "20240131", "20240101-20240131", True),
    ("StudyDate", "20240131", "20240131-20240201", True),
    ("StudyDate", "20240131", "20240201-20240228", False),
    ("StudyDate", "20240131", "20240101-", True),
    ("StudyDate", "20240131", "20240201-", False),
    ("StudyDate", "20240131", "-20240131", True),
    ("StudyDate", "20240131", "-20240130", False),
    ("StudyDate", "20240131", " 20240101 - 20240201 ", True),
    ("StudyDate", "20240131", "2024.01.01-2024.02.01", True),
    ("StudyDate", "20240131", "2024-01-01-2024-02-01", True),
    ("StudyDate", "20240131", "20240101-20240231", True),
    ("StudyDate", "20240131", "20240201-20240101", False),
    ("StudyDate", "20240131", "202401*", True),
    ("StudyDate", "20240131", "202402*", False),
    ("StudyDate", "20240131", "202401??", True),
    ("StudyDate", None, "19000101-", False),
    ("StudyDate", "unknown", "19000101-", False),
    ("PatientBirthDate", "19700101", "19600101-19800101", True),
    # C.2.2.2.5 Range: times
    ("StudyTime", "123015", "123015", True),
    ("StudyTime", "123015.5", "123015", True),
    ("StudyTime", "123015", "12", True),
    ("StudyTime", "123015", "1230", True),
    ("StudyTime", "123015", "1231", False),
    ("StudyTime", "12:30:15", "1230", True),
    ("StudyTime", "123015", "12:30", True),
    ("StudyTime", "123015", "12-13", True),
    ("StudyTime", "135959.9", "12-13", True),
    ("StudyTime", "140000", "12-13", False),
    ("StudyTime", "123015", "1200-", True),
    ("StudyTime", "123015", "-1230", True),
    ("StudyTime", "123115", "-1230", False),
    ("StudyTime", "12", "120000", True),
    ("StudyTime", "235960", "23", True),
    ("StudyTime", "123015.123456", "123015.123456", True),
    ("StudyTime", "123015.123457", "123015.123456", False),
    ("StudyTime", "123015", "12*", True),
    ("StudyTime", None, "00-", False),
    # C.2.2.2.2 List of UID
    ("StudyInstanceUID", "1.2.1.1", "1.2.1.1", True),
    ("StudyInstanceUID", "1.2.1.1", "1.2.1.2\\1.2.1.1", True),
    ("StudyInstanceUID", "1.2.1.1", "1.2.1.2\\1.2.1.3", False),
    ("StudyInstanceUID", "1.2.1.1", "1.2.1.1\0", True),
    ("StudyInstanceUID", "1.2.1.1", "1.2.1", False),
    ("StudyInstanceUID", "1.2.1.1", "1.2.1.?", False),
    # IS and DS by value; several values: any
    ("PatientWeight", "70.50", "70.5", True),
    ("PatientWeight", "70.50", "+705e-1", True),
    ("PatientWeight", "70.50", "70", False),
    ("OtherStudyNumbers", "7\\12", "012", True),
    ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "FEVER", True),
    ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "F*", True),
    ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "COUGH*FEVER", False),
    ("StudyDescription", "CHEST\\ABDOMEN", "ABDOMEN", True),
    ("StudyDescription", "CHEST\\ABDOMEN", "C*N", False),
    ("StudyDescription", "CHEST", "HEAD\\CHEST", True),
    ("StudyDescription", "CHEST", "HEAD\\C*", True),
    ("PatientName", "Smith^John\\Jones^Ann", "jones*", True),
    ("StudyDescription", "x" * 500 + "y", "x*y", True),
    ("StudyDescription", "x" * 500 + "y", "x" * 500 + "y", True),
    ("StudyDescription", "x" * 500 + "y", "x" * 400, False),
    # Attributes computed from below
    ("Modality", "CT", {"ModalitiesInStudy": "CT"}, True),
    ("Modality", "CT", {"ModalitiesInStudy": "MR"}, False),
    ("Modality", "CT", {"ModalitiesInStudy": "MR\\CT"}, True),
    ("Modality", "CT", {"ModalitiesInStudy": "C*"}, True),
    ("Modality", None, {"ModalitiesInStudy": "CT"}, False),
    ("Modality", "CT", {"SOPClassesInStudy": CT_IMAGE_STORAGE}, True),
    ("Modality", "CT", {"SOPClassesInStudy": MR_IMAGE_STORAGE}, False),
    ("Modality", "CT", {"NumberOfStudyRelatedInstances": "01"}, True),
    ("Modality", "CT", {"NumberOfStudyRelatedInstances": "2"}, False),
]


def _case_name(case: tuple[object, ...]) -> str:
    return "-".join(str(part)[:40].encode("unicode_escape").decode() for part in case)


@pytest.mark.parametrize(
    ("keyword", "kept", "key", "found"), MATCHING, ids=[_case_name(case) for case in MATCHING]
)
def test_matching(
    index: Index, keyword: str, kept: str | None, key: str | dict[str, str], found: bool
) -> None:
    """PS3.4 C.2.2.2"""
    index.commit([record(**{} if keyword == "StudyInstanceUID" else {keyword: kept})])
    keys = key if isinstance(key, dict) else {keyword: key}
    assert len(list(index.find(study_query(**keys)))) == found


DATE_TIMES = [
    ("20240131123015", "20240131", True),
    ("20240131123015", "2024", True),
    ("20240131123015", "202402", False),
    ("20240131123015.5", "20240131123015", True),
    ("20240131123015", "20240131-20240201", True),
    ("20240131123015", "20240131-", True),
    ("20240131123015", "-20240130", False),
    ("20240131123015", "2024-2025", True),
    ("20240131123015+0200", "20240131103015", True),
    ("20240131103015", "20240131123015+0200", True),
    ("20240131123015-0500", "20240131173015", True),
    ("20240131123015", "20240131-0500-20240201-0500", True),
    ("20240131123015", "202401*", True),
    ("garbage", "2024", False),
]


@pytest.mark.parametrize(("kept", "key", "found"), DATE_TIMES)
def test_matching_date_time(index: Index, kept: str, key: str, found: bool) -> None:
    """PS3.4 C.2.2.2.5; a hyphen may belong to an offset from UTC."""
    index.commit([record(AcquisitionDateTime=kept)])
    keys = {"StudyInstanceUID": "1.2.1.1", "SeriesInstanceUID": "1.2.2.1", "AcquisitionDateTime": key}
    assert len(list(index.find(query("IMAGE", **keys)))) == found


@pytest.mark.parametrize(
    ("keyword", "key"),
    [
        ("StudyDate", "yesterday"),
        ("StudyDate", "20241301"),
        ("StudyDate", "-"),
        ("StudyDate", "20240101-20240102-20240103"),
        ("StudyDate", "2024a*"),
        ("StudyTime", "25"),
        ("StudyTime", "12-13-14"),
        ("PatientWeight", "heavy"),
        ("PatientWeight", "nan"),
        ("PatientWeight", "7?"),
        ("StudyDescription", "x" * 5000),
        ("StudyDescription", "\\".join(f"{n}*" for n in range(1000))),
        ("StudyInstanceUID", "\\".join(f"1.{n}" for n in range(20_000))),
    ],
)
def test_a_key_that_means_nothing_is_refused_by_name(index: Index, keyword: str, key: str) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        index.find(study_query(**{keyword: key}))
    assert refused.value.keywords == (keyword,)
    assert len(str(refused.value)) < 200


def test_the_longest_accepted_lists_can_be_asked(index: Index) -> None:
    index.commit([record()])
    uids = "\\".join(["1.2.1.1", *(f"1.{n}" for n in range(9_900))])
    names = "\\".join(["doe*=?*=?*", *(f"a{n}*=b*=c*" for n in range(49))])
    assert len(list(index.find(study_query(StudyInstanceUID=uids)))) == 1
    assert list(index.find(study_query(PatientName=names))) == []
    surrounded = study_query(PatientName="\\".join(["a*^*"] * 49 + ["doe*"]))
    assert len(list(index.find(surrounded))) == 1


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
    ],
)
def test_the_hierarchy_is_kept(
    index: Index, model: QueryModel, level: str, keys: dict[str, str], keyword: str
) -> None:
    """PS3.4 C.4.1.2.1: unique keys of all levels above, single-valued, and none below."""
    with pytest.raises(IdentifierInvalid) as refused:
        index.find(query(level, model=model, **keys))
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
        for answer in archive.find(patient_query("PATIENT", **keys))
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
    assert list(archive.find(query("STUDY", **keys))) == [
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
    (answer,) = archive.find(study_query(ModalitiesInStudy="MR"))
    assert answer["ModalitiesInStudy"] == "CT\\MR"


def test_a_list_of_uids_is_answered_by_each_alone(archive: Index) -> None:
    answers = list(archive.find(study_query(StudyInstanceUID="2.1\\1.1\\9.9")))
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
    answers = [tuple(answer.values()) for answer in archive.find(query("SERIES", **keys))]
    assert sorted(answers) == [
        ("1.1", "1.1.1", "CT", "P1", "2", "CT\\MR"),
        ("1.1", "1.1.2", "MR", "P1", "1", "CT\\MR"),
    ]
    numbered = {"StudyInstanceUID": "1.1", "SeriesNumber": "02.0", "SeriesInstanceUID": ""}
    assert [answer["SeriesInstanceUID"] for answer in archive.find(query("SERIES", **numbered))] == ["1.1.2"]


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
    (answer,) = archive.find(patient_query("IMAGE", **keys))
    assert answer["SOPInstanceUID"] == "1.1.1.2"
    assert answer["SOPClassUID"] == CT_IMAGE_STORAGE
    assert answer["ImageType"] == "DERIVED\\PRIMARY"
    assert answer["AvailableTransferSyntaxUID"] == "1.2.840.10008.1.2.1"
    assert answer["Rows"] == ""


def test_patient_root_stays_within_the_patient(archive: Index) -> None:
    keys = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": ""}
    assert list(archive.find(patient_query("SERIES", PatientID="P2", **keys))) == []
    assert len(list(archive.find(patient_query("SERIES", PatientID="P1", **keys)))) == 2


def test_keys_that_are_not_supported_are_named_and_returned_empty(archive: Index) -> None:
    asked = study_query(
        QueryRetrieveLevel="STUDY",
        RetrieveAETitle="",
        ReferencedStudySequence="",
        NoSuchKeyword="x",
        PixelData="",
        Modality="CT",
        PatientName="Doe*",
    )
    assert archive.unsupported_keys(asked) == (
        "ReferencedStudySequence", "NoSuchKeyword", "PixelData", "Modality",
    )  # fmt: skip
    assert list(archive.find(asked)) == [
        {
            "StudyInstanceUID": "1.1",
            "PatientName": "Doe^Jane",
            "ReferencedStudySequence": "",
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
    (answer,) = index.find(asked)
    assert answer == {
        "StudyInstanceUID": "1.2.1.1",
        "StudyDate": "2024.01.31",
        "StudyTime": "12:30",
        "PatientName": "Smith^John^^^",
        "StudyID": " 7 ",
    }


def test_answers_stream_in_a_fixed_order_while_more_is_committed(index: Index) -> None:
    index.commit([record(f"1.{n}", study=f"1.2.1.{n}", PatientID=f"P{n}") for n in range(1000, 1600)])
    answers = index.find(study_query())
    assert next(answers)["StudyInstanceUID"] == "1.2.1.1000"
    index.commit([record("2.1", study="2.1")])
    assert [answer["StudyInstanceUID"] for answer in answers][:599] == [
        f"1.2.1.{n}" for n in range(1001, 1600)
    ]


def test_a_replaced_instance_changes_the_counts(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    index.commit([record("1.1"), record("1.2")])
    index.commit([record("1.2", checksum="other", Modality="MR", series="1.2.2.2")])
    (answer,) = index.find(study_query(NumberOfStudyRelatedInstances="", ModalitiesInStudy=""))
    assert answer["NumberOfStudyRelatedInstances"] == "2"
    assert answer["ModalitiesInStudy"] == "CT\\MR"


def test_a_lost_database_is_unavailable(empty_database_url: str) -> None:
    from pacsd.index.repository import Index

    index = Index(empty_database_url, duplicates=DuplicatePolicy.REJECT)
    with pytest.raises(IndexUnavailable) as failure:
        list(index.find(study_query()))
    assert failure.value.__cause__ is not None
    with pytest.raises(IndexUnavailable):
        index.ping()
    with pytest.raises(IndexUnavailable):
        index.commit([record()])
    index.dispose()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    from pacsd.index.repository import Index

    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    index = Index(f"sqlite:///{tmp_path}/index.db", duplicates=DuplicatePolicy.REJECT)
    with pytest.raises(IndexUnavailable):
        index.ping()
    with pytest.raises(IndexUnavailable):
        index.commit([record()])
    index.dispose()
