"""index.demographics: which value a patient keeps, and that differences are told, once they are committed."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from contents import headers, patient_names
from records import RECEIVED_AT, record

from pacsd.errors import IndexUnavailable
from pacsd.model import DemographicsDifference, DemographicsPolicy

if TYPE_CHECKING:
    from conftest import OpenIndex

FIRST = DemographicsPolicy.FIRST
LATEST = DemographicsPolicy.LATEST


@pytest.mark.parametrize(("policy", "kept"), [(FIRST, "Old^Name"), (LATEST, "New^Name")])
def test_the_policy_says_which_name_a_patient_keeps(
    open_index: OpenIndex, policy: DemographicsPolicy, kept: str
) -> None:
    index = open_index(demographics=policy)
    index.commit([record("1.1", PatientName="Old^Name")])
    index.commit([record("1.2", study="1.2.1.2", PatientName="New^Name")])
    assert patient_names(index) == [kept]


@pytest.mark.parametrize(("policy", "kept"), [(FIRST, "A"), (LATEST, "B")])
def test_the_policy_holds_within_a_batch(
    open_index: OpenIndex, policy: DemographicsPolicy, kept: str
) -> None:
    told: list[DemographicsDifference] = []
    index = open_index(demographics=policy, observe_difference=told.append)
    index.commit([record("1.1", PatientName="A"), record("1.2", PatientName="B")])
    assert patient_names(index) == [kept]
    assert told == [DemographicsDifference("1.2.1.1", ("PatientName",))]


@pytest.mark.parametrize("policy", DemographicsPolicy)
def test_what_was_empty_is_filled_under_either_policy(
    open_index: OpenIndex, policy: DemographicsPolicy
) -> None:
    told: list[DemographicsDifference] = []
    index = open_index(demographics=policy, observe_difference=told.append)
    index.commit([record("1.1", PatientSex="")])
    index.commit([record("1.2", PatientSex="F")])
    index.commit([record("1.3", PatientSex="", PatientName=None)])
    (header,) = headers(index, "patients")
    assert (header["PatientSex"], header["PatientName"]) == ("F", "Doe^Jane")
    assert told == []


@pytest.mark.parametrize("policy", DemographicsPolicy)
def test_of_a_study_and_a_series_the_first_object_decides(
    open_index: OpenIndex, policy: DemographicsPolicy
) -> None:
    index = open_index(demographics=policy)
    index.commit([record("1.1", StudyDescription="Old", SeriesDescription="Old")])
    index.commit([record("1.2", StudyDescription="New", SeriesDescription="New", StudyID="7")])
    (study,), (series,) = headers(index, "studies"), headers(index, "series")
    assert (study["StudyDescription"], study["StudyID"]) == ("Old", "7")
    assert series["SeriesDescription"] == "Old"


@pytest.mark.parametrize(("policy", "name"), [(FIRST, "A"), (LATEST, "C")])
@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("together", [False, True], ids=["batches", "one batch"])
def test_files_found_later_say_the_same_in_any_order(
    open_index: OpenIndex, policy: DemographicsPolicy, name: str, order: tuple[int, ...], together: bool
) -> None:
    """As they were received: A, B, A again, C."""
    found = [
        record(
            f"1.{number}",
            PatientName=value,
            StudyDescription=value,
            SeriesDescription=value,
            received_at=RECEIVED_AT + timedelta(seconds=number),
            is_from_file=True,
        )
        for number, value in enumerate("ABAC")
    ]
    index = open_index(demographics=policy)
    records = [found[number] for number in order]
    for batch in [records] if together else [[each] for each in records]:
        index.commit(batch)
    assert patient_names(index) == [name]
    assert headers(index, "studies")[0]["StudyDescription"] == "A"
    assert headers(index, "series")[0]["SeriesDescription"] == "A"


@pytest.mark.parametrize("policy", DemographicsPolicy)
def test_a_sender_that_may_correct_nothing_renames_nobody(
    open_index: OpenIndex, policy: DemographicsPolicy
) -> None:
    index = open_index(demographics=policy)
    index.commit([record("1.1", PatientName="Right^Name")])
    stranger = record("1.2", study="9.9", PatientName="Wrong^Name", PatientSex="F", may_correct=False)
    index.commit([stranger])
    (header,) = headers(index, "patients")
    assert (header["PatientName"], header["PatientSex"]) == ("Right^Name", "F")


def test_a_change_is_told_once_and_an_ignored_one_each_time(open_index: OpenIndex) -> None:
    first = record("1.1", PatientBirthDate="19700101", PatientSex="F")
    other = [record(f"1.{n}", PatientBirthDate="19700102", PatientSex="M") for n in (2, 3, 4)]
    difference = DemographicsDifference("1.2.1.1", ("PatientBirthDate", "PatientSex"))
    told: list[DemographicsDifference] = []

    index = open_index(demographics=LATEST, observe_difference=told.append)
    index.commit([first])
    for each in other:
        index.commit([each])
    assert told == [difference]

    told.clear()
    index = open_index(demographics=FIRST, observe_difference=told.append)
    changed_back = [record(f"2.{n}", PatientBirthDate="19700101", PatientSex="F") for n in (1, 2)]
    for each in changed_back:
        index.commit([each])
    assert told == [difference, difference]
    assert headers(index, "patients")[0]["PatientSex"] == "M"


def test_an_instance_that_is_not_kept_tells_nothing(open_index: OpenIndex) -> None:
    told: list[DemographicsDifference] = []
    index = open_index(observe_difference=told.append)
    index.commit([record("1.1", PatientName="A")])
    index.commit([record("1.1", checksum="other", path="other.dcm", PatientName="B")])
    assert told == []


def test_nothing_is_told_of_what_was_not_committed(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[DemographicsDifference] = []
    index = open_index(observe_difference=told.append)
    index.commit([record("1.1", PatientName="A")])

    def fail(*_: object) -> None:
        raise IndexUnavailable("the index cannot be written: a test's failure")

    monkeypatch.setattr("pacsd.index.write.batch._insert", fail)
    with pytest.raises(IndexUnavailable):
        index.commit([record("1.2", PatientName="B")])
    assert told == []
    assert patient_names(index) == ["A"]
