"""What is to be refused, with the attribute named: keys that mean nothing, and identifiers that no model has."""

from __future__ import annotations

__all__ = ["BAD_QUERIES", "BAD_RETRIEVES", "REFUSED", "TOO_MUCH"]

REFUSED = (
    ("STUDY", "StudyDate", "yesterday"),
    ("STUDY", "StudyDate", "2024"),
    ("STUDY", "StudyDate", "20241301"),
    ("STUDY", "StudyDate", "20240132"),
    ("STUDY", "StudyDate", "2024.0131"),
    ("STUDY", "StudyDate", "-"),
    ("STUDY", "StudyDate", "20240101-tomorrow"),
    ("STUDY", "StudyDate", "20240101-20240102-20240103"),
    ("STUDY", "StudyDate", "2024a*"),
    ("STUDY", "StudyDate", "20240101\\yesterday"),
    ("STUDY", "PatientBirthDate", "19700000"),
    ("STUDY", "LastMenstrualDate", "unknown"),
    ("STUDY", "StudyTime", "noon"),
    ("STUDY", "StudyTime", "25"),
    ("STUDY", "StudyTime", "1260"),
    ("STUDY", "StudyTime", "123061"),
    ("STUDY", "StudyTime", "123"),
    ("STUDY", "StudyTime", "-"),
    ("STUDY", "StudyTime", "12-13-14"),
    ("STUDY", "PatientWeight", "heavy"),
    ("STUDY", "PatientWeight", "nan"),
    ("STUDY", "PatientWeight", "infinity"),
    ("STUDY", "PatientWeight", "1e999"),
    ("STUDY", "PatientWeight", "1,5"),
    ("STUDY", "PatientWeight", "7?"),
    ("STUDY", "OtherStudyNumbers", "0x10"),
    ("STUDY", "OtherStudyNumbers", "1-3"),
    ("STUDY", "NumberOfStudyRelatedInstances", "many"),
    ("STUDY", "StudyInstanceUID", "1.2.*"),
    ("STUDY", "StudyInstanceUID", "1.2.3\\1.2.?"),
    ("STUDY", "SOPClassesInStudy", "1.2.840.10008.*"),
    ("SERIES", "SeriesNumber", "first"),
    ("SERIES", "SeriesInstanceUID", "?.2.3"),
    ("SERIES", "FrameOfReferenceUID", "1.2.?"),
    ("IMAGE", "SOPInstanceUID", "*.1"),
    ("IMAGE", "SOPClassUID", "1.2.840.*.4"),
    ("IMAGE", "InstanceNumber", "*1"),
    ("IMAGE", "AcquisitionDateTime", "yesterday"),
    ("IMAGE", "AcquisitionDateTime", "20241301"),
    ("IMAGE", "AcquisitionDateTime", "2024013124"),
    ("IMAGE", "AcquisitionDateTime", "20240131+2500"),
    ("IMAGE", "AcquisitionDateTime", "2024-2025-2026"),
)
"""Keys that mean nothing to their Value Representation (PS3.5 §6.2): level, keyword and key."""

TOO_MUCH = (
    ("STUDY", "StudyDescription", "x" * 5000),
    ("STUDY", "StudyDescription", "\\".join(f"{n}*" for n in range(1000))),
    ("STUDY", "StudyInstanceUID", "\\".join(f"1.{n}" for n in range(20_000))),
)
"""Keys that ask for more than a database takes in one statement; not all of them fit into an identifier."""

