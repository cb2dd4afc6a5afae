"""Valid data sets, built once with pydicom and then cloned by patching values of a fixed width in the encoded bytes."""

from __future__ import annotations

import functools
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from harness import wire
from harness.instances import CT_IMAGE, KINDS, SYNTAXES, Instance, Kind
from harness.part10 import part10_header

PLACEHOLDERS = {
    "study": "2.25.1" + "1" * 37,
    "series": "2.25.1" + "2" * 37,
    "sop": "2.25.1" + "3" * 37,
    "frame": "2.25.1" + "4" * 37,
    "patient_id": "PQZ0000000",
    "patient_name": "ZZQQZZ^QQZZQQ",
    "date": "19010203",
    "time": "214356",
    "accession": "AQZ0000000",
    "study_id": "SQZ00000",
    "series_number": "91  ",
    "number": "987654",
}
"""Values of exactly the width of those that take their place."""

_COMMON: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "SOPInstanceUID": PLACEHOLDERS["sop"],
    **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), PLACEHOLDERS["date"]),
    **dict.fromkeys(("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"), PLACEHOLDERS["time"]),
    "AccessionNumber": PLACEHOLDERS["accession"],
    "Manufacturer": "SYNTHETIC SYSTEMS",
    "InstitutionName": "BENCHMARK HOSPITAL",
    "ReferringPhysicianName": "REFERRER^ROBIN",
    "StationName": "STATION1",
    "StudyDescription": "SYNTHETIC STUDY",
    "SeriesDescription": "SYNTHETIC SERIES",
    "ManufacturerModelName": "GENERATOR 1",
    "PatientName": PLACEHOLDERS["patient_name"],
    "PatientID": PLACEHOLDERS["patient_id"],
    "PatientBirthDate": "19600101",
    "PatientSex": "O",
    "PatientAge": "064Y",
    "BodyPartExamined": "CHEST",
    "SliceThickness": "1.25",
    "KVP": "120",
    "DeviceSerialNumber": "0001",
    "SoftwareVersions": "1.0",
    "ProtocolName": "ROUTINE",
    "PatientPosition": "HFS",
    "StudyInstanceUID": PLACEHOLDERS["study"],
    "SeriesInstanceUID": PLACEHOLDERS["series"],
    "StudyID": PLACEHOLDERS["study_id"],
    "SeriesNumber": None,
    "AcquisitionNumber": 1,
    "InstanceNumber": None,
    "FrameOfReferenceUID": PLACEHOLDERS["frame"],
    "PositionReferenceIndicator": "",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "WindowCenter": "40",
    "WindowWidth": "400",
}
_SINGLE_FRAME: dict[str, Any] = {
    "ImagePositionPatient": [-250, -250, 100],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "SliceLocation": "100",
    "PixelSpacing": [0.9765625, 0.9765625],
}
_OF_MODALITY: dict[str, dict[str, Any]] = {
    "MR": {
        "ScanningSequence": "SE",
        "SequenceVariant": "NONE",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "RepetitionTime": "500",
        "EchoTime": "15",
        "EchoTrainLength": "1",
    },
    "CT": {"RescaleIntercept": "-1024", "RescaleSlope": "1"},
    "OT": {"ConversionType": "SYN", "BurnedInAnnotation": "NO"},
}


def _dataset(kind: Kind, pixels: bytes) -> Dataset:
    values = _COMMON | _OF_MODALITY[kind.modality]
    values |= _SINGLE_FRAME if kind.frames == 1 else {"NumberOfFrames": kind.frames}
    values |= {"SOPClassUID": kind.sop_class, "Modality": kind.modality}
    values |= {"Rows": kind.rows, "Columns": kind.columns, "PixelData": pixels}
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    return dataset


