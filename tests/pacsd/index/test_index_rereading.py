"""Rows of an older version, which kept less, and what their files say once they are read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from questions import patient_query, query, study_query
from records import record

from support.matches import matches_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import OpenIndex
    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord

SAME_SERIES = {"study": "1.2.1", "series": "1.2.2"}


def _answers(index: Index, level: str, **keys: str) -> list[dict[str, str]]:
    return [dict(answer) for page in index.find(patient_query(level, **keys)) for answer in page]


def _files(*records: InstanceRecord) -> dict[str, Mapping[str, str]]:
    uids = {
        each.path: {
            "SOPInstanceUID": each.sop_instance_uid,
            "SOPClassUID": each.sop_class_uid,
            "StudyInstanceUID": each.study_instance_uid,
            "SeriesInstanceUID": each.series_instance_uid,
        }
        for each in records
    }
    return {each.path: {**uids[each.path], **each.attributes} for each in records}


def test_attributes_are_added_at_every_level(index: Index) -> None:
    index.commit([record("1.1", **SAME_SERIES)])
    whole = record(
        "1.1",
        **SAME_SERIES,
        PatientComments="c",
        StudyComments="s",
        ProtocolName="p",
        KVP="120",
        KeyNothing="n",
    )
    assert index.refresh(_files(whole)) == 4
    keys = {"PatientComments": "", "StudyComments": "", "ProtocolName": "", "KVP": "120"}
    (answer,) = _answers(
        index, "IMAGE", PatientID="P1", StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.2", **keys
    )
    assert {keyword: answer[keyword] for keyword in keys} == {
        "PatientComments": "c",
        "StudyComments": "s",
        "ProtocolName": "p",
        "KVP": "120",
    }
    assert index.refresh(_files(whole)) == 0, "read again they say nothing new"


def test_columns_go_with_the_header(index: Index) -> None:
    index.commit([record("1.1", StudyDate=None)])
    assert _answers(index, "STUDY", PatientID="P1", StudyInstanceUID="", StudyDate="20260102") == []
    assert index.refresh(_files(record("1.1"))) == 1
    assert len(_answers(index, "STUDY", PatientID="P1", StudyInstanceUID="", StudyDate="20260102")) == 1


def test_what_a_file_says_otherwise_than_the_rows_is_what_its_instance_says(index: Index) -> None:
    index.commit([record("1.1", **SAME_SERIES, PatientName="Old^Name", StudyDescription="old", KVP="1")])
    says_otherwise = record(
        "1.1", **SAME_SERIES, PatientName="New^Name", PatientSex="F", StudyDescription="new", KVP="2"
    )
    assert index.refresh(_files(says_otherwise))
    wanted = {"PatientName": "New^Name", "PatientSex": "F", "StudyDescription": "new", "KVP": "2"}
    above = {"PatientID": "P1", "StudyInstanceUID": "1.2.1"}
    (answer,) = _answers(index, "IMAGE", **above, SeriesInstanceUID="1.2.2", **dict.fromkeys(wanted, ""))
    assert answer.items() >= wanted.items()
    del wanted["KVP"]
    (answer,) = _answers(index, "STUDY", **above, **dict.fromkeys(wanted, ""))
    assert answer.items() >= wanted.items()
    assert index.refresh(_files(says_otherwise)) == 0


def test_what_an_older_version_kept_with_another_patient_moves_to_its_own(index: Index) -> None:
    first, other = record("1.1", **SAME_SERIES), record("1.2", **SAME_SERIES)
    index.commit([first, other])
    index.refresh(_files(first, record("1.2", **SAME_SERIES, PatientID="P2", StudyComments="another's")))
    asked = study_query(PatientID="", StudyComments="", NumberOfStudyRelatedInstances="")
    found = list(matches_of(index, asked))
    assert [
        (each["PatientID"], each["StudyComments"], each["NumberOfStudyRelatedInstances"]) for each in found
    ] == [("P1", "", "1"), ("P2", "another's", "1")]
    assert [each.patient_id for each in index.conflicts()] == ["P1", "P2"]


def test_a_series_of_an_older_version_gets_the_modality_of_its_images(index: Index) -> None:
    """It had that of the last object received, a report."""
    index.commit([record(f"1.{number}", **SAME_SERIES, Modality="SR") for number in range(3)])
    files = _files(
        *(record(f"1.{number}", **SAME_SERIES, Modality=("CT", "CT", "SR")[number]) for number in range(3))
    )
    for path, attributes in files.items():
        index.refresh({path: attributes})
    (series,) = _answers(index, "SERIES", PatientID="P1", StudyInstanceUID="1.2.1", Modality="")
    assert series["Modality"] == "CT"
    (study,) = _answers(index, "STUDY", PatientID="P1", ModalitiesInStudy="")
    assert study["ModalitiesInStudy"] == "CT\\SR"


def test_of_several_files_the_first_that_says_it_is_right(index: Index) -> None:
    index.commit([record("1.1", **SAME_SERIES), record("1.2", **SAME_SERIES)])
    files = _files(
        record("1.2", **SAME_SERIES, StudyComments="second", StudyID="7"),
        record("1.1", **SAME_SERIES, StudyComments="first"),
    )
    index.refresh(files)
    (study,) = _answers(index, "STUDY", PatientID="P1", StudyInstanceUID="", StudyComments="", StudyID="")
    assert (study["StudyComments"], study["StudyID"]) == ("first", "7")


def test_a_file_that_gave_way_meanwhile_changes_nothing(index: Index) -> None:
    index.commit([record("1.1")])
    (attributes,) = _files(record("1.1", StudyComments="of another file")).values()
    assert index.refresh({"gone.dcm": attributes}) == 0


@pytest.mark.parametrize(
    ("level", "keyword", "above"),
    [
        ("STUDY", "StudyComments", {}),
        ("SERIES", "ProtocolName", {"StudyInstanceUID": "1.2.1"}),
        ("IMAGE", "KVP", {"StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.2"}),
    ],
)
def test_extra_keys_find_what_was_added(
    open_index: OpenIndex, level: str, keyword: str, above: dict[str, str]
) -> None:
    index = open_index(extra_keywords=(keyword,))
    assert index.register_extra_keys() == (), "complete, as nothing is stored yet"
    index.commit([record("1.1", **SAME_SERIES)])
    wanted = query(level, **above, **{keyword: "120"})
    assert [page for page in index.find(wanted) if page] == []
    index.refresh(_files(record("1.1", **SAME_SERIES, **{keyword: "120"})))
    assert [len(page) for page in index.find(wanted)] == [1]


def test_instances_come_in_the_order_of_their_files(index: Index) -> None:
    records = [
        record(f"1.{number}", study=f"2.{number % 3}", path=f"{number % 3}/{number}") for number in range(7)
    ]
    index.commit(records)
    paths = sorted(each.path for each in records)
    first = index.stored_after("", 3)
    rest = index.stored_after(first[-1].path, 100)
    assert [each.path for each in (*first, *rest)] == paths
    assert len(first) == 3
    assert list(index.stored_after(paths[-1], 1)) == []
