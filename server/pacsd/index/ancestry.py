"""The patient, study and series rows above a batch's instances: found, made where new, brought up to date.

Rules (the archive's, where the Standard has none):

- Shared attributes: the latest received value that isn't empty wins, at every level; or, if
  `index.demographics` says so, the first for those of a patient. Either way the caller is told of differences.
- A study stays with the patient it first came with. An instance of it that names another patient is kept in
  that study, but changes nothing in the patient. Only a study of a patient without a Patient ID moves to the
  first that has one.
- A series belongs to the study that its instances carry: the same Series Instance UID in two studies is two
  series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, select, update

from pacsd.index.known import KNOWN, is_up_to_date, known_from, may_move, series_key
from pacsd.index.levelrows import LevelRows, prefer_received, prefer_stored
from pacsd.index.orphans import remove_patients_without_studies
from pacsd.index.tables import MOST_PARAMETERS, patients, series, studies
from pacsd.model import DemographicsDifference, DemographicsPolicy, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from pacsd.index.known import SeriesKey
    from pacsd.index.levelrows import LevelRow
    from pacsd.index.rows import Header, Received
    from pacsd.index.rules import Rules

__all__ = ["Ancestry", "ancestry"]

_KNOWN: Final = KNOWN.where(series.c.series_instance_uid.in_(bindparam("uids", expanding=True)))
_OWNERS: Final = (
    select(
        studies.c.study_instance_uid, studies.c.id, patients.c.patient_key, patients.c.id.label("owner_id")
    )
    .join_from(studies, patients, studies.c.patient_row_id == patients.c.id)
    .where(studies.c.study_instance_uid.in_(bindparam("uids", expanding=True)))
    .order_by(studies.c.id)
)
_MOVE_STUDY: Final = (
    update(studies)
    # Unless another process was quicker to move it: then its key isn't found under this patient, see
    # `LevelRows`.
    .where(studies.c.id == bindparam("row"), studies.c.patient_row_id == bindparam("owner_before"))
    .values(patient_row_id=bindparam("owner"))
)

_PATIENTS: Final = LevelRows(QueryLevel.PATIENT, patients, patients.c.patient_key)
_STUDIES: Final = LevelRows(QueryLevel.STUDY, studies, studies.c.study_instance_uid, studies.c.patient_row_id)
_SERIES: Final = LevelRows(QueryLevel.SERIES, series, series.c.series_instance_uid, series.c.study_row_id)


_MERGE: Final = {DemographicsPolicy.LATEST: prefer_received, DemographicsPolicy.FIRST: prefer_stored}


class Ancestry(NamedTuple):
    """Row ids of a batch's series, and where its patients were not as the index had them."""

    series_row_ids: dict[SeriesKey, int]
    differences: list[DemographicsDifference]


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
    owners = _rows(connection, _OWNERS, {received.record.study_instance_uid for received in kept})
    owner_of = {row.study_instance_uid: row.patient_key for row in owners}
    for received in kept:
        owner = owner_of.setdefault(received.record.study_instance_uid, received.patient_key)
        if may_move(owner, received.patient_key):
            owner_of[received.record.study_instance_uid] = received.patient_key

    merge = _MERGE[rules.demographics]
    patient_headers: dict[tuple[str, None], Header] = {(key, None): {} for key in owner_of.values()}
    owned = [each for each in kept if owner_of[each.record.study_instance_uid] == each.patient_key]
    for received in owned:
        key = (received.patient_key, None)
        patient_headers[key] = merge(patient_headers[key], received.patient)
    patient_rows = _PATIENTS.write(
        connection, patient_headers, merge, extra_keys=rules.extra_keys_of(QueryLevel.PATIENT)
    )
    patient_ids = {key: row_id for (key, _parent), (row_id, _header) in patient_rows.items()}

    _move_studies(connection, owners, owner_of, patient_ids)
    study_headers: dict[tuple[str, int], Header] = {}
    for received in kept:
        uid = received.record.study_instance_uid
        study_headers.setdefault((uid, patient_ids[owner_of[uid]]), {}).update(received.study)
    study_rows = _STUDIES.write(connection, study_headers, extra_keys=rules.extra_keys_of(QueryLevel.STUDY))
    study_ids = {uid: row_id for (uid, _owner), (row_id, _header) in study_rows.items()}

    series_headers: dict[tuple[str, int], Header] = {}
    for received in kept:
        study_uid, series_uid = series_key(received)
        series_headers.setdefault((series_uid, study_ids[study_uid]), {}).update(received.series)
    series_rows = _SERIES.write(connection, series_headers, extra_keys=rules.extra_keys_of(QueryLevel.SERIES))
    series_row_ids = {
        key: series_rows[key[1], study_ids[key[0]]].row_id
        for key in {series_key(received) for received in kept}
    }
    return Ancestry(series_row_ids, _differences(owned, patient_rows))


def _differences(
    owned: Sequence[Received], patient_rows: Mapping[tuple[str, None], LevelRow]
) -> list[DemographicsDifference]:
    """One for each study and the keywords at issue: a study's instances mostly say the same."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for received in owned:
        had = patient_rows[received.patient_key, None].header
        keywords = tuple(
            sorted(key for key, value in received.patient.items() if had.get(key, value) != value)
        )
        if keywords:
            found[received.record.study_instance_uid, keywords] = None
    return [DemographicsDifference(*each) for each in found]


def _move_studies(
    connection: Connection,
    owners: Sequence[Row[Any]],
    owner_of: dict[str, str],
    patient_ids: dict[str, int],
) -> None:
    moved = [row for row in owners if owner_of[row.study_instance_uid] != row.patient_key]
    if not moved:
        return
    moves = [
        {
            "row": row.id,
            "owner": patient_ids[owner_of[row.study_instance_uid]],
            "owner_before": row.owner_id,
        }
        for row in moved
    ]
    connection.execute(_MOVE_STUDY, moves)
    remove_patients_without_studies(connection, {row.owner_id for row in moved})
