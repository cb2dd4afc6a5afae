"""Committing a batch: attempts until the database has answered, and a poison record set apart from the rest."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from pacsd.errors import DatasetInvalid, IndexUnavailable
from pacsd.index.database.failures import (
    OvertakenError,
    UnconfirmedError,
    is_passing,
    is_without_leader,
    unavailable,
)
from pacsd.index.schema.rows import SplitRecord, split_record
from pacsd.index.write.additions import add
from pacsd.index.write.batch import Written, write
from pacsd.model import CommitOutcome, CommitResult, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

    from pacsd.index.database.attempts import Attempts, Patience
    from pacsd.index.database.write_lock import WriteLock
    from pacsd.index.write.new_disagreements import Noticed
    from pacsd.index.write.rules import Rules
    from pacsd.model import Difference, InstanceRecord

__all__ = ["commit", "in_transaction", "read_patiently"]

_T = TypeVar("_T")


def commit(
    records: Sequence[InstanceRecord],
    engine: Engine,
    write_lock: WriteLock | None,
    patience: Patience,
    rules: Rules,
    noticed: Noticed,
    observe_difference: Callable[[Difference], None],
) -> list[CommitResult | DatasetInvalid]:
    """Write the records in one transaction; see `Index.commit`."""
    prepared = [_prepared(record) for record in records]
    batch = [each for each in prepared if isinstance(each, SplitRecord)]
    written = _written(batch, engine, write_lock, patience, rules, noticed) if batch else []
    for each in written:
        noticed.remember(each.findings, anew=each.replaced)
        for difference in each.differences:
            observe_difference(difference)
        for finding in each.findings:
            if finding.new:
                observe_difference(finding.conflict())
    results = iter([result for each in written for result in each.results])
    return [next(results) if isinstance(each, SplitRecord) else each for each in prepared]


def _prepared(record: InstanceRecord) -> SplitRecord | DatasetInvalid:
    try:
        return split_record(record)
    except DatasetInvalid as error:
        return error
    except (AttributeError, TypeError, ValueError) as error:
        return _refusal(error)


def _written(
    batch: list[SplitRecord],
    engine: Engine,
    write_lock: WriteLock | None,
    patience: Patience,
    rules: Rules,
    noticed: Noticed,
) -> list[Written]:
    def together(connection: Connection) -> list[Written]:
        return [write(connection, batch, rules, noticed)]

    def one_by_one(connection: Connection) -> list[Written]:
        return [_write_alone(connection, each, rules, noticed) for each in batch]

    def attempt(attempts: Attempts) -> list[Written]:
        if attempts.is_first and add(engine, batch, rules.extra_keys_of(QueryLevel.IMAGE), attempts, noticed):
            return [Written([CommitResult(CommitOutcome.STORED)] * len(batch))]
        try:
            return _limited(engine, together, attempts)
        except _POISONOUS as error:
            if not _is_poison(error):
                raise
            if attempts.may_be_written:
                # What it refuses now it may have taken before, and a record that is refused loses its file.
                raise attempts.failure(error) from error
            return _limited(engine, one_by_one, attempts)

    return _until_answered(attempt, engine, write_lock, patience)


def _write_alone(connection: Connection, each: SplitRecord, rules: Rules, noticed: Noticed) -> Written:
    """Write behind a savepoint, so that a bad record takes nothing with it; the sync is still one for all."""
    try:
        with connection.begin_nested():
            return write(connection, [each], rules, noticed)
    except _POISONOUS as error:
        if not _is_poison(error):
            raise
        return Written([_refusal(error)])


def in_transaction(
    engine: Engine, work: Callable[[Connection], _T], write_lock: WriteLock | None, patience: Patience
) -> _T:
    """Do the work in a transaction, and again where another process came first or the database went away.

    It must be idempotent: an attempt whose answer was lost may have been committed. Raises IndexUnavailable, and what
    the work raises.
    """
    return _until_answered(partial(_unlimited, engine, work), engine, write_lock, patience)


def _until_answered(
    attempt: Callable[[Attempts], _T], engine: Engine, write_lock: WriteLock | None, patience: Patience
) -> _T:
    attempts = patience.begin()
    while True:
        try:
            with write_lock.take() if write_lock is not None else nullcontext():
                result = attempt(attempts)
        except (SQLAlchemyError, OvertakenError, UnconfirmedError) as error:
            if is_without_leader(error):
                # Others in the pool lead to the same server.
                engine.dispose()
            if not attempts.go_on_after(error):
                raise attempts.failure(error) from error
        except IndexUnavailable as error:
            error.may_be_written = error.may_be_written or attempts.may_be_written
            raise
        except Exception as error:
            if attempts.may_be_written:
                raise attempts.failure(error) from error
            raise
        else:
            attempts.succeeded()
            return result


def read_patiently(
    engine: Engine,
    work: Callable[[Connection], _T],
    patience: Patience,
    look: Callable[[], None] | None = None,
) -> _T:
    """Ask, and again where the database went away; raises IndexUnavailable, and what the work raises."""
    attempts = patience.begin(look)
    while True:
        try:
            with engine.connect() as connection:
                found = work(connection)
        except SQLAlchemyError as error:
            if not attempts.go_on_after(error):
                raise unavailable("read", error) from error
        else:
            attempts.succeeded()
            return found


def _limited(engine: Engine, work: Callable[[Connection], _T], attempts: Attempts) -> _T:
    with engine.connect() as connection, attempts.limiting(connection.connection.dbapi_connection):
        return _committed(connection, work, attempts)


def _unlimited(engine: Engine, work: Callable[[Connection], _T], attempts: Attempts) -> _T:
    with engine.connect() as connection:
        return _committed(connection, work, attempts)


def _committed(connection: Connection, work: Callable[[Connection], _T], attempts: Attempts) -> _T:
    result = work(connection)
    with attempts.committing(connection.info):
        connection.commit()
    return result


_POISONOUS: Final = (StatementError, OverflowError, TypeError, ValueError)


def _is_poison(error: Exception) -> bool:
    """Whether the values are to blame: the database refuses them, or its driver cannot even send them."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError) and not is_passing(error.orig)
    return True


def _refusal(error: Exception) -> DatasetInvalid:
    # Not chained: the database's words may quote the values.
    return DatasetInvalid(f"the index cannot keep this instance ({type(error).__name__})")
