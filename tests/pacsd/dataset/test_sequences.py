"""Sequences of a header: whole or not at all, as pydicom reads them, in the character sets of their items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dataset_bytes import EXPLICIT, FILES, IMPLICIT, WRITERS, Writer, read
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.header import examine, scan
from pacsd.dataset.indexed_attributes import INDEXED_ATTRIBUTES, MAXIMUM_SEQUENCE_LENGTH
from pacsd.dataset.sequences import items_of, text_of
from pacsd.model import LONGER_THAN_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = 0x00400275
REQUESTED_PROCEDURE_ID = 0x00401001
DESCRIPTION = 0x00321060
NONSENSE = b"\xfe\xff\x0d\xe0"


def sequences(dataset: Dataset) -> Iterator[Any]:
    """The top-level sequences that a header scan looks for."""
    for element in dataset:
        known = INDEXED_ATTRIBUTES.get(element.tag)
        if known is not None and known.vr == element.VR == "SQ":
            yield element


def texts(sequence: Sequence) -> list[dict[str, Any]]:
    """The items' keywords; of their values the text, where it is text that no two readers write differently."""
    return [
        {
            element.keyword: texts(element.value) if element.VR == "SQ" else str(element.value or "")
            for element in item
            if element.keyword and element.VR in ("SQ", "UI", "CS", "SH", "DA", "TM")
            if element.VM <= 1 and element.keyword != "SpecificCharacterSet"
        }
        for item in sequence
    ]


