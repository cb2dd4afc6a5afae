"""Properties: whatever is kept and asked for, the index finds what a plain reading of PS3.4 C.2.2.2 finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from questions import query, study_query
from records import record
from sqlalchemy import create_engine
from values_and_keys import MOMENTS, RANGES, REPRESENTATIONS, keys_like

from pacsd.dataset.sequences import text_of
from pacsd.errors import IdentifierInvalid
from pacsd.index.repository import Index
from pacsd.index.schema.tables import extra_keys, metadata
from pacsd.model import LONGER_THAN_KEPT, DuplicatePolicy, QueryOptions
from pacsd.query.attributes import Attribute, attribute
from pacsd.query.criteria import criterion
from pacsd.query.matching import matches
from pacsd.query.normalization import date, name_groups, number, time_of_day, values_of
from support.matches import matches_of
from support.plain_matching import means_something, plainly_between, plainly_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pacsd.model import InstanceRecord

# By VR: a level, and attributes of it; of most VRs one with a column, one without, and one that is an extra key.
ATTRIBUTES = {
    "LO": ("STUDY", "StudyDescription", "AdmittingDiagnosesDescription", "ReasonForStudy"),
    "LT": ("STUDY", "StudyComments", "AdditionalPatientHistory"),
    "PN": ("STUDY", "PatientName", "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord"),
    "DA": ("STUDY", "StudyDate", "LastMenstrualDate", "StudyReadDate"),
    "TM": ("STUDY", "StudyTime", "StudyArrivalTime", "StudyReadTime"),
    "DT": ("IMAGE", "AcquisitionDateTime", "ObservationDateTime"),
    "DS": ("IMAGE", "InstanceNumber", "SliceLocation", "KVP"),
    "AS": ("STUDY", "PatientAge"),
    "UI": ("SERIES", "FrameOfReferenceUID", "DeviceUID"),
}
EXTRA_KEYWORDS = [keywords[-1] for _, *keywords in ATTRIBUTES.values()]
UNIQUE_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
ABOVE = {
    "STUDY": {},
    "SERIES": {"StudyInstanceUID": "1"},
    "IMAGE": {"StudyInstanceUID": "1", "SeriesInstanceUID": "2"},
}
WHATEVER = settings(
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def emptied(new_database_url: Callable[[], str]) -> Iterator[Callable[..., Index]]:
    """Gives the module's index without anything in it but its extra keys; with `accents` they matter in names."""
    url = new_database_url()
    engine = create_engine(url)
    indexes = [
        Index(url, duplicates=DuplicatePolicy.REJECT, extra_keywords=EXTRA_KEYWORDS, accents=accents)
        for accents in (False, True)
    ]
    indexes[0].register_extra_keys()

    def empty(*, accents: bool = False) -> Index:
        with engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                if table is not extra_keys:
                    connection.execute(table.delete())
        return indexes[accents]

    yield empty
    for index in indexes:
        index.dispose()
    engine.dispose()


@pytest.mark.parametrize("vr", ATTRIBUTES)
@settings(WHATEVER, max_examples=30)
@given(data=st.data())
def test_the_index_finds_what_a_plain_reading_finds(
    emptied: Callable[..., Index], vr: str, data: st.DataObject
) -> None:
    level, *keywords = ATTRIBUTES[vr]
    values = st.fixed_dictionaries({keyword: REPRESENTATIONS[vr][0] | st.just("") for keyword in keywords})
    entities = data.draw(st.lists(values, min_size=1, max_size=8), label="kept")
    accents = vr == "PN" and data.draw(st.booleans(), label="accents")
    index = emptied(accents=accents)
    index.commit([_entity(level, number, values) for number, values in enumerate(entities)])
    asked = st.dictionaries(
        st.sampled_from(keywords), keys_like(vr, [entity[keywords[0]] for entity in entities]), min_size=1
    )
    for keys in data.draw(st.lists(asked, min_size=1, max_size=6), label="asked"):
        question = query(level, **{UNIQUE_KEYS[level]: "", **ABOVE[level], **keys})
        if not all(means_something(vr, key) for key in keys.values()):
            with pytest.raises(IdentifierInvalid):
                index.find(question)
            continue
        expected = [
            f"9.{number}"
            for number, entity in enumerate(entities)
            if all(
                plainly_matches(vr, key, entity[keyword], accents=accents) for keyword, key in keys.items()
            )
        ]
        event("some found" if expected else "nothing found")
        assert [match[UNIQUE_KEYS[level]] for match in matches_of(index, question)] == expected


