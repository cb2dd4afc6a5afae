"""Identifiers: what we write, pydicom reads, and what is none ends in IdentifierInvalid and nothing else."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

from pacsd.dataset.identifier import Element, Identifier, elements_of, read_identifier, write_identifier
from pacsd.dataset.sequences import items_of
from pacsd.dataset.sequences import text_of as text_of_items
from pacsd.dataset.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE_TRANSFER_SYNTAXES,
)
from pacsd.errors import IdentifierInvalid

every_encoding = pytest.mark.parametrize("transfer_syntax", NATIVE_TRANSFER_SYNTAXES)
encodings = st.sampled_from(NATIVE_TRANSFER_SYNTAXES)

_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\^=*?"), max_size=16)
_UNICODE = st.text(st.characters(min_codepoint=0xA1, max_codepoint=0x4FFF, categories=["L"]), max_size=12)
_UID = st.lists(st.integers(0, 99999), min_size=2, max_size=9).map(lambda parts: ".".join(map(str, parts)))
VALUES: dict[str, st.SearchStrategy[str]] = {
    "QueryRetrieveLevel": st.sampled_from(["PATIENT", "STUDY", "SERIES", "IMAGE"]),
    "StudyDate": st.sampled_from(["", "20240229", "20240101-20241231"]),
    "AccessionNumber": _TEXT,
    "ModalitiesInStudy": st.lists(st.sampled_from(["CT", "MR", "US"]), max_size=3).map("\\".join),
    "StudyDescription": _UNICODE,
    "PatientName": st.lists(_UNICODE.filter(bool), max_size=3).map("=".join),
    "PatientID": _TEXT,
    "PatientComments": _UNICODE,
    "StudyInstanceUID": st.lists(_UID, max_size=4).map("\\".join),
    "SeriesNumber": st.integers(-999, 99999).map(str),
    "Rows": st.integers(0, 0xFFFF).map(str),
    "SimpleFrameList": st.lists(st.integers(0, 0xFFFFFFFF), max_size=3).map(
        lambda numbers: "\\".join(map(str, numbers))
    ),
    "ReferencePixelX0": st.integers(-(2**31), 2**31 - 1).map(str),
}
identifiers = st.fixed_dictionaries({}, optional=VALUES)


def read_by_pydicom(data: bytes, transfer_syntax: str) -> Dataset:
    dataset = read_dataset(
        io.BytesIO(data),
        is_implicit_VR=transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN,
        is_little_endian=transfer_syntax != EXPLICIT_VR_BIG_ENDIAN,
    )
    dataset.decode()
    return dataset


def write_by_pydicom(dataset: Dataset, transfer_syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax != EXPLICIT_VR_BIG_ENDIAN
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, PersonName, int, float)):
        return str(value)
    return "\\".join(str(each) for each in value)


def read_keys(keys: dict[str, str], transfer_syntax: str, **options: Any) -> Identifier:
    return read_identifier(write_identifier(elements_of(keys), transfer_syntax, **options), transfer_syntax)


@settings(deadline=None)
@given(keys=identifiers, transfer_syntax=encodings)
def test_what_is_written_is_read(keys: dict[str, str], transfer_syntax: str) -> None:
    assert read_keys(keys, transfer_syntax).keys == keys


@settings(deadline=None)
@given(keys=identifiers, transfer_syntax=encodings)
def test_pydicom_reads_what_is_written(keys: dict[str, str], transfer_syntax: str) -> None:
    dataset = read_by_pydicom(write_identifier(elements_of(keys), transfer_syntax), transfer_syntax)
    character_set = "ISO_IR 192" if not all(value.isascii() for value in keys.values()) else ""
    assert dataset.get("SpecificCharacterSet", "") == character_set
    assert [element.tag for element in dataset] == sorted(element.tag for element in dataset)
    assert {
        element.keyword: text_of(element.value)
        for element in dataset
        if element.keyword != "SpecificCharacterSet"
    } == keys


@settings(deadline=None)
@given(keys=identifiers, transfer_syntax=encodings)
def test_what_pydicom_writes_is_read(keys: dict[str, str], transfer_syntax: str) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        number = dictionary_VR(tag_for_keyword(keyword) or 0) in ("US", "UL", "SL")
        parts = value.split("\\") if value else []
        setattr(dataset, keyword, [int(part) for part in parts] if number else value)
    identifier = read_identifier(write_by_pydicom(dataset, transfer_syntax), transfer_syntax)
    assert identifier.keys == keys
    assert identifier.specific_character_set == "ISO_IR 192"


# Elements of all kinds.


ITEMS: list[dict[str, Any]] = [
    {"CodeValue": "RPID22", "CodeMeaning": "Schädel"},
    {},
    {"ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": "1.2.3"}, {"TextValue": "山"}], "Rows": "512"},
]


@every_encoding
@pytest.mark.parametrize("name", ["Doe", "Jérôme", "山田"])
def test_pydicom_reads_the_items_that_are_written(transfer_syntax: str, name: str) -> None:
    keys = {"ProcedureCodeSequence": text_of_items(ITEMS), "PatientName": name}
    data = write_identifier(elements_of(keys), transfer_syntax, requested_character_set="ISO_IR 100")
    dataset = read_by_pydicom(data, transfer_syntax)
    first, second, third = dataset.ProcedureCodeSequence
    assert (first.CodeValue, first.CodeMeaning, dataset.PatientName) == ("RPID22", "Schädel", name)
    assert (list(second), third.Rows) == ([], 512)
    assert [each.get("TextValue") for each in third.ReferencedSOPSequence] == [None, "山"]
    assert [each.get("ReferencedSOPInstanceUID") for each in third.ReferencedSOPSequence] == ["1.2.3", None]
    assert read_identifier(data, transfer_syntax).keys == keys


@every_encoding
@pytest.mark.parametrize(("tag", "vr"), [(0x00081032, "LO"), (0x00100020, "SQ")])
def test_what_is_a_sequence_or_none_against_the_dictionary_is_refused(
    transfer_syntax: str, tag: int, vr: str
) -> None:
    if transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN:
        data = element(0x00100020, b"")[:4] + struct.pack("<IHHI", 0xFFFFFFFF, 0xFFFE, 0xE0DD, 0)
    else:
        data = write_identifier([Element(tag, vr, "")], transfer_syntax)
    with pytest.raises(IdentifierInvalid):
        read_identifier(data, transfer_syntax)


@every_encoding
def test_an_item_may_have_a_character_set_of_its_own(transfer_syntax: str) -> None:
    names = {"ISO_IR 144": "Люкceмбypг", "": "Buc^Jérôme"}  # noqa: RUF001
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ReferencedPatientSequence = Sequence([Dataset(), Dataset()])
    for item, (character_set, name) in zip(dataset.ReferencedPatientSequence, names.items(), strict=True):
        item.PatientName = name
        if character_set:
            item.SpecificCharacterSet = character_set
    data = write_by_pydicom(dataset, transfer_syntax)
    (sequence,) = read_identifier(data, transfer_syntax).elements
    assert items_of(sequence.value) == [{"PatientName": name} for name in names.values()]


@every_encoding
def test_sequences_are_read_and_private_and_unknown_tags_kept_without_value(transfer_syntax: str) -> None:
    item = Dataset()
    item.Modality = "CT"
    dataset = Dataset()
    dataset.StudyInstanceUID = "1.2.3"
    dataset.ProcedureCodeSequence = Sequence([item, item])
    dataset.ReferencedStudySequence = Sequence([])
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "secret")
    dataset.add_new(0x00081301, "UN", b"ab")
    identifier = read_identifier(write_by_pydicom(dataset, transfer_syntax), transfer_syntax)
    tags = {element.tag: (element.vr, element.value) for element in identifier.elements}
    codes = text_of_items([{"Modality": "CT"}] * 2)
    assert (tags[0x00081032], tags[0x00081110]) == (("SQ", codes), ("SQ", ""))
    assert identifier.keys == {
        "StudyInstanceUID": "1.2.3",
        "ProcedureCodeSequence": codes,
        "ReferencedStudySequence": "",
    }
    assert {0x00090010, 0x00091001, 0x00081301} <= set(tags)
    answer = read_by_pydicom(write_identifier(identifier.elements, transfer_syntax), transfer_syntax)
    assert {int(element.tag) for element in answer} == set(tags)
    assert answer.ProcedureCodeSequence == dataset.ProcedureCodeSequence
    assert list(answer.ReferencedStudySequence) == []


def test_a_sequence_of_undefined_length() -> None:
    sequence = struct.pack("<HHI", 0x0008, 0x1032, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + element(0x00080100, b"X ")
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    data = sequence + item + end + element(0x00100020, b"P1")
    assert read_identifier(data, IMPLICIT_VR_LITTLE_ENDIAN).keys == {
        "ProcedureCodeSequence": text_of_items([{"CodeValue": "X"}]),
        "PatientID": "P1",
    }


def element(tag: int, value: bytes) -> bytes:
    """One element in Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def test_group_lengths_and_file_meta_information_are_no_keys() -> None:
    data = element(0x00080000, b"\x0a\0\0\0") + element(0x00080060, b"CT") + element(0x00100000, b"\0\0\0\0")
    assert read_identifier(data, IMPLICIT_VR_LITTLE_ENDIAN).keys == {"Modality": "CT"}
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 4) + b"1.2\0"
    with_meta = meta + write_identifier(elements_of({"Modality": "CT"}), EXPLICIT_VR_LITTLE_ENDIAN)
    assert read_identifier(with_meta, EXPLICIT_VR_LITTLE_ENDIAN).keys == {"Modality": "CT"}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"Doe^Jane ", "Doe^Jane"),
        (b"Doe^Jane=A=B ", "Doe^Jane=A=B"),
        (b"==B ", "==B"),
        (b"A*\\B? ", "A*\\B?"),
        (b"\0\0", ""),
        (b"", ""),
    ],
)
def test_names_keep_their_component_groups(raw: bytes, value: str) -> None:
    (name,) = read_identifier(element(0x00100010, raw), IMPLICIT_VR_LITTLE_ENDIAN).elements
    assert (name.keyword, name.vr, name.value) == ("PatientName", "PN", value)


