"""Keys as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.identifier import read_identifier, write_identifier
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES
from pacsd.errors import IdentifierInvalid
from pacsd.model import QueryLevel, QueryModel
from pacsd.scu.keys import element, parse_keys, retrieve_keys


def test_uids_under_one_keyword_are_one_list() -> None:
    (key,) = parse_keys(["StudyInstanceUID=1.2", "StudyInstanceUID=1.3\\1.4"])
    assert key == element("StudyInstanceUID", "1.2\\1.3\\1.4")


def test_a_value_may_hold_an_equals_sign() -> None:
    """As the component groups of a person name do (PS3.5 §6.2.1)."""
    assert parse_keys(["PatientName=Yamada^Tarou=山田^太郎"])[0].value == "Yamada^Tarou=山田^太郎"


def test_tags() -> None:
    assert parse_keys(["(0020,000D)=1.2", "0010,0020"]) == [
        element("StudyInstanceUID", "1.2"),
        element("PatientID"),
    ]


@given(
    st.sampled_from(
        ["PatientName", "StudyDate", "Rows", "StudyInstanceUID", "(0008,0060)", "PatientComments"]
    ),
    st.text(max_size=40),
)
def test_any_value_is_either_sent_or_told(keyword: str, value: str) -> None:
    try:
        (key,) = parse_keys([f"{keyword}={value}"])
    except IdentifierInvalid:
        return
    for syntax in NATIVE_TRANSFER_SYNTAXES:
        (sent,) = read_identifier(write_identifier([key], syntax), syntax).elements
        assert (sent.value != "") == (value != "")


@given(st.text(max_size=30))
def test_any_text_is_a_key_or_told(text: str) -> None:
    try:
        (key,) = parse_keys([text])
    except IdentifierInvalid:
        return
    assert key.keyword


@pytest.mark.parametrize(
    ("texts", "model", "level"),
    [
        (["StudyInstanceUID=1"], QueryModel.STUDY_ROOT, QueryLevel.STUDY),
        (["PatientID=A"], QueryModel.PATIENT_ROOT, QueryLevel.PATIENT),
        (["SeriesInstanceUID=2", "StudyInstanceUID=1"], QueryModel.STUDY_ROOT, QueryLevel.SERIES),
        (
            ["SOPInstanceUID=3", "SeriesInstanceUID=2", "StudyInstanceUID=1", "PatientID=A"],
            QueryModel.PATIENT_ROOT,
            QueryLevel.IMAGE,
        ),
    ],
)
def test_model_and_level_follow_from_the_keys(texts: list[str], model: QueryModel, level: QueryLevel) -> None:
    chosen_model, chosen_level, keys = retrieve_keys(parse_keys(texts))
    assert (chosen_model, chosen_level) == (model, level)
    assert [key.tag for key in keys] == [element(key.keyword).tag for key in keys]
    assert keys[-1].value == texts[0].partition("=")[2]


@pytest.mark.parametrize("lists", ["StudyInstanceUID=1\\2", "StudyInstanceUID=*"])
def test_above_the_level_only_a_single_value_will_do(lists: str) -> None:
    """PS3.4 §C.4.2.1.4.1: a list, and no wildcard, and only in the unique key of the level itself."""
    with pytest.raises(IdentifierInvalid, match="StudyInstanceUID"):
        retrieve_keys(parse_keys([lists, "SeriesInstanceUID=3"]))
