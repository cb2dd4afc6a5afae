"""What each object says of its patient, study and series, where it is not what their rows say.

Those rows can say one thing alone, by the rules of `parent_rows`. A series in whose objects or above it there is any
disagreement keeps what its objects say in `said`, and an object that says something else what that is in `own`: so each
is found and answered at IMAGE level by its own header. All others, nearly all, keep neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC
from functools import reduce
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, exists, func, select, update

from pacsd.index.schema.rows import Header, columns_of, effective, header_json
from pacsd.index.schema.tables import MOST_PARAMETERS, TABLES, instances, patients, series, studies
from pacsd.index.write.extra_values import rewrite
from pacsd.index.write.level_rows import (
    Told,
    prefer_first,
    prefer_first_and_images,
    prefer_latest,
)
from pacsd.model import DemographicsPolicy, QueryLevel
from pacsd.query.attributes import LEVEL_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from pacsd.index.write.rules import Rules

__all__ = [
    "is_empty",
    "keep_said",
    "keep_what_was_said",
    "own_statements",
    "restate",
    "said_by_series",
    "set_modality",
]

_ABOVE: Final = (QueryLevel.PATIENT, QueryLevel.STUDY, QueryLevel.SERIES)

_SERIES: Final = (
    select(
        series.c.id.label("SERIES"),
        studies.c.id.label("STUDY"),
        patients.c.id.label("PATIENT"),
        series.c.header.label("SERIES header"),
        studies.c.header.label("STUDY header"),
        patients.c.header.label("PATIENT header"),
        series.c.said,
    )
    .join_from(series, studies, series.c.study_row_id == studies.c.id)
    .join(patients, studies.c.patient_row_id == patients.c.id)
)
_OWN: Final = (
    select(instances.c.id, instances.c.own)
    .where(instances.c.series_row_id == bindparam("series"))
    .order_by(instances.c.id)
)
_SET_MODALITY: Final = (
    update(instances)
    .where(instances.c.id.in_(bindparam("rows", expanding=True)))
    .values(modality=bindparam("modality_now"))
)
_SET_SAID: Final = update(series).where(series.c.id == bindparam("row")).values(said=bindparam("told"))


def keep_what_was_said(
    connection: Connection,
    before: Mapping[QueryLevel, Mapping[int, Header]],
    new_series: Iterable[int] = (),
) -> dict[int, Header]:
    """Let series below rows that change say what these said before, by row id; returns what they say, by their ids.

    Not the new ones, which have no instances yet.
    """
    without = set(new_series)
    kept: dict[int, Header] = {}
    for level, headers in before.items():
        if headers:
            below = _SERIES.where(TABLES[level].c.id.in_(sorted(headers)), series.c.said.is_(None))
            for row in connection.execute(below).mappings().all():
                if row["SERIES"] in without:
                    continue
                said: Header = {}
                for each in _ABOVE:
                    headers_before = before.get(each, {})
                    known = headers_before.get(row[each.value])
                    said |= json.loads(row[f"{each.value} header"]) if known is None else known
                kept[row["SERIES"]] = said
    keep_said(connection, kept)
    return kept


def keep_said(connection: Connection, said: Mapping[int, Header]) -> None:
    """Let series say so, by row id."""
    if said:
        rows = [{"row": row, "told": header_json(each)} for row, each in said.items()]
        connection.execute(_SET_SAID, rows)


def is_empty(connection: Connection, series_row_id: int) -> bool:
    """Whether a series has no instances yet; one that is new here may be another process's, and have some."""
    return not connection.scalar(select(exists().where(instances.c.series_row_id == series_row_id)))


def set_modality(connection: Connection, series_row_id: int, header_before: Header, header: Header) -> None:
    """Let a series' instances keep their own modality where it is not the one that the series has now."""
    before, after = (columns_of(QueryLevel.SERIES, each)["modality"] for each in (header_before, header))
    if before == after:
        return
    said = connection.scalar(select(series.c.said).where(series.c.id == series_row_id))
    all_say = header_before if said is None else json.loads(said)
    rows_with: dict[str | None, list[int]] = {}
    for row_id, own in connection.execute(_OWN, {"series": series_row_id}):
        says = effective(all_say, None if own is None else json.loads(own))
        modality = columns_of(QueryLevel.SERIES, says)["modality"]
        rows_with.setdefault(None if modality == after else modality, []).append(row_id)
    for modality, rows in rows_with.items():
        for start in range(0, len(rows), MOST_PARAMETERS):
            connection.execute(
                _SET_MODALITY, {"rows": rows[start : start + MOST_PARAMETERS], "modality_now": modality}
            )


