"""Relational queries: the unique keys of the levels above are missing, lists or patterns (PS3.4 C.4.1.3.2.1)."""

from __future__ import annotations

from support.matching_cases.case import Case

_RELATIONAL = "C.4.1.3.2.1"
_JANE = {"PatientName": "Doe^Jane", "PatientSex": "F", "StudyDate": "20240131"}
_RICK = {"PatientName": "Roe^Rick", "PatientSex": "M", "StudyDate": "20240202"}
_KEPT = {
    "1.1.1": {**_JANE, "Modality": "CT", "InstanceNumber": "1"},
    "1.1.2": {**_JANE, "Modality": "CT", "InstanceNumber": "2"},
    "1.2.1": {**_JANE, "Modality": "SR", "InstanceNumber": "1"},
    "2.1.1": {**_RICK, "Modality": "CT", "InstanceNumber": "1"},
}
_ALL_IMAGES = ("~.1.1.1", "~.1.1.2", "~.1.2.1", "~.2.1.1")

STUDY_ROOT = [
    Case(rule=_RELATIONAL, kept=_KEPT, level=level, options=("relational",), keys=keys, found=found)
    for level, keys, found in (
        ("STUDY", {}, ("~.1", "~.2")),
        ("SERIES", {}, ("~.1.1", "~.1.2", "~.2.1")),
        ("SERIES", {"StudyInstanceUID": ""}, ("~.1.1", "~.1.2", "~.2.1")),
        ("SERIES", {"StudyInstanceUID": "*"}, ("~.1.1", "~.1.2", "~.2.1")),
        ("SERIES", {"StudyInstanceUID": "~.1"}, ("~.1.1", "~.1.2")),
        ("SERIES", {"StudyInstanceUID": "~.1\\~.2", "Modality": "CT"}, ("~.1.1", "~.2.1")),
        ("SERIES", {"SeriesInstanceUID": "~.2.1"}, ("~.2.1",)),
        ("SERIES", {"PatientID": "~.*", "Modality": "SR"}, ("~.1.2",)),
        ("SERIES", {"PatientName": "roe*"}, ("~.2.1",)),
        ("SERIES", {"StudyDate": "20240201-", "PatientSex": "F"}, ()),
        ("IMAGE", {}, _ALL_IMAGES),
        ("IMAGE", {"SOPInstanceUID": "~.1.2.1"}, ("~.1.2.1",)),
        ("IMAGE", {"SeriesInstanceUID": "~.1.1\\~.2.1", "InstanceNumber": "1"}, ("~.1.1.1", "~.2.1.1")),
        ("IMAGE", {"StudyInstanceUID": "~.1"}, ("~.1.1.1", "~.1.1.2", "~.1.2.1")),
        ("IMAGE", {"SeriesInstanceUID": "~.2.1", "StudyInstanceUID": "~.1"}, ()),
        ("IMAGE", {"PatientName": "doe*", "Modality": "SR"}, ("~.1.2.1",)),
        ("IMAGE", {"StudyDate": "20240202"}, ("~.2.1.1",)),
    )
]

PATIENT_ROOT = [
    Case(
        rule=_RELATIONAL,
        kept=_KEPT,
        level=level,
        model="PATIENT_ROOT",
        options=("relational",),
        keys=keys,
        found=found,
    )
    for level, keys, found in (
        ("PATIENT", {"PatientID": "~.*"}, ("~.1", "~.2")),
        ("STUDY", {}, ("~.1", "~.2")),
        ("STUDY", {"PatientID": "~.*", "PatientSex": "M"}, ("~.2",)),
        ("STUDY", {"PatientID": "~.1\\~.2"}, ("~.1", "~.2")),
        ("STUDY", {"PatientID": "~.2", "StudyInstanceUID": "~.1"}, ()),
        ("SERIES", {"PatientID": "~.2"}, ("~.2.1",)),
        ("IMAGE", {"PatientID": "~.1", "Modality": "CT"}, ("~.1.1.1", "~.1.1.2")),
    )
]

CASES = (*STUDY_ROOT, *PATIENT_ROOT)
