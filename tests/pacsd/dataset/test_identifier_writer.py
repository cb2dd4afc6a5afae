"""One layout for many data sets: each is what it would be alone, whatever was written before it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.dataset.identifier_writer import IdentifierWriter
from pacsd.dataset.sequences import text_of
from pacsd.dataset.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE_TRANSFER_SYNTAXES,
)

KEYWORDS = (
    "StudyDate",
    "PatientName",
    "StudyInstanceUID",
    "SmallestImagePixelValue",
    "ProcedureCodeSequence",
)
ATTRIBUTES = sorted((element.tag, element.vr) for element in elements_of(dict.fromkeys(KEYWORDS, "")))
VALUES = st.sampled_from(["", "1", "20240101", "Müller^Jörg", "山田", "x" * 65, "x" * 66, "x" * 67])
SEQUENCES = st.sampled_from([[], [{"CodeMeaning": "Müller"}], [{"CodeMeaning": "山田"}, {}]]).map(text_of)
ROWS = st.tuples(*[SEQUENCES if vr == "SQ" else VALUES for _, vr in ATTRIBUTES])

every_encoding = pytest.mark.parametrize("transfer_syntax", NATIVE_TRANSFER_SYNTAXES)


@every_encoding
@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_each_data_set_is_as_if_written_alone(transfer_syntax: str, rows: list[tuple[str, ...]]) -> None:
    writer = IdentifierWriter(ATTRIBUTES, transfer_syntax, requested_character_set="ISO_IR 100")
    alone = [
        IdentifierWriter(ATTRIBUTES, transfer_syntax, requested_character_set="ISO_IR 100").write(row)
        for row in rows
    ]
    assert [writer.write(row) for row in rows] == alone


@every_encoding
@given(value=st.integers(0, 200).map("x".__mul__))
def test_lengths_are_even_and_said_truly(transfer_syntax: str, value: str) -> None:
    data = IdentifierWriter([(0x00081030, "LO")], transfer_syntax).write([value])
    assert len(data) == 8 + len(value) + len(value) % 2
    assert read_identifier(data, transfer_syntax).keys == {"StudyDescription": value}


def test_the_values_given_are_left_as_they_are() -> None:
    values = ["Müller^Jörg"]
    IdentifierWriter([(0x00100010, "PN")], IMPLICIT_VR_LITTLE_ENDIAN).write(values)
    assert values == ["Müller^Jörg"]


def test_the_character_set_stands_in_its_place() -> None:
    """Elements ascend (PS3.5 §7.1), also around the one that only some data sets have."""
    writer = IdentifierWriter(
        [(0x00080001, "UL"), (0x00080020, "DA"), (0x00100010, "PN")], EXPLICIT_VR_LITTLE_ENDIAN
    )
    data = writer.write(["7", "20240101", "Jérôme"])
    headers = [
        struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
        for tag, vr in ((0x00080001, b"UL"), (0x00080005, b"CS"), (0x00080020, b"DA"), (0x00100010, b"PN"))
    ]
    places = [data.index(header) for header in headers]
    assert places == sorted(places)
    assert headers[1] not in writer.write(["", "", "Doe"])


@pytest.mark.parametrize("values", [["1"], ["1"] * 6, ["é"]])
def test_one_value_for_each_attribute(values: list[str]) -> None:
    attributes = [(0x00100010, "PN"), (0x00100020, "LO")]
    with pytest.raises(ValueError, match="zip"):
        IdentifierWriter(attributes, EXPLICIT_VR_LITTLE_ENDIAN).write(values)


@every_encoding
def test_tags_are_group_and_element_each(transfer_syntax: str) -> None:
    data = IdentifierWriter([(0x00280009, "AT")], transfer_syntax).write(["00540010\\0018106a"])
    order = ">" if transfer_syntax == EXPLICIT_VR_BIG_ENDIAN else "<"
    assert data.endswith(struct.pack(f"{order}4H", 0x0054, 0x0010, 0x0018, 0x106A))
    assert read_identifier(data, transfer_syntax).keys == {"FrameIncrementPointer": "00540010\\0018106A"}


@every_encoding
@pytest.mark.parametrize("value", ["7", "0054001G", "(0054,0010)", "00540010\\", "005400100"])
def test_what_is_no_tag_is_left_out(transfer_syntax: str, value: str) -> None:
    data = IdentifierWriter([(0x00280009, "AT")], transfer_syntax).write([value])
    assert read_identifier(data, transfer_syntax).keys == {"FrameIncrementPointer": ""}


def test_one_data_set_may_come_in_any_order() -> None:
    keys = {"PatientName": "Doe", "QueryRetrieveLevel": "STUDY"}
    assert write_identifier(elements_of(keys), EXPLICIT_VR_LITTLE_ENDIAN) == write_identifier(
        reversed(elements_of(keys)), EXPLICIT_VR_LITTLE_ENDIAN
    )
