"""A filled index for C-FIND, and what is asked of it with the answers to expect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from harness import store
from harness.instances import Instance, day, study_instances
from harness.query import IMAGE_KEYS, identifier
from harness.report import Row
from harness.server import Server

_RUN = 77
_TODAY, _TODAY_STUDIES = "20260101", 120
_BIG_SERIES = 100
_STUDY_KEYS = (
    "StudyDate", "StudyTime", "AccessionNumber", "PatientName", "PatientID", "StudyInstanceUID", "StudyID",
)  # fmt: skip
_COUNTS = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
_SERIES_KEYS = ("Modality", "SeriesInstanceUID", "SeriesNumber")

Query = tuple[bytes, int]
"""An identifier and how many matches it has."""


class StudyIndex:
    """One study of two series of 100 images, the others of one or two images.

    The last 120 are of one day, the others of 500 days.
    """

    def __init__(self, studies: int) -> None:
        self.instances: list[Instance] = []
        self._first: list[Instance] = []
        for number in range(studies):
            date = _TODAY if number >= studies - _TODAY_STUDIES else day(number * 7 % 500)
            series, each = (2, _BIG_SERIES) if number == 0 else (1, 1 + number % 2)
            items = study_instances(_RUN, number, max(1, studies // 2), date, series, each)
            self._first.append(items[0])
            self.instances += items

    def fill(self, server: Server, max_seconds: float, associations: int) -> Row:
        """Store everything; return the figures."""
        lists = [self.instances[start::associations] for start in range(associations)]
        load = store.Load("small", max_seconds=max_seconds, timeout=60.0)
        return store.replay(server, load, lists)[0]

    def _count(self, test: Callable[[Instance], bool]) -> int:
        return sum(map(test, self._first))

    def _of_studies(self, some: list[Instance], key: str, value: Callable[[Instance], str]) -> list[Query]:
        studies = Counter(map(value, self._first))
        return [(identifier("STUDY", _STUDY_KEYS, **{key: value(one)}), studies[value(one)]) for one in some]

    def queries(self, number: int = 20) -> dict[str, list[Query]]:
        """Return some queries of each sort."""
        some = self._first[:: max(1, len(self._first) // number)][:number]
        big = [each for each in self.instances if each.study == self._first[0].study]
        by_patient = self._of_studies(some, "PatientID", lambda each: each.patient_id)
        return {
            "study_patient_id": by_patient,
            "study_patient_id_rich": [
                (identifier("STUDY", (*_STUDY_KEYS, *_COUNTS), PatientID=each.patient_id), matches)
                for each, (_, matches) in zip(some, by_patient, strict=True)
            ],
            "study_name_wildcard": [self._by_name(each.patient_name[:10]) for each in some],
            "study_date_range": [self._by_date(day(n * 20), day(n * 20 + 6)) for n in range(number)],
            "study_accession": self._of_studies(some, "AccessionNumber", lambda each: each.accession),
            "series_in_study": [
                (identifier("SERIES", _SERIES_KEYS, StudyInstanceUID=each.study), 2 if each is big[0] else 1)
                for each in some
            ],
            "image_in_series": [
                (
                    identifier("IMAGE", IMAGE_KEYS, StudyInstanceUID=big[0].study, SeriesInstanceUID=series),
                    _BIG_SERIES,
                )
                for series in sorted({each.series for each in big})
            ],
            "studies_today": [self._by_date(_TODAY, _TODAY)],
            "study_no_match": [
                (identifier("STUDY", _STUDY_KEYS, PatientID="NONE" + each.patient_id[4:]), 0) for each in some
            ],
        }

    def _by_name(self, start: str) -> Query:
        matches = self._count(lambda each: each.patient_name.startswith(start))
        return identifier("STUDY", _STUDY_KEYS, PatientName=start + "*"), matches

    def _by_date(self, first: str, last: str) -> Query:
        matches = self._count(lambda each: first <= each.date <= last)
        key = first if first == last else f"{first}-{last}"
        return identifier("STUDY", _STUDY_KEYS, StudyDate=key), matches
