"""Several keys, several levels and all models: all keys must match, those of the levels above too (PS3.4 C.4.1)."""

from __future__ import annotations

from support.matching_cases.case import Case, studies

_AND = "C.4.1.1.3.1"
_HIERARCHY = "C.4.1.2.1"
_JANE = {"PatientName": "Doe^Jane", "PatientSex": "F", "PatientBirthDate": "19700101"}
_RICK = {"PatientName": "Roe^Rick", "PatientSex": "M", "PatientBirthDate": "19800202"}
_TWO = studies(
    {**_JANE, "StudyDate": "20240131", "StudyDescription": "KNEE", "Modality": "CT"},
    {**_RICK, "StudyDate": "20240131", "StudyDescription": "HEAD", "Modality": "MR"},
)
_SERIES = {
    "1.1.1": {**_JANE, "Modality": "CT", "SeriesNumber": "1", "InstanceNumber": "1"},
    "1.1.2": {**_JANE, "Modality": "CT", "SeriesNumber": "1", "InstanceNumber": "2"},
    "1.2.1": {**_JANE, "Modality": "SR", "SeriesNumber": "2", "InstanceNumber": "1"},
    "2.1.1": {**_RICK, "Modality": "CT", "SeriesNumber": "1", "InstanceNumber": "1"},
}

SEVERAL_KEYS = [
    Case(rule=_AND, kept=_TWO, keys=keys, found=found)
    for keys, found in (
        ({"StudyDate": "20240131"}, ("~.1", "~.2")),
        ({"StudyDate": "20240131", "StudyDescription": "KNEE"}, ("~.1",)),
        ({"StudyDate": "20240131", "PatientName": "roe*"}, ("~.2",)),
        ({"StudyDescription": "KNEE", "PatientName": "roe*"}, ()),
        ({"PatientSex": "F", "ModalitiesInStudy": "CT", "StudyDate": "2024*"}, ("~.1",)),
        ({"PatientSex": "F", "ModalitiesInStudy": "MR"}, ()),
        ({"PatientBirthDate": "19700101-19751231", "StudyDescription": ""}, ("~.1",)),
        ({"StudyInstanceUID": "~.1\\~.2", "PatientID": "~.2"}, ("~.2",)),
        ({"PatientID": "~.*", "StudyDescription": "*E*"}, ("~.1", "~.2")),
    )
]

PATIENTS = [
    Case(rule=_HIERARCHY, kept=_TWO, level="PATIENT", model="PATIENT_ROOT", keys=keys, found=found)
    for keys, found in (
        ({"PatientID": "~.1"}, ("~.1",)),
        ({"PatientID": "~.*"}, ("~.1", "~.2")),
        ({"PatientID": "~.3"}, ()),
        ({"PatientName": "DOE^jane"}, ("~.1",)),
        ({"PatientName": "?oe*", "PatientSex": "M"}, ("~.2",)),
        ({"PatientID": "~.1", "PatientName": "roe*"}, ()),
        ({"PatientBirthDate": "19790101-"}, ("~.2",)),
    )
]

BELOW = [
    Case(rule=_HIERARCHY, kept=_SERIES, level=level, keys=keys, found=found)
    for level, keys, found in (
        ("SERIES", {}, ("~.1.1", "~.1.2")),
        ("SERIES", {"Modality": "SR"}, ("~.1.2",)),
        ("SERIES", {"Modality": "CT", "SeriesNumber": "2"}, ()),
        ("SERIES", {"StudyInstanceUID": "~.2"}, ("~.2.1",)),
        ("SERIES", {"StudyInstanceUID": "~.3"}, ()),
        ("SERIES", {"PatientName": "doe*"}, ("~.1.1", "~.1.2")),
        ("SERIES", {"PatientName": "roe*"}, ()),
        ("SERIES", {"SeriesNumber": "02"}, ("~.1.2",)),
        ("IMAGE", {}, ("~.1.1.1", "~.1.1.2")),
        ("IMAGE", {"InstanceNumber": "2"}, ("~.1.1.2",)),
        ("IMAGE", {"SeriesInstanceUID": "~.1.2"}, ("~.1.2.1",)),
        ("IMAGE", {"SeriesInstanceUID": "~.2.1"}, ()),
        ("IMAGE", {"InstanceNumber": "2", "PatientSex": "M"}, ()),
        ("IMAGE", {"SOPInstanceUID": "~.1.2.1"}, ()),
    )
]

PATIENT_ROOT = [
    Case(rule=_HIERARCHY, kept=_SERIES, model="PATIENT_ROOT", level=level, keys=keys, found=found)
    for level, keys, found in (
        ("STUDY", {}, ("~.1",)),
        ("STUDY", {"PatientID": "~.2"}, ("~.2",)),
        ("STUDY", {"PatientID": "~.9"}, ()),
        ("SERIES", {"Modality": "SR"}, ("~.1.2",)),
        ("SERIES", {"PatientID": "~.2"}, ()),
        ("IMAGE", {"InstanceNumber": "1"}, ("~.1.1.1",)),
        ("IMAGE", {"PatientID": "~.2"}, ()),
    )
]

PATIENT_STUDY_ONLY = [
    Case(rule=_HIERARCHY, kept=_SERIES, model="PATIENT_STUDY_ONLY", level=level, keys=keys, found=found)
    for level, keys, found in (
        ("PATIENT", {"PatientID": "~.2"}, ("~.2",)),
        ("PATIENT", {"PatientID": "~.*", "PatientName": "doe*"}, ("~.1",)),
        ("STUDY", {}, ("~.1",)),
        ("STUDY", {"PatientID": "~.2", "ModalitiesInStudy": "CT"}, ("~.2",)),
        ("STUDY", {"PatientID": "~.2", "ModalitiesInStudy": "SR"}, ()),
    )
]

CASES = [*SEVERAL_KEYS, *PATIENTS, *BELOW, *PATIENT_ROOT, *PATIENT_STUDY_ONLY]
