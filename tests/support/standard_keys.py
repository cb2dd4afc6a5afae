"""All keys of the query information models (PS3.4 Tables C.6-1 to C.6-5), and a patient that has a value for each."""

from __future__ import annotations

from collections.abc import Mapping

from pydicom.dataset import Dataset

__all__ = ["INSTANCES", "LEVELS_OF", "Value", "dataset_of", "keys_down_to", "question_at"]

Value = str | list[dict[str, str]]
"""Text, several values joined by a backslash; of a sequence its items."""

LEVELS_OF = {
    "PATIENT_ROOT": ("PATIENT", "STUDY", "SERIES", "IMAGE"),
    "STUDY_ROOT": ("STUDY", "SERIES", "IMAGE"),
    "PATIENT_STUDY_ONLY": ("PATIENT", "STUDY"),
}
_ROOT = "1.2.826.0.1.3680043.10.1583.77"
_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
_CODE = {"CodeValue": "T-A0100", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Brain"}
_REFERENCE = {"ReferencedSOPClassUID": "1.2.840.10008.3.1.2.1.1", "ReferencedSOPInstanceUID": "1.2.3"}

_PATIENT: dict[str, Value] = {
    "PatientID": "STANDARD-1",
    "PatientName": "Keys^All",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19700102",
    "PatientBirthTime": "0304",
    "PatientSex": "F",
    "OtherPatientIDsSequence": [{"PatientID": "OLD-1", "TypeOfPatientID": "TEXT"}],
    "OtherPatientNames": "Former^Name\\Other^Name",
    "EthnicGroup": "GROUP",
    "PatientComments": "a comment",
    "ReferencedPatientSequence": [_REFERENCE],
}
_STUDY: dict[str, Value] = {
    "StudyInstanceUID": f"{_ROOT}.1",
    "StudyDate": "20240229",
    "StudyTime": "101112",
    "AccessionNumber": "ACC77",
    "StudyID": "77",
    "ReferringPhysicianName": "Referring^Doctor",
    "StudyDescription": "BRAIN",
    "ProcedureCodeSequence": [_CODE],
    "NameOfPhysiciansReadingStudy": "Reading^One\\Reading^Two",
    "AdmittingDiagnosesDescription": "HEADACHE\\FEVER",
    "PatientAge": "054Y",
    "PatientSize": "1.7",
    "PatientWeight": "70.5",
    "Occupation": "baker",
    "AdditionalPatientHistory": "none",
    "OtherStudyNumbers": "7\\8",
}
_SERIES: dict[str, Value] = {
    "SeriesInstanceUID": f"{_ROOT}.1.1",
    "Modality": "CT",
    "SeriesNumber": "3",
    "SeriesDescription": "AXIAL",
    "BodyPartExamined": "HEAD",
}
_IMAGE: dict[str, Value] = {
    "SOPInstanceUID": f"{_ROOT}.1.1.1",
    "SOPClassUID": _CT,
    "InstanceNumber": "5",
    "RelatedGeneralSOPClassUID": _MR,
    "AlternateRepresentationSequence": [_REFERENCE],
    "ConceptNameCodeSequence": [_CODE],
    "ContentTemplateSequence": [{"MappingResource": "DCMR", "TemplateIdentifier": "2000"}],
    "NumberOfFrames": "1",
    "ContentDate": "20240229",
}

_FIRST = {**_PATIENT, **_STUDY, **_SERIES, **_IMAGE}


def _another(study: str, series: str, instance: str, sop_class: str, modality: str) -> dict[str, Value]:
    return {
        **_FIRST,
        "StudyInstanceUID": f"{_ROOT}.{study}",
        "SeriesInstanceUID": f"{_ROOT}.{study}.{series}",
        "SOPInstanceUID": f"{_ROOT}.{study}.{series}.{instance}",
        "SOPClassUID": sop_class,
        "Modality": modality,
    }


INSTANCES = (
    _FIRST,
    _another("1", "1", "2", _CT, "CT"),
    _another("1", "2", "1", _MR, "MR"),
    _another("2", "1", "1", _CT, "CT"),
)
"""All of one patient, encoded in Explicit VR Little Endian."""

KEYS: Mapping[str, Mapping[str, Value]] = {
    "PATIENT": {
        **_PATIENT,
        "NumberOfPatientRelatedStudies": "2",
        "NumberOfPatientRelatedSeries": "3",
        "NumberOfPatientRelatedInstances": "4",
    },
    "STUDY": {
        **_STUDY,
        "ModalitiesInStudy": "CT\\MR",
        "SOPClassesInStudy": f"{_CT}\\{_MR}",
        "NumberOfStudyRelatedSeries": "2",
        "NumberOfStudyRelatedInstances": "3",
    },
    "SERIES": {**_SERIES, "NumberOfSeriesRelatedInstances": "2"},
    "IMAGE": {**_IMAGE, "AvailableTransferSyntaxUID": "1.2.840.10008.1.2.1"},
}
"""By level, what the first instance and what is above it must answer."""

_UNIQUE_KEYS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def keys_down_to(level: str) -> dict[str, Value]:
    """What must be answered at a level: its keys, and those of the levels above, which lower levels answer too."""
    return {keyword: value for each in _down_to(level) for keyword, value in KEYS[each].items()}


def question_at(level: str) -> dict[str, str]:
    """The unique keys that ask for the first instance or what is above it, and all keys without a value."""
    asked = dict.fromkeys(keys_down_to(level), "")
    return {**asked, **{keyword: str(_FIRST[keyword]) for keyword in _UNIQUE_KEYS if keyword in asked}}


def _down_to(level: str) -> list[str]:
    levels = list(KEYS)
    return levels[: levels.index(level) + 1]


def dataset_of(values: Mapping[str, Value]) -> Dataset:
    """The values as pydicom has them."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value if isinstance(value, str) else [dataset_of(item) for item in value])
    return dataset
