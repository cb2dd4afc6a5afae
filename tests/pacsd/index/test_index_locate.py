"""Index.locate and count: which instances a retrieve means (PS3.4 C.4.2.2.1), and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import record

from pacsd.errors import IdentifierInvalid
from pacsd.model import DuplicatePolicy, InstanceSelection, QueryLevel, QueryModel

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index

PATIENT_ROOT, STUDY_ROOT = QueryModel.PATIENT_ROOT, QueryModel.STUDY_ROOT
PATIENT_STUDY_ONLY = QueryModel.PATIENT_STUDY_ONLY


def located(index: Index, model: QueryModel, level: str, **keys: object) -> list[str]:
    selection = InstanceSelection(model=model, level=QueryLevel(level), **keys)  # type: ignore[arg-type]
    found = [each.sop_instance_uid for each in index.locate(selection)]
    assert index.count(selection) == len(found)
    return found


@pytest.fixture
def archive(index: Index) -> Index:
    index.commit(
        [
            record("2.1.1", study="2", series="2.1", PatientID="P2", SeriesNumber="1", InstanceNumber="1"),
            record("1.2.10", study="1", series="1.2", PatientID="P1", SeriesNumber="10", InstanceNumber="1"),
            record("1.1.9", study="1", series="1.1", PatientID="P1", SeriesNumber="9", InstanceNumber="10"),
            record("1.1.8", study="1", series="1.1", PatientID="P1", SeriesNumber="9", InstanceNumber="9"),
            record("1.1.7", study="1", series="1.1", PatientID="P1", SeriesNumber="9", InstanceNumber=None),
            record("1.3.1", study="3", series="3.1", PatientID="P1", SeriesNumber=None, InstanceNumber="1"),
        ]
    )
    return index


P1_INSTANCES = ["1.1.8", "1.1.9", "1.1.7", "1.2.10"]


def test_levels(archive: Index) -> None:
    assert located(archive, PATIENT_ROOT, "PATIENT", patient_id="P1 ") == [*P1_INSTANCES, "1.3.1"]
    assert (
        located(archive, PATIENT_ROOT, "STUDY", patient_id="P1", study_instance_uids=("1",)) == P1_INSTANCES
    )
    assert located(archive, STUDY_ROOT, "STUDY", study_instance_uids=("1",)) == P1_INSTANCES
    series = {"study_instance_uids": ("1",), "series_instance_uids": ("1.2", "1.1")}
    assert located(archive, STUDY_ROOT, "SERIES", **series) == P1_INSTANCES
    images = {"study_instance_uids": ("1",), "series_instance_uids": ("1.1",)}
    assert located(archive, STUDY_ROOT, "IMAGE", sop_instance_uids=("1.1.9", "1.1.8", "1.1.8"), **images) == [
        "1.1.8",
        "1.1.9",
    ]


def test_patient_study_only_ends_at_the_studies(archive: Index) -> None:
    assert located(archive, PATIENT_STUDY_ONLY, "PATIENT", patient_id="P2") == ["2.1.1"]
    study = {"patient_id": "P1", "study_instance_uids": ("1",)}
    assert located(archive, PATIENT_STUDY_ONLY, "STUDY", **study) == P1_INSTANCES
    with pytest.raises(IdentifierInvalid) as refused:
        located(archive, PATIENT_STUDY_ONLY, "SERIES", **study, series_instance_uids=("1.1",))
    assert refused.value.keywords == ("QueryRetrieveLevel",)


def test_keys_of_another_branch_find_nothing(archive: Index) -> None:
    assert located(archive, PATIENT_ROOT, "STUDY", patient_id="P2", study_instance_uids=("1",)) == []
    series = {"study_instance_uids": ("2",), "series_instance_uids": ("1.1",)}
    assert located(archive, STUDY_ROOT, "SERIES", **series) == []
    assert located(archive, STUDY_ROOT, "STUDY", study_instance_uids=("9",)) == []


def test_a_patient_id_means_nothing_in_study_root(archive: Index) -> None:
    found = located(archive, STUDY_ROOT, "STUDY", patient_id="P2", study_instance_uids=("1",))
    assert found == P1_INSTANCES


@pytest.mark.parametrize(
    ("model", "level", "keys", "found"),
    [
        (STUDY_ROOT, "SERIES", {"series_instance_uids": ("1.1",)}, P1_INSTANCES[:3]),
        (STUDY_ROOT, "SERIES", {"series_instance_uids": ("2.1", "1.2")}, ["1.2.10", "2.1.1"]),
        (STUDY_ROOT, "IMAGE", {"sop_instance_uids": ("1.2.10", "2.1.1")}, ["1.2.10", "2.1.1"]),
        (
            STUDY_ROOT,
            "IMAGE",
            {"study_instance_uids": ("1", "3"), "sop_instance_uids": ("1.3.1", "2.1.1", "1.1.8")},
            ["1.1.8", "1.3.1"],
        ),
        (PATIENT_ROOT, "STUDY", {"study_instance_uids": ("1",)}, P1_INSTANCES),
        (PATIENT_ROOT, "SERIES", {"patient_id": "P2", "series_instance_uids": ("1.1", "2.1")}, ["2.1.1"]),
        (PATIENT_ROOT, "IMAGE", {"patient_id": "P2", "sop_instance_uids": ("1.1.8",)}, []),
        (PATIENT_ROOT, "PATIENT", {"patient_id": "P2"}, ["2.1.1"]),
    ],
)
def test_a_relational_retrieve_needs_no_keys_above(
    archive: Index, model: QueryModel, level: str, keys: dict[str, object], found: list[str]
) -> None:
    """PS3.4 C.4.2.3.2.1"""
    assert located(archive, model, level, relational=True, **keys) == found


@pytest.mark.parametrize(
    ("model", "level", "keys", "keyword"),
    [
        (STUDY_ROOT, "PATIENT", {"patient_id": "P1"}, "QueryRetrieveLevel"),
        (PATIENT_ROOT, "PATIENT", {}, "PatientID"),
        (STUDY_ROOT, "STUDY", {}, "StudyInstanceUID"),
        (STUDY_ROOT, "SERIES", {"study_instance_uids": ("1",)}, "SeriesInstanceUID"),
        (STUDY_ROOT, "IMAGE", {"series_instance_uids": ("1.1",)}, "SOPInstanceUID"),
        (PATIENT_ROOT, "STUDY", {"patient_id": "P1\\P2", "study_instance_uids": ("1",)}, "PatientID"),
        (
            STUDY_ROOT,
            "IMAGE",
            {"series_instance_uids": ("1.*",), "sop_instance_uids": ("1.1.8",)},
            "SeriesInstanceUID",
        ),
        (
            STUDY_ROOT,
            "STUDY",
            {"study_instance_uids": ("1",), "sop_instance_uids": ("1.1.8",)},
            "SOPInstanceUID",
        ),
    ],
)
def test_a_relational_retrieve_names_what_it_retrieves(
    index: Index, model: QueryModel, level: str, keys: dict[str, object], keyword: str
) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        located(index, model, level, relational=True, **keys)
    assert refused.value.keywords == (keyword,)


def test_more_uids_than_a_statement_takes(archive: Index) -> None:
    uids = (*(f"7.{n}" for n in range(40_000)), "1.1.9", "1.1.8")
    keys = {"study_instance_uids": ("1",), "series_instance_uids": ("1.1",), "sop_instance_uids": uids}
    assert located(archive, STUDY_ROOT, "IMAGE", **keys) == ["1.1.8", "1.1.9"]


@pytest.mark.parametrize(
    ("model", "level", "keys", "keyword"),
    [
        (STUDY_ROOT, "PATIENT", {"patient_id": "P1"}, "QueryRetrieveLevel"),
        (PATIENT_ROOT, "PATIENT", {}, "PatientID"),
        (PATIENT_ROOT, "PATIENT", {"patient_id": "  "}, "PatientID"),
        (PATIENT_ROOT, "PATIENT", {"patient_id": "P1\\P2"}, "PatientID"),
        (PATIENT_ROOT, "STUDY", {"study_instance_uids": ("1",)}, "PatientID"),
        (
            PATIENT_ROOT,
            "STUDY",
            {"patient_id": "P1\\P2", "study_instance_uids": ("1",)},
            "PatientID",
        ),
        (STUDY_ROOT, "STUDY", {}, "StudyInstanceUID"),
        (STUDY_ROOT, "STUDY", {"study_instance_uids": ("",)}, "StudyInstanceUID"),
        (STUDY_ROOT, "STUDY", {"study_instance_uids": ("1", "*")}, "StudyInstanceUID"),
        (
            STUDY_ROOT,
            "SERIES",
            {"study_instance_uids": ("1",), "series_instance_uids": ("1.?",)},
            "SeriesInstanceUID",
        ),
        (STUDY_ROOT, "SERIES", {"study_instance_uids": ("1",)}, "SeriesInstanceUID"),
        (STUDY_ROOT, "SERIES", {"series_instance_uids": ("1.1",)}, "StudyInstanceUID"),
        (
            STUDY_ROOT,
            "SERIES",
            {"study_instance_uids": ("1", "2"), "series_instance_uids": ("1.1",)},
            "StudyInstanceUID",
        ),
        (
            STUDY_ROOT,
            "IMAGE",
            {
                "study_instance_uids": ("1",),
                "series_instance_uids": ("1.1", "1.2"),
                "sop_instance_uids": ("1.1.9",),
            },
            "SeriesInstanceUID",
        ),
        (
            STUDY_ROOT,
            "STUDY",
            {"study_instance_uids": ("1",), "series_instance_uids": ("1.1",)},
            "SeriesInstanceUID",
        ),
    ],
)
def test_the_hierarchy_is_kept(
    index: Index, model: QueryModel, level: str, keys: dict[str, object], keyword: str
) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        located(index, model, level, **keys)
    assert refused.value.keywords == (keyword,)


def test_what_is_replaced_or_removed_after_a_selection_is_seen_when_it_is_come_to(
    open_index: OpenIndex,
) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    uids = [f"1.{number:04}" for number in range(500)]
    index.commit([record(uid, study="1", InstanceNumber=str(at)) for at, uid in enumerate(uids)])
    found = index.locate(
        InstanceSelection(model=STUDY_ROOT, level=QueryLevel.STUDY, study_instance_uids=("1",))
    )
    removed = index.find_by_sop_instance_uid(uids[300])
    assert removed is not None
    assert index.forget(uids[300], removed.path)
    index.commit([record(uids[400], study="1", path="new", checksum="xxh3_128:other")])
    assert [each.sop_instance_uid for each in found] == uids
    assert found[400].path == "new"
    assert found[299] == index.find_by_sop_instance_uid(uids[299])
    assert found[300].path != removed.path