_BAD_LEVELS = (
    ("STUDY_ROOT", {"StudyInstanceUID": "1.2"}, "QueryRetrieveLevel"),
    ("STUDY_ROOT", {"QueryRetrieveLevel": "", "StudyInstanceUID": "1.2"}, "QueryRetrieveLevel"),
    ("STUDY_ROOT", {"QueryRetrieveLevel": "FLOOR", "StudyInstanceUID": "1.2"}, "QueryRetrieveLevel"),
    ("STUDY_ROOT", {"QueryRetrieveLevel": "STUDY\\SERIES", "StudyInstanceUID": "1.2"}, "QueryRetrieveLevel"),
    ("STUDY_ROOT", {"QueryRetrieveLevel": "PATIENT", "PatientID": "X"}, "QueryRetrieveLevel"),
    ("PATIENT_ROOT", {"QueryRetrieveLevel": "FRAME", "PatientID": "X"}, "QueryRetrieveLevel"),
    ("PATIENT_STUDY_ONLY", {"QueryRetrieveLevel": "SERIES", "PatientID": "X"}, "QueryRetrieveLevel"),
    ("PATIENT_STUDY_ONLY", {"QueryRetrieveLevel": "IMAGE", "PatientID": "X"}, "QueryRetrieveLevel"),
)
_STUDY, _SERIES, _IMAGE, _PATIENT = (
    {"QueryRetrieveLevel": level} for level in ("STUDY", "SERIES", "IMAGE", "PATIENT")
)
_ONE_STUDY = {"StudyInstanceUID": "1.2"}
_ONE_SERIES = {**_ONE_STUDY, "SeriesInstanceUID": "1.2.1"}
_BAD_HIERARCHIES = (
    ("PATIENT_ROOT", {**_STUDY, **_ONE_STUDY}, "PatientID"),
    ("PATIENT_ROOT", {**_STUDY, **_ONE_STUDY, "PatientID": "A\\B"}, "PatientID"),
    ("PATIENT_ROOT", {**_SERIES, "PatientID": "A", "SeriesInstanceUID": "1"}, "StudyInstanceUID"),
    ("PATIENT_STUDY_ONLY", {**_STUDY, **_ONE_STUDY}, "PatientID"),
    ("STUDY_ROOT", {**_SERIES, "SeriesInstanceUID": "1"}, "StudyInstanceUID"),
    ("STUDY_ROOT", {**_SERIES, "StudyInstanceUID": "1\\2", "SeriesInstanceUID": "1"}, "StudyInstanceUID"),
    ("STUDY_ROOT", {**_SERIES, "StudyInstanceUID": "1.*", "SeriesInstanceUID": "1"}, "StudyInstanceUID"),
    ("STUDY_ROOT", {**_IMAGE, **_ONE_STUDY, "SOPInstanceUID": "1"}, "SeriesInstanceUID"),
    (
        "STUDY_ROOT",
        {**_IMAGE, **_ONE_STUDY, "SeriesInstanceUID": "1\\2", "SOPInstanceUID": "1"},
        "SeriesInstanceUID",
    ),
    ("STUDY_ROOT", {**_STUDY, **_ONE_SERIES}, "SeriesInstanceUID"),
    ("STUDY_ROOT", {**_SERIES, **_ONE_SERIES, "SOPInstanceUID": "1"}, "SOPInstanceUID"),
    ("PATIENT_ROOT", {**_PATIENT, "PatientID": "A", **_ONE_STUDY}, "StudyInstanceUID"),
    ("PATIENT_STUDY_ONLY", {**_STUDY, "PatientID": "A", **_ONE_SERIES}, "SeriesInstanceUID"),
)

BAD_QUERIES = (*_BAD_LEVELS, *_BAD_HIERARCHIES)
"""Model, identifier and the keyword at fault (PS3.4 §C.4.1.2.1)."""
BAD_RETRIEVES = (
    *_BAD_LEVELS,
    *_BAD_HIERARCHIES,
    ("PATIENT_ROOT", _PATIENT, "PatientID"),
    ("PATIENT_ROOT", {**_PATIENT, "PatientID": "A\\B"}, "PatientID"),
    ("STUDY_ROOT", _STUDY, "StudyInstanceUID"),
    ("STUDY_ROOT", {**_STUDY, "StudyInstanceUID": "*"}, "StudyInstanceUID"),
    ("STUDY_ROOT", {**_STUDY, "StudyInstanceUID": "1.2\\1.?"}, "StudyInstanceUID"),
    ("STUDY_ROOT", {**_SERIES, **_ONE_STUDY}, "SeriesInstanceUID"),
    ("STUDY_ROOT", {**_IMAGE, **_ONE_SERIES}, "SOPInstanceUID"),
    ("STUDY_ROOT", {**_IMAGE, **_ONE_SERIES, "SOPInstanceUID": "1.2.*"}, "SOPInstanceUID"),
)
"""The same, for retrieves, which name what they want (PS3.4 §C.4.2.2.1)."""