def only(items: Any, expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of our items what is compared."""
    assert len(items) == len(expected)
    return [
        {
            keyword: only(value, wanted[keyword]) if isinstance(value, list) else value
            for keyword, value in item.items()
            if keyword in wanted
        }
        for item, wanted in zip(items, expected, strict=True)
    ]


def encoded_length(element: Any, dataset: Dataset) -> int:
    alone = Dataset()
    alone.add(element)
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, dataset.original_encoding[0]
    write_dataset(file, alone)
    return len(file.getvalue())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_sequences_equal_pydicoms_on_its_test_files(path: Path) -> None:
    found = decode_attributes(scan(*read(path), complete=True))
    dataset = dcmread(path, force=True)
    for element in sequences(dataset):
        text = found.get(element.keyword)
        if text == LONGER_THAN_KEPT:
            assert encoded_length(element, dataset) > MAXIMUM_SEQUENCE_LENGTH * 3 // 4
            continue
        expected = texts(element.value)
        assert only(items_of(text), expected) == expected


def request(writer: Writer, name: bytes, *, undefined: bool, character_set: bytes = b"") -> bytes:
    """A sequence with a nested one, an empty item and an item with a character set of its own."""
    code = writer.item(writer.element(0x00080100, "SH", b"CT"), undefined=undefined)
    own = writer.element(0x00080005, "CS", character_set) if character_set else b""
    items = [
        own
        + writer.sequence(0x00321064, [code], undefined=undefined)
        + writer.element(DESCRIPTION, "LO", name)
        + writer.element(0x00330010, "LO", b"ACME")
        + writer.element(0x00401001, "SH", b"R1"),
        b"",
    ]
    return writer.sequence(
        REQUEST, [writer.item(item, undefined=undefined) for item in items], undefined=undefined
    )


def attributes_of(data: bytes, transfer_syntax_uid: str, prefix_length: int = 1 << 16) -> dict[str, str]:
    def read_at(position: int, length: int) -> bytes:
        return data[position : position + length]

    return decode_attributes(examine(data[:prefix_length], len(data), read_at, transfer_syntax_uid))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_items_are_read_with_their_own_character_set(transfer_syntax_uid: str, undefined: bool) -> None:
    writer = WRITERS[transfer_syntax_uid]
    data = (
        writer.element(0x00080005, "CS", b"ISO_IR 192")
        + writer.element(0x00100020, "LO", b"P1")
        + request(
            writer, "Schädel".encode("latin-1") + b" ", undefined=undefined, character_set=b"ISO_IR 100"
        )
        + writer.element(0x20500020, "CS", b"IDENTITY")
    )
    found = attributes_of(data, transfer_syntax_uid)
    assert items_of(found["RequestAttributesSequence"]) == [
        {
            "RequestedProcedureCodeSequence": [{"CodeValue": "CT"}],
            "RequestedProcedureDescription": "Schädel",
            "RequestedProcedureID": "R1",
        },
        {},
    ]
    assert (found["PatientID"], found["PresentationLUTShape"]) == ("P1", "IDENTITY")


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_the_window_does_not_matter(transfer_syntax_uid: str, undefined: bool) -> None:
    writer = WRITERS[transfer_syntax_uid]
    long = writer.item(writer.element(0x00080100, "SH", b"y" * 484), undefined=undefined)
    for rest in (0, 4, 60, 68, 76, 100, 5000):
        data = writer.element(0x00080070, "LO", b"x" * 40) + request(writer, b"n", undefined=undefined)
        items = [long] * 8 + [writer.item(bytes(0), undefined=undefined)] * (rest // 8)
        length = len(b"".join(items))
        data += writer.sequence(0x00400555, items, undefined=undefined)
        data += writer.element(0x7FE00010, "OW", bytes(9000))
        whole = attributes_of(data, transfer_syntax_uid)
        assert "RequestAttributesSequence" in whole
        is_kept = whole["AcquisitionContextSequence"] != LONGER_THAN_KEPT
        assert is_kept == (length <= MAXIMUM_SEQUENCE_LENGTH)
        for prefix_length in (0, 10, 70, 4095, 4096, 8191, 8192, 8193, len(data) - 9000, len(data) - 4000):
            assert attributes_of(data, transfer_syntax_uid, prefix_length) == whole


@pytest.mark.parametrize("length", [10, 60, 120, 4000])
def test_a_sequence_that_cannot_be_read_is_left_out_as_a_whole(length: int) -> None:
    writer = WRITERS[EXPLICIT]
    broken = writer.item(writer.element(0x00080100, "SH", b"CT", length=length))
    data = writer.sequence(REQUEST, [broken]) + writer.element(0x20500020, "CS", b"IDENTITY")
    assert attributes_of(data, EXPLICIT) == {"PresentationLUTShape": "IDENTITY"}
    deep = writer.nested(REQUEST, 17)
    assert attributes_of(deep + writer.element(0x20500020, "CS", b"IDENTITY"), EXPLICIT) == {
        "PresentationLUTShape": "IDENTITY"
    }
    assert "RequestAttributesSequence" in attributes_of(writer.nested(REQUEST, 16), EXPLICIT)


def test_a_sequence_under_another_vr_is_none() -> None:
    writer = WRITERS[EXPLICIT]
    for vr, content in (("LO", b"text"), ("UN", b"\1\2"), ("OB", b"\1\2")):
        assert attributes_of(writer.element(REQUEST, vr, content), EXPLICIT) == {}
    assert attributes_of(writer.sequence(0x00100020, [], undefined=True), EXPLICIT) == {}
    assert attributes_of(writer.sequence(REQUEST, []), EXPLICIT) == {"RequestAttributesSequence": ""}


values = st.recursive(
    st.text("abcÄ", max_size=5).map(str),
    lambda inner: st.lists(st.dictionaries(st.sampled_from(["CodeValue", "Modality"]), inner), max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(["PatientID", "RequestAttributesSequence"]), values)))
def test_text_and_items_are_each_others_inverse(items: list[dict[str, Any]]) -> None:
    assert list(items_of(text_of(items))) == items


@pytest.mark.parametrize(
    ("transfer_syntax_uid", "item"),
    [(EXPLICIT, {"LUTLabel": "A", "RealWorldValueFirstValueMapped": "-1"}), (IMPLICIT, {"LUTLabel": "A"})],
)
def test_a_number_that_may_be_signed_or_not_is_left_out(
    transfer_syntax_uid: str, item: dict[str, str]
) -> None:
    writer = WRITERS[transfer_syntax_uid]
    content = writer.element(0x00409210, "SH", b"A ") + writer.element(0x00409216, "SS", b"\xff\xff")
    data = writer.sequence(0x00409096, [writer.item(content)])
    found = decode_attributes(scan(data, transfer_syntax_uid, complete=True))
    assert items_of(found["RealWorldValueMappingSequence"]) == [item]
