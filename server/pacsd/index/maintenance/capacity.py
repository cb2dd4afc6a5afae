"""How many connections a server's processes may open, so that PostgreSQL has room for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from pacsd.errors import ConfigurationError, IndexUnavailable
from pacsd.index.database.engines import Connections, asking_engine, database_file, database_url
from pacsd.index.database.failures import unavailable

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["Capacity", "capacity", "connections_of_each"]

_BESIDE_THE_WORKERS: Final = 8
"""For /readyz, housekeeping, the supervisor, and commands that somebody runs."""
_ENOUGH_READING: Final = 16
"""With fewer for each worker, queries may come to wait for one another."""
_TIMEOUT: Final = 3
"""Seconds: a worker that starts while the database is away does not wait for it."""
_UNTIL_ASKED: Final = Connections(writing=2, reading=6)
"""What a worker has that could not ask."""

_LIMITS: Final = text(
    "SELECT current_setting('max_connections')::int AS most, "
    "current_setting('superuser_reserved_connections')::int "
    "+ coalesce(current_setting('reserved_connections', true), '0')::int AS reserved, "
    "(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS of_role, "
    "(SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS of_database"
)


@dataclass(frozen=True)
class Capacity:
    """What PostgreSQL has room for, and what each worker is to have of it."""

    room: int
    """Connections that our role can have."""
    workers: int

    @property
    def of_each(self) -> Connections:
        """A worker's; ConfigurationError, saying what to do, where not even one writes and one reads."""
        each = max(0, self.room - _BESIDE_THE_WORKERS) // self.workers
        if each < 2:
            raise ConfigurationError(
                f"PostgreSQL has room for {self.room} connections of ours and {self.workers} workers need "
                f"{2 * self.workers + _BESIDE_THE_WORKERS} at least; {self.remedy}"
            )
        # Writers have room of their own, which queries cannot take.
        writing = min(Connections.writing, max(1, each // 4))
        return Connections(writing, min(Connections.reading, each - writing))

    @property
    def is_tight(self) -> bool:
        """Whether many queries at once will have to wait for connections."""
        return self.of_each.reading < _ENOUGH_READING

    @property
    def remedy(self) -> str:
        """What to set, so that it is not tight any more."""
        enough = self.workers * (Connections.writing + _ENOUGH_READING) + _BESIDE_THE_WORKERS
        return (
            f"raise PostgreSQL's max_connections (or the role's or the database's CONNECTION LIMIT) so that {enough} "
            "are left for us, or set fewer server.workers"
        )


def capacity(url: str | URL, workers: int) -> Capacity | None:
    """Ask PostgreSQL; None for SQLite, which has no limit. Raises IndexUnavailable."""
    parsed = database_url(url)
    if database_file(parsed) is not None:
        return None
    engine = asking_engine(parsed, _TIMEOUT)
    try:
        with engine.connect() as connection:
            found = connection.execute(_LIMITS).one()
    except SQLAlchemyError as error:
        raise unavailable("read", error) from error
    finally:
        engine.dispose()
    limits = [each for each in (found.of_role, found.of_database) if each is not None and each >= 0]
    return Capacity(min([found.most - found.reserved, *limits]), workers)


def connections_of_each(url: str | URL, workers: int) -> Connections:
    """How many a worker of so many is to have: few where PostgreSQL does not answer now."""
    try:
        found = capacity(url, workers)
        return Connections() if found is None else found.of_each
    except (IndexUnavailable, ConfigurationError):
        return _UNTIL_ASKED
