"""Instance records for the index's tests: one call makes one, naming only what the test is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pacsd.model import InstanceRecord

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
RECEIVED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(
    instance: str = "1.2.3.1", *, series: str = "1.2.2.1", study: str = "1.2.1.1", **changes: Any
) -> InstanceRecord:
    """A record with these UIDs; keywords that are DICOM attributes go to the header, others are the record's fields."""
    fields: dict[str, Any] = {
        "sop_instance_uid": instance,
        "sop_class_uid": CT_IMAGE_STORAGE,
        "study_instance_uid": study,
        "series_instance_uid": series,
        "transfer_syntax_uid": EXPLICIT_LITTLE_ENDIAN,
        "path": f"2026/01/02/{study}/{series}/{instance}.dcm",
        "size": 1000,
        "dataset_offset": 400,
        "checksum": f"xxh3-128:{instance}",
        "received_at": RECEIVED_AT,
        "calling_ae_title": "MODALITY",
    }
    attributes = {"PatientID": "P1", "PatientName": "Doe^Jane", "StudyDate": "20260102", "Modality": "CT"}
    for name, value in changes.items():
        if name[0].isupper():
            attributes[name] = value
        else:
            fields[name] = value
    return InstanceRecord(
        attributes={name: value for name, value in attributes.items() if value is not None}, **fields
    )
