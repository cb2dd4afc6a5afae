"""Attributes as a data set's bytes, right or wrong: no library has a chance to mend a value on its way."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword

from support.instance import EXPLICIT_LITTLE_ENDIAN, Instance

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from support.matching_cases.case import Attributes

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_LONG_FORM = ("UC", "UR", "UT", "SQ")


def encoded(attributes: Attributes, *, padded: bool = True) -> bytes:
    """Explicit VR Little Endian, text in UTF-8; `padded` to even lengths as PS3.5 §7.1.1 wants it."""
    with_set = {"SpecificCharacterSet": "ISO_IR 192", **attributes}
    elements = sorted((_tag(keyword), dictionary_VR(keyword), value) for keyword, value in with_set.items())
    return b"".join(_element(tag, vr, _value(vr, value), padded=padded) for tag, vr, value in elements)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def _value(vr: str, value: str) -> bytes:
    if vr == "AT":
        tags = [int(each, 16) for each in value.split("\\") if each]
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    if vr not in _BINARY:
        return value.encode()
    numbers = [float(each) if vr in ("FL", "FD") else int(each) for each in value.split("\\") if each]
    return struct.pack(f"<{len(numbers)}{_BINARY[vr]}", *numbers)


def _element(tag: int, vr: str, value: bytes, *, padded: bool) -> bytes:
    if padded and len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    length = struct.pack("<HI", 0, len(value)) if vr in _LONG_FORM else struct.pack("<H", len(value))
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + length + value


def identifier(attributes: Attributes, *, padded: bool = True) -> Dataset:
    """A data set to ask with, which pydicom has read but not looked into: it writes the same bytes again."""
    return dcmread(io.BytesIO(encoded(attributes, padded=padded)), force=True)


def instance(attributes: Attributes, *, padded: bool = True) -> Instance:
    """An instance to send; the four identifying UIDs must be among the attributes."""
    return Instance(
        name=attributes["SOPInstanceUID"],
        sop_class_uid=attributes["SOPClassUID"],
        sop_instance_uid=attributes["SOPInstanceUID"],
        study_instance_uid=attributes["StudyInstanceUID"],
        series_instance_uid=attributes["SeriesInstanceUID"],
        transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
        dataset=encoded(attributes, padded=padded),
    )
