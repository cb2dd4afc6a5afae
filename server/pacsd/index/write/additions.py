"""The short way into the index: new instances of series that are up to date already, in two statements.

Nearly every C-STORE but a series' first brings nothing else. The driver is spoken to directly (see `prebuilt`), and
nothing is remembered of the database from one transaction to the next, so other processes may change what they like.
A batch that doesn't fit, if only for one instance, is left whole to `batch`, which knows all cases.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam
from sqlalchemy.exc import OperationalError

from pacsd.index.database.attempts import Patience
from pacsd.index.database.engines import BEGIN_TO_WRITE, ends_connection
from pacsd.index.database.failures import is_passing
from pacsd.index.database.prebuilt import PrebuiltInsert, positional, select_text
from pacsd.index.schema.tables import instances, series
from pacsd.index.write.batch import INSERT
from pacsd.index.write.existing_series import (
    EXISTING_SERIES,
    differing_columns,
    existing_series,
    is_up_to_date,
    series_key,
)
from pacsd.index.write.extra_values import INSERT_OF_INSTANCE, of_instance
from pacsd.index.write.new_disagreements import Noticed, disputed_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter, Dialect, Engine
    from sqlalchemy.engine.interfaces import DBAPICursor

    from pacsd.index.database.attempts import Attempts
    from pacsd.index.schema.rows import SplitRecord
    from pacsd.query.attributes import Attribute

__all__ = ["add", "prepare"]

_MOST_SERIES: Final = 64
"""Of one batch; each power of two up to it is a statement of its own."""

_SHORT_WAY: Final = "the short way's statements"

_COLUMNS: Final = tuple(column.name for column in instances.columns if not column.primary_key)


class _PrebuiltValues:
    """`INSERT_OF_INSTANCE` as text, and the order of its parameters."""

    def __init__(self, dialect: Dialect) -> None:
        compiled: Any = INSERT_OF_INSTANCE.compile(dialect=dialect)
        self.text = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup)


class _Statements:
    """What the short way runs, as text for one kind of database."""

    def __init__(self, dialect: type[Dialect]) -> None:
        by_position = positional(dialect)
        self.begin = BEGIN_TO_WRITE.get(dialect.name)
        self.insert = PrebuiltInsert(INSERT[dialect.name], _COLUMNS, by_position)
        self.insert_extra_value = _PrebuiltValues(by_position)
        self._known = {}
        for exponent in range(_MOST_SERIES.bit_length()):
            size = 1 << exponent
            uids: list[BindParameter[str]] = [bindparam(f"uid_{number}") for number in range(size)]
            narrowed = EXISTING_SERIES.where(series.c.series_instance_uid.in_(uids))
            self._known[size] = select_text(narrowed, by_position)

    def known(self, uids: Sequence[str]) -> tuple[str, list[str]]:
        """The question for these series, with its parameters: the last UID fills what is left over."""
        size = 1 << (len(uids) - 1).bit_length()
        return self._known[size], [*uids, *[uids[-1]] * (size - len(uids))]


@lru_cache(maxsize=4)
def _compiled(dialect: Any) -> _Statements:
    return _Statements(dialect)


def _statements(engine: Engine) -> _Statements:
    dialect: Any = type(engine.dialect)
    return _compiled(dialect)


def prepare(engine: Engine) -> None:
    """Compile the statements; nothing is asked of the database."""
    _statements(engine)


def add(
    engine: Engine,
    batch: Sequence[SplitRecord],
    extra_keys: Sequence[Attribute] = (),
    attempts: Attempts | None = None,
    noticed: Noticed | None = None,
) -> bool:
    """Write and commit the batch if all of it is new and nothing above it changes; False if nothing was done.

    Also False where the values are to blame, which the long way can tell apart, and where objects disagree on something
    that is not among what was `noticed`. Raises SQLAlchemy's OperationalError
    where the database is, and UnconfirmedError; `attempts` knows then whether the batch may have been written.
    """
    if len({received.record.sop_instance_uid for received in batch}) < len(batch):
        return False
    driver: Any = engine.dialect.loaded_dbapi
    try:
        return _add(engine, batch, extra_keys, attempts or Patience(0.0).begin(), noticed or Noticed())
    except driver.OperationalError as error:
        if is_passing(error):
            return False
        raise OperationalError(_SHORT_WAY, None, error, hide_parameters=True) from error
    except (driver.Error, OverflowError, TypeError, ValueError):
        return False


def _add(
    engine: Engine,
    batch: Sequence[SplitRecord],
    extra_keys: Sequence[Attribute],
    attempts: Attempts,
    noticed: Noticed,
) -> bool:
    driver: Any = engine.dialect.loaded_dbapi
    connection = engine.raw_connection()
    try:
        with attempts.limiting(connection.dbapi_connection):
            cursor = connection.cursor()
            if not _insert(cursor, _statements(engine), batch, noticed):
                return False
            if extra_keys:
                _insert_values(cursor, _statements(engine), batch, extra_keys)
            with attempts.committing(connection.info):
                connection.commit()
    except driver.Error as error:
        if ends_connection(engine, error, connection.dbapi_connection):
            connection.invalidate(error)
        raise
    else:
        return True
    finally:
        # Gives it back to the pool, which rolls back what wasn't committed.
        connection.close()


def _insert(
    cursor: DBAPICursor, statements: _Statements, batch: Sequence[SplitRecord], noticed: Noticed
) -> bool:
    uids = sorted({received.record.series_instance_uid for received in batch})
    if len(uids) > _MOST_SERIES:
        return False
    if statements.begin is not None:
        cursor.execute(statements.begin)
    cursor.execute(*statements.known(uids))
    known = existing_series(cursor.fetchall())
    rows = []
    for received in batch:
        of_series = known.get(series_key(received))
        if of_series is None or not is_up_to_date(of_series, received):
            return False
        row = {**received.instance_columns, "series_row_id": of_series.row_id}
        if of_series.said is not None:
            if not noticed.has(disputed_by(received, of_series.study, of_series.series)):
                return False
            row.update(differing_columns(of_series.said, of_series.series, received))
        rows.append(statements.insert.parameters(row))
    if len(rows) == 1:
        cursor.execute(statements.insert.text, rows[0])
    else:
        # Always in this order, lest two writers wait for each other in a circle.
        cursor.executemany(statements.insert.text, sorted(rows, key=_sop_instance_uid))
    return cursor.rowcount == len(rows)


def _insert_values(
    cursor: DBAPICursor,
    statements: _Statements,
    batch: Sequence[SplitRecord],
    extra_keys: Sequence[Attribute],
) -> None:
    statement = statements.insert_extra_value
    rows = [
        [row[name] for name in statement.names]
        for received in batch
        for row in of_instance(extra_keys, received.record.sop_instance_uid, received.image)
    ]
    if rows:
        cursor.executemany(statement.text, rows)


_SOP_INSTANCE_UID: Final = _COLUMNS.index("sop_instance_uid")


def _sop_instance_uid(row: Sequence[Any]) -> str:
    return str(row[_SOP_INSTANCE_UID])
