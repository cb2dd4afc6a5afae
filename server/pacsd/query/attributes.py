"""Which attributes the index knows: their level, how they match, and the column that matching uses.

This one table drives what a received header is split into, what a C-FIND may ask for (PS3.4 C.6.1, C.6.2) and
the SQL that answers it. Attributes without a column are kept all the same: they are returned from the level's
header and matched while the rows stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacsd.model import QueryLevel
from pacsd.query.levels import PATIENT_KEYWORDS, SERIES_KEYWORDS, STUDY_KEYWORDS

__all__ = ["COLUMN_ATTRIBUTES", "LEVEL_OF", "Attribute", "Matching", "Source", "attribute"]


class Matching(Enum):
    """How a key of this attribute is compared (PS3.4 C.2.2.2); decided by its VR alone."""

    TEXT = "text"
    """AE, CS, LO, SH, UC: `\\` separates values; wildcards; case matters."""
    LONG_TEXT = "long text"
    """LT, ST, UT, UR: one value in which `\\` is a character; wildcards; case matters."""
    NAME = "name"
    """PN: wildcards; case doesn't matter; by component group."""
    UID = "uid"
    """UI: a list matches any of its values."""
    DATE = "date"
    TIME = "time"
    DATE_TIME = "date time"
    NUMBER = "number"
    """IS, DS and the binary numbers: 1.0 and 1.00 are equal."""
    SEQUENCE = "sequence"
    """SQ: the keys of one item, within one item."""
    EXACT = "exact"
    """AS, AT: single values only."""


class Source(Enum):
    """Where the value that a response carries comes from."""

    HEADER = "header"
    """The level's header, as it was received."""
    COLUMN = "column"
    """The attribute's own column, which keeps it unchanged."""
    AGGREGATE = "aggregate"
    """Computed from the rows below at the time of the query."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that the index keeps or computes."""

    keyword: str
    level: QueryLevel
    matching: Matching
    columns: tuple[str, ...] = ()
    """Of the level's table, where SQL matches it; a name has three, one for each component group."""
    source: Source = Source.HEADER


_MATCHING_OF_VR: Final = {
    **dict.fromkeys(("AE", "CS", "LO", "SH", "UC"), Matching.TEXT),
    **dict.fromkeys(("LT", "ST", "UT", "UR"), Matching.LONG_TEXT),
    **dict.fromkeys(
        ("IS", "DS", "US", "UL", "UV", "SS", "SL", "SV", "FL", "FD", "US or SS"), Matching.NUMBER
    ),
    "PN": Matching.NAME,
    "UI": Matching.UID,
    "DA": Matching.DATE,
    "TM": Matching.TIME,
    "DT": Matching.DATE_TIME,
    **dict.fromkeys(("AS", "AT"), Matching.EXACT),
    "SQ": Matching.SEQUENCE,
}

_PATIENT, _STUDY, _SERIES, _IMAGE = QueryLevel.PATIENT, QueryLevel.STUDY, QueryLevel.SERIES, QueryLevel.IMAGE


def _name_columns(column: str) -> tuple[str, ...]:
    return (column, f"{column}_ideographic", f"{column}_phonetic")


