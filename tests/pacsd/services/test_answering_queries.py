"""Answering queries, whatever asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pacsd.effort import Effort
from pacsd.errors import OperationCancelled
from pacsd.model import LONGER_THAN_KEPT, FindQuery, QueryLevel, QueryModel
from pacsd.services.query import Queries
from support.fake_index import FakeMatches

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

LONG = "PatientComments"


class BetweenPages:
    """An index whose query waits, after its first page of three matches, until its peer has taken them."""

    def find(self, query: FindQuery, effort: Effort) -> FakeMatches:
        del query

        def pages() -> Generator[Sequence[Mapping[str, str]], None, None]:
            effort.is_away = True
            yield [{"StudyInstanceUID": f"1.{number}", LONG: LONGER_THAN_KEPT} for number in range(3)]

        return FakeMatches(pages())

    def unsupported_keys(self, query: FindQuery) -> tuple[str, ...]:
        del query
        return ()


def test_a_cancel_is_seen_while_long_values_are_read() -> None:
    read: list[str] = []

    def long_values(level: QueryLevel, unique_key: str, keywords: Collection[str]) -> Mapping[str, str]:
        del level
        read.append(unique_key)
        return dict.fromkeys(keywords, "long")

    query = FindQuery(model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, keys={LONG: ""})
    effort = Effort(is_cancelled=lambda: len(read) == 2)
    page = next(Queries(BetweenPages(), long_values=long_values).find(query, effort))
    matches = iter(page.matches)
    assert [next(matches)[LONG], next(matches)[LONG]] == ["long", "long"]
    with pytest.raises(OperationCancelled):
        next(matches)
    assert read == ["1.0", "1.1"]
