"""Removing rows: an instance's, and those that it leaves empty, as a query must not find what holds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Table, bindparam, delete, exists, select

from pacsd.index.schema.tables import instances, patients, series, studies
from pacsd.index.write.disagreement import restate
from pacsd.index.write.extra_values import remove_orphaned
from pacsd.model import QueryLevel

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection, Delete, Select

    from pacsd.index.write.rules import Rules

__all__ = ["forget", "remove_orphans"]


def _of_rows(column: Column[Any], table: Table) -> Select[tuple[Any]]:
    return select(column).where(table.c.id.in_(bindparam("rows", expanding=True)))


def _without(table: Table, reference: Column[Any]) -> Delete:
    return delete(table).where(
        table.c.id.in_(bindparam("rows", expanding=True)), ~exists().where(reference == table.c.id)
    )


_STUDIES_OF: Final = _of_rows(series.c.study_row_id, series)
_PATIENTS_OF: Final = _of_rows(studies.c.patient_row_id, studies)
_EMPTY_SERIES: Final = _without(series, instances.c.series_row_id)
_EMPTY_STUDIES: Final = _without(studies, series.c.study_row_id)
_EMPTY_PATIENTS: Final = _without(patients, studies.c.patient_row_id)


def forget(connection: Connection, sop_instance_uid: str, path: str, rules: Rules) -> bool:
    """Remove an instance's row, if it still names this file, and what it leaves empty; returns whether it did."""
    is_it = (instances.c.sop_instance_uid == sop_instance_uid) & (instances.c.path == path)
    row = connection.execute(
        select(instances.c.id, instances.c.series_row_id).where(is_it).with_for_update()
    ).first()
    if row is None:
        return False
    connection.execute(delete(instances).where(instances.c.id == row.id))
    remove_orphaned(connection, QueryLevel.IMAGE, {row.id})
    remove_orphans(connection, {row.series_row_id}, rules)
    return True


def remove_orphans(connection: Connection, series_row_ids: set[int], rules: Rules) -> None:
    """Remove those of the series that have no instance any more, and then their studies and patients if empty.

    What is left says what the objects say that are left. To be called when instances were removed or replaced.
    """
    study_rows = set(connection.scalars(_STUDIES_OF, {"rows": list(series_row_ids)}))
    patient_rows = set(connection.scalars(_PATIENTS_OF, {"rows": list(study_rows)}))
    connection.execute(_EMPTY_SERIES, {"rows": list(series_row_ids)})
    remove_orphaned(connection, QueryLevel.SERIES, series_row_ids)
    connection.execute(_EMPTY_STUDIES, {"rows": list(study_rows)})
    remove_orphaned(connection, QueryLevel.STUDY, study_rows)
    connection.execute(_EMPTY_PATIENTS, {"rows": list(patient_rows)})
    remove_orphaned(connection, QueryLevel.PATIENT, patient_rows)
    restate(connection, study_rows, rules, patient_row_ids=patient_rows)
