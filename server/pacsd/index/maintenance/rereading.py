"""Headers read anew from the files, for instances of which an older version kept less.

What a row above the instances says is added to. Where files say something else than the rows, as those of an older
version may, that is noted, and the rows say what they would say if the files had been received now, by the rules of
`write/parent_rows`.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from pacsd.index.schema.rows import columns_of, header_json, patient_key, split, split_record
from pacsd.index.schema.tables import TABLES, instances, patients, series, studies
from pacsd.index.write.disagreement import keep_said, restate
from pacsd.index.write.existing_series import difference, differing_columns, own_modality, series_key
from pacsd.index.write.extra_values import rewrite
from pacsd.index.write.orphans import remove_orphans
from pacsd.index.write.parent_rows import write_parent_rows
from pacsd.model import InstanceRecord, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pacsd.index.schema.rows import Header
    from pacsd.index.write.rules import Rules

__all__ = ["refresh"]

_ROWS: Final = (
    select(
        instances.c.path,
        patients.c.patient_key,
        studies.c.study_instance_uid,
        *(table.c.id.label(level.value) for level, table in TABLES.items()),
    )
    .select_from(instances)
    .join(series, instances.c.series_row_id == series.c.id)
    .join(studies, series.c.study_row_id == studies.c.id)
    .join(patients, studies.c.patient_row_id == patients.c.id)
    .where(instances.c.path.in_(bindparam("paths", expanding=True)))
    .order_by(instances.c.path)
)
_MISPLACED: Final = (
    select(instances, series.c.series_instance_uid, studies.c.study_instance_uid)
    .join_from(instances, series, instances.c.series_row_id == series.c.id)
    .join(studies, series.c.study_row_id == studies.c.id)
    .where(instances.c.path.in_(bindparam("paths", expanding=True)))
    .order_by(instances.c.path)
)
_SAID: Final = (
    select(
        instances.c.id,
        instances.c.path,
        instances.c.own,
        instances.c.modality,
        instances.c.series_row_id,
        series.c.study_row_id,
        series.c.said,
        series.c.header.label("series_header"),
        studies.c.header.label("study_header"),
        patients.c.header.label("patient_header"),
    )
    .join_from(instances, series, instances.c.series_row_id == series.c.id)
    .join(studies, series.c.study_row_id == studies.c.id)
    .join(patients, studies.c.patient_row_id == patients.c.id)
    .where(instances.c.path.in_(bindparam("paths", expanding=True)))
    .order_by(instances.c.path)
)
_HEADERS: Final = {
    level: select(table.c.id, table.c.header)
    .where(table.c.id.in_(bindparam("rows", expanding=True)))
    .order_by(table.c.id)
    # As `level_rows` locks what it changes: in the order of levels, and of rows in each.
    .with_for_update(key_share=True)
    for level, table in TABLES.items()
}
_UPDATES: Final = {
    level: update(table).where(table.c.id == bindparam("row")) for level, table in TABLES.items()
}


def refresh(connection: Connection, attributes: Mapping[str, Mapping[str, str]], rules: Rules) -> int:
    """Bring the rows of some files up to date with these attributes of theirs, by path; return how many changed.

    Files that no row names any more are passed over. The values of extra keys go with the rows. No more files than
    one statement takes parameters.
    """
    moved = _move_to_their_patients(connection, attributes, rules)
    read: dict[QueryLevel, dict[int, Header]] = {level: {} for level in QueryLevel}
    for row in connection.execute(_ROWS, {"paths": sorted(attributes)}):
        for level, header in zip(QueryLevel, split(attributes[row.path]), strict=True):
            of_row = read[level].setdefault(getattr(row, level.value), {})
            of_row.update({keyword: value for keyword, value in header.items() if keyword not in of_row})
    changed = sum(_refresh_level(connection, level, rows, rules) for level, rows in read.items())
    return moved + changed + _note_what_is_said(connection, attributes, rules)


def _move_to_their_patients(
    connection: Connection, attributes: Mapping[str, Mapping[str, str]], rules: Rules
) -> int:
    """Move instances that an older version kept with another patient, since their study came with that one first."""
    misplaced = [
        row.path
        for row in connection.execute(_ROWS, {"paths": sorted(attributes)})
        if row.patient_key != patient_key(split(attributes[row.path])[0], row.study_instance_uid)
    ]
    left = set()
    for row in connection.execute(_MISPLACED, {"paths": misplaced}).all():
        record = _record(row, attributes[row.path])
        prepared = split_record(record)
        place = write_parent_rows(connection, [prepared], rules).series[series_key(prepared)]
        columns = {
            **prepared.instance_columns,
            "series_row_id": place.row_id,
            **differing_columns(place.said, place.header, prepared),
        }
        connection.execute(_UPDATES[QueryLevel.IMAGE], {"row": row.id, **columns})
        rewrite(connection, rules.extra_keys_of(QueryLevel.IMAGE), {row.id: prepared.image})
        left.add(row.series_row_id)
    if left:
        remove_orphans(connection, left, rules)
    return len(misplaced)


def _record(row: Any, attributes: Mapping[str, str]) -> InstanceRecord:
    return InstanceRecord(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        attributes=attributes,
        path=row.path,
        size=row.size,
        dataset_offset=row.dataset_offset,
        checksum=row.checksum,
        received_at=row.received_at if row.received_at.tzinfo else row.received_at.replace(tzinfo=UTC),
        calling_ae_title=row.calling_ae_title,
        may_correct=False,
        is_from_file=True,
    )


def _note_what_is_said(
    connection: Connection, attributes: Mapping[str, Mapping[str, str]], rules: Rules
) -> int:
    """Keep with each instance what its file says otherwise than the rows above it."""
    said_now: dict[int, Header] = {}
    changes = []
    disputed = set()
    for row in connection.execute(_SAID, {"paths": sorted(attributes)}):
        patient, study, series_header, _ = split(attributes[row.path])
        header = patient | study | series_header
        of_series: Header = json.loads(row.series_header)
        told = json.loads(row.patient_header) | json.loads(row.study_header) | of_series
        said = said_now.get(row.series_row_id) if row.said is None else json.loads(row.said)
        if said is None:
            if header == told:
                continue
            said = said_now[row.series_row_id] = told
        own = difference(said, header)
        columns = {
            "own": header_json(own) if own else None,
            "modality": own_modality(of_series, series_header),
        }
        if columns != {"own": row.own, "modality": row.modality}:
            changes.append({"row": row.id, **columns})
            disputed.add(row.study_row_id)
    keep_said(connection, said_now)
    if changes:
        connection.execute(_UPDATES[QueryLevel.IMAGE], changes)
        restate(connection, disputed, rules)
    return len(changes)


def _refresh_level(
    connection: Connection, level: QueryLevel, read: Mapping[int, Header], rules: Rules
) -> int:
    changed: dict[int, Header] = {}
    for row in connection.execute(_HEADERS[level], {"rows": sorted(read)}):
        stored: Header = json.loads(row.header)
        header = read[row.id] if level is QueryLevel.IMAGE else {**read[row.id], **stored}
        if header != stored:
            changed[row.id] = header
    if changed:
        connection.execute(
            _UPDATES[level], [{"row": row, **columns_of(level, header)} for row, header in changed.items()]
        )
        rewrite(connection, rules.extra_keys_of(level), changed)
    return len(changed)
