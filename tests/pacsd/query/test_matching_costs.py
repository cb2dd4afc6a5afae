"""Comparing takes time in proportion to the value, whatever a peer asks and whatever it has stored."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.query.attributes import attribute
from pacsd.query.criteria import Criterion, Interval, Wildcard, criterion
from pacsd.query.matching import Matching, matcher, matches

SECONDS = 0.5
"""Each of these takes a hundredth of it; looked through for each pair, two seconds to twelve."""
NUMBERS = "\\".join(map(str, range(4000)))
OTHERS = "\\".join(map(str, range(5000, 9000)))


@given(st.text("ab?*", min_size=1, max_size=12), st.text("abc?", max_size=16))
def test_wild_cards_are_those_of_regular_expressions(pattern: str, text: str) -> None:
    asked = Criterion((Wildcard(pattern),))
    expression = "".join({"*": ".*", "?": "."}.get(each, each) for each in pattern)
    # An empty value is none, whatever the pattern.
    assert matches(asked, Matching.TEXT, text) == bool(text and re.fullmatch(expression, text))


ENDS = st.none() | st.sampled_from([f"2020{month:02}01" for month in range(1, 13)])


@given(st.lists(st.builds(Interval, ENDS, ENDS), min_size=1, max_size=6), st.integers(1, 12))
def test_ranges_that_overlap_hold_what_each_of_them_holds(ranges: list[Interval], month: int) -> None:
    day = f"2020{month:02}01"
    expected = any((each.low or "") <= day and (each.high is None or day <= each.high) for each in ranges)
    assert matches(Criterion(tuple(ranges)), Matching.DATE, day) == expected


@pytest.mark.parametrize(
    ("keyword", "key", "value"),
    [
        ("FailedSOPInstanceUIDList", NUMBERS, OTHERS),
        ("ImagePositionPatient", NUMBERS, OTHERS),
        ("ImageComments", "*" + "a?" * 400 + "b*", "a" * 20_000),
        ("OtherPatientIDs", "\\".join(["*" + "a*" * 500 + "b"] * 23), "\\".join(["a" * 62] * 1000)),
        ("PerformingPhysicianName", "\\".join(["*" + "a*" * 30 + "b"] * 50), "\\".join(["a" * 62] * 1000)),
    ],
)
def test_many_values_of_a_key_are_not_compared_each_with_each(keyword: str, key: str, value: str) -> None:
    known = attribute(keyword)
    assert known is not None
    asked = criterion(known, key)
    assert asked is not None
    began = time.process_time()
    assert not matches(asked, known.matching, value)
    assert time.process_time() - began < SECONDS


def test_comparing_can_be_ended() -> None:
    class EnoughError(Exception):
        pass

    def check() -> None:
        raise EnoughError

    asked = Criterion((Wildcard("*?b"), Wildcard("*c?*")))
    with pytest.raises(EnoughError):
        matcher(asked, Matching.TEXT, check)("aaaa")
