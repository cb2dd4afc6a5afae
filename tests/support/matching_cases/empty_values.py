"""Empty value matching: a key of two quotation marks asks for what has no value (PS3.4 C.2.2.2.7)."""

from __future__ import annotations

from support.matching_cases.case import Case, group, studies

_EMPTY = '""'
_RULE = "C.2.2.2.7"
_OPTIONS = ("empty_values",)

ONE_KEY = [
    *group(
        _RULE,
        # With a column, and without one.
        ("AccessionNumber", None, _EMPTY, True),
        ("AccessionNumber", "", _EMPTY, True),
        ("AccessionNumber", "A1", _EMPTY, False),
        ("AccessionNumber", "A1\\A2", _EMPTY, False),
        ("AccessionNumber", _EMPTY, _EMPTY, False),
        ("AccessionNumber", "A1", "A1", True),
        ("AccessionNumber", None, "", True),
        ("AccessionNumber", None, "*", True),
        ("AccessionNumber", _EMPTY, _EMPTY + "*", True),
        ("AccessionNumber", "A1", _EMPTY + "\\A1", True),
        ("AccessionNumber", None, _EMPTY + "\\A1", False),
        ("StudyDescription", None, _EMPTY + " ", True),
        ("StudyDescription", "X" * 600, _EMPTY, False),
        ("PatientName", None, _EMPTY, True),
        ("PatientName", "", _EMPTY, True),
        ("PatientName", "Doe^Jane", _EMPTY, False),
        ("PatientName", "=山田^太郎", _EMPTY, False),
        ("PatientSex", None, _EMPTY, True),
        ("PatientSex", "F", _EMPTY, False),
        ("PatientID", "", _EMPTY, True),
        ("PatientID", "~.1", _EMPTY, False),
        ("StudyDate", None, _EMPTY, True),
        ("StudyDate", "20240131", _EMPTY, False),
        ("StudyDate", "unknown", _EMPTY, False),
        ("StudyTime", "", _EMPTY, True),
        ("StudyTime", "noon", _EMPTY, False),
        ("StudyComments", None, _EMPTY, True),
        ("StudyComments", "none", _EMPTY, False),
        ("AdmittingDiagnosesDescription", None, _EMPTY, True),
        ("AdmittingDiagnosesDescription", "\\", _EMPTY, True),
        ("AdmittingDiagnosesDescription", "\\COUGH", _EMPTY, False),
        ("PatientWeight", None, _EMPTY, True),
        ("PatientWeight", "70", _EMPTY, False),
        options=_OPTIONS,
    ),
    *group(
        _RULE,
        ("BodyPartExamined", None, _EMPTY, True),
        ("BodyPartExamined", "KNEE", _EMPTY, False),
        ("SeriesNumber", None, _EMPTY, True),
        ("SeriesNumber", "0", _EMPTY, False),
        level="SERIES",
        options=_OPTIONS,
    ),
    *group(
        _RULE,
        ("InstanceNumber", None, _EMPTY, True),
        ("InstanceNumber", "1", _EMPTY, False),
        ("AcquisitionDateTime", None, _EMPTY, True),
        ("AcquisitionDateTime", "20240131", _EMPTY, False),
        ("ImageComments", "blurred", _EMPTY, False),
        level="IMAGE",
        options=_OPTIONS,
    ),
]

_KEPT = {"1.1.1": {"Modality": "CT"}, "2.1.1": {}, "3.1.1": {"Modality": ""}}

SEVERAL_KEYS = [
    Case(
        rule=_RULE,
        kept=_KEPT,
        keys={"ModalitiesInStudy": _EMPTY},
        found=("~.2", "~.3"),
        options=_OPTIONS,
    ),
    Case(
        rule=_RULE,
        kept=studies(
            {"StudyDate": "20240131", "PatientName": "Doe^Jane"},
            {"StudyDate": "20240131", "AccessionNumber": "A1"},
            {"StudyDate": "20230131"},
        ),
        keys={"StudyDate": "2024*", "AccessionNumber": _EMPTY},
        found=("~.1",),
        answers={"PatientName": "Doe^Jane", "AccessionNumber": ""},
        options=_OPTIONS,
    ),
]

NOT_NEGOTIATED = group(
    _RULE,
    ("AccessionNumber", None, _EMPTY, False),
    ("AccessionNumber", _EMPTY, _EMPTY, True),
    ("PatientName", None, _EMPTY, False),
    ("StudyComments", "", _EMPTY, False),
)

CASES = [*ONE_KEY, *SEVERAL_KEYS, *NOT_NEGOTIATED]
