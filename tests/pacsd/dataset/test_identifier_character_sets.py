"""Identifiers in the requestor's Specific Character Set where it can hold them, else in UTF-8 (PS3.5 §6.1)."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.dataset.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE_TRANSFER_SYNTAXES,
)

every_encoding = pytest.mark.parametrize("transfer_syntax", NATIVE_TRANSFER_SYNTAXES)
encodings = st.sampled_from(NATIVE_TRANSFER_SYNTAXES)


def read_by_pydicom(data: bytes, transfer_syntax: str) -> Dataset:
    dataset = read_dataset(
        io.BytesIO(data),
        is_implicit_VR=transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN,
        is_little_endian=transfer_syntax != EXPLICIT_VR_BIG_ENDIAN,
    )
    dataset.decode()
    return dataset


@pytest.mark.parametrize(
    ("requested", "name", "answered"),
    [
        (None, "Doe^Jane", None),
        ("ISO_IR 100", "Doe^Jane", None),
        (None, "Müller^Jörg", "ISO_IR 192"),
        ("ISO_IR 100", "Müller^Jörg", "ISO_IR 100"),
        ("ISO_IR 192", "Müller^Jörg", "ISO_IR 192"),
        ("ISO_IR 100", "Αριστοτέλης", "ISO_IR 192"),
        ("ISO_IR 126", "Αριστοτέλης", "ISO_IR 126"),
        ("GB18030", "Wang^XiaoDong=王^小东", "GB18030"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", "\\ISO 2022 IR 87"),
        ("\\ISO 2022 IR 87", "홍^길동", "ISO_IR 192"),
        ("NO SUCH SET", "Müller^Jörg", "ISO_IR 192"),
    ],
)
@every_encoding
def test_the_answer_is_in_the_requestors_set_if_possible(
    requested: str | None, name: str, answered: str | None, transfer_syntax: str
) -> None:
    data = write_identifier(
        elements_of({"PatientName": name, "QueryRetrieveLevel": "STUDY"}),
        transfer_syntax,
        requested_character_set=requested,
    )
    identifier = read_identifier(data, transfer_syntax)
    assert identifier.specific_character_set == answered
    assert identifier.keys == {"PatientName": name, "QueryRetrieveLevel": "STUDY"}
    assert str(read_by_pydicom(data, transfer_syntax).PatientName) == name


@given(value=st.text(max_size=20), requested=st.none() | st.text(max_size=20), transfer_syntax=encodings)
def test_any_text_and_any_request_can_be_written(
    value: str, requested: str | None, transfer_syntax: str
) -> None:
    elements = elements_of({"PatientName": value, "StudyDescription": value})
    try:
        data = write_identifier(elements, transfer_syntax, requested_character_set=requested)
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in value)
    else:
        assert set(read_identifier(data, transfer_syntax).keys) == {"PatientName", "StudyDescription"}
