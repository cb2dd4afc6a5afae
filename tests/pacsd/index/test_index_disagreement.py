"""Objects that disagree on their patient, study or series: what rows say of them, and what each is found by."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from contents import headers
from questions import query, study_query
from records import RECEIVED_AT, record
from sqlalchemy import select

from pacsd.index.schema.rows import split_record
from pacsd.index.schema.tables import instances, series
from pacsd.index.write.additions import add
from pacsd.model import DuplicatePolicy, QueryOptions
from support.matches import matches_of

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index

STUDY, SERIES = "1.2.1.1", "1.2.2.1"


def images(index: Index, **keys: str) -> dict[str, dict[str, str]]:
    """The answers at IMAGE level, by UID."""
    asked = query("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID="", **keys)
    return {each["SOPInstanceUID"]: dict(each) for each in matches_of(index, asked)}


def anywhere(index: Index, **keys: str) -> list[str]:
    asked = query("IMAGE", options=QueryOptions(relational=True), SOPInstanceUID="", **keys)
    return sorted(each["SOPInstanceUID"] for each in matches_of(index, asked))


def modalities(index: Index) -> str:
    (answer,) = matches_of(index, study_query(ModalitiesInStudy=""))
    return answer["ModalitiesInStudy"]


def studies_with(index: Index, modality: str) -> int:
    return len(list(matches_of(index, study_query(ModalitiesInStudy=modality))))


def is_agreed(index: Index) -> bool:
    """Whether nothing is kept beside what the rows say."""
    with index._reading.connect() as connection:
        said = connection.scalars(select(series.c.said)).all()
        own = connection.execute(select(instances.c.own, instances.c.modality)).all()
    return not any(said) and not any(any(each) for each in own)


@pytest.mark.parametrize(
    ("sender", "modality"), [("MODALITY", "CT"), (" MODALITY ", "CT"), ("OTHER", "SR")], ids=repr
)
def test_a_stranger_gives_its_modality_to_its_own_series_only(
    open_index: OpenIndex, sender: str, modality: str
) -> None:
    """As a device does that sends a report and then the images."""
    index = open_index()
    stranger = {"may_correct": False, "calling_ae_title": "MODALITY"}
    index.commit([record("1.1", Modality="SR", **stranger)])
    for uid in ("1.2", "1.3"):
        index.commit([record(uid, Modality="CT", **{**stranger, "calling_ae_title": sender})])
    (header,) = headers(index, "series")
    assert header["Modality"] == modality
    assert modalities(index) == "CT\\SR"
    assert {uid: each["Modality"] for uid, each in images(index, Modality="").items()} == {
        "1.1": "SR",
        "1.2": "CT",
        "1.3": "CT",
    }
    index.commit([record("1.4", Modality="CT", calling_ae_title="OTHER")])
    assert headers(index, "series")[0]["Modality"] == "CT"


ORDERS = list(permutations(range(3)))
THREE = [
    record("1.1", Modality="CT", StudyDescription="Chest", PatientSex="F"),
    record("1.2", Modality="SR", StudyDescription="Report", SeriesDescription="Of it", PatientSex="F"),
    record("1.3", Modality="CT", StudyDescription="Chest", PatientName="Doe^Janet"),
]


@pytest.fixture(params=ORDERS, ids=str)
def index(request: pytest.FixtureRequest, open_index: OpenIndex) -> Index:
    """With three objects of one series, of which each says something else, come in some order."""
    index = open_index()
    for number in request.param:
        index.commit([THREE[number]])
    return index


def test_a_report_in_a_series_of_images_makes_it_no_series_of_reports(index: Index) -> None:
    (answer,) = matches_of(index, query("SERIES", StudyInstanceUID=STUDY, Modality="", SeriesInstanceUID=""))
    assert answer["Modality"] == "CT"
    assert modalities(index) == "CT\\SR"
    assert (studies_with(index, "CT"), studies_with(index, "SR"), studies_with(index, "MR")) == (1, 1, 0)


def test_each_image_says_what_its_own_header_says(index: Index) -> None:
    keywords = ("Modality", "StudyDescription", "SeriesDescription", "PatientName", "PatientSex")
    answered = images(index, **dict.fromkeys(keywords, ""))
    for each in THREE:
        own = {keyword: each.attributes.get(keyword, "") for keyword in keywords}
        assert answered[each.sop_instance_uid].items() >= own.items()


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"Modality": "SR"}, ["1.2"]),
        ({"Modality": "CT"}, ["1.1", "1.3"]),
        ({"StudyDescription": "Rep*"}, ["1.2"]),
        ({"StudyDescription": "Chest", "PatientName": "DOE^JANET"}, ["1.3"]),
        ({"PatientName": "Doe^Jane"}, ["1.1", "1.2"]),
        ({"PatientSex": "F"}, ["1.1", "1.2"]),
        ({"SeriesDescription": "Of it", "Modality": "SR"}, ["1.2"]),
        ({"SeriesDescription": "Of it", "Modality": "CT"}, []),
    ],
)
def test_each_image_is_found_by_what_its_own_header_says(
    index: Index, keys: dict[str, str], found: list[str]
) -> None:
    assert sorted(images(index, **keys)) == found
    assert anywhere(index, **keys) == found


def test_what_agrees_with_its_rows_is_found_beside_what_does_not(index: Index) -> None:
    index.commit([record("2.1", study="9.1", series="9.2", Modality="SR", PatientSex="F")])
    assert anywhere(index, Modality="SR") == ["1.2", "2.1"]
    assert anywhere(index, PatientSex="F", Modality="CT") == ["1.1"]


def test_of_a_series_that_disagrees_already_others_take_the_short_way(index: Index) -> None:
    (patient,) = headers(index, "patients")
    other = record("1.9", **{**patient, "Modality": "SR", "StudyDescription": "Another"})
    assert add(index._writing, [split_record(other)], noticed=index._noticed)
    assert images(index, StudyDescription="Another", Modality="")["1.9"]["Modality"] == "SR"


def test_a_new_name_leaves_what_came_before_with_the_old_one(open_index: OpenIndex) -> None:
    index = open_index()
    index.commit([record("1.1", PatientName="Maiden^Name")])
    index.commit([record("2.1", study="9.1", series="9.2", PatientName="Married^Name")])
    assert anywhere(index, PatientName="Maiden*") == ["1.1"]
    assert anywhere(index, PatientName="Married*") == ["2.1"]
    (header,) = headers(index, "patients")
    assert header["PatientName"] == "Married^Name"


def test_rows_say_the_same_in_whatever_order_files_are_found(open_index: OpenIndex) -> None:
    said = []
    found = [
        record(
            f"{order}.{number}",
            study=f"{order}",
            series=f"{order}.1",
            PatientID=f"{order}",
            Modality=("SR", "MR", "CT")[number],
            SeriesDescription="ABC"[number],
            received_at=RECEIVED_AT + timedelta(seconds=number),
            is_from_file=True,
        )
        for order in range(len(ORDERS))
        for number in ORDERS[order]
    ]
    index = open_index()
    for each in found:
        index.commit([each])
    said = {(each["Modality"], each["SeriesDescription"]) for each in headers(index, "series")}
    assert said == {("CT", "A")}


def test_what_the_first_object_leaves_empty_the_next_fills_in_whatever_order_they_are_found(
    open_index: OpenIndex,
) -> None:
    index = open_index()
    for order, each in enumerate(ORDERS):
        for number in each:
            value = (None, "B", "C")[number]
            of_order = {"study": f"{order}", "series": f"{order}.1", "PatientID": f"{order}"}
            found = record(
                f"{order}.{number}",
                **of_order,
                StudyDescription=value,
                SeriesDescription=value,
                received_at=RECEIVED_AT + timedelta(seconds=number),
                is_from_file=True,
            )
            index.commit([found])
    assert {each["SeriesDescription"] for each in headers(index, "series")} == {"B"}
    assert {each["StudyDescription"] for each in headers(index, "studies")} == {"B"}


CORRECTIONS = {
    "PatientName": "Right^Name",
    "StudyDescription": "Right",
    "SeriesDescription": "Right",
    "Modality": "MR",
    "PatientSex": "F",
    "StudyID": None,
}


@pytest.mark.parametrize("policy", [DuplicatePolicy.REPLACE_OWN, DuplicatePolicy.REPLACE])
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_once_all_objects_are_corrected_the_rows_say_so_and_nothing_else_is_left(
    open_index: OpenIndex, policy: DuplicatePolicy, together: bool
) -> None:
    wrong = {"StudyDescription": "Wrong", "SeriesDescription": "Wrong", "StudyID": "7"}
    index = open_index(policy)
    old = [record(f"1.{number}", series=f"1.2.2.{number % 2}", **wrong) for number in range(4)]
    for each in old:
        index.commit([each])
    new = [
        record(
            f"1.{number}",
            series=f"1.2.2.{number % 2}",
            path=f"{number}.dcm",
            checksum=f"new {number}",
            received_at=RECEIVED_AT + timedelta(seconds=1 + number),
            **CORRECTIONS,
        )
        for number in range(4)
    ]
    for batch in [new] if together else [[each] for each in new]:
        index.commit(batch)
    (answer,) = matches_of(
        index, study_query(StudyDescription="", StudyID="", PatientName="", ModalitiesInStudy="")
    )
    assert answer == {
        "StudyInstanceUID": STUDY,
        "StudyDescription": "Right",
        "StudyID": "",
        "PatientName": "Right^Name",
        "ModalitiesInStudy": "MR",
    }
    assert {each["SeriesDescription"] for each in headers(index, "series")} == {"Right"}
    assert is_agreed(index)


def test_an_object_without_a_modality_gets_none_as_that_of_its_series_changes(open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    for number, modality in ((1, "SR"), (2, None), (3, "CT")):
        index.commit([record(f"1.{number}", Modality=modality)])
    assert modalities(index) == "CT\\SR"
    index.commit([record("1.1", path="1.dcm", checksum="new", Modality="CT")])
    assert modalities(index) == "CT"
    assert (studies_with(index, "SR"), anywhere(index, Modality="CT")) == (0, ["1.1", "1.3"])
    for number in (1, 3):
        index.commit([record(f"1.{number}", path=f"{number}-2.dcm", checksum="newer", Modality="KO")])
    assert (modalities(index), anywhere(index, Modality="KO")) == ("KO", ["1.1", "1.3"])


@pytest.mark.parametrize("how", ["moved to another patient", "out of service"])
def test_what_only_an_object_of_another_study_said_of_the_patient_is_forgotten_with_it(
    open_index: OpenIndex, how: str
) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    index.commit([record("1.1"), record("1.2")])
    wrong = record("2.1", study="9.1", series="9.2", PatientName="Wrong^Name")
    index.commit([wrong])
    assert [each["PatientName"] for each in headers(index, "patients")] == ["Wrong^Name"]
    if how == "out of service":
        index.forget("2.1", wrong.path)
    else:
        moved = {"path": "2.dcm", "checksum": "new", "PatientID": "P2", "PatientName": "Wrong^Name"}
        index.commit([record("2.1", study="9.1", series="9.2", **moved)])
    names = {each["PatientID"]: each["PatientName"] for each in headers(index, "patients")}
    assert names["P1"] == "Doe^Jane"
    assert is_agreed(index)


def test_an_object_out_of_service_says_nothing_any_more(open_index: OpenIndex) -> None:
    index = open_index()
    first, second = (
        record("1.1", StudyDescription="A", Modality="CT"),
        record("1.2", StudyDescription="B", Modality="SR"),
    )
    index.commit([first, second])
    assert index.forget("1.1", first.path)
    (answer,) = matches_of(index, study_query(StudyDescription="", ModalitiesInStudy=""))
    assert (answer["StudyDescription"], answer["ModalitiesInStudy"]) == ("B", "SR")
    assert is_agreed(index)


def test_a_series_that_agrees_in_itself_keeps_what_it_says_once(open_index: OpenIndex) -> None:
    index = open_index()
    index.commit([record("1.1", PatientSex="F", StudyDescription="A")])
    for number in range(3):
        index.commit([record(f"2.{number}", series="1.2.2.2", StudyDescription="B")])
    with index._reading.connect() as connection:
        assert list(connection.scalars(select(instances.c.own))) == [None] * 4
    assert anywhere(index, StudyDescription="B") == ["2.0", "2.1", "2.2"]
    assert anywhere(index, PatientSex="F") == ["1.1"]


def test_objects_that_agree_keep_nothing_more(open_index: OpenIndex) -> None:
    index = open_index()
    index.commit([record("1.1"), record("1.2")])
    index.commit([record("1.3"), record("2.1", series="1.2.2.2")])
    assert is_agreed(index)
