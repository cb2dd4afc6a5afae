"""One instance to send, as bytes: the unit that all tiers store, find, fetch and compare."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom import dcmread

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

IMPLEMENTATION_CLASS_UID = "2.25.268330180391318364213570287419016713847"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
UNCOMPRESSED = (
    IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")

DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A data set as it goes over the wire, and what identifies it."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes
    """The encoded data set without preamble and file meta information, in `transfer_syntax_uid`."""

    @property
    def dataset_on_the_wire(self) -> bytes:
        """The data set as it has to be sent: a deflated one padded to an even length (PS3.5 §A.5)."""
        padding = len(self.dataset) % 2 if self.transfer_syntax_uid == DEFLATED else 0
        return self.dataset + b"\0" * padding

    def read(self) -> Dataset:
        """The data set as pydicom reads it."""
        return read_dataset(self.dataset, self.transfer_syntax_uid)

    def write_file(self, path: Path) -> Path:
        """Write a DICOM file (PS3.10 §7) around the unchanged data set."""
        meta = part10_header(self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid)
        path.write_bytes(meta + self.dataset)
        return path


def read_dataset(dataset: bytes, transfer_syntax_uid: str) -> Dataset:
    """Let pydicom read an encoded data set; its `file_meta` names the transfer syntax."""
    return dcmread(io.BytesIO(part10_header("1.2.3", "1.2.3", transfer_syntax_uid) + dataset))


def part10_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble and file meta information (PS3.10 §7.1)."""
    elements = struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01"
    for element, uid in (
        (0x0002, sop_class_uid),
        (0x0003, sop_instance_uid),
        (0x0010, transfer_syntax_uid),
        (0x0012, IMPLEMENTATION_CLASS_UID),
    ):
        value = uid.encode("ascii")
        value += b"\x00" * (len(value) % 2)
        elements += struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value
    group_length = struct.pack("<HH2sHI", 2, 0x0000, b"UL", 4, len(elements))
    return b"\x00" * 128 + b"DICM" + group_length + elements


def dataset_offset(content: bytes) -> int:
    """Where the data set begins in a file that may lack preamble and file meta information, bytes."""
    position = 132 if content[128:132] == b"DICM" else 0
    while content[position : position + 2] == b"\x02\x00":
        vr, short_length = struct.unpack_from("<2sH", content, position + 4)
        if vr in _LONG_VRS:
            position += 12 + struct.unpack_from("<I", content, position + 8)[0]
        else:
            position += 8 + short_length
    return position
