"""Matching as a table of cases, written from PS3.4 C.2.2.2 and PS3.5 §6.2."""

from support.matching_cases import (
    combined_ranges,
    empty_values,
    levels,
    multiple_values,
    names,
    ranges,
    relational,
    several_values,
    single_values,
    wildcards,
)
from support.matching_cases.case import Case

__all__ = ["CASES", "Case", "cases_with_roots"]

CASES = (
    *single_values.CASES,
    *wildcards.CASES,
    *ranges.CASES,
    *names.CASES,
    *several_values.CASES,
    *levels.CASES,
    *relational.CASES,
    *empty_values.CASES,
    *multiple_values.CASES,
    *combined_ranges.CASES,
)
_ROOT = "1.2.826.0.1.3680043.10.1583.7"


def cases_with_roots() -> list[tuple[Case, str]]:
    """Each case with the UID that is its own in an archive that keeps them all."""
    return [(case, f"{_ROOT}.{number}") for number, case in enumerate(CASES, 1)]