@dataclass(slots=True)
class _Statement:
    """What some objects of one series say, all the same."""

    series_row_id: int
    header: Header
    first: tuple[int, str]
    """When the first of them was received, in microseconds since 1970, and a SOP Instance UID, lest two be the same."""
    last: tuple[int, str]

    def of_level(self, level: QueryLevel) -> Header:
        """What they say of the entity of a level."""
        return {keyword: value for keyword, value in self.header.items() if LEVEL_OF.get(keyword) is level}


def restate(
    connection: Connection,
    study_row_ids: Iterable[int],
    rules: Rules,
    *,
    patient_row_ids: Iterable[int] = (),
) -> None:
    """Let studies, their series and their patients say what the objects that are left say, by `parent_rows`.

    For after objects were replaced or removed, also of patients whose other studies had none of them. Only rows in
    which there is disagreement are looked at.
    """
    for study_row_id in sorted(study_row_ids):
        disputed = exists().where(series.c.study_row_id == study_row_id, series.c.said.is_not(None))
        if connection.scalar(select(disputed)):
            _restate_study(connection, study_row_id, rules)
    for patient_row_id in sorted(patient_row_ids):
        # The objects of a series in which nobody disagrees say all that the patient says.
        agreed = exists().where(
            series.c.study_row_id == studies.c.id,
            studies.c.patient_row_id == patient_row_id,
            series.c.said.is_(None),
        )
        if not connection.scalar(select(agreed)):
            _restate_patient(connection, patients.c.id == patient_row_id, rules)


def _restate_study(connection: Connection, study_row_id: int, rules: Rules) -> None:
    of_study = studies.c.id == study_row_id
    statements = _statements(connection, of_study)
    _restate_patient(connection, of_study, rules, statements)
    statements.sort(key=attrgetter("first"))
    told = _told(statements, QueryLevel.STUDY)
    _rewrite(connection, QueryLevel.STUDY, {study_row_id: told}, rules)
    of_series = {
        series_row_id: _told(
            [each for each in statements if each.series_row_id == series_row_id], QueryLevel.SERIES
        )
        for series_row_id in {each.series_row_id for each in statements}
    }
    _rewrite(connection, QueryLevel.SERIES, of_series, rules)
    _settle(connection, of_study, statements)


def _restate_patient(
    connection: Connection,
    where: ColumnElement[bool],
    rules: Rules,
    of_study: Sequence[_Statement] | None = None,
) -> None:
    """Restate the patient of a study, with what its objects say, or one of whom all studies are to be looked at."""
    row = connection.execute(
        select(patients.c.id, patients.c.header, patients.c.told_at)
        .select_from(patients.outerjoin(studies, studies.c.patient_row_id == patients.c.id))
        .where(where)
    ).first()
    if row is None:
        return
    of_patient = patients.c.id == row.id
    statements = _statements(connection, of_patient) if of_study is None else of_study
    patient = _only_said(
        Told(json.loads(row.header), row.told_at),
        lambda: _statements(connection, of_patient),
        statements,
        rules.demographics,
    )
    if patient.header != json.loads(row.header):
        _rewrite(connection, QueryLevel.PATIENT, {row.id: patient}, rules)
        _settle(connection, of_patient, _statements(connection, of_patient))


def _settle(connection: Connection, where: ColumnElement[bool], statements: Iterable[_Statement]) -> None:
    """Let series in which nobody disagrees any more keep nothing beside what the rows say."""
    of_series: dict[int, list[Header]] = {}
    for each in statements:
        of_series.setdefault(each.series_row_id, []).append(each.header)
    disputed = connection.execute(_SERIES.where(where, series.c.said.is_not(None))).mappings().all()
    agreeing = []
    for row in disputed:
        told: Header = {}
        for level in _ABOVE:
            told |= json.loads(row[f"{level.value} header"])
        if all(header == told for header in of_series.get(row["SERIES"], ())):
            agreeing.append(row["SERIES"])
    connection.execute(update(series).where(series.c.id.in_(agreeing)).values(said=None))
    connection.execute(
        update(instances)
        .where(instances.c.series_row_id.in_(agreeing), instances.c.own.is_not(None))
        .values(own=None)
    )


def _told(statements: Sequence[_Statement], level: QueryLevel) -> Told:
    """What is to be said by a row whose objects say this, in the order of receipt."""
    merge = prefer_first_and_images if level is QueryLevel.SERIES else prefer_first
    return reduce(merge, [Told(each.of_level(level), each.first[0]) for each in statements])