def encode(dataset: Dataset, transfer_syntax: str = wire.IMPLICIT_LE) -> bytes:
    """Return the bytes of a data set in a little endian transfer syntax."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, transfer_syntax == wire.IMPLICIT_LE
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def _pixels(kind: Kind, variants: int) -> list[bytes]:
    """Return pixel data: a bright spot with noise, in a few variants."""
    noise = np.random.default_rng(7)
    rows, columns = np.mgrid[0 : kind.rows, 0 : kind.columns]
    distance = (rows - kind.rows / 2) ** 2 + (columns - kind.columns / 2) ** 2
    spot = (1000 + 600 * np.exp(-distance / (2 * (kind.rows / 4) ** 2))).astype(np.uint16)
    return [
        (spot + noise.integers(0, 64, spot.shape)).astype("<u2").tobytes() * kind.frames
        for _ in range(variants)
    ]


class Template:
    """The encoded data set of one kind and transfer syntax, ready to be cloned."""

    def __init__(self, kind: Kind, transfer_syntax: str) -> None:
        self.kind, self.transfer_syntax = kind, transfer_syntax
        self.tails = _pixels(kind, 1 if kind.frames > 1 else 4)
        raw = encode(_dataset(kind, self.tails[0]), transfer_syntax)
        # pydicom writes IS without our padding, so these two are put in afterwards
        raw = self._fill_empty(raw, 0x0011, PLACEHOLDERS["series_number"])
        raw = self._fill_empty(raw, 0x0013, PLACEHOLDERS["number"])
        self.head = raw[: len(raw) - len(self.tails[0])]
        self.size = len(raw)
        self._spots = _spots(self.head)
        self._plans: dict[tuple[int, int], tuple[bytes, list[bytes]]] = {}

    def _fill_empty(self, raw: bytes, number: int, text: str) -> bytes:
        value = text.encode()
        if self.transfer_syntax == wire.IMPLICIT_LE:
            old, new = (struct.pack("<HHI", 0x20, number, length) for length in (0, len(value)))
        else:
            old, new = (struct.pack("<HH2sH", 0x20, number, b"IS", length) for length in (0, len(value)))
        if raw.count(old) != 1:
            raise ValueError(f"(0020,{number:04X}) is not there exactly once")
        return raw.replace(old, new + value)

    def make_head(self, instance: Instance) -> bytes:
        """Return the data set of an instance up to its pixels."""
        head, values = bytearray(self.head), instance.values()
        for at, width, name in self._spots:
            value = values[name].encode()
            if len(value) != width:
                raise ValueError(f"{name}: {value!r} is not {width} bytes wide")
            head[at : at + width] = value
        return bytes(head)

    def tail(self, instance: Instance) -> bytes:
        """Return the pixels of an instance."""
        return self.tails[instance.number % len(self.tails)]

    def dataset_bytes(self, instance: Instance) -> bytes:
        """Return the whole data set of an instance."""
        return self.make_head(instance) + self.tail(instance)

    def _framing(self, context_id: int, max_pdu: int) -> tuple[bytes, list[bytes]]:
        """Return the first PDU's headers, and for each tail the rest with its headers; all clones share them."""
        key = context_id, max_pdu
        if key not in self._plans:
            longest = max_pdu - 6
            if len(self.head) > longest:
                raise ValueError("PDU length too small for the shared framing")
            first = min(self.size, longest)
            control = 2 if self.size <= longest else 0
            prefix = struct.pack(">BBIIBB", 4, 0, first + 6, first + 2, context_id, control)
            cut = first - len(self.head)
            rests = [
                tail[:cut] + wire.fragments(context_id, tail[cut:], is_command=False, max_pdu=max_pdu)
                if tail[cut:]
                else tail
                for tail in self.tails
            ]
            self._plans[key] = prefix, rests
        return self._plans[key]

    def store_message(
        self, instance: Instance, message_id: int, context_id: int, max_pdu: int
    ) -> tuple[bytes, bytes]:
        """Return bytes of this instance alone and bytes shared with others, which together are one C-STORE-RQ."""
        prefix, rests = self._framing(context_id, max_pdu)
        request = wire.store_command(self.kind.sop_class, instance.sop.encode(), message_id)
        head = wire.fragments(context_id, request, is_command=True, max_pdu=max_pdu) + prefix
        return head + self.make_head(instance), rests[instance.number % len(rests)]

    def write_files(self, folder: Path, instances: list[Instance]) -> Path:
        """Write DICOM files for the clients that read them, and return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, instance in enumerate(instances):
            header = part10_header(self.kind.sop_class.encode(), instance.sop.encode(), self.transfer_syntax)
            (folder / f"{number:06d}.dcm").write_bytes(header + self.dataset_bytes(instance))
        return folder


def _spots(head: bytes) -> list[tuple[int, int, str]]:
    """Return place, width and name of each placeholder."""
    spots: list[tuple[int, int, str]] = []
    for name, text in PLACEHOLDERS.items():
        token, at = text.encode(), -1
        before = len(spots)
        while (at := head.find(token, at + 1)) >= 0:
            spots.append((at, len(token), name))
        if len(spots) == before:
            raise ValueError(f"the placeholder {name} is not in the data set")
    return sorted(spots)


@functools.cache
def template(kind: str, syntax: str = "explicit") -> Template:
    """Return the template of a kind, by the names that the command line has for both."""
    return Template(KINDS[kind], SYNTAXES[syntax])


def read_back(raw: bytes, transfer_syntax: str) -> Dataset:
    """Return an encoded data set as pydicom reads it."""
    return dcmread(io.BytesIO(part10_header(CT_IMAGE.encode(), b"2.25.1", transfer_syntax) + raw))
