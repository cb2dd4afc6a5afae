"""The patient, study and series rows above a batch's instances: found, made where new, brought up to date.

Rules (the archive's, where the Standard has none):

- Demographics and other shared attributes: the latest received value that isn't empty wins, at every level.
- A study stays with the patient it first came with. An instance of it that names another patient is kept in
  that study, but changes nothing in the patient. Only a study of a patient without a Patient ID moves to the
  first that has one.
- A series belongs to the study that its instances carry: the same Series Instance UID in two studies is two
  series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from pacsd.index.known import KNOWN, is_up_to_date, known_from, may_move, series_key
from pacsd.index.levelrows import LevelRows
from pacsd.index.orphans import remove_patients_without_studies
from pacsd.index.tables import MOST_PARAMETERS, patients, series, studies
from pacsd.model import QueryLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from pacsd.index.known import SeriesKey
    from pacsd.index.rows import Header, Received

__all__ = ["ancestry"]

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


def ancestry(connection: Connection, kept: Sequence[Received]) -> dict[SeriesKey, int]:
    """Row ids of the batch's series, all rows above in place; `kept` in the order of receipt."""
    known = known_from(_rows(connection, _KNOWN, {received.record.series_instance_uid for received in kept}))
    if all(is_up_to_date(known.get(series_key(received)), received) for received in kept):
        return {key: each.row_id for key, each in known.items()}
    return _write_ancestry(connection, kept)


def _rows(connection: Connection, statement: Any, uids: set[str]) -> list[Row[Any]]:
    ordered = sorted(uids)
    rows: list[Row[Any]] = []
    for start in range(0, len(ordered), MOST_PARAMETERS):
        rows += connection.execute(statement, {"uids": ordered[start : start + MOST_PARAMETERS]})
    return rows


def _write_ancestry(connection: Connection, kept: Sequence[Received]) -> dict[SeriesKey, int]:
    owners = _rows(connection, _OWNERS, {received.record.study_instance_uid for received in kept})
    owner_of = {row.study_instance_uid: row.patient_key for row in owners}
    for received in kept:
        owner = owner_of.setdefault(received.record.study_instance_uid, received.patient_key)
        if may_move(owner, received.patient_key):
            owner_of[received.record.study_instance_uid] = received.patient_key

    patient_headers: dict[tuple[str, None], Header] = {(key, None): {} for key in owner_of.values()}
    for received in kept:
        if owner_of[received.record.study_instance_uid] == received.patient_key:
            patient_headers[received.patient_key, None].update(received.patient)
    patient_ids = _PATIENTS.write(connection, patient_headers)

    _move_studies(connection, owners, owner_of, patient_ids)
    study_headers: dict[tuple[str, int], Header] = {}
    for received in kept:
        uid = received.record.study_instance_uid
        study_headers.setdefault((uid, patient_ids[owner_of[uid], None]), {}).update(received.study)
    study_ids = {uid: row_id for (uid, _owner), row_id in _STUDIES.write(connection, study_headers).items()}

    series_headers: dict[tuple[str, int], Header] = {}
    for received in kept:
        study_uid, series_uid = series_key(received)
        series_headers.setdefault((series_uid, study_ids[study_uid]), {}).update(received.series)
    series_ids = _SERIES.write(connection, series_headers)
    return {key: series_ids[key[1], study_ids[key[0]]] for key in {series_key(received) for received in kept}}


def _move_studies(
    connection: Connection,
    owners: Sequence[Row[Any]],
    owner_of: dict[str, str],
    patient_ids: dict[tuple[str, None], int],
) -> None:
    moved = [row for row in owners if owner_of[row.study_instance_uid] != row.patient_key]
    if not moved:
        return
    moves = [
        {
            "row": row.id,
            "owner": patient_ids[owner_of[row.study_instance_uid], None],
            "owner_before": row.owner_id,
        }
        for row in moved
    ]
    connection.execute(_MOVE_STUDY, moves)
    remove_patients_without_studies(connection, {row.owner_id for row in moved})
