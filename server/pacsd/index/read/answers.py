"""The rows of a query's statement as answers, with what SQL can't decide compared as they stream.

That is attributes without a column, and rows marked `inexact`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy.exc import SQLAlchemyError

from pacsd.index.database.failures import unavailable
from pacsd.index.read.aggregates import LISTS
from pacsd.index.read.spool import Spool, Spools
from pacsd.index.read.statements import OWN, SAID, header_column, inexact_column
from pacsd.index.read.streams import Page
from pacsd.index.schema.rows import effective
from pacsd.model import QueryLevel
from pacsd.query.attributes import Attribute, Source
from pacsd.query.matching import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from pacsd.effort import Effort
    from pacsd.index.database.attempts import Attempts
    from pacsd.index.read.combined_ranges import CombinedRange
    from pacsd.index.read.query_watch import Away, Watch
    from pacsd.index.schema.rows import Header
    from pacsd.query.criteria import AnyCriterion

__all__ = ["Answers", "Comparison", "Matches"]

_LONGEST_CURSOR: Final = 10.0
"""Seconds that a cursor stays open, also for a peer that keeps up."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A key that is left to compare with the row's value."""

    attribute: Attribute
    criterion: AnyCriterion
    always: bool
    """Or only in rows marked `inexact`."""


class Answers:
    """Reads the rows of one execution."""

    def __init__(
        self,
        columns: Mapping[str, int],
        returned: Sequence[Attribute],
        *,
        empty: Sequence[str],
        comparisons: Sequence[Comparison],
        ranges: Sequence[CombinedRange] = (),
    ) -> None:
        """`columns` are those of the `Statement`; keys of `empty` are answered without a value."""
        self._columns = columns
        self._without_values = dict.fromkeys([*[each.keyword for each in returned], *empty], "")
        self._comparisons = comparisons
        self._ranges = ranges
        self._matchers: dict[int, Callable[[str], bool]] = {}
        """Of the comparisons that were needed so far."""
        self._parsed: dict[int, tuple[str, Header]] = {}
        self._said = (columns[SAID], columns[OWN]) if SAID in columns else None
        self._of_columns: list[tuple[str, int, bool]] = []
        self._of_levels_above: list[str] = []
        of_headers: dict[int, list[str]] = {}
        for each in returned:
            if each.source is not Source.HEADER:
                self._of_columns.append((each.keyword, columns[each.keyword], each.keyword in LISTS))
                continue
            of_headers.setdefault(columns[header_column(each.level)], []).append(each.keyword)
            if each.level is not QueryLevel.IMAGE:
                self._of_levels_above.append(each.keyword)
        self._of_headers = list(of_headers.items())

    def matching(self, rows: Sequence[Sequence[Any]], check: Callable[[], None]) -> Sequence[Sequence[Any]]:
        """Those that match after all; `check` is called from time to time, and may raise."""
        if not (self._comparisons or self._ranges):
            return rows
        return [row for row in rows if self._matches(row, check)]

    def read(self, rows: Sequence[Sequence[Any]]) -> list[dict[str, str]]:
        """The values asked for, of rows that match."""
        return [self._answer(row) for row in rows]

    def _answer(self, row: Sequence[Any]) -> dict[str, str]:
        answer = self._without_values.copy()
        for keyword, at, is_list in self._of_columns:
            answer[keyword] = _sorted(row[at]) if is_list else str(row[at])
        for at, keywords in self._of_headers:
            value_of = self._header(at, row[at]).get
            for keyword in keywords:
                answer[keyword] = value_of(keyword, "")
        own = self._said_by(row)
        if own is not None:
            for keyword in self._of_levels_above:
                answer[keyword] = own.get(keyword, "")
        return answer

    def _said_by(self, row: Sequence[Any]) -> Header | None:
        """What an image says of the levels above, "" where it says nothing; None where it says what their rows say."""
        if self._said is None or row[self._said[0]] is None:
            return None
        said, own = (row[at] for at in self._said)
        return effective(self._header(self._said[0], said), None if own is None else json.loads(own))

    def _matches(self, row: Sequence[Any], check: Callable[[], None]) -> bool:
        check()
        return all(
            self._matcher(at, each, check)(self._value(each.attribute, row))
            for at, each in enumerate(self._comparisons)
            if each.always or self._is_inexact(each.attribute, row)
        ) and all(
            each.matches(self._value(each.date, row), self._value(each.time, row))
            for each in self._ranges
            if not each.is_for_sql or self._is_inexact(each.date, row)
        )

    def _matcher(self, at: int, compared: Comparison, check: Callable[[], None]) -> Callable[[str], bool]:
        made = self._matchers.get(at)
        if made is None:
            made = matcher(compared.criterion, compared.attribute.matching, check)
            self._matchers[at] = made
        return made

    def _is_inexact(self, known: Attribute, row: Sequence[Any]) -> bool:
        if row[self._columns[inexact_column(known.level)]]:
            return True
        return known.level is not QueryLevel.IMAGE and self._said_by(row) is not None

    def _value(self, known: Attribute, row: Sequence[Any]) -> str:
        if known.source is Source.HEADER:
            own = None if known.level is QueryLevel.IMAGE else self._said_by(row)
            if own is not None:
                return own.get(known.keyword, "")
            at = self._columns[header_column(known.level)]
            return self._header(at, row[at]).get(known.keyword, "")
        value = row[self._columns[known.keyword]]
        return _sorted(value) if known.keyword in LISTS else str(value)

    def _header(self, at: int, text: str) -> Header:
        """The header in a column; rows that share a patient, study or series come together and share its parsing."""
        last = self._parsed.get(at)
        if last is None or last[0] != text:
            last = self._parsed[at] = (text, json.loads(text))
        return last[1]


