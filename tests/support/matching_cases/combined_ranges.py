"""Combined date-time matching, negotiated: ranges of a date and of its time are one range (PS3.4 C.2.2.2.5)."""

from __future__ import annotations

from support.matching_cases.case import Case, studies

_RULE = "C.2.2.2.5 combined"
_OPTIONS = ("combined_date_time",)
_MOMENTS = (
    ("20240101", "095959.999999"),
    ("20240101", "100000"),
    ("20240102", "0300"),
    ("20240102", "23"),
    ("20240103", "1230"),
    ("20240103", "123100"),
    ("20240104", "1000"),
    ("20240101", None),
    ("20240102", ""),
    ("20240103", "noon"),
    (None, "1100"),
    ("unknown", "1100"),
    # Of several values, those at the same place are of one moment.
    ("20231231\\20240101", "1200\\0900"),
    ("20231231\\20240101", "0900\\1200"),
    ("20231231\\20240102", "0900"),
    ("2024.01.03", "12:30:59"),
)
_ASKED: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("20240101-20240103", "1000-1230", (2, 3, 4, 5, 9, 14, 15, 16)),
    ("20240101-20240103", "1230-1000", (3, 4, 9, 15)),
    ("20240101-20240103", "", (1, 2, 3, 4, 5, 6, 8, 9, 10, 13, 14, 15, 16)),
    ("20240101-20240103", "10-", (2, 3, 4, 5, 6, 9, 10, 14, 15, 16)),
    ("20240101-20240103", "-1230", (1, 2, 3, 4, 5, 8, 9, 13, 14, 15, 16)),
    ("20240102-", "1000-", (4, 5, 6, 7, 10, 16)),
    ("-20240102", "-0300", (1, 2, 3, 8, 13, 14, 15)),
    ("20240103-20240104", "1230-1000", (5, 6, 7, 16)),
    ("20240104-20240105", "1000-0000", (7,)),
    ("20240104-20240105", "1001-0000", ()),
    # Nothing to combine: one is no range, or the time has an end that the date has not.
    ("20240103", "1000-1230", (5, 16)),
    ("20240103-20240103", "1000-1230", (5, 16)),
    ("20240101-20240104", "10", (2, 7)),
    ("20240101-20240104", "10*", (2, 7)),
    ("20240102-", "-1000", (3, 7, 15)),
    ("20240102-", "0900-1000", (7, 15)),
    ("", "1200-1300", (5, 6, 13, 14, 16)),
    ("20240101-20240102\\20240104", "1000-1100", (2, 7)),
)


def _pair(date: str, time: str, level: str) -> list[Case]:
    kept = studies(
        *(
            {keyword: value for keyword, value in ((date, day), (time, moment)) if value is not None}
            for day, moment in _MOMENTS
        )
    )
    if level == "STUDY":
        below = ""
        options = _OPTIONS
    else:
        below = {"SERIES": ".1", "IMAGE": ".1.1"}[level]
        options = (*_OPTIONS, "relational")
    return [
        Case(
            rule=_RULE,
            kept=kept,
            keys={date: days, time: times},
            found=tuple(f"~.{number}{below}" for number in found),
            level=level,
            options=options,
        )
        for days, times, found in _ASKED
    ]


PAIRS = [
    # Both with a column, neither, and one.
    *_pair("StudyDate", "StudyTime", "STUDY"),
    *_pair("SeriesDate", "SeriesTime", "SERIES"),
    *_pair("AcquisitionDate", "AcquisitionTime", "IMAGE"),
    *_pair("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "SERIES"),
]

_TWO = studies(
    {"StudyDate": "20240102", "StudyTime": "0300", "SeriesDate": "20240102", "SeriesTime": "1100"},
    {"StudyDate": "20240102", "StudyTime": "1100", "SeriesDate": "20240102", "SeriesTime": "0300"},
)
_DAYS, _HOURS = "20240101-20240103", "1000-1200"

SEVERAL_PAIRS = [
    Case(rule=_RULE, kept=_TWO, keys=keys, found=found, level="SERIES", options=(*_OPTIONS, "relational"))
    for keys, found in (
        ({"StudyDate": _DAYS, "StudyTime": _HOURS}, ("~.1.1", "~.2.1")),
        ({"StudyDate": _DAYS, "SeriesTime": _HOURS}, ("~.1.1",)),
        (
            {"StudyDate": _DAYS, "StudyTime": _HOURS, "SeriesDate": _DAYS, "SeriesTime": _HOURS},
            ("~.1.1", "~.2.1"),
        ),
        (
            {
                "StudyDate": "20240102-20240103",
                "StudyTime": "1000-",
                "SeriesDate": _DAYS,
                "SeriesTime": "10-",
            },
            ("~.2.1",),
        ),
    )
]

NOT_NEGOTIATED = [
    Case(
        rule="C.2.2.2.5",
        kept=studies(
            *({"StudyDate": "20240102", "StudyTime": time} for time in ("0300", "1000", "1230", "1300"))
        ),
        keys={"StudyDate": _DAYS, "StudyTime": "1000-1230"},
        found=("~.2", "~.3"),
    )
]

CASES = [*PAIRS, *SEVERAL_PAIRS, *NOT_NEGOTIATED]