@pytest.mark.parametrize("raw", [b"abc ", b"1.5 ", b"99999999999999", b"* ", b"1-5 "])
def test_a_value_that_is_none_of_its_vr_is_for_the_query_to_judge(raw: bytes) -> None:
    identifier = read_identifier(element(0x00200011, raw), IMPLICIT_VR_LITTLE_ENDIAN)
    assert identifier.keys == {"SeriesNumber": raw.decode().strip()}


def test_a_known_tag_sent_as_un_has_its_own_vr() -> None:
    data = struct.pack("<HH2sHI", 0x0010, 0x0020, b"UN", 0, 4) + b"PID "
    (known,) = read_identifier(data, EXPLICIT_VR_LITTLE_ENDIAN).elements
    assert (known.vr, known.value) == ("LO", "PID")


def test_the_first_of_several_vrs_counts() -> None:
    data = element(0x00280106, b"\x05\0") + element(0x7FE00010, b"")
    assert [(each.vr, each.value) for each in read_identifier(data, IMPLICIT_VR_LITTLE_ENDIAN).elements] == [
        ("US", "5"),
        ("OB", ""),
    ]


_NUMBERS_VRS = ["US", "SS", "UL", "SL", "FL", "FD", "SV", "UV"]


@given(
    vr=st.sampled_from(_NUMBERS_VRS),
    value=st.text(max_size=12) | st.floats().map(str) | st.integers().map(str),
)
def test_what_is_no_number_is_written_as_no_value(vr: str, value: str) -> None:
    for transfer_syntax in NATIVE_TRANSFER_SYNTAXES:
        data = write_identifier([Element(0x00280010, vr, value)], transfer_syntax)
        assert [each.tag for each in read_identifier(data, transfer_syntax).elements] == [0x00280010]


