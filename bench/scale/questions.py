"""What is asked of a generated archive, in sorts, with the number of answers to expect."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.query import IMAGE_KEYS, identifier
from scale.archive import (
    BIG_SERIES,
    NAMESAKES,
    STUDIES_A_DAY,
    Archive,
    accession_number,
    day,
    family,
    series_uid,
    study_uid,
)

_STUDY_KEYS = (
    "StudyDate", "StudyTime", "AccessionNumber", "PatientName", "PatientID", "StudyInstanceUID", "StudyID",
)  # fmt: skip
_COUNTS = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
_SERIES_KEYS = ("Modality", "SeriesInstanceUID", "SeriesNumber")
_RARE = "XA"

Query = tuple[bytes, int]
"""An identifier and how many matches it has."""


def questions(archive: Archive, number: int = 200) -> dict[str, list[Query]]:
    """Return so many queries of each sort, from all over the archive and in no order of its."""
    some = [place * 7919 * archive.studies // number % archive.studies for place in range(number)]
    days = archive.studies // STUDIES_A_DAY
    return {
        "study by PatientID": _each(some, lambda n: _study(2, PatientID=archive.patient_id(n))),
        "the same with counts": _each(
            some, lambda n: (_identify((*_STUDY_KEYS, *_COUNTS), PatientID=archive.patient_id(n)), 2)
        ),
        "study by name prefix": _each(some, lambda n: _by_family(archive, n)),
        "study by accession number": _each(some, lambda n: _study(1, AccessionNumber=accession_number(n))),
        "study by two days and modality": _each(
            some, lambda n: _by_days_and_modality(archive, min(n // STUDIES_A_DAY, days - 2))
        ),
        "study by PatientID since the first day": _each(
            some, lambda n: _study(2, PatientID=archive.patient_id(n), StudyDate=f"{day(0)}-")
        ),
        "series of a study": _each(some, lambda n: _series_of(archive, n)),
        "100 images of a series": _each(list(archive.big_studies()), _images_of),
        "studies of the last day (120)": [_study(STUDIES_A_DAY, StudyDate=day(days - 1))],
        "no match": _each(some, lambda n: _study(0, PatientID=f"NONE{n:08d}")),
    }


def _each(numbers: Sequence[int], query: Callable[[int], Query]) -> list[Query]:
    return [query(number) for number in numbers]


def _identify(keys: Sequence[str], **match: str) -> bytes:
    return identifier("STUDY", keys, **match)


def _study(expected: int, **match: str) -> Query:
    return _identify(_STUDY_KEYS, **match), expected


def _by_family(archive: Archive, study: int) -> Query:
    group = study % archive.patients // NAMESAKES
    namesakes = range(group * NAMESAKES, min((group + 1) * NAMESAKES, archive.patients))
    return _study(2 * len(namesakes), PatientName=f"{family(group)}*")


def _by_days_and_modality(archive: Archive, first: int) -> Query:
    within = range(first * STUDIES_A_DAY, (first + 2) * STUDIES_A_DAY)
    expected = sum(archive.modality(study) == _RARE for study in within)
    return _study(expected, StudyDate=f"{day(first)}-{day(first + 1)}", ModalitiesInStudy=_RARE)


def _series_of(archive: Archive, study: int) -> Query:
    keys = {"StudyInstanceUID": study_uid(study)}
    return identifier("SERIES", _SERIES_KEYS, **keys), archive.series(study)[0]


def _images_of(study: int) -> Query:
    keys = {"StudyInstanceUID": study_uid(study), "SeriesInstanceUID": series_uid(study, 1)}
    return identifier("IMAGE", IMAGE_KEYS, **keys), BIG_SERIES
