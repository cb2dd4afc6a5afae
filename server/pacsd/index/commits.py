"""Committing a batch: attempts against other processes, and a poison record set apart from the rest."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from pacsd.errors import DatasetInvalid
from pacsd.index.additions import add
from pacsd.index.batch import Written, write
from pacsd.index.failures import is_passing, unavailable
from pacsd.index.levelrows import OvertakenError
from pacsd.index.rows import Received, received
from pacsd.model import CommitOutcome, CommitResult, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

    from pacsd.index.rules import Rules
    from pacsd.index.turns import Turns
    from pacsd.model import DemographicsDifference, InstanceRecord, StudyConflict

__all__ = ["commit", "in_transaction"]

_ATTEMPTS: Final = 40
"""Of one batch against other processes' commits; each attempt sees what overtook the one before."""

_T = TypeVar("_T")


def commit(
    records: Sequence[InstanceRecord],
    engine: Engine,
    turns: Turns | None,
    rules: Rules,
    observe_difference: Callable[[DemographicsDifference | StudyConflict], None],
) -> list[CommitResult | DatasetInvalid]:
    """Write the records in one transaction; see `Index.commit`."""
    prepared = [_prepared(record) for record in records]
    batch = [each for each in prepared if isinstance(each, Received)]
    written = _written(batch, engine, turns, rules) if batch else []
    for each in written:
        for difference in each.differences:
            observe_difference(difference)
    results = iter([result for each in written for result in each.results])
    return [next(results) if isinstance(each, Received) else each for each in prepared]


def _prepared(record: InstanceRecord) -> Received | DatasetInvalid:
    try:
        return received(record)
    except DatasetInvalid as error:
        return error
    except (AttributeError, TypeError, ValueError) as error:
        return _refusal(error)


def _written(batch: list[Received], engine: Engine, turns: Turns | None, rules: Rules) -> list[Written]:
    def together(connection: Connection) -> list[Written]:
        return [write(connection, batch, rules)]

    def one_by_one(connection: Connection) -> list[Written]:
        return [_write_alone(connection, each, rules) for each in batch]

    try:
        with turns.take() if turns is not None else nullcontext():
            if add(engine, batch, rules.extra_keys_of(QueryLevel.IMAGE)):
                return [Written([CommitResult(CommitOutcome.STORED)] * len(batch))]
            try:
                return in_transaction(engine, together)
            except _POISONOUS as error:
                if not _is_poison(error):
                    raise
                return in_transaction(engine, one_by_one)
    except (SQLAlchemyError, OvertakenError) as error:
        raise unavailable("written", error) from error


def _write_alone(connection: Connection, each: Received, rules: Rules) -> Written:
    """Write behind a savepoint, so that a bad record takes nothing with it; the sync is still one for all."""
    try:
        with connection.begin_nested():
            return write(connection, [each], rules)
    except _POISONOUS as error:
        if not _is_poison(error):
            raise
        return Written([_refusal(error)])


def in_transaction(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    """Do the work in a transaction, and again where another process came first.

    Also after a lost connection, when nobody knows whether the transaction was committed: it is idempotent.
    """
    for _attempt in range(_ATTEMPTS - 1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except OvertakenError:
            continue
        except DBAPIError as error:
            if not (is_passing(error.orig) or error.connection_invalidated):
                raise
    with engine.begin() as connection:
        return work(connection)


_POISONOUS: Final = (StatementError, OverflowError, TypeError, ValueError)


def _is_poison(error: Exception) -> bool:
    """Whether the values are to blame: the database refuses them, or its driver cannot even send them."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError) and not is_passing(error.orig)
    return True


def _refusal(error: Exception) -> DatasetInvalid:
    # Not chained: the database's words may quote the values.
    return DatasetInvalid(f"the index cannot keep this instance ({type(error).__name__})")
