"""Studies and series whose objects disagree on attributes: told of once, and listed until they agree."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from records import RECEIVED_AT, record

from pacsd.index.schema.rows import split_record
from pacsd.index.write.additions import add
from pacsd.model import AttributeConflict, DisagreeingObjects, DuplicatePolicy, QueryLevel

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index
    from pacsd.model import Difference, InstanceRecord

STUDY, SERIES = "1.2.1.1", "1.2.2.1"
OF_SERIES = AttributeConflict(QueryLevel.SERIES, STUDY, SERIES, ("Modality", "SeriesDescription"))
OF_STUDY = AttributeConflict(QueryLevel.STUDY, STUDY, "", ("StudyDate",))


def image(number: int, **changes: str | None) -> InstanceRecord:
    attributes = {"SeriesDescription": "Axial", **changes}
    return record(f"1.{number}", received_at=RECEIVED_AT + timedelta(seconds=number), **attributes)


def report(number: int, **changes: str | None) -> InstanceRecord:
    """One made badly: with the Series Instance UID of the images."""
    wrong = {"Modality": "SR", "SeriesDescription": "Report", "StudyDate": "20260103"}
    return image(number, **{**wrong, **changes})


def told_of(open_index: OpenIndex, *batches: list[InstanceRecord]) -> list[Difference]:
    told: list[Difference] = []
    index = open_index(DuplicatePolicy.REPLACE, observe_difference=told.append)
    for each in batches:
        index.commit(each)
    return told


@pytest.mark.parametrize("objects", [[image(1), report(2)], [report(1), image(2)]], ids=["last", "first"])
@pytest.mark.parametrize("together", [False, True])
def test_objects_that_disagree_are_told_of_by_level(
    open_index: OpenIndex, objects: list[InstanceRecord], together: bool
) -> None:
    told = told_of(open_index, *([objects] if together else [[each] for each in objects]))
    assert sorted(told, key=str) == sorted([OF_SERIES, OF_STUDY], key=str)


def test_each_attribute_is_told_of_once(open_index: OpenIndex) -> None:
    more = [report(number) for number in range(3, 8)]
    other = image(9, SeriesNumber="2")
    told = told_of(
        open_index,
        [image(1, SeriesNumber="1")],
        [report(2)],
        *([each] for each in more),
        [other],
        [image(10)],
    )
    assert told[2:] == [AttributeConflict(QueryLevel.SERIES, STUDY, SERIES, ("SeriesNumber",))]


def test_what_another_process_has_told_of_is_not_told_again(open_index: OpenIndex) -> None:
    told_of(open_index, [image(1)], [report(2)])
    assert told_of(open_index, [report(3)], [image(4)], [report(5, PatientPosition="HFS")]) == []


def test_to_lack_a_value_is_to_agree(open_index: OpenIndex) -> None:
    sparse = image(2, SeriesDescription=None, StudyDate=None, Modality=None, BodyPartExamined="HEAD")
    assert told_of(open_index, [image(1)], [sparse], [image(3)]) == []
    assert list(open_index().attribute_conflicts()) == []


def test_an_object_that_takes_its_own_place_disagrees_with_nobody(open_index: OpenIndex) -> None:
    corrected = report(1, path="new.dcm", checksum="new")
    assert told_of(open_index, [image(1)], [corrected]) == []


def test_a_correction_is_told_of_as_it_begins_and_a_new_conflict_after_it_again(
    open_index: OpenIndex,
) -> None:
    corrected = [
        image(number, path=f"{number}.dcm", checksum="new", StudyDate="20260104") for number in (1, 2, 3)
    ]
    told = told_of(open_index, [image(1), image(2), image(3)], *([each] for each in corrected))
    assert told == [OF_STUDY]
    assert list(open_index().attribute_conflicts()) == []
    assert OF_STUDY in told_of(open_index, [report(4)])


def test_others_of_a_series_whose_conflict_is_known_take_the_short_way(open_index: OpenIndex) -> None:
    index = open_index()
    index.commit([image(1), report(2)])
    assert add(index._writing, [split_record(report(3))], noticed=index._noticed)
    assert not add(index._writing, [split_record(report(4, SeriesDescription="Other", SeriesNumber="7"))])


@pytest.fixture
def index(open_index: OpenIndex) -> Index:
    """With a study of two series, of which one has reports in it, and one that agrees."""
    index = open_index()
    index.commit([image(1), image(2), report(3, calling_ae_title="WORKSTATION"), report(4, PatientSex="F")])
    index.commit([record("2.1", series="1.2.2.2"), record("2.2", series="1.2.2.2", PatientSex="M")])
    index.commit([record("9.1", study="9.9", series="9.8"), record("9.2", study="9.9", series="9.8")])
    return index


def test_what_objects_disagree_on_is_listed_with_their_numbers_and_senders(index: Index) -> None:
    def listed(
        level: QueryLevel, series: str, keywords: tuple[str, ...], counts: tuple[int, int], *senders: str
    ):
        return DisagreeingObjects(
            level=level,
            study_instance_uid=STUDY,
            series_instance_uid=series,
            keywords=keywords,
            instances=counts[0],
            all_instances=counts[1],
            senders=senders,
        )

    both = ("MODALITY", "WORKSTATION")
    assert list(index.attribute_conflicts()) == [
        listed(QueryLevel.PATIENT, "", ("PatientSex",), (1, 6), "MODALITY"),
        listed(QueryLevel.STUDY, "", ("StudyDate",), (2, 6), *both),
        listed(QueryLevel.SERIES, SERIES, ("Modality", "SeriesDescription"), (2, 4), *both),
    ]


def test_what_was_taken_out_of_service_is_listed_no_longer(index: Index) -> None:
    for number in (3, 4):
        assert index.forget(f"1.{number}", image(number).path)
    assert list(index.attribute_conflicts()) == []
