"""The patient, study and series rows above a batch's instances: found, made where new, brought up to date.

Rules (the archive's, where the Standard has none):

- An instance belongs to the patient, study and series that its own header names: a study whose objects name two
  patients is two rows, one under each, and the same Series Instance UID in two studies is two series. An object
  without a Patient ID belongs to a patient without one, who has this study alone.
- Where objects disagree on an attribute of the entity that they share, the row says what the object says that was
  received first; of a patient the one that was received last, unless `index.demographics` says otherwise. What that one
  leaves empty is filled by the others. So it is the same whatever the order in which files are indexed.
- The modality of a series is that of its objects that are images, if any is; of several, the first by the alphabet.
- What an object says otherwise than the rows is kept with it, see `disagreement`.
- The object of a sender that may correct nothing only fills what is empty in the row of a patient. Nor does it change
  the modality of a series in which another sender's objects are.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, exists, select

from pacsd.index.schema.tables import MOST_PARAMETERS, instances, patients, series, studies
from pacsd.index.write.disagreement import is_empty, keep_said, keep_what_was_said, set_modality
from pacsd.index.write.existing_series import (
    EXISTING_SERIES,
    existing_series,
    has_modality,
    is_up_to_date,
    series_key,
    shared,
)
from pacsd.index.write.level_rows import LevelRows, Told, prefer_first, prefer_first_and_images, prefer_latest
from pacsd.model import DemographicsDifference, DemographicsPolicy, QueryLevel, StudyConflict
from pacsd.query import normalization

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from pacsd.index.schema.rows import Header, SplitRecord
    from pacsd.index.write.existing_series import ExistingSeries, SeriesKey
    from pacsd.index.write.level_rows import LevelRow
    from pacsd.index.write.rules import Rules
    from pacsd.model import Difference

__all__ = ["ParentRows", "SeriesRow", "write_parent_rows"]

_KNOWN: Final = EXISTING_SERIES.where(series.c.series_instance_uid.in_(bindparam("uids", expanding=True)))

_PATIENTS: Final = LevelRows(QueryLevel.PATIENT, patients, patients.c.patient_key)
_STUDIES: Final = LevelRows(QueryLevel.STUDY, studies, studies.c.study_instance_uid, studies.c.patient_row_id)
_SERIES: Final = LevelRows(QueryLevel.SERIES, series, series.c.series_instance_uid, series.c.study_row_id)


_MERGE: Final = {DemographicsPolicy.LATEST: prefer_latest, DemographicsPolicy.FIRST: prefer_first}


class SeriesRow(NamedTuple):
    """A series that is ready for instances."""

    row_id: int
    header: Header
    said: Header | None
    study: Header
    """What the row of its study says."""
    changed: Mapping[QueryLevel, Header] = MappingProxyType({})
    """What the rows of its study and of itself said until now, where they say something else now."""


class ParentRows(NamedTuple):
    """A batch's series, and where its objects disagree with what the index had."""

    series: dict[SeriesKey, SeriesRow]
    differences: Sequence[Difference]


def write_parent_rows(connection: Connection, kept: Sequence[SplitRecord], rules: Rules) -> ParentRows:
    """The batch's series, all rows above in place; `kept` in the order of receipt."""
    known = existing_series(
        _rows(connection, _KNOWN, {received.record.series_instance_uid for received in kept})
    )
    if all(is_up_to_date(known.get(series_key(received)), received) for received in kept):
        return ParentRows(
            {key: SeriesRow(each.row_id, each.series, each.said, each.study) for key, each in known.items()},
            [],
        )
    return _write_changed(connection, kept, rules, known)


def _rows(connection: Connection, statement: Any, uids: set[str]) -> list[Row[Any]]:
    ordered = sorted(uids)
    rows: list[Row[Any]] = []
    for start in range(0, len(ordered), MOST_PARAMETERS):
        rows += connection.execute(statement, {"uids": ordered[start : start + MOST_PARAMETERS]})
    return rows