def _entity(level: str, number: int, values: Mapping[str, str]) -> InstanceRecord:
    """An instance of one entity's own at the level, and of what all share above."""
    uid = f"9.{number}"
    study = uid if level == "STUDY" else "1"
    series = "2" if level == "IMAGE" else uid
    nothing_else = dict.fromkeys(("PatientName", "StudyDate", "Modality"))
    return record(uid, study=study, series=series, **{**nothing_else, "PatientID": study, **values})


# Where SQL compares, and where the header is looked at.
PAIRS = {
    "STUDY": ("StudyDate", "StudyTime"),
    "IMAGE": ("AcquisitionDate", "AcquisitionTime"),
}


@pytest.mark.parametrize("level", PAIRS)
@settings(WHATEVER, max_examples=50)
@given(
    kept=st.lists(MOMENTS, min_size=5, max_size=10),
    asked=st.lists(RANGES, min_size=5, max_size=10),
)
def test_a_combined_range_is_one_of_instants(
    emptied: Callable[..., Index], level: str, kept: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    date, time = PAIRS[level]
    index = emptied()
    index.commit(
        [_entity(level, number, {date: day, time: moment}) for number, (day, moment) in enumerate(kept)]
    )
    combined = QueryOptions(combined_date_time=True)
    for days, times in asked:
        keys = {UNIQUE_KEYS[level]: "", **ABOVE[level], date: days, time: times}
        expected = [
            f"9.{number}"
            for number, (day, moment) in enumerate(kept)
            if plainly_between(days, times, day, moment)
        ]
        event("some found" if expected else "nothing found")
        found = matches_of(index, query(level, options=combined, **keys))
        assert [match[UNIQUE_KEYS[level]] for match in found] == expected


MODALITIES = st.lists(st.sampled_from(["CT", "MR", "ct", "C", ""]), min_size=1, max_size=3)


@settings(WHATEVER, max_examples=50)
@given(
    studies=st.lists(MODALITIES, min_size=1, max_size=4),
    key=keys_like("LO", ["CT", "MR", "CT\\MR"]),
)
def test_a_study_is_found_by_any_of_its_modalities_or_all(
    emptied: Callable[..., Index], studies: list[list[str]], key: str
) -> None:
    index = emptied()
    index.commit(
        [
            record(f"9.{study}.{series}", study=f"9.{study}", series=f"9.{study}.{series}", Modality=modality)
            for study, modalities in enumerate(studies)
            for series, modality in enumerate(modalities)
        ]
    )
    expected = [
        f"9.{study}"
        for study, modalities in enumerate(studies)
        if plainly_matches("CS", key, "\\".join(modalities))
    ]
    found = [answer["StudyInstanceUID"] for answer in matches_of(index, study_query(ModalitiesInStudy=key))]
    assert sorted(found) == expected
    together = query(
        "STUDY", options=QueryOptions(multiple_values=True), StudyInstanceUID="", ModalitiesInStudy=key
    )
    expected = [
        f"9.{study}"
        for study, modalities in enumerate(studies)
        if all(plainly_matches("CS", value, "\\".join(modalities)) for value in key.split("\\"))
    ]
    assert sorted(answer["StudyInstanceUID"] for answer in matches_of(index, together)) == expected


@given(st.text())
def test_no_text_is_too_strange_to_be_normalised(value: str) -> None:
    for form in (date(value), time_of_day(value), *name_groups(value), *values_of(value)):
        if form is not None:
            form.encode()
            assert "\0" not in form
    number(value)


@given(
    keyword=st.sampled_from(
        ["PatientName", "StudyDescription", "StudyDate", "StudyTime", "PatientWeight", "StudyComments", "PatientAge",
         "AcquisitionDateTime", "StudyInstanceUID"]
    ),
    key=st.text() | st.text(st.sampled_from("0123456789-+.: *?\\=^"), max_size=30),
)  # fmt: skip
def test_any_key_is_understood_or_refused(keyword: str, key: str) -> None:
    try:
        wanted = criterion(_known(keyword), key)
    except IdentifierInvalid:
        return
    if wanted is not None:
        matches(wanted, _known(keyword).matching, key)


def _known(keyword: str) -> Attribute:
    found = attribute(keyword)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("keyword", "key"),
    [
        ("TextValue", "?"),
        ("TextValue", "*a*"),
        ("TextValue", '""'),
        ("ReferencedFrameNumbers", "1"),
        ("RequestAttributesSequence", text_of([{"RequestedProcedureID": "R1"}])),
    ],
)
def test_what_the_index_does_not_keep_matches_nothing(keyword: str, key: str) -> None:
    """It is not empty either (PS3.4 C.2.2.2.7); the file is for answers only."""
    known = attribute(keyword)
    assert known is not None
    asked = criterion(known, key, empty_values=True)
    assert asked is not None
    assert not matches(asked, known.matching, LONGER_THAN_KEPT)