def _only_said(
    row: Told,
    all_statements: Callable[[], list[_Statement]],
    of_study: Sequence[_Statement],
    demographics: DemographicsPolicy,
) -> Told:
    """What is to be said of a patient: what is said, as far as any object says it, and otherwise what others say.

    So nothing changes but what was corrected, whoever sent the rest.
    """
    header = row.header.items()
    if all(each.of_level(QueryLevel.PATIENT).items() == header for each in of_study):
        return row
    statements = all_statements()
    said = {pair for each in statements for pair in each.of_level(QueryLevel.PATIENT).items()}
    merge, at = prefer_first, "first"
    if demographics is DemographicsPolicy.LATEST:
        merge, at = prefer_latest, "last"
    statements.sort(key=attrgetter(at))
    others = reduce(
        merge, [Told(each.of_level(QueryLevel.PATIENT), getattr(each, at)[0]) for each in statements]
    )
    kept = {keyword: value for keyword, value in header if (keyword, value) in said}
    return Told({**others.header, **kept}, row.at)


def said_by_series(connection: Connection, where: ColumnElement[bool]) -> dict[int, Header]:
    """What the objects of some series say unless they have something else of their own, by the series' row ids."""
    of_series = {}
    for row in connection.execute(_SERIES.where(where)).mappings().all():
        headers = [json.loads(row[f"{each.value} header"]) for each in _ABOVE]
        said: Header = headers[0] | headers[1] | headers[2]
        of_series[row["SERIES"]] = said if row["said"] is None else json.loads(row["said"])
    return of_series


def own_statements(
    connection: Connection, said: Mapping[int, Header], without: Collection[str]
) -> list[tuple[int, Header]]:
    """What the objects of series say, one for all that say the same, with the row id of their series.

    `said` is what they say where they have nothing of their own; `without` are UIDs of objects to leave out.
    """
    others = (
        select(instances.c.series_row_id, instances.c.own)
        .where(
            instances.c.series_row_id.in_(sorted(said)), instances.c.sop_instance_uid.not_in(sorted(without))
        )
        .distinct()
    )
    return [
        (series_row_id, effective(said[series_row_id], None if own is None else json.loads(own)))
        for series_row_id, own in connection.execute(others)
    ]


def _statements(connection: Connection, where: ColumnElement[bool]) -> list[_Statement]:
    """What the objects of a patient or a study say, one for all that say the same in a series."""
    of_series = said_by_series(connection, where)
    grouped = (
        select(
            instances.c.series_row_id,
            instances.c.own,
            func.min(instances.c.received_at).label("first"),
            func.max(instances.c.received_at).label("last"),
            func.min(instances.c.sop_instance_uid).label("uid"),
        )
        .where(instances.c.series_row_id.in_(sorted(of_series)))
        .group_by(instances.c.series_row_id, instances.c.own)
        .order_by(instances.c.series_row_id, instances.c.own)
    )
    return [
        _Statement(
            row.series_row_id,
            {
                keyword: value
                for keyword, value in effective(
                    of_series[row.series_row_id], None if row.own is None else json.loads(row.own)
                ).items()
                if value
            },
            (_microseconds(row.first), row.uid),
            (_microseconds(row.last), row.uid),
        )
        for row in connection.execute(grouped)
    ]


def _microseconds(at: datetime) -> int:
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _rewrite(connection: Connection, level: QueryLevel, told: Mapping[int, Told], rules: Rules) -> None:
    """Have rows of a level say this, and what was stored below them keep what it says."""
    table = TABLES[level]
    rows = connection.execute(select(table.c.id, table.c.header).where(table.c.id.in_(sorted(told))))
    before: dict[int, Header] = {row.id: json.loads(row.header) for row in rows}
    changed = {row_id: each for row_id, each in told.items() if each.header != before[row_id]}
    if not changed:
        return
    keep_what_was_said(connection, {level: {row_id: before[row_id] for row_id in changed}})
    connection.execute(
        update(table).where(table.c.id == bindparam("row")),
        [
            {"row": row_id, "told_at": each.at, **columns_of(level, each.header)}
            for row_id, each in changed.items()
        ],
    )
    rewrite(connection, rules.extra_keys_of(level), {row_id: each.header for row_id, each in changed.items()})
    if level is QueryLevel.SERIES:
        for row_id, each in changed.items():
            set_modality(connection, row_id, before[row_id], each.header)
