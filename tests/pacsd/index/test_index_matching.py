"""The matching rules of PS3.4 C.2.2.2 as a table of cases, and the keys that no rule gives a meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from questions import query, study_query
from records import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, record

from pacsd.errors import IdentifierInvalid
from support.matches import matches_of

if TYPE_CHECKING:
    from pacsd.index.repository import Index

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
    assert len(list(matches_of(index, study_query(**keys)))) == found


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
    assert len(list(matches_of(index, query("IMAGE", **keys)))) == found


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
    assert len(list(matches_of(index, study_query(StudyInstanceUID=uids)))) == 1
    assert list(matches_of(index, study_query(PatientName=names))) == []
    surrounded = study_query(PatientName="\\".join(["a*^*"] * 49 + ["doe*"]))
    assert len(list(matches_of(index, surrounded))) == 1
