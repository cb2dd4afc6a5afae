"""What the database says of a batch's series and the rows above them, and whether the batch tells anything new."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select

from pacsd.index.rows import Header
from pacsd.index.tables import patients, series, studies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pacsd.index.rows import Received

__all__ = ["KNOWN", "Known", "SeriesKey", "is_up_to_date", "known_from", "series_key"]

SeriesKey = tuple[str, str, str]
"""Patient key, Study and Series Instance UID."""

KNOWN: Final = (
    select(
        series.c.id,
        series.c.series_instance_uid,
        series.c.header.label("series_header"),
        studies.c.study_instance_uid,
        studies.c.header.label("study_header"),
        patients.c.patient_key,
        patients.c.header.label("patient_header"),
    )
    .join_from(series, studies, series.c.study_row_id == studies.c.id)
    .join(patients, studies.c.patient_row_id == patients.c.id)
)
"""To be narrowed to some series; its rows are for `known_from`."""

_LONGEST_REMEMBERED: Final = 8192
"""Characters of a header; ordinary ones have some hundred, and no sender decides how much memory they take."""


class Known(NamedTuple):
    """One series as the transaction finds it."""

    row_id: int
    series: Header
    study: Header
    patient: Header


def known_from(rows: Iterable[Sequence[Any]]) -> dict[SeriesKey, Known]:
    """The series that rows of `KNOWN` tell of; their headers are shared and not to be changed."""
    known = {}
    for row_id, series_uid, series_header, study_uid, study_header, patient_key, patient_header in rows:
        known[patient_key, study_uid, series_uid] = Known(
            row_id, _parsed(series_header), _parsed(study_header), _parsed(patient_header)
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


def series_key(received: Received) -> SeriesKey:
    """Under which key `known_from` has the record's series."""
    record = received.record
    return received.patient_key, record.study_instance_uid, record.series_instance_uid


def is_up_to_date(known: Known | None, received: Received) -> bool:
    """Whether the rows above the record need neither be made nor changed."""
    if known is None or received.record.is_from_file:
        return False
    return (
        _has_all(known.patient, received.patient)
        and _has_all(known.study, received.study)
        and _has_all(known.series, received.series)
    )


def _has_all(stored: Header, header: Header) -> bool:
    # Most often they are the same, and to find that out is quicker.
    return header == stored or header.items() <= stored.items()
