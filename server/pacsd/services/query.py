"""Answering queries (PS3.4 §C.4.1): which matches a caller gets, how many, how long it may take, what is unsupported.

The same whatever asks: a handler reads the keys, writes the matches, and says the rest in its protocol's words.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from pacsd.dataset.indexed_attributes import CAN_BE_LONG
from pacsd.effort import Effort
from pacsd.errors import OperationTooCostly
from pacsd.model import LONGER_THAN_KEPT, UNIQUE_KEYS, FindQuery, QueryLevel
from pacsd.services.ports import Match, QueryCatalogue

__all__ = ["Answering", "LongValuesOf", "MatchPage", "Queries"]

LongValuesOf = Callable[[QueryLevel, str, Collection[str]], Match]
"""Returns values of an entity, which its unique key names, that are too long for the index."""


class MatchPage(NamedTuple):
    """Matches that come together."""

    matches: Iterable[Match]
    """To be gone through once, before the next page is asked for."""
    is_last: bool


class Queries:
    """Answers queries; one object per process. `answer_seconds` is how long a caller may take for all matches."""

    def __init__(
        self,
        index: QueryCatalogue,
        *,
        long_values: LongValuesOf,
        answer_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._long_values = long_values
        self._answer_seconds = answer_seconds
        self._clock = clock

    def find(
        self, query: FindQuery, effort: Effort, *, most: int = 0, has_unknown_keys: bool = False
    ) -> Answering:
        """Begin a query, of whose matches the caller gets `most`, or all where that is 0.

        `has_unknown_keys` says that it asks for something that has no keyword, as private attributes.
        """
        return Answering(self, query, effort, most=most, has_unknown_keys=has_unknown_keys)

    def unsupported_keys(self, query: FindQuery) -> tuple[str, ...]:
        """Return the keys that are neither matched nor answered."""
        return self._index.unsupported_keys(query)

    def pages_of(self, answering: Answering) -> Generator[MatchPage, None, None]:
        """Yield the matches of a query, as iterating over `answering` does."""
        query, effort = answering.query, answering.effort
        if can_be_long := not CAN_BE_LONG.isdisjoint(query.keys):
            # To know where the values are.
            query = replace(query, keys={UNIQUE_KEYS[query.level]: "", **query.keys})
        left = answering.most or sys.maxsize
        deadline = self._clock() + self._answer_seconds
        with closing(self._index.find(query, effort)) as pages:
            for page in pages:
                # With the last page the query is over: a look would cost more than it could save.
                if not pages.is_exhausted and effort.look():
                    effort.raise_if_over()
                if self._clock() > deadline:
                    raise OperationTooCostly(
                        f"the matches were not taken in {self._answer_seconds:g} s; ask for less"
                    )
                matches: Iterable[Match] = page[:left]
                if can_be_long:
                    matches = self._with_long_values(matches, query.level, effort)
                left -= len(page)
                answering.is_limited = left < 0
                is_last = answering.is_limited or pages.is_exhausted
                yield MatchPage(matches, is_last)
                if is_last:
                    return

    def _with_long_values(
        self, matches: Iterable[Match], level: QueryLevel, effort: Effort
    ) -> Iterator[Match]:
        """Yield the matches with what is too long for the index, read from files one by one."""
        for match in matches:
            missing = [keyword for keyword, value in match.items() if value == LONGER_THAN_KEPT]
            if not missing:
                yield match
                continue
            # Not `check`, which leaves the peer alone while it is being answered; here its own thread asks.
            if effort.look():
                effort.raise_if_over()
            unread = dict.fromkeys(missing, "")
            yield {**match, **unread, **self._long_values(level, match[UNIQUE_KEYS[level]], missing)}


class Answering:
    """One query under way: iterate over it once, and close it where that is not to the end.

    Iterating raises IdentifierInvalid, IndexUnavailable, OperationCancelled, and OperationTooCostly also where the
    caller takes too long for the matches.
    """

    def __init__(
        self, queries: Queries, query: FindQuery, effort: Effort, *, most: int, has_unknown_keys: bool
    ) -> None:
        self.query = query
        self.effort = effort
        self.most = most
        self.has_unsupported_keys = has_unknown_keys or bool(queries.unsupported_keys(query))
        """There are keys that are neither matched nor answered (PS3.4 §C.4.1.1.4, FF01H)."""
        self.is_limited = False
        """When the last page has come: there are more matches than the caller gets."""
        self._pages = queries.pages_of(self)

    def __iter__(self) -> Iterator[MatchPage]:
        return self._pages

    def close(self) -> None:
        """Read no more."""
        self._pages.close()
