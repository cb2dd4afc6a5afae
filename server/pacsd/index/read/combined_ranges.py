"""Combined date-time matching (PS3.4 C.2.2.2.5), negotiated: ranges of a date and of its time are one.

20240101-20240103 with 1000-1200 is from ten on the 1st to noon on the 3rd, and not from ten to noon on each day. The
date's own criterion stays: it is what an index serves. What is here decides on the first day and on the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VR, tag_for_keyword
from sqlalchemy import and_, or_

from pacsd.index.schema.tables import TABLES
from pacsd.query import normalization
from pacsd.query.attributes import Attribute, attribute
from pacsd.query.criteria import Criterion, Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement

    from pacsd.query.criteria import AnyCriterion

__all__ = ["CombinedRange", "Ends", "combine", "condition"]

Instant = tuple[str, str]
"""A date and a time of day, in their normal forms."""

Ends = tuple[bool, bool]
"""Whether there is a first instant, and a last one."""

Asked = list[tuple[Attribute, "AnyCriterion"]]


@dataclass(frozen=True, slots=True)
class CombinedRange:
    """Some instant of the entity must lie between these, both included; where one is None, the date alone decides."""

    date: Attribute
    time: Attribute
    first: Instant | None
    last: Instant | None

    @property
    def is_for_sql(self) -> bool:
        """Whether both attributes have a column."""
        return bool(self.date.columns and self.time.columns)

    @property
    def ends(self) -> Ends:
        """All of it that a statement depends on."""
        return (self.first is not None, self.last is not None)

    @property
    def values(self) -> tuple[str, ...]:
        """What `condition` compares with, in its order."""
        return (*(self.first or ()), *(self.last or ()))

    def matches(self, dates: str, times: str) -> bool:
        """Whether an entity with these values, as received, matches; several belong together by their places."""
        return any(
            self._includes(normalization.date(date), normalization.time_of_day(time))
            for date, time in zip_longest(dates.split("\\"), times.split("\\"), fillvalue="")
        )

    def _includes(self, date: str | None, time: str | None) -> bool:
        if date is None:
            return False
        if self.first is not None and not (
            date > self.first[0] or (date == self.first[0] and time is not None and time >= self.first[1])
        ):
            return False
        return self.last is None or (
            date < self.last[0] or (date == self.last[0] and time is not None and time <= self.last[1])
        )


def combine(keys: Mapping[str, str], asked: Asked) -> tuple[Asked, list[CombinedRange]]:
    """What is asked, without the times that are ranges together with their dates, and those ranges.

    Both keys must be a single range, and the date must have every end that the time has: of no day, a time is no
    instant. Others are matched each for itself.
    """
    criteria = {known.keyword: wanted for known, wanted in asked}
    ranges = []
    for known, wanted in asked:
        time = _time_of(known.keyword)
        if time is not None and "-" in keys.get(time.keyword, ""):
            combined = _combined(known, wanted, time, criteria.get(time.keyword))
            if combined is not None:
                ranges.append(combined)
    times = {each.time.keyword for each in ranges}
    return [(known, wanted) for known, wanted in asked if known.keyword not in times], ranges


def _combined(
    date: Attribute, dates: AnyCriterion, time: Attribute, times: AnyCriterion | None
) -> CombinedRange | None:
    match dates, times:
        case Criterion((Interval(first_date, last_date),)), Criterion((Interval(first, last),)):
            if (first is None or first_date) and (last is None or last_date):
                return CombinedRange(date, time, _instant(first_date, first), _instant(last_date, last))
    return None


def _instant(date: str | None, time: str | None) -> Instant | None:
    return None if date is None or time is None else (date, time)


@lru_cache(maxsize=4096)
def _time_of(keyword: str) -> Attribute | None:
    """The time of day that belongs to a date: the data dictionary calls them the same, but for the end."""
    if not keyword.endswith("Date"):
        return None
    time = f"{keyword.removesuffix('Date')}Time"
    tags = tag_for_keyword(keyword), tag_for_keyword(time)
    if None in tags or [dictionary_VR(tag) for tag in tags if tag is not None] != ["DA", "TM"]:
        return None
    return attribute(time)


def condition(date: Attribute, ends: Ends, parameters: Iterator[ColumnElement[str]]) -> ColumnElement[bool]:
    """What a range asks for beyond its days, as SQL; rows marked `inexact` pass, to be compared when they come.

    An entity without a time is found on the days between, where no time matters.
    """
    table = TABLES[date.level]
    time = _time_of(date.keyword)
    if time is None:
        raise KeyError(date.keyword)
    day, moment = table.c[date.columns[0]], table.c[time.columns[0]]
    has_first, has_last = ends
    within: list[ColumnElement[bool]] = []
    if has_first:
        within.append(or_(day > next(parameters), moment >= next(parameters)))
    if has_last:
        within.append(or_(day < next(parameters), moment <= next(parameters)))
    return or_(and_(*within), table.c.inexact)
