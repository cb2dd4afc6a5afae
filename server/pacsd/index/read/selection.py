"""Which instances a retrieve request means (PS3.4 C.4.2.2.1): its unique keys checked and turned into SQL."""

from __future__ import annotations

from functools import partial
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from pacsd.errors import IdentifierInvalid
from pacsd.index.schema.tables import MOST_PARAMETERS, instances, patients, series, studies
from pacsd.model import UNIQUE_KEYS, QueryModel, StoredInstance
from pacsd.query.hierarchy import check_level, depth
from pacsd.query.normalization import text
from pacsd.selected import SelectedInstances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from pacsd.model import InstanceSelection

__all__ = ["by_sop_instance_uid", "by_sop_instance_uids", "checked_keys", "count", "locate", "stored_after"]

_COLUMNS: Final = {
    "PatientID": patients.c.patient_id,
    "StudyInstanceUID": studies.c.study_instance_uid,
    "SeriesInstanceUID": series.c.series_instance_uid,
    "SOPInstanceUID": instances.c.sop_instance_uid,
}
_ABOVE: Final = (
    instances.join(series, instances.c.series_row_id == series.c.id)
    .join(studies, series.c.study_row_id == studies.c.id)
    .join(patients, studies.c.patient_row_id == patients.c.id)
)
_STORED: Final = select(
    instances.c.sop_instance_uid,
    instances.c.sop_class_uid,
    instances.c.transfer_syntax_uid,
    instances.c.path,
    instances.c.size,
    instances.c.dataset_offset,
    instances.c.checksum,
    instances.c.instance_number,
    series.c.id.label("series_row_id"),
    series.c.series_number,
    studies.c.id.label("study_row_id"),
).select_from(_ABOVE)

_ORDER: Final = (
    studies.c.id,
    series.c.series_number.is_(None),
    series.c.series_number,
    series.c.id,
    instances.c.instance_number.is_(None),
    instances.c.instance_number,
    instances.c.sop_instance_uid,
)
"""As `_order`."""


def checked_keys(selection: InstanceSelection) -> dict[str, tuple[str, ...]]:
    """The unique keys that select, by keyword.

    Raises IdentifierInvalid for a level that the model doesn't have, a unique key missing, one above the
    level with several values, one below the level, and wildcards in a UID. A relational selection may leave
    out those above the level and have several values there (PS3.4 C.4.2.3.2.1), but no list of Patient IDs. A
    Patient ID has no meaning in the Study Root model and is ignored.
    """
    check_level(selection.model, selection.level)
    keys = _given(selection)
    if selection.model is QueryModel.STUDY_ROOT:
        del keys["PatientID"]
    for level, keyword in UNIQUE_KEYS.items():
        if keyword not in keys:
            continue
        below = depth(level) - depth(selection.level)
        is_free = below < 0 and selection.relational
        if below > 0:
            if keys.pop(keyword):
                raise IdentifierInvalid(f"{keyword} is a key below the level", keywords=(keyword,))
        elif not keys[keyword]:
            if not is_free:
                raise IdentifierInvalid(f"{keyword} is missing", keywords=(keyword,))
            del keys[keyword]
        elif len(keys[keyword]) > 1 and (keyword == "PatientID" or (below < 0 and not is_free)):
            raise IdentifierInvalid(f"{keyword} must have a single value", keywords=(keyword,))
        if keyword != "PatientID" and any(set(value) & {"*", "?"} for value in keys.get(keyword, ())):
            raise IdentifierInvalid(f"{keyword} must not have wildcards", keywords=(keyword,))
    return keys


def _given(selection: InstanceSelection) -> dict[str, tuple[str, ...]]:
    given = {
        "PatientID": (selection.patient_id or "").split("\\"),
        "StudyInstanceUID": selection.study_instance_uids,
        "SeriesInstanceUID": selection.series_instance_uids,
        "SOPInstanceUID": selection.sop_instance_uids,
    }
    trimmed = {keyword: [text(value) for value in values] for keyword, values in given.items()}
    return {keyword: tuple(dict.fromkeys(filter(None, values))) for keyword, values in trimmed.items()}


def locate(
    pages_of: Callable[[Any], Iterable[Sequence[Any]]],
    selection: InstanceSelection,
    look_up: Callable[[Sequence[str]], Mapping[str, StoredInstance]],
) -> SelectedInstances:
    """The selected instances: by study, series number, instance number (those without last) and UID.

    `pages_of` executes a statement, of which no rows are kept but the first.
    """
    selected = SelectedInstances(look_up)
    conditions = list(_conditions(selection))
    rows: Iterable[Any]
    if len(conditions) == 1:
        rows = chain.from_iterable(pages_of(_STORED.where(*conditions[0]).order_by(*_ORDER)))
    else:
        # More values than a statement takes are seldom, and bounded by what an identifier holds.
        found = chain.from_iterable(pages_of(_STORED.where(*where)) for where in conditions)
        rows = sorted(chain.from_iterable(found), key=_order)
    for row in rows:
        kind = (row.sop_class_uid, row.transfer_syntax_uid)
        selected.add(row.sop_instance_uid, kind, partial(_stored_instance, row))
    return selected


def by_sop_instance_uids(
    connection: Connection, sop_instance_uids: Sequence[str]
) -> Mapping[str, StoredInstance]:
    """The instances of some UIDs that there are, by UID; a few hundred at once."""
    statement = _STORED.where(instances.c.sop_instance_uid.in_(sop_instance_uids))
    return {row.sop_instance_uid: _stored_instance(row) for row in connection.execute(statement)}


def _order(row: Any) -> tuple[Any, ...]:
    return (
        row.study_row_id,
        row.series_number is None,
        row.series_number,
        row.series_row_id,
        row.instance_number is None,
        row.instance_number,
        row.sop_instance_uid,
    )


def count(connection: Connection, selection: InstanceSelection) -> int:
    """How many instances `locate` would give."""
    counted = select(func.count()).select_from(_ABOVE)
    return sum(connection.scalar(counted.where(*where)) or 0 for where in _conditions(selection))


def by_sop_instance_uid(connection: Connection, sop_instance_uid: str) -> StoredInstance | None:
    """The instance kept under a UID, None if there is none."""
    row = connection.execute(_STORED.where(instances.c.sop_instance_uid == sop_instance_uid)).first()
    return None if row is None else _stored_instance(row)


def stored_after(connection: Connection, path: str, most: int) -> Sequence[StoredInstance]:
    """The next instances behind a file, in the order of paths; from the first one behind ""."""
    following = _STORED.where(instances.c.path > path).order_by(instances.c.path).limit(most)
    return [_stored_instance(row) for row in connection.execute(following)]


def _conditions(selection: InstanceSelection) -> Iterator[list[ColumnElement[bool]]]:
    """The selection as disjoint conditions, none with more values than a statement takes."""
    keys = checked_keys(selection)
    for lists in product(*(_chunks(values) for values in keys.values())):
        yield [_COLUMNS[keyword].in_(values) for keyword, values in zip(keys, lists, strict=True)]


def _chunks(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + MOST_PARAMETERS] for start in range(0, len(values), MOST_PARAMETERS)]


def _stored_instance(row: Any) -> StoredInstance:
    fields: Mapping[str, Any] = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    return StoredInstance(**{name: fields[name] for name in StoredInstance.__dataclass_fields__})
