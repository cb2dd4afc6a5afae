"""pydicom's own test files, as instances to send.

Taken as they are, byte for byte, with one exception: many of them are the same object in several encodings
and carry the same SOP Instance UID, so the second and later ones get a UID of the same length of their own,
patched in place. Left out is what no storage client can send: without one of the four identifying UIDs,
no storage SOP class (directories), or cut off (`TRUNCATED`, which have tests of their own).
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AllStoragePresentationContexts

from support.instance import Instance, dataset_offset

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FOLDERS = ("test_files", "charset_files")
TRUNCATED = ("MR_truncated.dcm", "rtplan_truncated.dcm")
_IDENTIFYING = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_STORAGE_CLASSES = frozenset(context.abstract_syntax for context in AllStoragePresentationContexts)


@cache
def bundled_instances() -> tuple[Instance, ...]:
    """Every sendable test file that pydicom's package brings, SOP Instance UIDs unique."""
    instances: list[Instance] = []
    taken: set[str] = set()
    for path in _candidates():
        instance = _instance(path, taken)
        if instance is not None:
            taken.add(instance.sop_instance_uid)
            instances.append(instance)
    return tuple(instances)


def bundled_file(name: str) -> Path:
    """The path of one of pydicom's test files."""
    for folder in FOLDERS:
        path = Path(pydicom.__file__).parent / "data" / folder / name
        if path.exists():
            return path
    raise FileNotFoundError(name)


def _candidates() -> list[Path]:
    data = Path(pydicom.__file__).parent / "data"
    return sorted(
        path
        for folder in FOLDERS
        for path in (data / folder).rglob("*")
        if path.is_file() and path.suffix in ("", ".dcm") and path.name not in TRUNCATED
    )


def _instance(path: Path, taken: set[str]) -> Instance | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(path, force=True, stop_before_pixels=True)
            sendable = all(header.get(keyword) for keyword in _IDENTIFYING)
    except (InvalidDicomError, ValueError, NotImplementedError):
        return None
    if not sendable or header.SOPClassUID not in _STORAGE_CLASSES:
        return None
    content = path.read_bytes()
    uid = str(header.SOPInstanceUID)
    if uid in taken:
        content, uid = _with_own_uid(header, content, taken)
    return Instance(
        name=path.name if path.suffix else "/".join(path.parts[-3:]),
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=uid,
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        transfer_syntax_uid=_transfer_syntax(header),
        dataset=content[dataset_offset(content) :],
    )


def _transfer_syntax(dataset: Dataset) -> str:
    declared = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if declared:
        return str(declared)
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _with_own_uid(header: Dataset, content: bytes, taken: set[str]) -> tuple[bytes, str]:
    """The file with another SOP Instance UID of the same length in its data set."""
    old = str(header.SOPInstanceUID)
    new = next(uid for uid in _neighbours(old) if uid not in taken)
    place = content.index(old.encode(), dataset_offset(content))
    assert header["SOPInstanceUID"].file_tell == place, f"{old} is not where SOP Instance UID stands"
    return content[:place] + new.encode() + content[place + len(old) :], new


def _neighbours(uid: str) -> list[str]:
    stem, _, last = uid.rpartition(".")
    lowest = 0 if len(last) == 1 else 10 ** (len(last) - 1)
    size = 10 ** len(last) - lowest
    return [f"{stem}.{lowest + (int(last) - lowest + step) % size}" for step in range(1, min(size, 50))]
