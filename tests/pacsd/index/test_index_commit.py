"""Index.commit: outcomes, the rules for shared rows, and the bad record among good ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from contents import headers, patient_names, row_counts
from records import record

from pacsd.errors import DatasetInvalid
from pacsd.model import (
    CommitOutcome,
    CommitResult,
    DuplicatePolicy,
    InstanceSelection,
    QueryLevel,
    QueryModel,
)
from support.rows import paths_of

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index

STORED = CommitResult(CommitOutcome.STORED)


def instances_of(index: Index, *, study: str = "1.2.1.1", series: str | None = None) -> list[str]:
    """The SOP Instance UIDs that a retrieve finds, in its order."""
    selection = InstanceSelection(
        model=QueryModel.STUDY_ROOT,
        level=QueryLevel.STUDY if series is None else QueryLevel.SERIES,
        study_instance_uids=(study,),
        series_instance_uids=() if series is None else (series,),
    )
    assert index.count(selection) == len(index.locate(selection))
    return [each.sop_instance_uid for each in index.locate(selection)]


def instances_of_patient(index: Index, patient_id: str) -> list[str]:
    selection = InstanceSelection(
        model=QueryModel.PATIENT_ROOT, level=QueryLevel.PATIENT, patient_id=patient_id
    )
    return [each.sop_instance_uid for each in index.locate(selection)]


def test_a_batch_is_kept_whole(index: Index) -> None:
    batch = [record(f"1.2.3.{n}", series=f"1.2.2.{n % 2}", InstanceNumber=str(n)) for n in range(1, 51)]
    assert index.commit(batch) == [STORED] * 50
    assert len(instances_of(index)) == 50
    assert sorted(paths_of(index)) == sorted(each.path for each in batch)


def test_an_empty_batch_is_nothing(index: Index) -> None:
    assert index.commit([]) == []


def test_a_kept_instance_has_the_fields_that_were_committed(index: Index) -> None:
    sent = record(size=2**40, dataset_offset=512)
    index.commit([sent])
    kept = index.find_by_sop_instance_uid(sent.sop_instance_uid)
    assert kept is not None
    for field in (
        "sop_instance_uid",
        "sop_class_uid",
        "transfer_syntax_uid",
        "path",
        "size",
        "dataset_offset",
    ):
        assert getattr(kept, field) == getattr(sent, field)
    assert index.find_by_sop_instance_uid("9.9") is None
    assert index.has_path(sent.path)
    assert not index.has_path("elsewhere.dcm")


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_the_same_content_again_is_identical_under_every_policy(
    open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    index = open_index(policy)
    first, again = record(), record(path="again.dcm")
    index.commit([first])
    assert index.commit([again]) == [CommitResult(CommitOutcome.IDENTICAL, "again.dcm")]
    assert paths_of(index) == [first.path]


@pytest.mark.parametrize(
    ("policy", "outcome", "obsolete", "kept"),
    [
        (DuplicatePolicy.KEEP_FIRST, CommitOutcome.KEPT_FIRST, "new.dcm", "old.dcm"),
        (DuplicatePolicy.REJECT, CommitOutcome.REJECTED, "new.dcm", "old.dcm"),
        (DuplicatePolicy.REPLACE, CommitOutcome.REPLACED, "old.dcm", "new.dcm"),
        (DuplicatePolicy.REPLACE_OWN, CommitOutcome.REPLACED, "old.dcm", "new.dcm"),
    ],
)
@pytest.mark.parametrize("change", ["checksum", "transfer_syntax_uid"])
@pytest.mark.parametrize("together", [False, True], ids=["two batches", "one batch"])
def test_other_content_meets_the_policy(
    open_index: OpenIndex,
    policy: DuplicatePolicy,
    outcome: CommitOutcome,
    obsolete: str,
    kept: str,
    change: str,
    together: bool,
) -> None:
    index = open_index(policy)
    old = record(path="old.dcm")
    new = replace(record(path="new.dcm"), **{change: "1.2.840.10008.1.2"})
    results = index.commit([old, new]) if together else index.commit([old]) + index.commit([new])
    assert results == [STORED, CommitResult(outcome, obsolete)]
    assert paths_of(index) == [kept]


@pytest.mark.parametrize(
    ("policy", "sender", "may_correct", "outcome"),
    [
        (DuplicatePolicy.REPLACE_OWN, "MODALITY", True, CommitOutcome.REPLACED),
        (DuplicatePolicy.REPLACE_OWN, " MODALITY ", True, CommitOutcome.REPLACED),
        (DuplicatePolicy.REPLACE_OWN, "MODALITY", False, CommitOutcome.KEPT_FIRST),
        (DuplicatePolicy.REPLACE_OWN, "OTHER", True, CommitOutcome.KEPT_FIRST),
        (DuplicatePolicy.REPLACE, "OTHER", True, CommitOutcome.REPLACED),
        (DuplicatePolicy.REPLACE, "MODALITY", False, CommitOutcome.KEPT_FIRST),
        (DuplicatePolicy.REJECT, "MODALITY", False, CommitOutcome.REJECTED),
    ],
)
@pytest.mark.parametrize("together", [False, True], ids=["two batches", "one batch"])
def test_who_may_replace_an_instance(
    open_index: OpenIndex,
    policy: DuplicatePolicy,
    sender: str,
    may_correct: bool,
    outcome: CommitOutcome,
    together: bool,
) -> None:
    index = open_index(policy)
    old = record(path="old.dcm")
    new = record(path="new.dcm", checksum="other", calling_ae_title=sender, may_correct=may_correct)
    result = (index.commit([old, new]) if together else index.commit([old]) + index.commit([new]))[1]
    assert isinstance(result, CommitResult)
    assert result.outcome is outcome
    replaced = outcome is CommitOutcome.REPLACED
    assert paths_of(index) == ["new.dcm" if replaced else "old.dcm"]


@pytest.mark.parametrize(("may_correct", "outcome"), [(True, "healed"), (False, "kept-first")])
@pytest.mark.parametrize("path", ["new.dcm", "old.dcm"])
def test_who_may_put_other_content_in_the_place_of_what_is_damaged(
    index: Index, path: str, may_correct: bool, outcome: str
) -> None:
    """Under the old path where the file is gone."""
    index.commit([record(path="old.dcm")])
    kept = index.find_by_sop_instance_uid(record().sop_instance_uid)
    new = record(path=path, checksum="other", may_correct=may_correct, distrusted=kept)
    (result,) = index.commit([new])
    assert isinstance(result, CommitResult)
    assert result.outcome.value == outcome
    now = index.find_by_sop_instance_uid(record().sop_instance_uid)
    assert (now == kept) != may_correct


def test_a_refused_object_changes_no_demographics(index: Index) -> None:
    index.commit([record(PatientName="Right^Name")])
    index.commit([record(PatientName="Wrong^Name", checksum="other", path="other.dcm")])
    assert patient_names(index) == ["Right^Name"]


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_a_file_that_a_row_names_is_never_called_obsolete(
    open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    """Re-indexing commits files under the paths that rows already name."""
    index = open_index(policy)
    index.commit([record()])
    results = index.commit([record()]) + index.commit([record(checksum="changed")])
    assert [result.obsolete_path for result in results if isinstance(result, CommitResult)] == [None, None]
    assert index.has_path(record().path)


def test_a_replaced_instance_that_moves_leaves_no_empty_entities(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    index.commit([record(PatientID="P1")])
    index.commit([record(study="1.2.1.2", series="1.2.2.2", PatientID="P2", checksum="other")])
    assert instances_of(index, study="1.2.1.1") == []
    assert instances_of(index, study="1.2.1.2") == ["1.2.3.1"]
    assert row_counts(index) == {"patients": 1, "studies": 1, "series": 1, "instances": 1}


def test_one_batch_that_replaces_its_own_leaves_no_trace_of_the_first(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    index.commit(
        [
            record(study="1.2.1.8", PatientID="P8", path="a"),
            record(checksum="other", PatientID="P1", path="b"),
        ]
    )
    assert row_counts(index) == {"patients": 1, "studies": 1, "series": 1, "instances": 1}
    assert instances_of_patient(index, "P8") == []


def test_a_series_uid_in_two_studies_is_found_in_both(index: Index) -> None:
    index.commit([record("1.1", study="1.2.1.1", series="1.5")])
    index.commit([record("1.2", study="1.2.1.2", series="1.5")])
    assert instances_of(index, study="1.2.1.1", series="1.5") == ["1.1"]
    assert instances_of(index, study="1.2.1.2", series="1.5") == ["1.2"]


@pytest.mark.parametrize("patient_id", [None, "", "  "])
def test_studies_without_patient_id_are_never_one_patient(index: Index, patient_id: str | None) -> None:
    index.commit([record(f"1.{n}", study=f"1.2.1.{n}", PatientID=patient_id) for n in range(3)])
    assert row_counts(index)["patients"] == 3


def test_the_same_patient_id_of_two_issuers_is_two_patients(index: Index) -> None:
    index.commit(
        [
            record("1.1", study="1.2.1.1", PatientID="1", IssuerOfPatientID="23"),
            record("1.2", study="1.2.1.2", PatientID="12", IssuerOfPatientID="3"),
            record("1.3", study="1.2.1.3", PatientID="1", IssuerOfPatientID="24"),
            record("1.4", study="1.2.1.4", PatientID="1 ", IssuerOfPatientID="24"),
        ]
    )
    assert row_counts(index)["patients"] == 3


def test_the_latest_value_that_is_not_empty_wins(index: Index) -> None:
    index.commit([record("1.1", PatientName="Old^Name", PatientSex="F")])
    index.commit([record("1.2", PatientName="New^Name", PatientSex="")])
    index.commit([record("1.3", PatientName=None)])
    assert patient_names(index) == ["New^Name"]
    assert headers(index, "patients")[0]["PatientSex"] == "F"


def test_within_a_batch_the_last_value_wins(index: Index) -> None:
    index.commit([record("1.0", PatientName="A")])
    index.commit([record("1.1", PatientName="B"), record("1.2", PatientName="A")])
    assert patient_names(index) == ["A"]


@pytest.mark.parametrize(
    "poison",
    [
        record("6.6", size=2**70),
        record("6.6", path=record("1.1").path),
        record("6.6", series=""),
        record("6.6", size=None),
        record("6.6", path="bad\udc80path"),
    ],
    ids=["overflow", "path of another", "no series", "no size", "surrogate"],
)
@pytest.mark.parametrize("position", [1, 2])
def test_a_poison_record_takes_nothing_with_it(index: Index, poison: object, position: int) -> None:
    batch = [record("1.1"), record("1.2"), record("1.3", study="1.2.1.3")]
    batch.insert(position, poison)  # type: ignore[arg-type]
    results = index.commit(batch)
    assert isinstance(results.pop(position), DatasetInvalid)
    assert results == [STORED] * 3
    assert row_counts(index) == {"patients": 1, "studies": 2, "series": 2, "instances": 3}


@pytest.mark.parametrize("value", ["nul\0inside", "surrogate\udc80", "x" * 100_000, "\\\\", "=", "^^^", "😀"])
def test_strange_attribute_values_lose_no_instance(index: Index, value: str) -> None:
    strange = dict.fromkeys(
        ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyDescription", "StudyTime",
         "SeriesNumber", "InstanceNumber", "ImageComments"),
        value,
    )  # fmt: skip
    assert index.commit([record("1.1", **strange)]) == [STORED]
    assert instances_of(index) == ["1.1"]


def test_a_refusal_quotes_no_patient_data(index: Index) -> None:
    index.commit([record("1.1", path="SECRET-path")])
    (refusal,) = index.commit([record("6.6", path="SECRET-path", PatientName="SECRET")])
    assert isinstance(refusal, DatasetInvalid)
    assert "SECRET" not in str(refusal)
    assert refusal.__cause__ is None
