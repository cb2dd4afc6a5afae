"""What the tests of services, SCP and SCU build on: indexes, and instances to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pacsd.index.repository import Index
from pacsd.model import DuplicatePolicy, InstanceRecord
from pacsd.storage.layout import path_without_receipt

if TYPE_CHECKING:
    from pathlib import Path

OpenIndex = Callable[[DuplicatePolicy], Index]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextmanager
def opened_indexes(file: Path) -> Iterator[OpenIndex]:
    """Gives a function that opens the index in `file`; all are closed at the end."""
    opened: list[Index] = []

    def open_one(duplicates: DuplicatePolicy) -> Index:
        opened.append(Index(f"sqlite:///{file}", duplicates=duplicates))
        return opened[-1]

    yield open_one
    for each in opened:
        each.dispose()


def record_at(path: str) -> InstanceRecord:
    """The record of an instance that is published beside `YYYY/MM/DD/<study>/<series>/<instance>.dcm`."""
    year, month, day, study, series, name = path_without_receipt(path).split("/")
    return record_of(
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID=name.removesuffix(".dcm"),
        received_at=datetime(int(year), int(month), int(day), tzinfo=UTC),
        path="",
    )


def record_of(number: int = 1, *, study: int = 1, series: int = 1, **changes: Any) -> InstanceRecord:
    """An index record; keywords that are DICOM attributes go to its header, others are its own fields."""
    uids = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "StudyInstanceUID": f"1.2.{study}",
        "SeriesInstanceUID": f"1.2.{study}.{series}",
        "SOPInstanceUID": f"1.2.{study}.{series}.{number}",
    }
    attributes = {**uids, "PatientID": "P1", "PatientName": "Doe^Jane", "Modality": "CT"}
    fields: dict[str, Any] = {
        "path": f"2026/01/02/1.2.{study}/1.2.{study}.{series}/{uids['SOPInstanceUID']}.dcm",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "size": 1000,
        "dataset_offset": 400,
        "checksum": f"xxh3_128:{number}",
        "received_at": NOW,
        "calling_ae_title": "MODALITY",
    }
    for name, value in changes.items():
        (attributes if name[0].isupper() else fields)[name] = value
    return InstanceRecord(
        sop_instance_uid=attributes["SOPInstanceUID"],
        sop_class_uid=attributes["SOPClassUID"],
        study_instance_uid=attributes["StudyInstanceUID"],
        series_instance_uid=attributes["SeriesInstanceUID"],
        attributes=attributes,
        **fields,
    )
