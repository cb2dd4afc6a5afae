"""On which attributes of a study or series its objects have come to disagree, told once of each.

An object that says something else than the rows above it is met as it is written. Whether it is the first is asked of
the database, which takes reading the study; so each process remembers what it has found.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from pacsd.index.schema.tables import series
from pacsd.index.write.disagreement import own_statements, said_by_series
from pacsd.index.write.existing_series import series_key, shared
from pacsd.model import AttributeConflict, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from pacsd.index.schema.rows import Header, SplitRecord
    from pacsd.index.write.existing_series import SeriesKey
    from pacsd.index.write.parent_rows import SeriesRow

__all__ = ["Disputed", "Finding", "Noticed", "disputed_by", "notice"]

Entity = tuple[str, str, str]
"""A series, by its `SeriesKey`, or with "" in place of the series' UID a study."""

Disputed = dict[Entity, set[str]]
"""Keywords of attributes on which there is disagreement."""

_MOST_REMEMBERED: Final = 10_000
"""Entities; of those that are forgotten the database is asked again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Objects that disagree, as a transaction leaves them."""

    entity: Entity
    disputed: Collection[str]
    """The keywords looked at on which they do."""
    new: Collection[str]
    """Those of them on which they did not before."""

    def conflict(self) -> AttributeConflict:
        """What is to be told."""
        _, study_uid, series_uid = self.entity
        level = QueryLevel.SERIES if series_uid else QueryLevel.STUDY
        return AttributeConflict(level, study_uid, series_uid, tuple(sorted(self.new)))


class Noticed:
    """What this process has found, so that it is not looked for again. Thread safe."""

    def __init__(self) -> None:
        self._lock: Final = Lock()
        self._disputed: Final[OrderedDict[Entity, frozenset[str]]] = OrderedDict()

    def has(self, disputed: Mapping[Entity, Collection[str]]) -> bool:
        """Whether all of this is known."""
        with self._lock:
            return all(self._disputed.get(each, frozenset()).issuperset(disputed[each]) for each in disputed)

    def of(self, entity: Entity) -> Collection[str]:
        """The keywords that are known to be at issue."""
        with self._lock:
            return self._disputed.get(entity, frozenset())

    def remember(self, findings: Sequence[Finding], *, anew: bool) -> None:
        """Add what a committed transaction has found; `anew` where it may have settled what was known."""
        with self._lock:
            if anew:
                self._disputed.clear()
            for each in findings:
                known = self._disputed.pop(each.entity, frozenset())
                self._disputed[each.entity] = known.union(each.disputed)
            while len(self._disputed) > _MOST_REMEMBERED:
                self._disputed.popitem(last=False)


def disputed_by(
    received: SplitRecord,
    study: Header,
    of_series: Header,
    changed: Mapping[QueryLevel, Header] | None = None,
) -> Disputed:
    """Where an object says something else than the rows above it, or these than before (`changed`).

    To say nothing of an attribute is no disagreement.
    """
    key = series_key(received)
    disputed: Disputed = {}
    for level, entity, row, own in (
        (QueryLevel.STUDY, (*key[:2], ""), study, received.study),
        (QueryLevel.SERIES, key, of_series, received.series),
    ):
        before = changed.get(level, {}) if changed else {}
        keywords = {
            keyword
            for header in (own, before)
            for keyword, value in header.items()
            if row.get(keyword, value) != value
        }
        if keywords:
            disputed[entity] = keywords
    return disputed


def notice(
    connection: Connection,
    kept: Sequence[SplitRecord],
    places: Mapping[SeriesKey, SeriesRow],
    noticed: Noticed,
    *,
    replaced: bool,
) -> list[Finding]:
    """Find out what objects that have just been written disagree on; `replaced` says that others gave way to some."""
    suspected: dict[tuple[str, str], Disputed] = {}
    for received in kept:
        place = places[series_key(received)]
        disputed = disputed_by(received, place.study, place.header, place.changed)
        if disputed and (replaced or not noticed.has(disputed)):
            of_study = suspected.setdefault(series_key(received)[:2], {})
            for entity, keywords in disputed.items():
                of_study.setdefault(entity, set()).update(keywords)
    return [
        finding
        for study_key, disputed in suspected.items()
        for finding in _look_at_study(
            connection,
            disputed,
            [each for each in kept if series_key(each)[:2] == study_key],
            places,
            noticed,
        )
    ]


def _look_at_study(
    connection: Connection,
    disputed: Disputed,
    written: Sequence[SplitRecord],
    places: Mapping[SeriesKey, SeriesRow],
    noticed: Noticed,
) -> list[Finding]:
    row_id = places[series_key(written[0])].row_id
    study = select(series.c.study_row_id).where(series.c.id == row_id).scalar_subquery()
    said = said_by_series(connection, series.c.study_row_id == study)
    before = own_statements(connection, said, {each.record.sop_instance_uid for each in written})
    findings = []
    for entity, keywords in disputed.items():
        is_study = not entity[2]
        of_others = [
            header for series_row_id, header in before if is_study or series_row_id == places[entity].row_id
        ]
        of_written = [shared(each) for each in written if is_study or series_key(each) == entity]
        others = {keyword: {each[keyword] for each in of_others if each.get(keyword)} for keyword in keywords}
        now = {
            keyword: others[keyword].union(each[keyword] for each in of_written if keyword in each)
            for keyword in keywords
        }
        left = {keyword for keyword in keywords if len(now[keyword]) > 1}
        known = {keyword for keyword in left if len(others[keyword]) > 1}.union(noticed.of(entity))
        if left:
            findings.append(Finding(entity, left, left - known))
    return findings
