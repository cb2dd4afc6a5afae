"""Any attribute of a stored header is answered, at its level and below, as pydicom reads it from the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from records import record

from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.header import examine
from pacsd.dataset.indexed_attributes import INDEXED_ATTRIBUTES, SEQUENCE_KEYWORDS
from pacsd.dataset.part10 import read_part10
from pacsd.model import FindQuery, QueryLevel, QueryModel

if TYPE_CHECKING:
    from pacsd.index.repository import Index

OF_THE_ANSWER = {"SpecificCharacterSet", "TimezoneOffsetFromUTC"}
"""They say how the answer's values are to be read, not what the archive keeps."""
FILES = ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "examples_palette.dcm", "test-SR.dcm"]


def attributes_of(name: str) -> dict[str, str]:
    path = Path(str(get_testdata_file(name)))
    content = path.read_bytes()
    meta = read_part10(content)
    data = content[meta.dataset_offset :]
    return decode_attributes(examine(data, len(data), lambda *_: b"", meta.transfer_syntax_uid))


def comparable(value: Any) -> list[Any]:
    """The single values, without empty ones, those that are numbers as such."""
    if isinstance(value, str):
        value = value.split("\\")
    elif not isinstance(value, (list, MultiValue)):
        value = [value]
    value = [f"{each:08X}" if isinstance(each, BaseTag) else each for each in value]
    return [comparable_text(str(each).rstrip("= ")) for each in value if each not in (None, "")]


def comparable_text(text: str) -> str | float:
    try:
        return round(float(text), 6)
    except ValueError:
        return text


@pytest.mark.parametrize("name", FILES)
def test_every_attribute_of_a_file_is_answered(index: Index, name: str) -> None:
    attributes = attributes_of(name)
    uids = {keyword: attributes[keyword] for keyword in attributes if keyword.endswith("InstanceUID")}
    received = record(
        attributes["SOPInstanceUID"],
        series=attributes["SeriesInstanceUID"],
        study=attributes["StudyInstanceUID"],
        sop_class_uid=attributes["SOPClassUID"],
    )
    index.commit([replace(received, attributes=attributes)])
    dataset = dcmread(str(get_testdata_file(name)))
    expected = {
        element.keyword: comparable(element.value)
        for element in dataset
        if element.tag in INDEXED_ATTRIBUTES and element.keyword not in OF_THE_ANSWER | SEQUENCE_KEYWORDS
    }
    query = FindQuery(
        model=QueryModel.STUDY_ROOT,
        level=QueryLevel.IMAGE,
        keys={**dict.fromkeys(expected, ""), **uids},
    )
    assert index.unsupported_keys(query) == ()
    ((answer,),) = [page for page in index.find(query) if page]
    assert {keyword: comparable(answer[keyword]) for keyword in expected} == expected