_ATTRIBUTES: Final = (
    Attribute("PatientID", _PATIENT, Matching.TEXT, ("patient_id",)),
    Attribute("IssuerOfPatientID", _PATIENT, Matching.TEXT, ("issuer_of_patient_id",)),
    Attribute("PatientName", _PATIENT, Matching.NAME, _name_columns("patient_name")),
    Attribute("PatientBirthDate", _PATIENT, Matching.DATE, ("patient_birth_date",)),
    Attribute("PatientSex", _PATIENT, Matching.TEXT, ("patient_sex",)),
    Attribute("NumberOfPatientRelatedStudies", _PATIENT, Matching.NUMBER, source=Source.AGGREGATE),
    Attribute("NumberOfPatientRelatedSeries", _PATIENT, Matching.NUMBER, source=Source.AGGREGATE),
    Attribute("NumberOfPatientRelatedInstances", _PATIENT, Matching.NUMBER, source=Source.AGGREGATE),
    Attribute("StudyInstanceUID", _STUDY, Matching.UID, ("study_instance_uid",), Source.COLUMN),
    Attribute("StudyDate", _STUDY, Matching.DATE, ("study_date",)),
    Attribute("StudyTime", _STUDY, Matching.TIME, ("study_time",)),
    Attribute("AccessionNumber", _STUDY, Matching.TEXT, ("accession_number",)),
    Attribute("StudyID", _STUDY, Matching.TEXT, ("study_id",)),
    Attribute("StudyDescription", _STUDY, Matching.TEXT, ("study_description",)),
    Attribute("ReferringPhysicianName", _STUDY, Matching.NAME, _name_columns("referring_physician_name")),
    Attribute("ModalitiesInStudy", _STUDY, Matching.TEXT, source=Source.AGGREGATE),
    Attribute("SOPClassesInStudy", _STUDY, Matching.UID, source=Source.AGGREGATE),
    Attribute("NumberOfStudyRelatedSeries", _STUDY, Matching.NUMBER, source=Source.AGGREGATE),
    Attribute("NumberOfStudyRelatedInstances", _STUDY, Matching.NUMBER, source=Source.AGGREGATE),
    Attribute("SeriesInstanceUID", _SERIES, Matching.UID, ("series_instance_uid",), Source.COLUMN),
    Attribute("Modality", _SERIES, Matching.TEXT, ("modality",)),
    Attribute("SeriesNumber", _SERIES, Matching.NUMBER, ("series_number",)),
    Attribute("SeriesDate", _SERIES, Matching.DATE, ("series_date",)),
    Attribute("SeriesTime", _SERIES, Matching.TIME, ("series_time",)),
    Attribute("SeriesDescription", _SERIES, Matching.TEXT, ("series_description",)),
    Attribute("BodyPartExamined", _SERIES, Matching.TEXT, ("body_part_examined",)),
    Attribute(
        "PerformedProcedureStepStartDate", _SERIES, Matching.DATE, ("performed_procedure_step_start_date",)
    ),
    Attribute("NumberOfSeriesRelatedInstances", _SERIES, Matching.NUMBER, source=Source.AGGREGATE),
    Attribute("SOPInstanceUID", _IMAGE, Matching.UID, ("sop_instance_uid",), Source.COLUMN),
    Attribute("SOPClassUID", _IMAGE, Matching.UID, ("sop_class_uid",), Source.COLUMN),
    Attribute("AvailableTransferSyntaxUID", _IMAGE, Matching.UID, ("transfer_syntax_uid",), Source.COLUMN),
    Attribute("InstanceNumber", _IMAGE, Matching.NUMBER, ("instance_number",)),
)
_BY_KEYWORD: Final = {each.keyword: each for each in _ATTRIBUTES}

COLUMN_ATTRIBUTES: Final = {
    level: tuple(
        each for each in _ATTRIBUTES if each.level is level and each.columns and each.source is Source.HEADER
    )
    for level in QueryLevel
}
"""By level, the attributes of a header whose normalised values fill columns."""

LEVEL_OF: Final = {
    **dict.fromkeys(PATIENT_KEYWORDS, _PATIENT),
    **dict.fromkeys(STUDY_KEYWORDS, _STUDY),
    **dict.fromkeys(SERIES_KEYWORDS, _SERIES),
    **{each.keyword: each.level for each in _ATTRIBUTES},
}
"""The level whose header keeps an attribute; whatever is not listed describes the instance."""


@lru_cache(maxsize=4096)
def attribute(keyword: str) -> Attribute | None:
    """What the index knows of a keyword; None for unknown and private ones and bulk data."""
    known = _BY_KEYWORD.get(keyword)
    if known is not None:
        return known
    tag = tag_for_keyword(keyword)
    matching = None if tag is None else _MATCHING_OF_VR.get(dictionary_VR(tag))
    return None if matching is None else Attribute(keyword, LEVEL_OF.get(keyword, _IMAGE), matching)
