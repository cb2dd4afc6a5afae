"""Headers read anew from the files, for instances of which an older version kept less.

What a row above the instances says stays, and is added to alone: which of several instances is right about their
patient was decided when they came, and their files do not say in which order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from pacsd.index.extra_values import rewrite
from pacsd.index.rows import columns_of, patient_key, split
from pacsd.index.tables import TABLES, instances, patients, series, studies
from pacsd.model import QueryLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from pacsd.index.rows import Header
    from pacsd.index.rules import Rules

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
_HEADERS: Final = {
    level: select(table.c.id, table.c.header)
    .where(table.c.id.in_(bindparam("rows", expanding=True)))
    .order_by(table.c.id)
    # As `levelrows` locks what it changes: in the order of levels, and of rows in each.
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
    read: dict[QueryLevel, dict[int, Header]] = {level: {} for level in QueryLevel}
    for row in connection.execute(_ROWS, {"paths": sorted(attributes)}):
        for level, header in _headers(row, attributes[row.path]):
            of_row = read[level].setdefault(getattr(row, level.value), {})
            of_row.update({keyword: value for keyword, value in header.items() if keyword not in of_row})
    return sum(_refresh_level(connection, level, rows, rules) for level, rows in read.items())


def _headers(row: Any, attributes: Mapping[str, str]) -> Iterable[tuple[QueryLevel, Header]]:
    """A file's attributes by level; not the patient's where an older version kept its study under another one."""
    for level, header in zip(QueryLevel, split(attributes), strict=True):
        if level is not QueryLevel.PATIENT or row.patient_key == patient_key(header, row.study_instance_uid):
            yield level, header


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
