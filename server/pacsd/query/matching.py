"""A criterion applied to a value as received, where no column can decide; `criterion_sql` is the same in SQL.

Both the criterion and the value are a peer's, and each may have thousands of parts: a criterion is prepared once, and
then applied in time that is proportional to the value.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from pacsd.dataset.sequences import items_of, text_of
from pacsd.model import LONGER_THAN_KEPT
from pacsd.query import instants, normalization
from pacsd.query.attributes import Matching
from pacsd.query.criteria import (
    Alternative,
    AnyCriterion,
    EmptyCriterion,
    Exact,
    Interval,
    NameCriterion,
    SequenceCriterion,
    Wildcard,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pacsd.dataset.sequences import Items

__all__ = ["forms", "matcher", "matches"]

_STRETCH: Final = 1 << 16
"""Characters that are compared before somebody may say that it is enough."""


def _go_on() -> None:
    pass


def matches(criterion: AnyCriterion, matching: Matching, value: str) -> bool:
    """Whether a value as received matches; see `matcher`."""
    return matcher(criterion, matching)(value)


def matcher(
    criterion: AnyCriterion, matching: Matching, check: Callable[[], None] = _go_on
) -> Callable[[str], bool]:
    """Prepare a criterion: the result says of a value, as received, whether it matches.

    An empty one only does where just that is asked for (PS3.4 C.2.2.2.3 leaves it to universal keys otherwise). One
    that is too long to be kept never does: nobody asks for so long a value. `check` is called from time to time while a
    value is compared; what it raises ends the comparison.
    """
    compare = _matcher_of_kept(criterion, matching, check)
    return lambda value: value != LONGER_THAN_KEPT and compare(value)


def _matcher_of_kept(
    criterion: AnyCriterion, matching: Matching, check: Callable[[], None]
) -> Callable[[str], bool]:
    if isinstance(criterion, EmptyCriterion):
        return lambda value: _is_empty(matching, value)
    if isinstance(criterion, SequenceCriterion):
        any_item = _sequence_matcher(criterion, check)
        return lambda value: any_item(items_of(value))
    if isinstance(criterion, NameCriterion):
        return _name_matcher(criterion, check)
    alternatives = _Alternatives(criterion.alternatives, check)
    return lambda value: alternatives.hold_any(forms(matching, value))


def _is_empty(matching: Matching, value: str) -> bool:
    whole = matching is Matching.LONG_TEXT
    return not (normalization.text(value) if whole else normalization.values_of(value))


def _sequence_matcher(criterion: SequenceCriterion, check: Callable[[], None]) -> Callable[[Items], bool]:
    """Say whether one item matches all keys; items within it are compared as they are, not as text."""
    nested = {
        known.keyword: _sequence_matcher(part, check)
        for known, part in criterion.keys
        if isinstance(part, SequenceCriterion)
    }
    single = [
        (known.keyword, matcher(part, known.matching, check))
        for known, part in criterion.keys
        if not isinstance(part, SequenceCriterion)
    ]

    def any_item(items: Items) -> bool:
        for item in items:
            check()
            values = ((matching, item.get(keyword, "")) for keyword, matching in single)
            sequences = ((matching, item.get(keyword, "")) for keyword, matching in nested.items())
            if all(
                matching(value if isinstance(value, str) else text_of(value)) for matching, value in values
            ) and all(
                value != LONGER_THAN_KEPT and matching(items_of(value) if isinstance(value, str) else value)
                for matching, value in sequences
            ):
                return True
        return False

    return any_item


def _name_matcher(criterion: NameCriterion, check: Callable[[], None]) -> Callable[[str], bool]:
    names = [
        [(group, _Alternatives(part.alternatives, check)) for group, part in name] for name in criterion.names
    ]

    def matches_one(value: str) -> bool:
        found = {
            normalization.name_groups(name, accents=criterion.accents)
            for name in normalization.values_of(value)
        }
        return any(_name_matches(wanted, name) for wanted in names for name in found)

    return matches_one


def _name_matches(wanted: Iterable[tuple[int | None, _Alternatives]], name: tuple[str, str, str]) -> bool:
    return all(
        part.hold_any([text for text in (name if group is None else (name[group],)) if text])
        for group, part in wanted
    )


_FORM: Final[dict[Matching, Callable[[str], str | float | None]]] = {
    Matching.DATE: normalization.date,
    Matching.TIME: normalization.time_of_day,
    Matching.DATE_TIME: instants.date_time,
    Matching.NUMBER: normalization.number,
}


def forms(matching: Matching, value: str) -> list[str | float]:
    """The values of an attribute that is no name, each in its normal form; what has none is left out."""
    if matching is Matching.LONG_TEXT:
        whole = normalization.text(value)
        return [whole] if whole else []
    read = _FORM.get(matching, str)
    found = (read(each) for each in normalization.values_of(value))
    return [form for form in found if form is not None]


class _Alternatives:
    """Alternatives of which one must hold, sorted by how they are looked up."""

    def __init__(self, alternatives: Iterable[Alternative], check: Callable[[], None]) -> None:
        exact = set()
        intervals: list[tuple[str, str | None]] = []
        patterns = {}
        for alternative in alternatives:
            match alternative:
                case Exact(value):
                    exact.add(value)
                case Wildcard(pattern):
                    patterns[pattern] = _Pattern(pattern, check)
                case Interval(low, high):
                    intervals.append((low or "", high))
        self._exact = frozenset(exact)
        self._patterns = list(patterns.values())
        self._lows, self._highs = _joined(intervals)
        self._check = check

    def hold_any(self, found: Sequence[str | float]) -> bool:
        """Whether one of these forms of a value meets one of the alternatives."""
        if self._exact and not self._exact.isdisjoint(found):
            return True
        if self._lows and any(isinstance(form, str) and self._is_within(form) for form in found):
            return True
        for pattern in self._patterns:
            self._check()
            if any(isinstance(form, str) and pattern.fits(form) for form in found):
                return True
        return False

    def _is_within(self, form: str) -> bool:
        at = bisect_right(self._lows, form) - 1
        if at < 0:
            return False
        high = self._highs[at]
        return high is None or form <= high


def _joined(intervals: Iterable[tuple[str, str | None]]) -> tuple[list[str], list[str | None]]:
    """The ends of the same intervals, where those that overlap are one; in order."""
    lows: list[str] = []
    highs: list[str | None] = []
    for low, high in sorted(intervals, key=lambda each: each[0]):
        if high is not None and high < low:
            continue
        last = highs[-1] if highs else ""
        if lows and (last is None or low <= last):
            highs[-1] = None if last is None or high is None else max(last, high)
        else:
            lows.append(low)
            highs.append(high)
    return lows, highs


class _Pattern:
    """Wild card matching: the parts between the stars are found one behind the other, each where it first stands."""

    def __init__(self, pattern: str, check: Callable[[], None]) -> None:
        head, *others = pattern.split("*")
        self._head = _Part(head, check)
        self._tail = _Part(others[-1], check) if others else None
        """None: there is no star."""
        self._between = [_Part(each, check) for each in others[:-1] if each]
        self._shortest = sum(map(len, (head, *others)))

    def fits(self, text: str) -> bool:
        """Whether all of the text fits."""
        if len(text) < self._shortest or not self._head.is_at(text, 0):
            return False
        if self._tail is None:
            return len(text) == self._shortest
        begin, end = self._head.length, len(text) - self._tail.length
        if not self._tail.is_at(text, end):
            return False
        for part in self._between:
            found = part.find(text, begin, end)
            if found < 0:
                return False
            begin = found + part.length
        return True


class _Part:
    """Characters in a row, of which `?` is any one."""

    def __init__(self, characters: str, check: Callable[[], None]) -> None:
        self._characters = characters
        self.length = len(characters)
        self._check = check
        self._masks: dict[str, int] | None = None
        if "?" in characters:
            # One bit for each place (Baeza-Yates and Gonnet): the time does not depend on the characters.
            self._any = sum(1 << at for at, character in enumerate(characters) if character == "?")
            self._masks = dict.fromkeys(characters, self._any)
            for at, character in enumerate(characters):
                self._masks[character] |= 1 << at
            self._masks["?"] = self._any

    def is_at(self, text: str, begin: int) -> bool:
        """Whether they stand there."""
        if self._masks is None:
            return text.startswith(self._characters, begin)
        there = text[begin : begin + self.length]
        return len(there) == self.length and all(
            wanted in ("?", found) for wanted, found in zip(self._characters, there, strict=True)
        )

    def find(self, text: str, begin: int, end: int) -> int:
        """Where they first stand between these places, -1 if nowhere."""
        if self._masks is None:
            return text.find(self._characters, begin, end)
        state, last = 0, 1 << (self.length - 1)
        mask_of, otherwise = self._masks.get, self._any
        for stretch in range(begin, end, _STRETCH):
            self._check()
            for at, character in enumerate(text[stretch : min(stretch + _STRETCH, end)], stretch):
                state = (state << 1 | 1) & mask_of(character, otherwise)
                if state & last:
                    return at + 1 - self.length
        return -1
