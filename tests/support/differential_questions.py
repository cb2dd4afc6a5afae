"""The questions that several archives are asked, and where the others are known to find something else, and why.

What is found is named as `differential_corpus.name_of` does. Wherever pacsd goes beyond the letter of the Standard, as
with names without regard to case (PS3.4 C.2.2.2.1 leaves that open), an archive that does not is in its right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.matching_cases.case import Attributes

__all__ = ["QUESTIONS", "Difference", "Question"]

CASE = "minds the case of names"
COMPONENTS = "takes components at a name's end that say nothing for a part of it"
NO_GROUPS = "compares all component groups of a name at once"
ACCENTS = "compares accents in names"
ENCODED_FORM = "compares characters as they are encoded, not by canonical equivalence"
BYTES = "takes ? for one byte of a character's several"
ABSENT_NEVER = "takes * for a pattern, which an absent attribute does not fit"
EMPTY_IS_EARLY = "takes an empty value for an early one"
TIMES_AS_TEXT = "compares times as text, or only to the second, whatever precision they are given with"
OLD_DATES = "does not read dates with separators"
NO_WILDCARD_IN_DATES = "knows no wildcards in dates, as the Standard has none there"
WILDCARD_REFUSED = "refuses wildcards where the Standard has none"
NUMBERS_AS_TEXT = "compares numbers as text"
ONE_VALUE = "takes several values for one text"
LEADING_SPACE = "minds leading spaces"
UNKNOWN_KEY = "does not know the key, and so lets it match everything"


@dataclass(frozen=True, slots=True)
class Difference:
    """What another archive answers instead, and why."""

    reason: str
    found: str | int
    """Names, or the status of a refusal."""


@dataclass(frozen=True, slots=True)
class Question:
    """Keys, and the names of all that must be found; `~` in keys stands for the made studies' common UID."""

    keys: Attributes
    found: str
    level: str = "STUDY"
    model: str = "STUDY_ROOT"
    dcmqrscp: Difference | None = None
    orthanc: Difference | None = None

    def __str__(self) -> str:
        keys = "&".join(f"{keyword}={value}" for keyword, value in self.keys.items())
        return f"{self.level}-{keys}".encode("unicode_escape").decode()


ALL = "absent capitals empty groups plain several short smith smithson umlaut"

