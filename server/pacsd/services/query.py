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

__all__ = ["LongValuesOf", "MatchPage", "Queries"]

LongValuesOf = Callable[[QueryLevel, str, Collection[str]], Match]
"""Returns values of an entity, which its unique key names, that are too long for the index."""


class MatchPage(NamedTuple):
    """Matches that come together."""

    matches: Iterable[Match]
    """To be gone through once, before the next page is asked for."""
    is_last: bool
    is_limited: bool
    """There are more than the caller gets; then it is the last."""


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

    def has_unsupported_keys(self, query: FindQuery, *, has_unknown_keys: bool) -> bool:
        """Say whether there are keys that are neither matched nor answered (PS3.4 §C.4.1.1.4, FF01H).

        `has_unknown_keys` says that it asks for something that has no keyword, as private attributes.
        """
        return has_unknown_keys or bool(self._index.unsupported_keys(query))

    def find(self, query: FindQuery, effort: Effort, *, most: int = 0) -> Generator[MatchPage, None, None]:
        """Yield the matches by pages, `most` of them, or all where that is 0; exhaust this or close it.

        Raises IdentifierInvalid, IndexUnavailable, OperationCancelled, and OperationTooCostly also where the caller
        takes too long for the matches.
        """
        if can_be_long := not CAN_BE_LONG.isdisjoint(query.keys):
            # To know where the values are.
            query = replace(query, keys={UNIQUE_KEYS[query.level]: "", **query.keys})
        left = most or sys.maxsize
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
                is_limited = left < 0
                is_last = is_limited or pages.is_exhausted
                yield MatchPage(matches, is_last, is_limited)
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
