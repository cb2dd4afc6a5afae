"""Studies whose objects name several patients, or disagree on other attributes, for people to look into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select

from pacsd.index.schema.rows import effective
from pacsd.index.schema.tables import instances, patients, series, studies
from pacsd.index.write.disagreement import said_by_series
from pacsd.model import DisagreeingObjects, QueryLevel, StudyPatient
from pacsd.query.attributes import LEVEL_OF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row

    from pacsd.index.schema.rows import Header

__all__ = ["attribute_conflicts", "conflicts"]

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


_DISPUTED: Final = (
    select(
        studies.c.id,
        studies.c.study_instance_uid,
        studies.c.header,
        patients.c.header.label("patient_header"),
    )
    .join_from(studies, patients, studies.c.patient_row_id == patients.c.id)
    .where(studies.c.id.in_(select(series.c.study_row_id).where(series.c.said.is_not(None))))
    .order_by(studies.c.id)
)
_SERIES: Final = select(series.c.id, series.c.series_instance_uid, series.c.header).order_by(series.c.id)
_OBJECTS: Final = select(
    instances.c.series_row_id, instances.c.own, instances.c.calling_ae_title, func.count().label("instances")
).group_by(instances.c.series_row_id, instances.c.own, instances.c.calling_ae_title)


class _Objects(NamedTuple):
    """Some objects of one series that say the same and came from the same sender."""

    series_row_id: int
    header: Header
    sender: str
    instances: int


def attribute_conflicts(connection: Connection) -> Iterator[DisagreeingObjects]:
    """What the objects of each study and its series disagree on, study by study; to lack a value is to agree.

    Objects of several studies may well say different things of their patient, as of a name before and after.
    """
    for study in connection.execution_options(yield_per=_PAGE).execute(_DISPUTED):
        yield from _of_study(connection, study)


def _of_study(connection: Connection, study: Row[Any, Any, Any, Any]) -> Iterator[DisagreeingObjects]:
    said = said_by_series(connection, studies.c.id == study.id)
    objects = [
        _Objects(
            row.series_row_id,
            effective(said[row.series_row_id], None if row.own is None else json.loads(row.own)),
            row.calling_ae_title,
            row.instances,
        )
        for row in connection.execute(_OBJECTS.where(instances.c.series_row_id.in_(sorted(said))))
    ]
    uid = study.study_instance_uid
    yield from _disagreeing(QueryLevel.PATIENT, uid, "", json.loads(study.patient_header), objects)
    yield from _disagreeing(QueryLevel.STUDY, uid, "", json.loads(study.header), objects)
    for row in connection.execute(_SERIES.where(series.c.study_row_id == study.id)).all():
        of_series = [each for each in objects if each.series_row_id == row.id]
        header = json.loads(row.header)
        yield from _disagreeing(QueryLevel.SERIES, uid, row.series_instance_uid, header, of_series)


def _disagreeing(
    level: QueryLevel, study_uid: str, series_uid: str, row: Header, objects: Sequence[_Objects]
) -> Iterator[DisagreeingObjects]:
    """What objects of an entity, whose row says something, disagree on, if there is anything."""
    values: dict[str, set[str]] = {}
    for each in objects:
        for keyword, value in each.header.items():
            if value and LEVEL_OF.get(keyword) is level:
                values.setdefault(keyword, set()).add(value)
    keywords = sorted(keyword for keyword, some in values.items() if len(some) > 1)
    if not keywords:
        return
    others = [each for each in objects if _says_otherwise(each.header, row, keywords)]
    yield DisagreeingObjects(
        level=level,
        study_instance_uid=study_uid,
        series_instance_uid=series_uid,
        keywords=tuple(keywords),
        instances=sum(each.instances for each in others),
        all_instances=sum(each.instances for each in objects),
        senders=tuple(sorted({each.sender for each in others})),
    )


def _says_otherwise(header: Header, row: Header, keywords: Sequence[str]) -> bool:
    return any(header.get(keyword) not in (None, "", row.get(keyword)) for keyword in keywords)
