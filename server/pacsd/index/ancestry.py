"""The patient, study and series rows above a batch's instances: found, made where new, brought up to date.

Rules (the archive's, where the Standard has none):

- An instance belongs to the patient, study and series that its own header names: a study whose objects name two
  patients is two rows, one under each, and the same Series Instance UID in two studies is two series. An object
  without a Patient ID belongs to a patient without one, who has this study alone.
- Where objects disagree on an attribute of the entity that they share, the row says what the object says that was
  received first; of a patient the one that was received last, unless `index.demographics` says otherwise. What that one
  leaves empty is filled by the others. So it is the same whatever the order in which files are indexed.
- The object of a sender that may correct nothing only fills what is empty in the row of a patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam

from pacsd.index.known import KNOWN, is_up_to_date, known_from, series_key
from pacsd.index.levelrows import LevelRows, Told, prefer_first, prefer_latest
from pacsd.index.tables import MOST_PARAMETERS, patients, series, studies
from pacsd.model import DemographicsDifference, DemographicsPolicy, QueryLevel, StudyConflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from pacsd.index.known import SeriesKey
    from pacsd.index.levelrows import LevelRow
    from pacsd.index.rows import Header, Received
    from pacsd.index.rules import Rules

__all__ = ["Ancestry", "ancestry"]

_KNOWN: Final = KNOWN.where(series.c.series_instance_uid.in_(bindparam("uids", expanding=True)))

_PATIENTS: Final = LevelRows(QueryLevel.PATIENT, patients, patients.c.patient_key)
_STUDIES: Final = LevelRows(QueryLevel.STUDY, studies, studies.c.study_instance_uid, studies.c.patient_row_id)
_SERIES: Final = LevelRows(QueryLevel.SERIES, series, series.c.series_instance_uid, series.c.study_row_id)


_MERGE: Final = {DemographicsPolicy.LATEST: prefer_latest, DemographicsPolicy.FIRST: prefer_first}


class Ancestry(NamedTuple):
    """Row ids of a batch's series, and where its objects disagree with what the index had."""

    series_row_ids: dict[SeriesKey, int]
    differences: Sequence[DemographicsDifference | StudyConflict]


def ancestry(connection: Connection, kept: Sequence[Received], rules: Rules) -> Ancestry:
    """The batch's series, all rows above in place; `kept` in the order of receipt."""
    known = known_from(_rows(connection, _KNOWN, {received.record.series_instance_uid for received in kept}))
    if all(is_up_to_date(known.get(series_key(received)), received) for received in kept):
        return Ancestry({key: each.row_id for key, each in known.items()}, [])
    return _write_ancestry(connection, kept, rules)


def _rows(connection: Connection, statement: Any, uids: set[str]) -> list[Row[Any]]:
    ordered = sorted(uids)
    rows: list[Row[Any]] = []
    for start in range(0, len(ordered), MOST_PARAMETERS):
        rows += connection.execute(statement, {"uids": ordered[start : start + MOST_PARAMETERS]})
    return rows


def _write_ancestry(connection: Connection, kept: Sequence[Received], rules: Rules) -> Ancestry:
    of_patients: dict[tuple[str, None], list[Told]] = {}
    for received in kept:
        of_patients.setdefault((received.patient_key, None), []).append(_told(received, received.patient))
    patient_rows = _PATIENTS.write(
        connection, of_patients, _MERGE[rules.demographics], rules.extra_keys_of(QueryLevel.PATIENT)
    )

    def study_key(received: Received) -> tuple[str, int]:
        return received.record.study_instance_uid, patient_rows[received.patient_key, None].row_id

    of_studies: dict[tuple[str, int], list[Told]] = {}
    for received in kept:
        of_studies.setdefault(study_key(received), []).append(_told(received, received.study))
    study_rows = _STUDIES.write(connection, of_studies, prefer_first, rules.extra_keys_of(QueryLevel.STUDY))

    of_series: dict[tuple[str, int], list[Told]] = {}
    key_of: dict[SeriesKey, tuple[str, int]] = {}
    for received in kept:
        key = received.record.series_instance_uid, study_rows[study_key(received)].row_id
        key_of[series_key(received)] = key
        of_series.setdefault(key, []).append(_told(received, received.series))
    series_rows = _SERIES.write(connection, of_series, prefer_first, rules.extra_keys_of(QueryLevel.SERIES))
    return Ancestry(
        {each: series_rows[key].row_id for each, key in key_of.items()},
        [*_differences(kept, patient_rows), *_conflicts(study_rows)],
    )


def _told(received: Received, header: Header) -> Told:
    record = received.record
    return Told(header, received.received_at, record.may_correct, record.is_from_file)


def _conflicts(study_rows: Mapping[tuple[str, int], LevelRow]) -> list[StudyConflict]:
    """One for each study that has a new patient beside another."""
    new = {uid for (uid, _patient), row in study_rows.items() if row.is_new}
    patients_of = {uid: sum(uid == each for each, _patient in study_rows) for uid in sorted(new)}
    return [StudyConflict(uid, count) for uid, count in patients_of.items() if count > 1]


def _differences(
    kept: Sequence[Received], patient_rows: Mapping[tuple[str, None], LevelRow]
) -> list[DemographicsDifference]:
    """One for each study and the keywords at issue: a study's instances mostly say the same."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for received in kept:
        had = patient_rows[received.patient_key, None].told.header
        keywords = tuple(
            sorted(key for key, value in received.patient.items() if had.get(key, value) != value)
        )
        if keywords:
            found[received.record.study_instance_uid, keywords] = None
    return [DemographicsDifference(*each) for each in found]
