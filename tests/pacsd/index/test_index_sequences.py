"""Sequence matching (PS3.4 C.2.2.2.6): the keys of one item, within one item; all items are returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import record

from pacsd.dataset.sequences import text_of
from pacsd.errors import IdentifierInvalid
from pacsd.model import FindQuery, QueryLevel, QueryModel, QueryOptions

if TYPE_CHECKING:
    from pacsd.dataset.sequences import Item
    from pacsd.index.repository import Index

HEAD = {"CodeValue": "RPID22", "CodingSchemeDesignator": "RADLEX", "CodeMeaning": "CT Kopf"}
CHEST = {"CodeValue": "RPID16", "CodingSchemeDesignator": "99LOCAL", "CodeMeaning": "CT Thorax"}
REQUEST = {
    "RequestedProcedureID": "RP1",
    "ScheduledProcedureStepStartDate": "20260102",
    "RequestedProcedureCodeSequence": [HEAD],
}
PERSON = {"PersonName": "Müller^Jörg"}
NOTHING_NEGOTIATED = QueryOptions()


@pytest.fixture
def archive(index: Index) -> Index:
    """Three studies: of two procedures and a request, of one procedure, of none."""
    index.commit(
        [
            record(
                "1.3.1",
                series="1.2.1",
                study="1.1",
                ProcedureCodeSequence=text_of([HEAD, CHEST]),
                RequestAttributesSequence=text_of([REQUEST]),
                ReferencedImageSequence=text_of([{"ReferencedSOPInstanceUID": "1.9"}]),
            ),
            record(
                "1.3.2",
                series="1.2.2",
                study="1.2",
                ProcedureCodeSequence=text_of([CHEST]),
                PhysiciansOfRecordIdentificationSequence=text_of([PERSON]),
            ),
            record("1.3.3", series="1.2.3", study="1.3"),
        ]
    )
    return index


def found(
    index: Index,
    keyword: str,
    items: list[Item],
    level: QueryLevel = QueryLevel.STUDY,
    options: QueryOptions = NOTHING_NEGOTIATED,
    **keys: str,
) -> dict[str, str]:
    """The sequence of each match, by Study Instance UID."""
    asked = {"StudyInstanceUID": "", keyword: text_of(items), **keys}
    query = FindQuery(model=QueryModel.STUDY_ROOT, level=level, keys=asked, options=options)
    assert index.unsupported_keys(query) == ()
    return {match["StudyInstanceUID"]: match[keyword] for page in index.find(query) for match in page}


@pytest.mark.parametrize("items", [[], [{}], [{"CodeValue": ""}], [{"CodeValue": "*", "CodeMeaning": ""}]])
def test_a_sequence_that_asks_for_nothing_matches_all(archive: Index, items: list[Item]) -> None:
    assert found(archive, "ProcedureCodeSequence", items) == {
        "1.1": text_of([HEAD, CHEST]),
        "1.2": text_of([CHEST]),
        "1.3": "",
    }


@pytest.mark.parametrize(
    ("item", "studies"),
    [
        ({"CodeValue": "RPID16"}, {"1.1", "1.2"}),
        ({"CodeValue": "RPID22", "CodeMeaning": ""}, {"1.1"}),
        ({"CodeValue": "RPID*", "CodingSchemeDesignator": "RADLEX"}, {"1.1"}),
        ({"CodeValue": "RPID22", "CodingSchemeDesignator": "99LOCAL"}, set()),
        ({"CodeMeaning": "CT ?horax"}, {"1.1", "1.2"}),
        ({"CodingSchemeVersion": "1"}, set()),
    ],
)
def test_all_keys_must_match_within_one_item(archive: Index, item: Item, studies: set[str]) -> None:
    assert set(found(archive, "ProcedureCodeSequence", [item])) == studies


@pytest.mark.parametrize(
    ("item", "studies"),
    [
        ({"CodingSchemeVersion": '""'}, {"1.1", "1.2"}),
        ({"CodingSchemeVersion": '""', "CodeValue": "RPID22"}, {"1.1"}),
        ({"CodeMeaning": '""'}, set()),
    ],
)
def test_an_inner_key_may_ask_for_what_is_empty(archive: Index, item: Item, studies: set[str]) -> None:
    """Of an item that is there; without negotiation two quotation marks are text."""
    negotiated = QueryOptions(empty_values=True)
    assert set(found(archive, "ProcedureCodeSequence", [item], options=negotiated)) == studies
    assert found(archive, "ProcedureCodeSequence", [item]) == {}


def test_names_are_matched_as_at_the_top(archive: Index) -> None:
    keyword = "PhysiciansOfRecordIdentificationSequence"
    assert set(found(archive, keyword, [{"PersonName": "müller*"}])) == {"1.2"}


@pytest.mark.parametrize(
    ("item", "is_found"),
    [
        ({"ScheduledProcedureStepStartDate": "20260101-20260131"}, True),
        ({"ScheduledProcedureStepStartDate": "-20251231"}, False),
        ({"RequestedProcedureCodeSequence": [{"CodeValue": "RPID22"}]}, True),
        ({"RequestedProcedureCodeSequence": [{"CodeValue": "RPID16"}]}, False),
        ({"RequestedProcedureID": "RP1", "RequestedProcedureCodeSequence": [{}]}, True),
    ],
)
def test_dates_and_sequences_within_a_series_sequence(archive: Index, item: Item, is_found: bool) -> None:
    matches = found(archive, "RequestAttributesSequence", [item], QueryLevel.SERIES, StudyInstanceUID="1.1")
    assert matches == ({"1.1": text_of([REQUEST])} if is_found else {})


def test_an_instances_own_sequence_is_answered_at_its_level_only(archive: Index) -> None:
    keys = {"StudyInstanceUID": "1.1", "ReferencedImageSequence": ""}
    query = FindQuery(model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, keys=keys)
    assert archive.unsupported_keys(query) == ("ReferencedImageSequence",)
    uids = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.2.1"}
    item = {"ReferencedSOPInstanceUID": "1.8\\1.9"}
    assert found(archive, "ReferencedImageSequence", [item], QueryLevel.IMAGE, **uids)


def test_more_than_one_item_is_refused(archive: Index) -> None:
    with pytest.raises(IdentifierInvalid, match="more than one item") as refused:
        found(archive, "ProcedureCodeSequence", [HEAD, CHEST])
    assert refused.value.keywords == ("ProcedureCodeSequence",)


def test_an_inner_key_that_means_nothing_is_named(archive: Index) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        found(
            archive,
            "RequestAttributesSequence",
            [{"ScheduledProcedureStepStartDate": "yesterday"}],
            QueryLevel.SERIES,
            StudyInstanceUID="1.1",
        )
    assert refused.value.keywords == ("ScheduledProcedureStepStartDate",)
    assert "yesterday" not in str(refused.value)
