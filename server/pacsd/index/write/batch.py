"""One transaction's writing: which records of a batch are kept, and the rows of the four levels for them.

Two processes may write at the same time (on PostgreSQL). Rows are inserted under their natural keys with "on
conflict do nothing" and read back, always patients, studies, series, instances and each in order of its key,
so writers neither make a row twice nor wait for each other in a circle. Who finds at the end that another was
quicker raises `OvertakenError`; the caller rolls back and tries again, and then sees the other's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from pacsd.index.database.failures import OvertakenError
from pacsd.index.schema.tables import MOST_PARAMETERS, instances
from pacsd.index.write.duplicates import Kept, kept_as, result_for
from pacsd.index.write.existing_series import differing_columns, series_key
from pacsd.index.write.extra_values import INSERT_OF_INSTANCE, of_instance, rewrite
from pacsd.index.write.new_disagreements import notice
from pacsd.index.write.orphans import remove_orphans
from pacsd.index.write.parent_rows import write_parent_rows
from pacsd.model import CommitOutcome, CommitResult, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pacsd.errors import DatasetInvalid
    from pacsd.index.schema.rows import Header, SplitRecord
    from pacsd.index.write.existing_series import SeriesKey
    from pacsd.index.write.new_disagreements import Finding, Noticed
    from pacsd.index.write.parent_rows import SeriesRow
    from pacsd.index.write.rules import Rules
    from pacsd.model import Difference

__all__ = ["INSERT", "OvertakenError", "Written", "write"]

_KEPT: Final = (
    select(
        instances.c.id,
        instances.c.sop_instance_uid,
        instances.c.checksum,
        instances.c.transfer_syntax_uid,
        instances.c.path,
        instances.c.size,
        instances.c.dataset_offset,
        instances.c.calling_ae_title,
        instances.c.series_row_id,
    )
    .where(instances.c.sop_instance_uid.in_(bindparam("uids", expanding=True)))
    .order_by(instances.c.id)
    # Nobody else may replace what this transaction decides by (SQLite has but one writer and ignores it).
    .with_for_update(key_share=True)
)
INSERT: Final = {
    "sqlite": sqlite.insert(instances).on_conflict_do_nothing(index_elements=["sop_instance_uid"]),
    "postgresql": postgresql.insert(instances).on_conflict_do_nothing(index_elements=["sop_instance_uid"]),
}
"""New instances, by the dialect's name; one under a UID that is kept already adds nothing to the count of rows."""

_WRITTEN: Final = frozenset((CommitOutcome.REPLACED, CommitOutcome.HEALED))
"""Whose row takes the place of another one."""

_REPLACE: Final = instances.update().where(instances.c.id == bindparam("row"))


@dataclass(slots=True)
class _Slot:
    """What stands under one SOP Instance UID, before and after the batch."""

    row_id: int | None
    kept: Kept | None
    series_row_id: int | None
    written: SplitRecord | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What has become of records, and what is to be told of them once they are committed."""

    results: Sequence[CommitResult | DatasetInvalid]
    differences: Sequence[Difference] = ()
    findings: Sequence[Finding] = ()
    """Of objects that disagree."""
    replaced: bool = False
    """Whether something that was kept gave way, so that objects which disagreed may agree now."""


def write(connection: Connection, batch: Sequence[SplitRecord], rules: Rules, noticed: Noticed) -> Written:
    """Write a batch in the connection's transaction; results in the batch's order.

    `noticed` is where objects are known to disagree. Raises `OvertakenError`, and SQLAlchemy's errors as they come.
    """
    slots = _slots(connection, batch)
    results = []
    for received in batch:
        record = received.record
        slot = slots[record.sop_instance_uid]
        result = result_for(record, slot.kept, rules.duplicates)
        if slot.kept is None or result.outcome in _WRITTEN:
            slot.kept, slot.written = kept_as(record), received
        results.append(result)
    # Only what stays at the end counts: of a UID that came twice, the first leaves no trace in study or
    # patient.
    kept = [received for received in batch if slots[received.record.sop_instance_uid].written is received]
    if not kept:
        return Written(results)
    series, differences = write_parent_rows(connection, kept, rules)
    replaced = _write_instances(connection, slots, kept, series, rules)
    findings = notice(connection, kept, series, noticed, replaced=replaced)
    return Written(results, differences, findings, replaced)


def _slots(connection: Connection, batch: Sequence[SplitRecord]) -> dict[str, _Slot]:
    slots = {received.record.sop_instance_uid: _Slot(None, None, None) for received in batch}
    uids = sorted(slots)
    for start in range(0, len(uids), MOST_PARAMETERS):
        for row in connection.execute(_KEPT, {"uids": uids[start : start + MOST_PARAMETERS]}):
            kept = Kept(
                row.checksum,
                row.transfer_syntax_uid,
                row.path,
                row.size,
                row.dataset_offset,
                row.calling_ae_title,
            )
            slots[row.sop_instance_uid] = _Slot(row.id, kept, row.series_row_id)
    return slots


def _write_instances(
    connection: Connection,
    slots: dict[str, _Slot],
    kept: Sequence[SplitRecord],
    series: Mapping[SeriesKey, SeriesRow],
    rules: Rules,
) -> bool:
    """Write the rows of the instances themselves; return whether any took another one's place."""
    extra_keys = rules.extra_keys_of(QueryLevel.IMAGE)
    new: list[dict[str, Any]] = []
    new_values: list[dict[str, Any]] = []
    changed_headers: dict[int, Header] = {}
    changed: list[dict[str, Any]] = []
    left: set[int] = set()
    for received in kept:
        record = received.record
        slot = slots[record.sop_instance_uid]
        place = series[series_key(received)]
        row = {
            **received.instance_columns,
            "series_row_id": place.row_id,
            **differing_columns(place.said, place.header, received),
        }
        if slot.row_id is None:
            new.append(row)
            new_values += of_instance(extra_keys, record.sop_instance_uid, received.image)
        else:
            changed.append({**row, "row": slot.row_id})
            changed_headers[slot.row_id] = received.image
            left.update(each for each in (slot.series_row_id, place.row_id) if each is not None)
        if record.is_from_file:
            # Found in any order: one without a value may have let a later one fill it before an earlier one came.
            left.add(place.row_id)
    if changed:
        connection.execute(_REPLACE, changed)
        rewrite(connection, extra_keys, changed_headers)
    if new:
        _insert(connection, new)
    if new_values:
        connection.execute(INSERT_OF_INSTANCE, new_values)
    if left:
        remove_orphans(connection, left, rules)
    return bool(changed)


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    rows.sort(key=lambda row: str(row["sop_instance_uid"]))
    insert = INSERT[connection.dialect.name]
    result = connection.execute(insert, rows, execution_options={"preserve_rowcount": True})
    if result.rowcount != len(rows):
        raise OvertakenError
