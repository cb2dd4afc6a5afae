"""Instances made to be awkward: legal, or common enough in the field, and each a trap of its own."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from functools import cache

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from support.instance import Instance, dataset_offset

ROOT = "1.2.826.0.1.3680043.10.1583"
PATIENT_ID = "PID-4711-ODDITY"
"""Begins the PatientID of the constructed instances that have one; no log line may ever hold it."""
FAMILY_NAME = "Quuxwood"
"""In the PatientName of all constructed instances that have a Latin one; no log line may ever hold it."""


@cache
def constructed_instances() -> tuple[Instance, ...]:
    """All oddities, each in a study of its own."""
    return tuple(build() for build in _BUILDERS)


def simple_dataset(number: int) -> Dataset:
    """A small, valid Secondary Capture with 4x4 pixels; `number` makes its UIDs unique."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = f"{ROOT}.{number}.1.1"
    dataset.StudyDate = "20240229"
    dataset.StudyTime = "235959.123456"
    dataset.AccessionNumber = f"ACC{number}"
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ReferringPhysicianName = ""
    dataset.PatientName = f"{FAMILY_NAME}^Number^{number}"
    dataset.PatientID = f"{PATIENT_ID}-{number}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = f"{ROOT}.{number}"
    dataset.SeriesInstanceUID = f"{ROOT}.{number}.1"
    dataset.StudyID = str(number)
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.add_new("PixelData", "OW", struct.pack("<16H", *range(16)))
    return dataset


def encode(dataset: Dataset, name: str, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> Instance:
    """Encode a data set whose OW values are little endian; they are swapped for big endian."""
    if transfer_syntax_uid == ExplicitVRBigEndian and "PixelData" in dataset:
        dataset.PixelData = struct.pack(">16H", *struct.unpack("<16H", dataset.PixelData))
    buffer = io.BytesIO()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dcmwrite(buffer, dataset, enforce_file_format=True)
    content = buffer.getvalue()
    return Instance(
        name=name,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        transfer_syntax_uid=str(transfer_syntax_uid),
        dataset=content[dataset_offset(content) :],
    )


def _private_elements() -> Instance:
    dataset = simple_dataset(1)
    block = dataset.private_block(0x0019, "ACME 1.1", create=True)
    block.add_new(0x01, "LO", "private text")
    inner = Dataset()
    inner.private_block(0x0021, "ACME 1.2", create=True).add_new(0x07, "UN", b"\x01\x02\x03\x04")
    block.add_new(0x02, "SQ", Sequence([inner]))
    return encode(dataset, "private elements", ImplicitVRLittleEndian)


def _japanese_name_groups() -> Instance:
    dataset = simple_dataset(2)
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    return encode(dataset, "Japanese, three component groups")


def _korean_name_groups() -> Instance:
    dataset = simple_dataset(3)
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    dataset.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
    return encode(dataset, "Korean, three component groups")


def _chinese_name() -> Instance:
    dataset = simple_dataset(4)
    dataset.SpecificCharacterSet = "GB18030"
    dataset.PatientName = "Wang^XiaoDong=王^小东"
    return encode(dataset, "Chinese, GB18030")


def _chinese_name_iso_2022() -> Instance:
    dataset = simple_dataset(5)
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 58"]
    # PS3.5 §K.3: the escape sequence again after each delimiter; pydicom's encoder would leave them out.
    dataset.PatientName = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"
    return encode(dataset, "Chinese, ISO 2022")


def _big_endian() -> Instance:
    return encode(simple_dataset(6), "big endian", ExplicitVRBigEndian)


def _deflated() -> Instance:
    return encode(simple_dataset(7), "deflated", DeflatedExplicitVRLittleEndian)


def _without_patient_id() -> Instance:
    dataset = simple_dataset(8)
    del dataset.PatientID
    return encode(dataset, "no PatientID")


def _empty_type_2() -> Instance:
    dataset = simple_dataset(9)
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "PatientName", "PatientID", "PatientSex"):
        setattr(dataset, keyword, "")
    dataset.StudyID = ""
    dataset.SeriesNumber = None
    dataset.InstanceNumber = None
    return encode(dataset, "type 2 attributes empty")


def _missing_type_2() -> Instance:
    dataset = simple_dataset(10)
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "PatientName", "PatientID", "PatientSex"):
        delattr(dataset, keyword)
    del dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber, dataset.Modality
    return encode(dataset, "type 2 attributes missing")


def _longest_uids() -> Instance:
    dataset = simple_dataset(11)
    dataset.StudyInstanceUID = (f"{ROOT}.11." + "9" * 64)[:64]
    dataset.SeriesInstanceUID = (f"{ROOT}.12." + "9" * 64)[:64]
    dataset.SOPInstanceUID = (f"{ROOT}.13." + "9" * 64)[:64]
    return encode(dataset, "UIDs of 64 characters")


def _shortest_uids() -> Instance:
    dataset = simple_dataset(12)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2", "1.0.3", "2.0"
    return encode(dataset, "very short UIDs")


def _space_padded_uids() -> Instance:
    """Padding with a space is wrong (PS3.5 §9.1) and common."""
    odd = simple_dataset(13)
    odd.StudyInstanceUID, odd.SeriesInstanceUID, odd.SOPInstanceUID = (f"{ROOT}.{n}" for n in (130, 132, 134))
    instance = encode(odd, "UIDs padded with a space")
    dataset = instance.dataset
    for uid in (instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid):
        dataset = dataset.replace(uid.encode() + b"\x00", uid.encode() + b" ")
    assert dataset != instance.dataset, "all UIDs here have an even length"
    return replace(instance, dataset=dataset)


def _nested_uids_before_the_own() -> Instance:
    """Sequences ahead of the identifying attributes that hold the same tags."""
    dataset = simple_dataset(14)
    related = Dataset()
    related.StudyInstanceUID = f"{ROOT}.14.666"
    related.SeriesInstanceUID = f"{ROOT}.14.667"
    related.PatientID = "SOMEONE-ELSE"
    related.is_undefined_length_sequence_item = True
    dataset.RelatedSeriesSequence = Sequence([related, related])
    dataset["RelatedSeriesSequence"].is_undefined_length = True
    return encode(dataset, "nested UIDs before the own ones")


def _bulk_before_the_identifiers() -> Instance:
    """300 KB of private data between group 0008 and PatientID: the header is not in the first kilobytes."""
    dataset = simple_dataset(15)
    block = dataset.private_block(0x0009, "ACME BULK", create=True)
    block.add_new(0x01, "OB", bytes(range(256)) * 1200)
    return encode(dataset, "bulk data before the identifying attributes")


def _group_lengths_and_trailing_padding() -> Instance:
    instance = encode(simple_dataset(16), "group lengths and trailing padding")
    group_length = struct.pack("<HH2sHI", 0x0008, 0x0000, b"UL", 4, 4242)
    padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 64) + bytes(64)
    return replace(instance, dataset=group_length + instance.dataset + padding)


def _no_pixels() -> Instance:
    dataset = simple_dataset(17)
    del dataset.PixelData
    return encode(dataset, "image without pixel data")


_BUILDERS = (
    _private_elements,
    _japanese_name_groups,
    _korean_name_groups,
    _chinese_name,
    _chinese_name_iso_2022,
    _big_endian,
    _deflated,
    _without_patient_id,
    _empty_type_2,
    _missing_type_2,
    _longest_uids,
    _shortest_uids,
    _space_padded_uids,
    _nested_uids_before_the_own,
    _bulk_before_the_identifiers,
    _group_lengths_and_trailing_padding,
    _no_pixels,
)
