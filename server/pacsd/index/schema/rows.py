"""SplitRecord records as rows: the header split by level, and the columns that matching uses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final

from pacsd.errors import DatasetInvalid
from pacsd.model import QueryLevel
from pacsd.query import normalization
from pacsd.query.attributes import COLUMN_ATTRIBUTES, LEVEL_OF, Attribute, Matching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pacsd.model import InstanceRecord

__all__ = [
    "ANONYMOUS",
    "Header",
    "SplitRecord",
    "columns_of",
    "effective",
    "header_json",
    "patient_key",
    "split",
    "split_record",
]

Header = dict[str, str]
"""Attributes of one level by keyword, as received; empty ones are left out."""

LONGEST_MATCHED: Final = 400
"""Characters of a value that a column keeps; PostgreSQL refuses to index much longer ones."""

ANONYMOUS: Final = "study:"
"""How the key of a patient without a Patient ID begins: it is the study's, so no two are taken for one."""

_KEPT_IN_COLUMNS: Final = frozenset(
    ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
)
_IDENTIFYING: Final = (
    ("sop_instance_uid", "SOPInstanceUID"),
    ("sop_class_uid", "SOPClassUID"),
    ("study_instance_uid", "StudyInstanceUID"),
    ("series_instance_uid", "SeriesInstanceUID"),
)
_DEPTH_OF: Final = {keyword: list(QueryLevel).index(level) for keyword, level in LEVEL_OF.items()}
_DEEPEST: Final = len(QueryLevel) - 1


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """One record, split by level and ready to be written."""

    record: InstanceRecord
    patient_key: str
    patient: Header
    study: Header
    series: Header
    image: Header
    instance_columns: Mapping[str, Any]
    """All columns of `instances` but the two keys, as of one that says what the rows above say."""
    received_at: int
    """In microseconds since 1970."""


def split_record(record: InstanceRecord) -> SplitRecord:
    """Prepare a record for the database; DatasetInvalid if it lacks a UID."""
    if not (
        record.sop_instance_uid.strip()
        and record.sop_class_uid.strip()
        and record.study_instance_uid.strip()
        and record.series_instance_uid.strip()
    ):
        missing = tuple(keyword for field, keyword in _IDENTIFYING if not getattr(record, field).strip())
        raise DatasetInvalid(f"no {', '.join(missing)}: the index cannot keep it", keywords=missing)
    patient, study, series, image = split(record.attributes)
    return SplitRecord(
        record,
        patient_key(patient, record.study_instance_uid),
        patient,
        study,
        series,
        image,
        columns := _instance_columns(record, image),
        int(columns["received_at"].timestamp() * 1_000_000),
    )


def split(attributes: Mapping[str, str]) -> list[Header]:
    """The headers of patient, study, series and image; what is empty or kept in columns is in none of them."""
    return [
        {keyword: value for keyword in keywords if (value := attributes[keyword])}
        for keywords in _by_level(tuple(attributes))
    ]


@lru_cache(maxsize=64)
def _by_level(keywords: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Keywords split by level, those of columns left out; most instances of a modality have the same."""
    split: tuple[list[str], ...] = tuple([] for _level in QueryLevel)
    for keyword in keywords:
        if keyword not in _KEPT_IN_COLUMNS:
            split[_DEPTH_OF.get(keyword, _DEEPEST)].append(keyword)
    return tuple(tuple(part) for part in split)


def patient_key(patient: Header, study_instance_uid: str) -> str:
    """What tells patients apart: Patient ID and its issuer, or the study where there is none."""
    patient_id = normalization.text(patient.get("PatientID", ""))
    if not patient_id:
        return f"{ANONYMOUS}{study_instance_uid}"
    issuer = normalization.text(patient.get("IssuerOfPatientID", ""))
    # The length keeps ("1", "23") and ("12", "3") apart; a hash keeps nonsense of any length indexable.
    key = f"id:{len(patient_id)}:{patient_id}{issuer}"
    return key if len(key) <= LONGEST_MATCHED else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _instance_columns(record: InstanceRecord, header: Header) -> dict[str, Any]:
    at = record.received_at
    if at.tzinfo is not UTC:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return {
        "sop_instance_uid": record.sop_instance_uid,
        "sop_class_uid": record.sop_class_uid,
        "transfer_syntax_uid": record.transfer_syntax_uid,
        "path": record.path,
        "size": record.size,
        "dataset_offset": record.dataset_offset,
        "checksum": record.checksum,
        "received_at": at,
        "calling_ae_title": normalization.text(record.calling_ae_title),
        "own": None,
        "modality": None,
        **columns_of(QueryLevel.IMAGE, header),
    }


def header_json(header: Header) -> str:
    """A header as the text that its row keeps; ASCII, so any database takes any character."""
    # As json.dumps without spaces does, which takes twice as long for what is all text.
    quoted = encode_basestring_ascii
    return f"{{{','.join([f'{quoted(keyword)}:{quoted(value)}' for keyword, value in header.items()])}}}"


def columns_of(level: QueryLevel, header: Header) -> dict[str, Any]:
    """What the row of a header has in `header`, `inexact` and every column that matching uses."""
    columns: dict[str, Any] = {"header": header_json(header), "inexact": False}
    for attribute in COLUMN_ATTRIBUTES[level]:
        value = header.get(attribute.keyword)
        if value is None:
            columns.update(dict.fromkeys(attribute.columns))
        elif attribute.matching is Matching.NAME:
            _fill_name(columns, attribute, value)
        else:
            _fill(columns, attribute, value)
    return columns


_COMPARABLE: Final[Mapping[Matching, Callable[[str], Any]]] = {
    Matching.TEXT: normalization.text,
    Matching.DATE: normalization.date,
    Matching.TIME: normalization.time_of_day,
    Matching.NUMBER: normalization.number,
}


def _fill(columns: dict[str, Any], attribute: Attribute, value: str) -> None:
    values = normalization.values_of(value)
    if len(values) > 1:
        columns["inexact"] = True
    form = _COMPARABLE[attribute.matching](values[0]) if values else None
    columns[attribute.columns[0]] = _indexable(columns, form)


def _fill_name(columns: dict[str, Any], attribute: Attribute, value: str) -> None:
    names = normalization.values_of(value)
    if len(names) > 1:
        columns["inexact"] = True
    groups = normalization.name_groups(names[0]) if names else ("", "", "")
    for column, group in zip(attribute.columns, groups, strict=True):
        columns[column] = _indexable(columns, group) or None


def _indexable(columns: dict[str, Any], form: Any) -> Any:
    if isinstance(form, str) and len(form) > LONGEST_MATCHED:
        columns["inexact"] = True
        return form[:LONGEST_MATCHED]
    return form


def effective(said: Header, own: Header | None) -> Header:
    """What an object says, "" among it."""
    return {**said, **own} if own else said
