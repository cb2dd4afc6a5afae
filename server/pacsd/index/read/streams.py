"""One SELECT's rows as they stream from the database, by way of its driver: they are never all in memory.

Each is a transaction of its own, so there is nothing to begin and nothing to end.
"""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy.exc import DBAPIError, OperationalError

from pacsd.effort import LOOKS
from pacsd.errors import IndexUnavailable
from pacsd.index.database.engines import ends_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from sqlalchemy import Engine

    from pacsd.effort import Effort
    from pacsd.index.read.query_watch import Watch, Watched

__all__ = ["Page", "QueryPlaces", "stream"]

_PAGE: Final = 200
_FIRST_PAGE: Final = 5
"""So that somebody sees something soon."""
_LONG_PAGE: Final = 1 << 18
"""Characters of a page, where rows may be long: it is in memory until the peer has taken it."""
_STEP: Final = 10
"""Rows after which that is looked at."""
_FEW: Final = 500
"""Rows that are taken from PostgreSQL all at once, where no more are expected."""

_LONGEST_WAIT: Final = 30.0
"""Seconds for a place."""


class Page(NamedTuple):
    """Rows that come together."""

    rows: Sequence[Sequence[Any]]
    is_last: bool


class QueryPlaces:
    """How many queries may use a connection at once: some connections are left to those who store."""

    def __init__(self, places: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(places):
            self._free.put(None)

    def take(self, effort: Effort) -> None:
        """Have one until `give_back`.

        Raises IndexUnavailable where none is free for long, and what ends `effort`.
        """
        deadline = time.monotonic() + _LONGEST_WAIT
        while True:
            try:
                return self._free.get(timeout=LOOKS)
            except Empty:
                effort.check()
                if time.monotonic() >= deadline:
                    raise IndexUnavailable(
                        "the index cannot be read: too many queries are under way; try again later"
                    ) from None

    def give_back(self) -> None:
        """Let another query have it."""
        self._free.put(None)


def stream(
    engine: Engine,
    text: str,
    parameters: Sequence[Any],
    *,
    places: QueryPlaces,
    watch: Watch,
    effort: Effort,
    long_columns: Sequence[int] = (),
    finds_few: bool = False,
) -> Generator[Page, None, None]:
    """Execute a statement as text and yield its rows by pages; raises SQLAlchemyError, also where `effort` ends it.

    `finds_few` says what is expected; whatever comes is yielded. `long_columns` are those whose text may be long.
    Exhaust the generator or close it: it holds a connection, and a state of the database of which nothing can be
    cleared away.
    """
    driver: Any = engine.dialect.loaded_dbapi
    pooled: Any = None
    places.take(effort)
    try:
        pooled = engine.raw_connection()
        connection = pooled.dbapi_connection
        watched = watch.watching(connection, effort)
        with closing(connection.cursor()) as cursor:
            if engine.dialect.name == "sqlite":
                rows = watched.wait_for(_first_rows, cursor, text, parameters)
                yield from _pages(rows, lambda most: watched.wait_for(cursor.fetchmany, most), long_columns)
            else:
                yield from _postgresql_pages(
                    connection, cursor, text, parameters, watched, long_columns, finds_few=finds_few
                )
    except driver.Error as error:
        if pooled is not None and ends_connection(engine, error, pooled.dbapi_connection):
            pooled.invalidate(error)
            # Others in the pool lead to the same server.
            engine.dispose()
        kind = OperationalError if isinstance(error, driver.OperationalError) else DBAPIError
        # Without the values.
        raise kind(text, None, error, hide_parameters=True) from error
    finally:
        if pooled is not None:
            pooled.close()
        places.give_back()


def _first_rows(cursor: Any, text: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
    cursor.execute(text, parameters)
    rows: Sequence[Sequence[Any]] = cursor.fetchmany(_FIRST_PAGE)
    return rows


def _postgresql_pages(
    connection: Any,
    cursor: Any,
    text: str,
    parameters: Sequence[Any],
    watched: Watched,
    long_columns: Sequence[int],
    *,
    finds_few: bool,
) -> Generator[Page, None, None]:
    """In one round trip, where a cursor in the server takes five.

    The server waits when nobody fetches, and is told to stop when this is closed early. But it plans what is streamed
    each time, which takes longer than to find few rows; what is taken at once it plans for all times.
    """
    connection.autocommit = True
    try:
        if finds_few:
            rows = watched.wait_for(cursor.execute, f"{text} LIMIT {_FEW + 1}", parameters).fetchall()
            if len(rows) <= _FEW:
                yield Page(rows, is_last=True)
                return
        size = _STEP if long_columns else _PAGE
        with closing(cursor.stream(text, parameters, size=size)) as rows:

            def fetch(most: int) -> Sequence[Sequence[Any]]:
                return watched.wait_for(list, islice(rows, most))

            yield from _pages(fetch(_FIRST_PAGE), fetch, long_columns)
    finally:
        if not connection.closed:
            connection.autocommit = False


def _pages(
    rows: Sequence[Sequence[Any]],
    fetch: Callable[[int], Sequence[Sequence[Any]]],
    long_columns: Sequence[int],
) -> Generator[Page, None, None]:
    """Yield the first page, which is `rows`, and what `fetch` returns after that."""
    page = Page(rows, is_last=len(rows) < _FIRST_PAGE)
    yield page
    while not page.is_last:
        page = _page(fetch, long_columns)
        yield page


def _page(fetch: Callable[[int], Sequence[Sequence[Any]]], long_columns: Sequence[int]) -> Page:
    """Fetch a page, of fewer rows where they are long."""
    step = _STEP if long_columns else _PAGE
    rows: list[Sequence[Any]] = []
    length = 0
    while len(rows) < _PAGE and length < _LONG_PAGE:
        some = fetch(step)
        rows += some
        if len(some) < step:
            return Page(rows, is_last=True)
        length += sum(len(row[at] or "") for row in some for at in long_columns)
    return Page(rows, is_last=False)
