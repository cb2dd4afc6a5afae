"""Attributes that are computed from the rows below when they are asked for (PS3.4 C.3.4), so they are never stale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Boolean, ColumnElement, and_, exists, func, or_, select, union
from sqlalchemy.ext.compiler import compiles

from pacsd.index.schema import tables
from pacsd.index.schema.tables import patients, series, studies

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["AGGREGATES", "LISTS"]

# Under names of their own: at lower levels the statement around them has the same tables in it.
_studies: Final = tables.studies.alias("studies_below")
_series: Final = tables.series.alias("series_below")
_instances: Final = tables.instances.alias("instances_below")

_SERIES_OF_STUDIES: Final = _studies.join(_series, _series.c.study_row_id == _studies.c.id)
_INSTANCES_OF_SERIES: Final = _series.join(_instances, _instances.c.series_row_id == _series.c.id)
_INSTANCES_OF_STUDIES: Final = _SERIES_OF_STUDIES.join(_instances, _instances.c.series_row_id == _series.c.id)


def _count(rows: Any, below: ColumnElement[bool]) -> ColumnElement[Any]:
    return select(func.count()).select_from(rows).where(below).scalar_subquery()


def _distinct(column: ColumnElement[Any], rows: Any, below: ColumnElement[bool]) -> ColumnElement[Any]:
    values = select(column.label("value")).select_from(rows).where(below, column.is_not(None)).distinct()
    each = values.correlate(studies).subquery()
    return select(func.aggregate_strings(each.c.value, "\\")).scalar_subquery()


def _modalities() -> ColumnElement[Any]:
    """Those of the series, and of the few objects that have another."""
    of_series = select(_series.c.modality.label("value")).where(_OF_STUDY, _series.c.modality.is_not(None))
    others = (
        select(_instances.c.modality.label("value"))
        .select_from(_INSTANCES_OF_SERIES)
        .where(_OF_STUDY, _HAS_OTHERS, _instances.c.modality.is_not(None))
    )
    each = union(of_series.correlate(studies), others.correlate(studies)).subquery()
    return select(func.aggregate_strings(each.c.value, "\\")).scalar_subquery()


_OF_PATIENT: Final = _studies.c.patient_row_id == patients.c.id
_OF_STUDY: Final = _series.c.study_row_id == studies.c.id
_HAS_OTHERS: Final = _series.c.said.is_not(None)
_others: Final = series.alias()

AGGREGATES: Final[dict[str, ColumnElement[Any]]] = {
    "NumberOfPatientRelatedStudies": _count(_studies, _OF_PATIENT),
    "NumberOfPatientRelatedSeries": _count(_SERIES_OF_STUDIES, _OF_PATIENT),
    "NumberOfPatientRelatedInstances": _count(_INSTANCES_OF_STUDIES, _OF_PATIENT),
    "NumberOfStudyRelatedSeries": _count(_series, _OF_STUDY),
    "NumberOfStudyRelatedInstances": _count(_INSTANCES_OF_SERIES, _OF_STUDY),
    "NumberOfSeriesRelatedInstances": _count(_instances, _instances.c.series_row_id == series.c.id),
    "ModalitiesInStudy": _modalities(),
    "SOPClassesInStudy": _distinct(_instances.c.sop_class_uid, _INSTANCES_OF_SERIES, _OF_STUDY),
}
"""By keyword, the value as a scalar subquery; several values are joined by a backslash, in no order."""


class _Modality(ColumnElement[bool]):
    """One condition in two forms, of which each kind of database answers the other one slowly.

    Two subqueries joined by OR keep PostgreSQL from joining studies and series; within one SQLite uses no index.
    """

    inherit_cache = False

    def __init__(self, by_series: ColumnElement[bool], by_each: ColumnElement[bool]) -> None:
        self.by_series = by_series
        self.by_each = by_each
        self.type = Boolean()

    def self_group(self, against: object = None) -> _Modality:
        """Stay as it is: the one of a column would compare it with 1."""
        del against
        return self


@compiles(_Modality)
def _within_one(element: _Modality, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.by_series, **options)


@compiles(_Modality, "sqlite")
def _each_by_its_index(element: _Modality, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.by_each, **options)})"


def _modality(condition: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> ColumnElement[bool]:
    """Some series has it, or one of the few objects that have another."""
    below = _instances.c.series_row_id == _series.c.id
    others = exists().where(below, condition(_instances.c.modality)).correlate(_series)
    some = or_(condition(_series.c.modality), and_(_HAS_OTHERS, others))
    of_series = exists().where(_OF_STUDY, condition(_series.c.modality)).correlate(studies)
    of_others = exists().select_from(_INSTANCES_OF_SERIES)
    matching = of_others.where(_OF_STUDY, _HAS_OTHERS, condition(_instances.c.modality)).correlate(studies)
    # Asked once a query: an archive whose objects agree is not searched for those that do not, study by study.
    any_other = select(_others.c.id).where(_others.c.said.is_not(None)).exists()
    by_each = or_(of_series, and_(any_other, matching))
    return _Modality(exists().where(_OF_STUDY, some).correlate(studies), by_each)


def _sop_class(condition: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> ColumnElement[bool]:
    some = exists().select_from(_INSTANCES_OF_SERIES)
    return some.where(_OF_STUDY, condition(_instances.c.sop_class_uid)).correlate(studies)


LISTS: Final[
    dict[str, Callable[[Callable[[ColumnElement[Any]], ColumnElement[bool]]], ColumnElement[bool]]]
] = {"ModalitiesInStudy": _modality, "SOPClassesInStudy": _sop_class}
"""By keyword, how to match where one value below suffices: a condition on any column becomes one on the study."""
