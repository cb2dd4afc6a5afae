"""What the index says of itself: which store it belongs to, who may write to it, and how far long work has come."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, exists, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from pacsd.errors import ArchiveInUse, IndexUnavailable
from pacsd.index.schema.tables import archive, instances, progress
from pacsd.model import ArchiveIdentity, IndexState, WorkProgress

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine

__all__ = ["claim", "count_instances", "fence", "note_progress", "note_swept", "progress_of", "state"]

_ROW: Final = 1
"""The id of the one row of `archive`."""

_WRITERS: Final = 0x70616373647772
"""PostgreSQL's advisory lock that each connection for writing shares, and that a start must have alone."""

_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_OTHER_WRITERS: Final = text(
    "SELECT a.pid, coalesce(host(a.client_addr), 'a local socket') FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid() "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = :key LIMIT 1"
)


def state(connection: Connection) -> IndexState:
    """What the index says of itself."""
    row = connection.execute(select(archive).where(archive.c.id == _ROW)).first()
    has_instances = bool(connection.scalar(select(exists().where(instances.c.id.is_not(None)))))
    if row is None:
        return IndexState(None, 0, 0, has_instances)
    return IndexState(row.identity, row.generation, row.swept_generation, has_instances)


def claim(
    connection: Connection, identity: ArchiveIdentity, swept_generation: int, *, anew: bool = False
) -> None:
    """Belong to this store, and to the server that is starting in this generation of it.

    `anew` says that whatever work was under way on the archive begins at its beginning.

    Raises ArchiveInUse where a process of another server is connected to write. On PostgreSQL that is what its lock
    says, which ends with the connection; on SQLite the start holds a lock on a file.
    """
    if connection.dialect.name == "postgresql":
        _be_alone(connection)
    row = {
        "id": _ROW,
        "identity": identity.identity,
        "generation": identity.generation,
        "swept_generation": swept_generation,
    }
    before = state(connection)
    if anew or before.identity != identity.identity or before.swept_generation > swept_generation:
        # How far work on another archive, or on a better known one, has come says nothing here.
        connection.execute(progress.delete())
    insert = _INSERT[connection.dialect.name](archive).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=row))


def _be_alone(connection: Connection) -> None:
    # For this transaction only: whoever is connected to write afterwards shares it.
    if connection.scalar(select(func.pg_try_advisory_xact_lock(_WRITERS))):
        return
    other = connection.execute(_OTHER_WRITERS, {"key": _WRITERS}).first()
    who = f" (process {other[0]} of PostgreSQL, called from {other[1]})" if other else ""
    raise ArchiveInUse(f"another pacsd is connected to the index and writes to it{who}: stop it first")


def fence(engine: Engine, generation: int) -> None:
    """Have each of the engine's connections share the lock of those who write, and refuse it to who was overtaken.

    A server whose connections all broke, as in a failover, does not notice that another one was started meanwhile.
    """
    if engine.dialect.name != "postgresql":
        return

    @event.listens_for(engine, "connect")
    def share(connection: Any, _entry: object) -> None:
        with connection.cursor() as cursor:
            # The server notices within half a minute that the other end is gone, and lets go of the lock.
            cursor.execute(
                "SELECT set_config('tcp_keepalives_idle', '15', false), "
                "set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false), "
                f"pg_advisory_lock_shared({_WRITERS})"
            )
            cursor.execute("SELECT generation FROM archive")
            row = cursor.fetchone()
        connection.commit()
        if row is None or row[0] != generation:
            connection.close()
            raise IndexUnavailable(
                "another server has been started on this index: this one may not write to it any more",
                was_reached=False,
            )


def note_swept(connection: Connection, generation: int) -> None:
    """All files of earlier generations of the store have been looked at."""
    connection.execute(archive.update().where(archive.c.id == _ROW).values(swept_generation=generation))


def count_instances(connection: Connection) -> int:
    """How many instances there are; reads all of an index of the table."""
    return connection.scalar(select(func.count()).select_from(instances)) or 0


def progress_of(connection: Connection, work: str) -> WorkProgress | None:
    """How far a work has come; None where it never began."""
    row = connection.execute(select(progress).where(progress.c.work == work)).first()
    if row is None:
        return None
    return WorkProgress(
        began_at=_in_utc(row.began_at),
        ended_at=None if row.ended_at is None else _in_utc(row.ended_at),
        position=row.position,
        done=row.done,
        total=row.total,
        faults=row.faults,
    )


def _in_utc(moment: datetime) -> datetime:
    # SQLite gives it back without its zone.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def note_progress(connection: Connection, work: str, reached: WorkProgress) -> None:
    """Remember how far a work has come."""
    row = {name: getattr(reached, name) for name in WorkProgress.__dataclass_fields__}
    insert = _INSERT[connection.dialect.name](progress).values(work=work, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=["work"], set_=row))
