"""Whole data sets with their sequences, read as pydicom reads them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from dataset_bytes import BIG_ENDIAN, EXPLICIT, IMPLICIT, WRITERS, Writer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset as read_by_pydicom

from pacsd.dataset.encodings import EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from pacsd.dataset.in_memory import MAXIMUM_DEPTH, RawDataset, read_dataset
from pacsd.errors import DatasetInvalid

ENCODINGS = {
    EXPLICIT: EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT: IMPLICIT_LITTLE_ENDIAN,
    BIG_ENDIAN: EXPLICIT_BIG_ENDIAN,
}
CODE_VALUE, PATIENT_ID, PROCEDURE_CODES, REFERENCED_STUDIES = 0x00080100, 0x00100020, 0x00081032, 0x00081110

every_encoding = pytest.mark.parametrize("transfer_syntax", WRITERS)
texts = st.dictionaries(
    st.sampled_from([CODE_VALUE, 0x00080104, PATIENT_ID, 0x00400007, 0x00091001]), st.binary(max_size=9)
)
Tree = dict[int, Any]
trees = st.recursive(
    texts,
    lambda inner: st.builds(
        lambda flat, nested: flat | nested,
        texts,
        st.dictionaries(
            st.sampled_from([PROCEDURE_CODES, REFERENCED_STUDIES, 0x00400275]),
            st.tuples(st.booleans(), st.lists(st.tuples(st.booleans(), inner), max_size=3)),
        ),
    ),
    max_leaves=8,
)


def written(tree: Tree, writer: Writer) -> bytes:
    """A data set in which lengths are defined or not, as the tree says."""
    data = b""
    for tag, value in sorted(tree.items()):
        if isinstance(value, bytes):
            data += writer.element(tag, "LO", value)
        else:
            undefined, items = value
            contents = [
                writer.item(written(item, writer), undefined=item_undefined) for item_undefined, item in items
            ]
            data += writer.sequence(tag, contents, undefined=undefined)
    return data


def plain(dataset: RawDataset) -> Tree:
    return {
        tag: value if isinstance(value, bytes) else [plain(item) for item in value]
        for tag, (_, value) in dataset.items()
    }


def plain_by_pydicom(dataset: Dataset) -> Tree:
    values: Tree = {}
    for tag in sorted(dataset.keys()):
        raw = dataset.get_item(tag)
        if raw.VR == "SQ" or (raw.VR is None and dataset[tag].VR == "SQ"):
            values[int(tag)] = [plain_by_pydicom(item) for item in dataset[tag].value]
        else:
            values[int(tag)] = raw.value or b""
    return values


@settings(deadline=None)
@given(tree=trees, transfer_syntax=st.sampled_from(sorted(WRITERS)), padding=st.integers(0, 20))
def test_data_sets_are_read_as_by_pydicom(tree: Tree, transfer_syntax: str, padding: int) -> None:
    data = written(tree, WRITERS[transfer_syntax])
    expected = plain_by_pydicom(
        read_by_pydicom(
            io.BytesIO(data),
            is_implicit_VR=transfer_syntax == IMPLICIT,
            is_little_endian=transfer_syntax != BIG_ENDIAN,
        )
    )
    assert plain(read_dataset(data + bytes(padding), ENCODINGS[transfer_syntax])) == expected


@every_encoding
def test_every_truncation_within_an_element_is_refused(transfer_syntax: str) -> None:
    writer = WRITERS[transfer_syntax]
    code = {CODE_VALUE: b"CODE"}
    sequences = {
        PROCEDURE_CODES: (True, [(True, code), (False, code)]),
        REFERENCED_STUDIES: (False, [(True, code)]),
    }
    data = written(sequences | {PATIENT_ID: b"P1"}, writer)
    boundaries = {0, len(written({PROCEDURE_CODES: sequences[PROCEDURE_CODES]}, writer))}
    boundaries.add(len(written(sequences, writer)))
    for end in range(len(data)):
        zeros = next((end - at for at in boundaries if 0 <= end - at < 8 and not any(data[at:end])), None)
        if zeros is not None:
            read_dataset(data[:end], ENCODINGS[transfer_syntax])
        else:
            with pytest.raises(DatasetInvalid):
                read_dataset(data[:end], ENCODINGS[transfer_syntax])


@every_encoding
@pytest.mark.parametrize("behind", [0, 1])
def test_sequences_are_read_down_to_the_deepest_allowed(transfer_syntax: str, behind: int) -> None:
    data = WRITERS[transfer_syntax].nested(PROCEDURE_CODES, MAXIMUM_DEPTH + behind)
    if behind:
        with pytest.raises(DatasetInvalid, match="within one another"):
            read_dataset(data, ENCODINGS[transfer_syntax])
        return
    dataset, depth = read_dataset(data, ENCODINGS[transfer_syntax]), 0
    while dataset:
        (dataset,), depth = dataset[PROCEDURE_CODES][1], depth + 1  # type: ignore[assignment]
    assert depth == MAXIMUM_DEPTH


@pytest.mark.parametrize("inner", WRITERS.values())
@pytest.mark.parametrize("outer", [EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("undefined", [True, False])
def test_a_sequence_sent_as_un_is_read_however_its_items_are_encoded(
    inner: Writer, outer: str, undefined: bool
) -> None:
    header = len(inner.sequence(PROCEDURE_CODES, []))
    items = [inner.item(inner.element(CODE_VALUE, "SH", b"CODE"), undefined=True)]
    value = inner.sequence(PROCEDURE_CODES, items, undefined=undefined)[header:]
    length = 0xFFFFFFFF if undefined else None
    data = WRITERS[outer].element(PROCEDURE_CODES, "UN", value, length)
    assert plain(read_dataset(data, ENCODINGS[outer])) == {PROCEDURE_CODES: [{CODE_VALUE: b"CODE"}]}


@every_encoding
def test_elements_in_any_order_come_in_the_order_of_tags(transfer_syntax: str) -> None:
    writer = WRITERS[transfer_syntax]
    data = b"".join(
        writer.element(tag, "LO", value)
        for tag, value in ((PATIENT_ID, b"P1"), (CODE_VALUE, b"C1"), (PATIENT_ID, b"P2"))
    )
    found = read_dataset(data, ENCODINGS[transfer_syntax])
    assert list(found.items()) == [(CODE_VALUE, found[CODE_VALUE]), (PATIENT_ID, found[PATIENT_ID])]
    assert plain(found) == {CODE_VALUE: b"C1", PATIENT_ID: b"P2"}


def test_a_text_of_undefined_length_is_malformed() -> None:
    data = Writer(explicit=False).element(PATIENT_ID, "", b"", 0xFFFFFFFF)
    with pytest.raises(DatasetInvalid, match="no sequence"):
        read_dataset(data, IMPLICIT_LITTLE_ENDIAN)
