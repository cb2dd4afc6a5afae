"""The rows of a query's statement as answers, with what SQL can't decide compared as they stream.

That is attributes without a column, and rows marked `inexact`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.exc import SQLAlchemyError

from pacsd.index.aggregates import LISTS
from pacsd.index.attributes import Attribute, Source
from pacsd.index.disagreement import effective
from pacsd.index.failures import unavailable
from pacsd.index.matching import matches
from pacsd.index.statements import OWN, SAID, header_column, inexact_column
from pacsd.model import QueryLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from pacsd.index.attempts import Attempts
    from pacsd.index.combined_ranges import CombinedRange
    from pacsd.index.criteria import AnyCriterion
    from pacsd.index.rows import Header
    from pacsd.index.streams import Page

__all__ = ["Answers", "Comparison", "Matches"]


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
        self._without_values = dict.fromkeys([*(each.keyword for each in returned), *empty], "")
        self._comparisons = comparisons
        self._ranges = ranges
        self._parsed: dict[int, tuple[str, Header]] = {}
        self._of_columns = [
            (each.keyword, columns[each.keyword], each.keyword in LISTS)
            for each in returned
            if each.source is not Source.HEADER
        ]
        self._said = (columns[SAID], columns[OWN]) if SAID in columns else None
        of_headers: dict[int, list[str]] = {}
        for each in returned:
            if each.source is Source.HEADER:
                of_headers.setdefault(columns[header_column(each.level)], []).append(each.keyword)
        self._of_headers = list(of_headers.items())
        self._of_levels_above = [
            each.keyword
            for each in returned
            if each.source is Source.HEADER and each.level is not QueryLevel.IMAGE
        ]

    def read(self, rows: Sequence[Sequence[Any]]) -> list[dict[str, str]]:
        """The values asked for, of each row that matches after all."""
        if self._comparisons or self._ranges:
            rows = [row for row in rows if self._matches(row)]
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

    def _matches(self, row: Sequence[Any]) -> bool:
        return all(
            matches(each.criterion, each.attribute.matching, self._value(each.attribute, row))
            for each in self._comparisons
            if each.always or self._is_inexact(each.attribute, row)
        ) and all(
            each.matches(self._value(each.date, row), self._value(each.time, row))
            for each in self._ranges
            if not each.is_for_sql or self._is_inexact(each.date, row)
        )

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
    """A query's matches by pages, of which some may be empty, as they stream from an open cursor.

    Iterate to the end or close it: it holds a connection. A mapping for each match, as `Index.find` says. Until there
    is a first match, the query is begun again where the database went away.
    """

    def __init__(
        self, begin: Callable[[], Generator[Page, None, None]], answers: Answers, attempts: Attempts
    ) -> None:
        """`begin` executes the query from its beginning."""
        self.is_exhausted = False
        """Whether the last page has been given: nothing has to be waited for any more."""
        self._begin = begin
        self._pages = begin()
        self._answers = answers
        self._attempts = attempts
        self._has_matched = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Sequence[Mapping[str, str]]:
        while True:
            try:
                rows, self.is_exhausted = next(self._pages)
            except SQLAlchemyError as error:
                # Begun again, it would repeat what was answered.
                if self._has_matched or not self._attempts.go_on_after(error):
                    raise unavailable("read", error) from error
                self._pages = self._begin()
                continue
            self._attempts.succeeded()
            answers = self._answers.read(rows)
            self._has_matched = self._has_matched or bool(answers)
            return answers

    def close(self) -> None:
        """Give the connection back; what is left is not read. May be called again."""
        self._pages.close()