def _write_changed(
    connection: Connection,
    kept: Sequence[SplitRecord],
    rules: Rules,
    known: Mapping[SeriesKey, ExistingSeries],
) -> ParentRows:
    of_patients: dict[tuple[str, None], list[Told]] = {}
    for received in kept:
        of_patients.setdefault((received.patient_key, None), []).append(_told(received, received.patient))
    patient_rows = _PATIENTS.write(
        connection, of_patients, _MERGE[rules.demographics], rules.extra_keys_of(QueryLevel.PATIENT)
    )

    def study_key(received: SplitRecord) -> tuple[str, int]:
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
        brought = _told(received, received.series)
        if _would_change_anothers_modality(connection, known.get(series_key(received)), received):
            brought = brought._replace(may_set_modality=False)
        of_series.setdefault(key, []).append(brought)
    series_rows = _SERIES.write(
        connection, of_series, prefer_first_and_images, rules.extra_keys_of(QueryLevel.SERIES)
    )
    said = _keep_what_was_said(connection, patient_rows, study_rows, series_rows)
    ready = {}
    objects: dict[SeriesKey, list[Header]] = {}
    for received in kept:
        objects.setdefault(series_key(received), []).append(shared(received))
    for each, key in key_of.items():
        row = series_rows[key]
        all_say = said.get(row.row_id)
        if all_say is None and row.said is not None:
            all_say = json.loads(row.said)
        patient_row = patient_rows[each[0], None]
        study_row = study_rows[each[1], patient_row.row_id]
        if all_say is None:
            told = {**patient_row.now.header, **study_row.now.header, **row.now.header}
            if any(header != told for header in objects[each]):
                all_say = objects[each][0] if row.is_new and is_empty(connection, row.row_id) else told
                keep_said(connection, {row.row_id: all_say})
        changed = {
            level: of_level.told.header
            for level, of_level in ((QueryLevel.STUDY, study_row), (QueryLevel.SERIES, row))
            if of_level.told.header != of_level.now.header
        }
        ready[each] = SeriesRow(row.row_id, row.now.header, all_say, study_row.now.header, changed)
    return ParentRows(ready, [*_differences(kept, patient_rows), *_conflicts(study_rows)])


def _keep_what_was_said(
    connection: Connection,
    patient_rows: Mapping[Any, LevelRow],
    study_rows: Mapping[Any, LevelRow],
    series_rows: Mapping[Any, LevelRow],
) -> dict[int, Header]:
    """Have what was stored before say what it said, though rows above it say something else now."""
    before = {
        level: {
            row.row_id: row.told.header
            for row in rows.values()
            if not row.is_new and row.told.header != row.now.header
        }
        for level, rows in zip(QueryLevel, (patient_rows, study_rows, series_rows), strict=False)
    }
    if not any(before.values()):
        return {}
    for row in series_rows.values():
        set_modality(connection, row.row_id, row.told.header, row.now.header)
    return keep_what_was_said(connection, before, {row.row_id for row in series_rows.values() if row.is_new})


def _would_change_anothers_modality(
    connection: Connection, known: ExistingSeries | None, received: SplitRecord
) -> bool:
    """Whether a sender that may correct nothing brings another modality to a series that is not all its own."""
    record = received.record
    if known is None or record.may_correct or record.is_from_file or has_modality(known.series, received):
        return False
    others = exists().where(
        instances.c.series_row_id == known.row_id,
        instances.c.calling_ae_title != normalization.text(record.calling_ae_title),
    )
    return bool(connection.scalar(select(others)))


def _told(received: SplitRecord, header: Header) -> Told:
    record = received.record
    return Told(header, received.received_at, record.may_correct, record.is_from_file)


def _conflicts(study_rows: Mapping[tuple[str, int], LevelRow]) -> list[StudyConflict]:
    """One for each study that has a new patient beside another."""
    new = {uid for (uid, _patient), row in study_rows.items() if row.is_new}
    patients_of = {uid: sum(uid == each for each, _patient in study_rows) for uid in sorted(new)}
    return [StudyConflict(uid, count) for uid, count in patients_of.items() if count > 1]


def _differences(
    kept: Sequence[SplitRecord], patient_rows: Mapping[tuple[str, None], LevelRow]
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
