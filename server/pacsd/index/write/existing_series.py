"""What the database says of a batch's series and the rows above them, and whether the batch tells anything new."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select

from pacsd.index.schema.rows import Header, columns_of, header_json
from pacsd.index.schema.tables import patients, series, studies
from pacsd.index.write.level_rows import modality_rank
from pacsd.model import QueryLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pacsd.index.schema.rows import SplitRecord

__all__ = [
    "EXISTING_SERIES",
    "ExistingSeries",
    "SeriesKey",
    "difference",
    "differing_columns",
    "existing_series",
    "has_modality",
    "is_up_to_date",
    "own_modality",
    "series_key",
    "shared",
]

SeriesKey = tuple[str, str, str]
"""Patient key, Study and Series Instance UID."""

EXISTING_SERIES: Final = (
    select(
        series.c.id,
        series.c.series_instance_uid,
        series.c.header.label("series_header"),
        studies.c.study_instance_uid,
        studies.c.header.label("study_header"),
        patients.c.patient_key,
        patients.c.header.label("patient_header"),
        series.c.said,
        studies.c.told_at.label("study_told_at"),
        series.c.told_at.label("series_told_at"),
    )
    .join_from(series, studies, series.c.study_row_id == studies.c.id)
    .join(patients, studies.c.patient_row_id == patients.c.id)
)
"""To be narrowed to some series; its rows are for `existing_series`."""

_LONGEST_REMEMBERED: Final = 8192
"""Characters of a header; ordinary ones have some hundred, and no sender decides how much memory they take."""


class ExistingSeries(NamedTuple):
    """One series as the transaction finds it."""

    row_id: int
    series: Header
    study: Header
    patient: Header
    said: Header | None
    told_at: int
    """When the later of the objects was received that the rows of series and study are of."""


def existing_series(rows: Iterable[Sequence[Any]]) -> dict[SeriesKey, ExistingSeries]:
    """The series that rows of `EXISTING_SERIES` tell of; their headers are shared and not to be changed."""
    known = {}
    for row_id, series_uid, of_series, study_uid, of_study, patient_key, of_patient, said, *told_at in rows:
        known[patient_key, study_uid, series_uid] = ExistingSeries(
            row_id,
            _parsed(of_series),
            _parsed(of_study),
            _parsed(of_patient),
            None if said is None else _parsed(said),
            max(told_at),
        )
    return known


def _parsed(header: str) -> Header:
    parsed: Header = _remembered(header) if len(header) <= _LONGEST_REMEMBERED else json.loads(header)
    return parsed


@lru_cache(maxsize=256)
def _remembered(header: str) -> Header:
    # By the text as it was just read, so nothing that is remembered here can be out of date.
    parsed: Header = json.loads(header)
    return parsed


def series_key(received: SplitRecord) -> SeriesKey:
    """Under which key `existing_series` has the record's series."""
    record = received.record
    return received.patient_key, record.study_instance_uid, record.series_instance_uid


def is_up_to_date(known: ExistingSeries | None, received: SplitRecord) -> bool:
    """Whether the rows above the record need neither be made nor changed."""
    if known is None or received.record.is_from_file:
        return False
    if (
        received.series == known.series
        and received.study == known.study
        and received.patient == known.patient
    ):
        return True
    if known.said is None or received.received_at < known.told_at:
        return False
    # The first object has decided on study and series; this one may only say of more attributes than others did.
    return (
        received.patient.items() <= known.patient.items()
        and received.study.keys() <= known.study.keys()
        and received.series.keys() <= known.series.keys()
        and has_modality(known.series, received)
    )


def has_modality(series: Header, received: SplitRecord) -> bool:
    """Whether a record does not change the modality of its series."""
    own, of_series = received.series.get("Modality"), series.get("Modality")
    return own is None or own == of_series or modality_rank(own) >= modality_rank(of_series or own)


def differing_columns(said: Header | None, series: Header, received: SplitRecord) -> dict[str, Any]:
    """The columns of an instance that say what it says otherwise than its series."""
    columns: dict[str, Any] = {}
    if said is not None:
        own = difference(said, shared(received))
        columns["own"] = header_json(own) if own else None
    modality = own_modality(series, received.series)
    if modality is not None:
        columns["modality"] = modality
    return columns


def own_modality(series: Header, own: Header) -> str | None:
    """The column of an instance for a modality that is not that of its series."""
    if own.get("Modality") == series.get("Modality"):
        return None
    modality: str | None = columns_of(QueryLevel.SERIES, own)["modality"]
    return modality


def shared(received: SplitRecord) -> Header:
    """What a record says of its patient, study and series."""
    return {**received.patient, **received.study, **received.series}


def difference(said: Header, header: Header) -> Header:
    """What `said` is to be overwritten with to be `header`; "" for what that lacks."""
    if said == header:
        return {}
    own = {keyword: value for keyword, value in header.items() if said.get(keyword) != value}
    own.update(dict.fromkeys(said.keys() - header.keys(), ""))
    return own