QUESTIONS = (
    Question({"PatientName": ""}, ALL),
    Question({"PatientName": "*"}, ALL, orthanc=Difference(ABSENT_NEVER, ALL.removeprefix("absent "))),
    Question({"PatientName": "Smith^John"}, "capitals smith", dcmqrscp=Difference(CASE, "smith")),
    Question({"PatientName": "smith^john"}, "capitals smith", dcmqrscp=Difference(CASE, "")),
    Question({"PatientName": "Smith"}, "short"),
    Question(
        {"PatientName": "Smith*"},
        "capitals short smith smithson",
        dcmqrscp=Difference(CASE, "short smith smithson"),
    ),
    Question({"PatientName": "smith*"}, "capitals short smith smithson", dcmqrscp=Difference(CASE, "")),
    Question(
        {"PatientName": "Smith^*"},
        "capitals short smith",
        dcmqrscp=Difference(COMPONENTS, "smith"),
        orthanc=Difference(COMPONENTS, "capitals smith"),
    ),
    Question({"PatientName": "Sm?th^John"}, "capitals smith", dcmqrscp=Difference(CASE, "smith")),
    Question({"PatientName": "*John"}, "capitals smith", dcmqrscp=Difference(CASE, "smith")),
    Question({"PatientName": "*^John"}, "capitals smith", dcmqrscp=Difference(CASE, "smith")),
    Question(
        {"PatientName": "?mith*"},
        "capitals short smith smithson",
        dcmqrscp=Difference(CASE, "short smith smithson"),
    ),
    Question(
        {"PatientName": "Smith^John^^^"},
        "capitals smith",
        dcmqrscp=Difference(COMPONENTS, ""),
        orthanc=Difference(COMPONENTS, ""),
    ),
    Question({"PatientName": "Smith^John "}, "capitals smith", dcmqrscp=Difference(CASE, "smith")),
    Question({"PatientName": "O'Neil*"}, "several"),
    Question(
        {"PatientName": "Müller*"},
        "plain umlaut",
        dcmqrscp=Difference(ACCENTS, "umlaut"),
        orthanc=Difference(ACCENTS, "umlaut"),
    ),
    Question(
        {"PatientName": "MÜLLER*"},
        "plain umlaut",
        dcmqrscp=Difference(CASE, ""),
        orthanc=Difference(ACCENTS, "umlaut"),
    ),
    Question(
        {"PatientName": "Mu\u0308ller*"},
        "plain umlaut",
        dcmqrscp=Difference(ENCODED_FORM, ""),
        orthanc=Difference(ENCODED_FORM, ""),
    ),
    Question(
        {"PatientName": "Muller*"},
        "plain umlaut",
        dcmqrscp=Difference(ACCENTS, "plain"),
        orthanc=Difference(ACCENTS, "plain"),
    ),
    Question(
        {"PatientName": "M?ller*"},
        "plain umlaut",
        dcmqrscp=Difference(BYTES, "plain"),
        orthanc=Difference(BYTES, "plain"),
    ),
    Question(
        {"PatientName": "山田*"},
        "groups",
        dcmqrscp=Difference(NO_GROUPS, ""),
        orthanc=Difference(NO_GROUPS, ""),
    ),
    Question(
        {"PatientName": "=山田*"},
        "groups",
        dcmqrscp=Difference(NO_GROUPS, ""),
        orthanc=Difference(NO_GROUPS, ""),
    ),
    Question({"PatientName": "Yamada*"}, "groups"),
    Question(
        {"PatientName": "Yamada^Tarou"},
        "groups",
        dcmqrscp=Difference(NO_GROUPS, ""),
        orthanc=Difference(NO_GROUPS, ""),
    ),
    Question({"PatientName": "*太郎*"}, "groups"),
    Question({"PatientName": "Nobody*"}, ""),
    Question({"StudyDate": "20240131"}, "smith"),
    Question({"StudyDate": "20240101-20240201"}, "smith smithson"),
    Question({"StudyDate": "20240201-"}, "groups plain several short smithson umlaut"),
    Question({"StudyDate": "-20231231"}, "capitals", orthanc=Difference(EMPTY_IS_EARLY, "capitals empty")),
    Question({"StudyDate": "20240229"}, "short"),
    Question({"StudyDate": "19000101-20991231"}, "capitals groups plain several short smith smithson umlaut"),
    Question({"StudyDate": "20240131-20240131"}, "smith"),
    Question({"StudyDate": "20240305-20250101"}, ""),
    Question({"StudyDate": "2024.01.31"}, "smith", orthanc=Difference(OLD_DATES, "")),
    Question(
        {"StudyDate": "202401*"},
        "smith",
        dcmqrscp=Difference(NO_WILDCARD_IN_DATES, ""),
        orthanc=Difference(WILDCARD_REFUSED, 0xC000),
    ),
    Question({"StudyTime": "010203"}, "groups"),
    Question(
        {"StudyTime": "123015"},
        "smith umlaut",
        dcmqrscp=Difference(TIMES_AS_TEXT, "smith"),
        orthanc=Difference(TIMES_AS_TEXT, "smith"),
    ),
    Question(
        {"StudyTime": "12"},
        "plain short smith umlaut",
        dcmqrscp=Difference(TIMES_AS_TEXT, "plain"),
        orthanc=Difference(TIMES_AS_TEXT, "plain"),
    ),
    Question(
        {"StudyTime": "120000-130000"},
        "plain short smith umlaut",
        orthanc=Difference(TIMES_AS_TEXT, "short smith umlaut"),
    ),
    Question(
        {"StudyTime": "080000-123015"},
        "plain several short smith umlaut",
        dcmqrscp=Difference(TIMES_AS_TEXT, "plain several short smith"),
        orthanc=Difference(TIMES_AS_TEXT, "plain several short smith"),
    ),
    Question({"StudyTime": "1230-"}, "capitals short smith umlaut"),
    Question({"StudyTime": "-000000"}, "smithson", orthanc=Difference(EMPTY_IS_EARLY, "empty smithson")),
    Question({"StudyTime": "000000-010203"}, "groups smithson"),
    Question({"StudyTime": "123015.5"}, "umlaut"),
    Question({"StudyTime": "235959-"}, "capitals"),
    Question({"AccessionNumber": "A-1"}, "smith"),
    Question({"AccessionNumber": "a-1"}, ""),
    Question({"AccessionNumber": "A*"}, "capitals short smith smithson"),
    Question({"AccessionNumber": "A%*"}, "capitals"),
    Question({"AccessionNumber": "A?1"}, "smith"),
    Question({"AccessionNumber": "A_4"}, "short"),
    Question({"AccessionNumber": "A_*"}, "short"),
    Question({"AccessionNumber": "A%3"}, "capitals"),
    Question({"AccessionNumber": "C 8"}, "several"),
    Question({"AccessionNumber": "*8"}, "several"),
    Question({"AccessionNumber": " A-1"}, "smith", orthanc=Difference(LEADING_SPACE, "")),
    Question({"AccessionNumber": "A-1 "}, "smith"),
    Question({"StudyDescription": "CHEST PA"}, "smith"),
    Question({"StudyDescription": "chest pa"}, "smithson"),
    Question({"StudyDescription": "CHEST*"}, "smith"),
    Question({"StudyDescription": "50%*"}, "capitals"),
    Question({"StudyDescription": "A_?"}, "short"),
    Question({"StudyDescription": "AxB"}, ""),
    Question({"StudyDescription": "*B"}, "short"),
    Question(
        {"StudyDescription": "KNEE"},
        "several",
        dcmqrscp=Difference(ONE_VALUE, ""),
        orthanc=Difference(ONE_VALUE, ""),
    ),
    Question(
        {"StudyDescription": "HIP"},
        "several",
        dcmqrscp=Difference(ONE_VALUE, ""),
        orthanc=Difference(ONE_VALUE, ""),
    ),
    Question({"StudyDescription": "Größe"}, "umlaut"),
    Question({"StudyDescription": "Gr*e"}, "plain umlaut"),
    Question({"StudyDescription": "胸*"}, "groups"),
    Question({"StudyDescription": "Grosse"}, "plain"),
    Question({"StudyDescription": "KNEE\\HIP"}, "several", orthanc=Difference(ONE_VALUE, "")),
    Question({"StudyID": "1"}, "smith"),
    Question({"StudyID": "01"}, ""),
    Question({"StudyID": "7"}, "groups"),
    Question({"StudyID": "A[1]"}, "short"),
    Question({"StudyID": "A[*"}, "short"),
    Question({"StudyID": "x.5"}, "umlaut"),
    Question({"StudyID": "x?5"}, "umlaut"),
    Question({"ModalitiesInStudy": "CT"}, "capitals smith", dcmqrscp=Difference(UNKNOWN_KEY, ALL)),
    Question({"ModalitiesInStudy": "SR"}, "smith", dcmqrscp=Difference(UNKNOWN_KEY, ALL)),
    Question({"ModalitiesInStudy": "ct"}, "", dcmqrscp=Difference(UNKNOWN_KEY, ALL)),
    Question({"ModalitiesInStudy": "MR\\US"}, "short smithson", dcmqrscp=Difference(UNKNOWN_KEY, ALL)),
    Question(
        {"ModalitiesInStudy": "C?"}, "capitals plain smith umlaut", dcmqrscp=Difference(UNKNOWN_KEY, ALL)
    ),
    Question({"PatientID": "MADE-1"}, "smith"),
    Question({"PatientID": "made-1"}, ""),
    Question({"PatientID": "MADE-*"}, ALL),
    Question({"PatientID": "MADE-1?"}, "empty"),
    Question({"PatientID": "MADE-1\\MADE-2"}, "smith smithson", dcmqrscp=Difference(ONE_VALUE, "")),
    Question({"PatientID": "*ADE-2"}, "smithson"),
    Question({"StudyInstanceUID": "~.1"}, "smith"),
    Question({"StudyInstanceUID": "~.1\\~.2"}, "smith smithson"),
    Question({"StudyInstanceUID": "~"}, ""),
    Question({"PatientSex": "M"}, "smith"),
    Question({"PatientSex": "F"}, "smithson"),
    Question({"PatientSex": "m"}, ""),
    Question({"PatientBirthDate": "19700101"}, "smith"),
    Question({"PatientBirthDate": "19700101-19751231"}, "smith"),
    Question({"PatientName": "Smith*", "StudyDate": "20240101-"}, "short smith smithson"),
    Question({"PatientName": "Smith*", "StudyDescription": "*PA", "StudyDate": "20240131-20240201"}, "smith"),
    Question({"StudyInstanceUID": "~.1", "Modality": "CT"}, "smith.1", level="SERIES"),
    Question({"StudyInstanceUID": "~.1", "Modality": "SR"}, "smith.2", level="SERIES"),
    Question({"StudyInstanceUID": "~.1", "Modality": "ct"}, "", level="SERIES"),
    Question({"StudyInstanceUID": "~.1", "Modality": ""}, "smith.1 smith.2", level="SERIES"),
    Question({"StudyInstanceUID": "~.1", "SeriesNumber": "1"}, "smith.1", level="SERIES"),
    Question(
        {"StudyInstanceUID": "~.1", "SeriesNumber": "01"},
        "smith.1",
        level="SERIES",
        dcmqrscp=Difference(NUMBERS_AS_TEXT, ""),
        orthanc=Difference(NUMBERS_AS_TEXT, ""),
    ),
    Question({"StudyInstanceUID": "~.1", "SeriesNumber": "3"}, "", level="SERIES"),
    Question(
        {"StudyInstanceUID": "~.1", "SeriesInstanceUID": "~.1.1\\~.1.2"}, "smith.1 smith.2", level="SERIES"
    ),
    Question(
        {"StudyInstanceUID": "~.1", "SeriesInstanceUID": "~.1.1", "InstanceNumber": "1"},
        "smith.1.1",
        level="IMAGE",
    ),
    Question(
        {"StudyInstanceUID": "~.1", "SeriesInstanceUID": "~.1.1", "InstanceNumber": "01"},
        "smith.1.1",
        level="IMAGE",
        dcmqrscp=Difference(NUMBERS_AS_TEXT, ""),
        orthanc=Difference(NUMBERS_AS_TEXT, ""),
    ),
    Question(
        {"StudyInstanceUID": "~.1", "SeriesInstanceUID": "~.1.1", "InstanceNumber": "2"}, "", level="IMAGE"
    ),
    Question({"PatientID": "MADE-1"}, "smith", level="PATIENT", model="PATIENT_ROOT"),
    Question({"PatientID": "MADE-*"}, ALL, level="PATIENT", model="PATIENT_ROOT"),
    Question({"PatientID": "MADE-1*"}, "empty smith", level="PATIENT", model="PATIENT_ROOT"),
    Question(
        {"PatientName": "Smith*"},
        "capitals short smith smithson",
        level="PATIENT",
        model="PATIENT_ROOT",
        dcmqrscp=Difference(CASE, "short smith smithson"),
    ),
    Question(
        {"PatientName": "smith^john"},
        "capitals smith",
        level="PATIENT",
        model="PATIENT_ROOT",
        dcmqrscp=Difference(CASE, ""),
    ),
    Question({"PatientID": "MADE-1"}, "smith", model="PATIENT_ROOT"),
    Question({"PatientID": "MADE-2", "StudyInstanceUID": "~.1"}, "", level="SERIES", model="PATIENT_ROOT"),
    Question(
        {"PatientID": "MADE-1", "StudyInstanceUID": "~.1"},
        "smith.1 smith.2",
        level="SERIES",
        model="PATIENT_ROOT",
    ),
)
