"""Studies whose objects name several patients, for people to look into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from pacsd.index.tables import instances, patients, series, studies
from pacsd.model import StudyPatient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

__all__ = ["conflicts"]

_PAGE: Final = 200

_SEVERAL: Final = (
    select(studies.c.study_instance_uid)
    .group_by(studies.c.study_instance_uid)
    .having(func.count() > 1)
    .order_by(studies.c.study_instance_uid)
)
"""Reads the index of studies from one end to the other, and no study."""

_PATIENTS: Final = (
    select(
        studies.c.study_instance_uid,
        patients.c.header,
        instances.c.calling_ae_title,
        func.count().label("instances"),
    )
    .join_from(studies, patients, studies.c.patient_row_id == patients.c.id)
    .join(series, series.c.study_row_id == studies.c.id)
    .join(instances, instances.c.series_row_id == series.c.id)
    .group_by(studies.c.id, studies.c.study_instance_uid, patients.c.header, instances.c.calling_ae_title)
    .order_by(studies.c.study_instance_uid, studies.c.id, instances.c.calling_ae_title)
)


def conflicts(connection: Connection) -> Iterator[StudyPatient]:
    """The patients of each study that has several, in the order in which they came to it."""
    for uids in connection.execution_options(yield_per=_PAGE).scalars(_SEVERAL).partitions():
        found: dict[tuple[str, str], StudyPatient] = {}
        for row in connection.execute(_PATIENTS.where(studies.c.study_instance_uid.in_(uids))):
            key = row.study_instance_uid, row.header
            header = json.loads(row.header)
            before = found.get(key)
            found[key] = StudyPatient(
                study_instance_uid=row.study_instance_uid,
                patient_id=header.get("PatientID", ""),
                issuer_of_patient_id=header.get("IssuerOfPatientID", ""),
                instances=row.instances + (before.instances if before else 0),
                senders=(*(before.senders if before else ()), row.calling_ae_title),
            )
        yield from found.values()