@pytest.mark.parametrize(
    ("vr", "value"), [("US", "70000"), ("US", "-1"), ("US", "1.0"), ("FL", "1e400x"), ("UL", "")]
)
def test_a_number_that_does_not_fit_is_left_out(vr: str, value: str) -> None:
    data = write_identifier([Element(0x00280010, vr, value)], EXPLICIT_VR_LITTLE_ENDIAN)
    assert data == struct.pack("<HH2sH", 0x28, 0x10, vr.encode(), 0)


def test_a_text_too_long_for_its_length_field_becomes_unknown() -> None:
    """PS3.5 §6.2.2; the longest that fits does not."""
    long = Element(0x00081030, "LO", "x" * 0x10000)
    header = struct.pack("<HH2sHI", 8, 0x1030, b"UN", 0, 0x10000)
    assert write_identifier([long], EXPLICIT_VR_LITTLE_ENDIAN) == header + b"x" * 0x10000
    fits = Element(0x00081030, "LO", "x" * 0xFFFD)
    header = struct.pack("<HH2sH", 8, 0x1030, b"LO", 0xFFFE)
    assert write_identifier([fits], EXPLICIT_VR_LITTLE_ENDIAN) == header + b"x" * 0xFFFD + b" "
    assert len(write_identifier([long], IMPLICIT_VR_LITTLE_ENDIAN)) == 8 + 0x10000


@every_encoding
def test_a_long_list_of_uids_is_read(transfer_syntax: str) -> None:
    uids = "\\".join(f"1.2.840.{number}" for number in range(4000))
    assert read_keys({"SOPInstanceUID": uids}, transfer_syntax).value("SOPInstanceUID") == uids


def test_a_value_that_is_too_long_is_named() -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        read_keys({"StudyDescription": "x" * 1025}, EXPLICIT_VR_LITTLE_ENDIAN)
    assert refused.value.keywords == ("StudyDescription",)
    assert "xxx" not in str(refused.value)


def test_absent_and_empty_are_told_apart_by_keys_only() -> None:
    identifier = read_keys({"PatientID": ""}, EXPLICIT_VR_LITTLE_ENDIAN)
    assert (identifier.value("PatientID"), identifier.value("PatientName")) == ("", "")
    assert identifier.keys == {"PatientID": ""}


def test_an_unknown_keyword_is_an_error() -> None:
    with pytest.raises(KeyError, match="NoSuchKeyword"):
        elements_of({"NoSuchKeyword": ""})
