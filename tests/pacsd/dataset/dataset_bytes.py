"""Data sets written byte by byte, so that wrong ones are as easy to make as right ones."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from pacsd.dataset.indexed_attributes import INDEXED_ATTRIBUTES
from pacsd.dataset.part10 import read_part10

if TYPE_CHECKING:
    from collections.abc import Iterable

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)

DATA = Path(pydicom.__file__).parent / "data"
WITHOUT_META = {
    "ExplVR_BigEndNoMeta.dcm": BIG_ENDIAN,
    "ExplVR_LitEndNoMeta.dcm": EXPLICIT,
}
FILES = sorted(
    path
    for folder in ("test_files", "charset_files")
    for path in (DATA / folder).rglob("*")
    if path.is_file()
    and path.suffix in ("", ".dcm")
    and path.name not in ("README", "no_meta.dcm", "MR_truncated.dcm", "rtplan_truncated.dcm")
)

UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Writer:
    """Writes elements in one encoding; nothing checks that they make sense."""

    explicit: bool = True
    order: str = "<"

    def element(self, tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
        length = len(value) if length is None else length
        group_element = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit:
            return group_element + struct.pack(f"{self.order}I", length) + value
        if vr in EXPLICIT_VR_LENGTH_32:
            return group_element + vr.encode() + struct.pack(f"{self.order}HI", 0, length) + value
        return group_element + vr.encode() + struct.pack(f"{self.order}H", length) + value

    def _delimited(self, tag: int, length: int) -> bytes:
        return struct.pack(f"{self.order}HHI", tag >> 16, tag & 0xFFFF, length)

    def item(self, content: bytes, *, undefined: bool = False) -> bytes:
        if undefined:
            return self._delimited(0xFFFEE000, UNDEFINED) + content + self._delimited(0xFFFEE00D, 0)
        return self._delimited(0xFFFEE000, len(content)) + content

    def sequence(self, tag: int, items: Iterable[bytes], *, undefined: bool = False, vr: str = "SQ") -> bytes:
        content = b"".join(items)
        if undefined:
            return self.element(tag, vr, content + self._delimited(0xFFFEE0DD, 0), UNDEFINED)
        return self.element(tag, vr, content)

    def nested(self, tag: int, depth: int, vr: str = "SQ") -> bytes:
        """Sequences of undefined length in one another."""
        opened = self.element(tag, vr, self._delimited(0xFFFEE000, UNDEFINED), UNDEFINED)
        closed = self._delimited(0xFFFEE00D, 0) + self._delimited(0xFFFEE0DD, 0)
        return opened * depth + closed * depth


WRITERS = {IMPLICIT: Writer(explicit=False), EXPLICIT: Writer(), BIG_ENDIAN: Writer(order=">")}


def deflate(data: bytes) -> bytes:
    """Raw deflate, padded to even length (PS3.5 §A.5)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(data) + compressor.flush()
    return deflated + bytes(len(deflated) % 2)


def pydicom_values(data: bytes, transfer_syntax_uid: str) -> dict[str, bytes]:
    """What pydicom finds of the indexed attributes but sequences, raw."""
    if transfer_syntax_uid == DEFLATED:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    elements = data_element_generator(
        DicomBytesIO(data), transfer_syntax_uid == IMPLICIT, transfer_syntax_uid != BIG_ENDIAN
    )
    return {
        INDEXED_ATTRIBUTES[element.tag].keyword: element.value or b""
        for element in elements
        if element.tag in INDEXED_ATTRIBUTES
        and "SQ" not in (element.VR, INDEXED_ATTRIBUTES[element.tag].vr)
        and len(element.value or b"") <= 1024
    }


def read(path: Path) -> tuple[bytes, str]:
    """The data set of one of `FILES` as it is there, and its transfer syntax."""
    content = path.read_bytes()
    meta = read_part10(content, fallback_transfer_syntax_uid=WITHOUT_META.get(path.name, IMPLICIT))
    return content[meta.dataset_offset :], meta.transfer_syntax_uid