def _sorted(values: str | None) -> str:
    return "\\".join(sorted(values.split("\\"))) if values else ""


class Matches:
    """A query's matches by pages, of which some may be empty, as they stream from a cursor.

    Iterate to the end or close it: it holds a connection. A mapping for each match, as `Index.find` says. Until there
    is a first match, the query is begun again where the database went away. Who takes long with a page finds that the
    rest was put aside meanwhile: an open cursor would keep all that is written in the write-ahead log. Iterating raises
    IndexUnavailable, and what ends its `effort`.
    """

    def __init__(
        self,
        begin: Callable[[], Generator[Page, None, None]],
        answers: Answers,
        attempts: Attempts,
        *,
        effort: Effort,
        watch: Watch,
        spools: Spools,
    ) -> None:
        """`begin` executes the query from its beginning."""
        self.is_exhausted = False
        """Whether the last page has been given: nothing has to be waited for any more."""
        self._begin = begin
        self._rows = begin()
        self._answers = answers
        self._attempts = attempts
        self._effort = effort
        effort.go_on()
        self._watch = watch
        self._spools = spools
        self._began = time.monotonic()
        self._has_matched = False
        self._away: Away | None = None
        """While a page is taken that is not the last one."""
        self._spool: Spool | None = None
        self._failure: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Sequence[Mapping[str, str]]:
        if self.is_exhausted:
            raise StopIteration
        try:
            if self._away is not None:
                self._come_back(self._away)
            rows, is_last = self._next_matching()
        except SQLAlchemyError as error:
            self._effort.raise_if_over()
            raise unavailable("read", error) from error
        self.is_exhausted = is_last
        if is_last:
            self.close()
        else:
            self._away = self._watch.while_away(self._put_aside, self._effort)
        return self._answers.read(rows)

    def close(self) -> None:
        """Give the connection back; what is left is not read. May be called again."""
        if self._away is not None:
            self._effort.abandon()
            self._away.end()
            self._away = None
        self._rows.close()
        if self._spool is not None:
            self._spool.close()

    def _come_back(self, away: Away) -> None:
        """Go on reading, where that is left to do: the page has been taken."""
        self._away = None
        away.end()
        if self._spool is None and time.monotonic() - self._began > _LONGEST_CURSOR:
            self._put_aside()
        if self._failure is not None:
            self.close()
            raise self._failure

    def _next_matching(self) -> Page:
        """Read on; begun again after its first match, a query would repeat what was answered."""
        while True:
            try:
                rows, is_last = next(self._rows)
            except SQLAlchemyError as error:
                if self._has_matched or self._effort.is_over or not self._attempts.go_on_after(error):
                    raise
                self._rows = self._begin()
                continue
            self._effort.check()
            if self._spool is None:
                self._attempts.succeeded()
                rows = self._answers.matching(rows, self._effort.check)
                self._has_matched = self._has_matched or bool(rows)
            return Page(rows, is_last)

    def _put_aside(self) -> None:
        """Read all that is left at once, and close the cursor; on the thread of whoever finds that it takes too long.

        What goes wrong is raised when the next page is asked for.
        """
        spool = self._spool = Spool(self._spools)
        rows_left = self._rows
        try:
            for rows, _ in rows_left:
                self._effort.check()
                spool.add(self._answers.matching(rows, self._effort.check))
        except Exception as error:
            self._failure = error
        else:
            self._rows = _spooled(spool)
        finally:
            rows_left.close()


def _spooled(spool: Spool) -> Generator[Page, None, None]:
    held: Sequence[Sequence[Any]] = ()
    for number, rows in enumerate(spool.pages()):
        if number:
            yield Page(held, is_last=False)
        held = rows
    yield Page(held, is_last=True)
