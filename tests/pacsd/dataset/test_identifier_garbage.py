"""Identifiers that are none: every one ends in IdentifierInvalid, whatever the bytes, and takes no memory."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.dataset.in_memory import MAXIMUM_DEPTH
from pacsd.dataset.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE_TRANSFER_SYNTAXES,
)
from pacsd.errors import IdentifierInvalid

every_encoding = pytest.mark.parametrize("transfer_syntax", NATIVE_TRANSFER_SYNTAXES)
KEYS = elements_of(
    {
        "QueryRetrieveLevel": "STUDY",
        "StudyDate": "20240101-20241231",
        "PatientName": "Müller^Jörg",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.3\\1.2.4",
        "SeriesNumber": "12",
        "Rows": "512",
        "ProcedureCodeSequence": "",
    }
)
VALID = {syntax: write_identifier(KEYS, syntax) for syntax in NATIVE_TRANSFER_SYNTAXES}
EVERY_LENGTH = settings(deadline=None, max_examples=300)


def read_or_refuse(data: bytes, transfer_syntax: str) -> bool:
    """Read; what is read can be written in all encodings. False if it was refused as documented."""
    try:
        identifier = read_identifier(data, transfer_syntax)
    except IdentifierInvalid:
        return False
    for each in NATIVE_TRANSFER_SYNTAXES:
        answer = write_identifier(
            identifier.elements, each, requested_character_set=identifier.specific_character_set
        )
        tags = [element.tag for element in read_identifier(answer, each).elements]
        assert tags == [element.tag for element in identifier.elements]
    return True


@EVERY_LENGTH
@given(data=st.binary(max_size=400), transfer_syntax=st.sampled_from(NATIVE_TRANSFER_SYNTAXES))
def test_any_bytes(data: bytes, transfer_syntax: str) -> None:
    read_or_refuse(data, transfer_syntax)


@EVERY_LENGTH
@given(
    transfer_syntax=st.sampled_from(NATIVE_TRANSFER_SYNTAXES),
    changes=st.lists(st.tuples(st.integers(0, 1000), st.binary(max_size=6), st.integers(0, 6)), max_size=4),
)
def test_a_damaged_identifier(transfer_syntax: str, changes: list[tuple[int, bytes, int]]) -> None:
    data = VALID[transfer_syntax]
    for position, inserted, removed in changes:
        position %= len(data) + 1
        data = data[:position] + inserted + data[position + removed :]
    read_or_refuse(data, transfer_syntax)


@every_encoding
def test_half_a_key_is_never_read(transfer_syntax: str) -> None:
    """A truncated UID would retrieve another study."""
    keys = sorted((key for key in KEYS if key.value.isascii()), key=lambda key: key.tag)
    ends = list(accumulate(len(write_identifier([key], transfer_syntax)) for key in keys))
    data = write_identifier(keys, transfer_syntax)
    for length in range(len(data) + 1):
        whole = sum(end <= length for end in ends)
        if length in ends or read_or_refuse(data[:length], transfer_syntax):
            assert list(read_identifier(data[:length], transfer_syntax).elements) == keys[:whole]


@every_encoding
@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 0x00100000])
def test_a_huge_length_takes_no_memory(transfer_syntax: str, length: int) -> None:
    order = ">" if transfer_syntax == "1.2.840.10008.1.2.2" else "<"
    tag = struct.pack(f"{order}HH", 0x0008, 0x1032)
    header = tag if transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN else tag + b"SQ\0\0"
    data = header + struct.pack(f"{order}I", length) + b"\0" * 20
    assert peak_of(data, transfer_syntax) < 1 << 20


def peak_of(data: bytes, transfer_syntax: str) -> int:
    """Bytes at the most while a refused identifier is read."""
    tracemalloc.start()
    try:
        assert not read_or_refuse(data, transfer_syntax)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("depth", [10, MAXIMUM_DEPTH, MAXIMUM_DEPTH + 1, 1000, 30_000])
def test_sequences_however_deep_are_read_or_refused(depth: int) -> None:
    begin = struct.pack("<HHIHHI", 0x0008, 0x1032, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    assert read_or_refuse(begin * depth + end * depth, IMPLICIT_VR_LITTLE_ENDIAN) == (depth <= MAXIMUM_DEPTH)


def test_defined_lengths_however_deep_are_not_copied() -> None:
    data = b"".join(
        struct.pack("<HHIHHI", 0x0008, 0x1032, 16 * level + 8, 0xFFFE, 0xE000, 16 * level)
        for level in reversed(range(60_000))
    )
    assert peak_of(data, IMPLICIT_VR_LITTLE_ENDIAN) < len(data)


def test_a_delimiter_outside_of_a_sequence_hides_no_key() -> None:
    stray = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    key = write_identifier(elements_of({"StudyInstanceUID": "1.2.3"}), IMPLICIT_VR_LITTLE_ENDIAN)
    with pytest.raises(IdentifierInvalid):
        read_identifier(stray + key, IMPLICIT_VR_LITTLE_ENDIAN)


@pytest.mark.parametrize("padding", [b"\0" * 2, b"\0" * 8, b"\0" * 64])
def test_trailing_zeros_are_forgiven(padding: bytes) -> None:
    valid = VALID[EXPLICIT_VR_LITTLE_ENDIAN]
    padded = read_identifier(valid + padding, EXPLICIT_VR_LITTLE_ENDIAN)
    assert padded == read_identifier(valid, EXPLICIT_VR_LITTLE_ENDIAN)


def test_a_query_in_another_encoding_than_agreed_is_refused() -> None:
    with pytest.raises(IdentifierInvalid):
        read_identifier(VALID[EXPLICIT_VR_LITTLE_ENDIAN], "1.2.840.10008.1.2.2")


def test_nothing_at_all_has_no_keys() -> None:
    assert read_identifier(b"", EXPLICIT_VR_LITTLE_ENDIAN).elements == ()
