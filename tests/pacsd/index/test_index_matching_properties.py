"""Properties: SQL and the comparison in Python agree with a naive reading of PS3.4 C.2.2.2, whatever the text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Double, create_engine, literal, or_, select
from sqlalchemy.dialects import postgresql

from pacsd.errors import IdentifierInvalid
from pacsd.index.attributes import Attribute, Matching, attribute
from pacsd.index.criteria import NameCriterion, criterion
from pacsd.index.matching import condition, matches, name_conditions
from pacsd.index.normalization import date, name_groups, number, time_of_day, values_of

# Few characters, so that keys match; among them all that are special to LIKE, GLOB or regular expressions.
TEXT = st.text(st.sampled_from("aAbB%_/[]^-.é山 !"), max_size=6)
PATTERN = st.text(st.sampled_from("aAbB%_/[]^-.é山*?"), min_size=1, max_size=6)
NAME = st.text(st.sampled_from("aAbBß^= é山"), max_size=8)
NAME_KEY = st.text(st.sampled_from("aAbBß^=é山*?"), min_size=1, max_size=6)
WHATEVER = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def known(keyword: str) -> Attribute:
    found = attribute(keyword)
    assert found is not None
    return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest) -> Any:
    sqlite = request.param == "sqlite"
    engine = create_engine("sqlite://" if sqlite else request.getfixturevalue("postgres"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def sql_says(
    connection: Connection, keyword: str, key: str, forms: tuple[str | float | None, ...]
) -> bool | None:
    """Whether a row with these columns is found; None for universal matching, which needs no SQL."""
    wanted = criterion(known(keyword), key)
    if wanted is None:
        return None
    text = postgresql.TEXT(collation="C") if connection.dialect.name == "postgresql" else None
    row = select(
        *(
            literal(form, Double() if isinstance(form, float) else text).label(f"c{n}")
            for n, form in enumerate(forms)
        )
    )
    kept = row.subquery()
    glob = connection.dialect.name == "sqlite"
    if isinstance(wanted, NameCriterion):
        where = or_(*name_conditions(wanted, list(kept.c), glob=glob))
    else:
        where = condition(wanted, kept.c[0], glob=glob)
    return connection.execute(select(literal(1)).select_from(kept).where(where)).first() is not None


def regular_expression(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern), re.DOTALL
    )


@WHATEVER
@given(kept=TEXT, key=PATTERN)
@example(kept="a%b", key="a%*")
@example(kept="\U0010ffff", key="\U0010ffff*")
def test_wildcards(connection: Connection, kept: str, key: str) -> None:
    value = kept.strip()
    expected: bool | None = bool(value) and regular_expression(key.strip()).fullmatch(value) is not None
    if not key.strip().strip("*"):
        expected = None
    assert sql_says(connection, "StudyDescription", key, (value or None,)) == expected
    if expected is not None:
        wanted = criterion(known("StudyDescription"), key)
        assert wanted is not None
        assert matches(wanted, Matching.TEXT, kept) == expected


def naive_name_matches(key: str, kept: str) -> bool | None:
    """PN by component: each side padded to the same number of components, matched as text from left to right."""

    def groups(name: str) -> list[str]:
        parts = [
            "^".join(component.strip() for component in group.strip().casefold().split("^")).rstrip("^")
            for group in name.split("=")[:3]
        ]
        return parts + [""] * (3 - len(parts))

    def fits(pattern: str, text: str) -> bool:
        # Components at the pattern's end that ask for nothing may be there or not.
        components = pattern.split("^")
        lengths = [len(components)]
        while components and not components[-1].strip("*"):
            components.pop()
            lengths.append(len(components))
        patterns = ["^".join(pattern.split("^")[:length]) for length in lengths]
        return bool(text) and any(regular_expression(each).fullmatch(text) for each in patterns)

    asked, names = groups(key), groups(kept)
    meaningful = [group.replace("*", "").replace("^", "") != "" for group in asked]
    if not any(meaningful):
        return None
    if "=" not in key.rstrip("= "):
        return any(fits(asked[0], name) for name in names)
    return all(fits(asked[n], names[n]) for n in range(3) if meaningful[n])


@WHATEVER
@given(kept=NAME, key=NAME_KEY)
@example(kept="a", key="a^*")
@example(kept="a=b", key="b")
@example(kept="a", key="a^**")
@example(kept="a", key="??")
def test_names(connection: Connection, kept: str, key: str) -> None:
    expected = naive_name_matches(key, kept)
    columns = tuple(group or None for group in name_groups(kept))
    assert sql_says(connection, "PatientName", key, columns) == expected
    if expected is not None:
        wanted = criterion(known("PatientName"), key)
        assert wanted is not None
        assert matches(wanted, Matching.NAME, kept) == expected


DAYS = st.dates().map(lambda day: f"{day:%Y%m%d}".rjust(8, "0"))


@WHATEVER
@given(kept=DAYS, low=st.none() | DAYS, high=st.none() | DAYS, old=st.booleans())
def test_date_ranges(connection: Connection, kept: str, low: str | None, high: str | None, old: bool) -> None:
    if low is None and high is None:
        low = kept
    expected = (low is None or int(kept) >= int(low)) and (high is None or int(kept) <= int(high))
    key = f"{low or ''}-{high or ''}"
    value = f"{kept[:4]}.{kept[4:6]}.{kept[6:]}" if old else kept
    assert sql_says(connection, "StudyDate", key, (date(value),)) == expected
    wanted = criterion(known("StudyDate"), key)
    assert wanted is not None
    assert matches(wanted, Matching.DATE, value) == expected


TIMES = st.times().map(lambda time: f"{time:%H%M%S.%f}")
PRECISION = st.sampled_from([2, 4, 6, 8, 13])


@WHATEVER
@given(kept=TIMES, low=TIMES, high=TIMES, low_length=PRECISION, high_length=PRECISION)
def test_time_ranges_reach_to_the_precision_given(
    connection: Connection, kept: str, low: str, high: str, low_length: int, high_length: int
) -> None:
    low, high = low[:low_length], high[:high_length]
    # Cut to the end's precision, a value of the same hour, minute or second compares equal to it.
    expected = kept[:low_length] >= low and kept[:high_length] <= high
    key = f"{low}-{high}"
    assert sql_says(connection, "StudyTime", key, (time_of_day(kept),)) == expected
    wanted = criterion(known("StudyTime"), key)
    assert wanted is not None
    assert matches(wanted, Matching.TIME, kept) == expected


NUMBERS = st.decimals(-1000, 1000, places=2).map(str) | st.integers(-1000, 1000).map(str)


@WHATEVER
@given(kept=NUMBERS, key=NUMBERS)
@example(kept="7", key="7.00")
def test_numbers(connection: Connection, kept: str, key: str) -> None:
    expected = float(kept) == float(key)
    assert sql_says(connection, "SeriesNumber", key, (number(kept),)) == expected


@given(st.text())
def test_no_text_is_too_strange_to_be_normalised(value: str) -> None:
    for form in (date(value), time_of_day(value), *name_groups(value), *values_of(value)):
        if form is not None:
            form.encode()
            assert "\0" not in form
    number(value)


@given(
    keyword=st.sampled_from(
        ["PatientName", "StudyDescription", "StudyDate", "StudyTime", "PatientWeight", "StudyComments", "PatientAge",
         "AcquisitionDateTime", "StudyInstanceUID"]
    ),
    key=st.text() | st.text(st.sampled_from("0123456789-+.: *?\\=^"), max_size=30),
)  # fmt: skip
def test_any_key_is_understood_or_refused(keyword: str, key: str) -> None:
    try:
        wanted = criterion(known(keyword), key)
    except IdentifierInvalid:
        return
    if wanted is not None:
        matches(wanted, known(keyword).matching, key)
