"""Lists of UIDs, and attributes of several values, of which one suffices (PS3.4 C.2.2.2.2; C.3.4 for computed ones).

What several values in a key mean is the Standard's for UIDs alone; elsewhere one of them suffices as well, unless
multiple value matching is negotiated.
"""

from __future__ import annotations

from support.matching_cases.case import Case, group, studies

_UIDS = "C.2.2.2.2"
_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
_THREE = studies({}, {}, {})
_TWO_SERIES = {"1.1.1": {}, "1.2.1": {}, "1.2.2": {}}

LISTS_OF_UIDS = [
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.2"}, found=("~.2",)),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.1\\~.3"}, found=("~.1", "~.3")),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.3\\~.9\\~.1"}, found=("~.1", "~.3")),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.2\\~.2"}, found=("~.2",)),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.1\\\\~.2"}, found=("~.1", "~.2")),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.8\\~.9"}),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~"}),
    Case(rule=_UIDS, kept=_THREE, keys={"StudyInstanceUID": "~.1\0"}, found=("~.1",)),
    Case(rule=_UIDS, kept=_TWO_SERIES, level="SERIES", keys={"SeriesInstanceUID": "~.1.2\\~.1.3"},
         found=("~.1.2",)),
    Case(rule=_UIDS, kept={"1.1.1": {}, "1.1.2": {}, "1.1.3": {}}, level="IMAGE",
         keys={"SOPInstanceUID": "~.1.1.3\\~.1.1.1"}, found=("~.1.1.1", "~.1.1.3")),
    Case(rule=_UIDS, kept={"1.1.1": {"SOPClassUID": _CT}, "1.1.2": {"SOPClassUID": _MR}}, level="IMAGE",
         keys={"SOPClassUID": _MR}, found=("~.1.1.2",)),
    *group(_UIDS, ("FrameOfReferenceUID", "1.2.3", "1.2.4\\1.2.3", True),
           ("FrameOfReferenceUID", "1.2.3", "1.2.4\\1.2.5", False), level="SERIES"),
]  # fmt: skip

MULTI_VALUED = [
    *group(
        "several values kept",
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "FEVER", True),
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "COUGH", True),
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "F*", True),
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "*E?", True),
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "COUGH*FEVER", False),
        ("AdmittingDiagnosesDescription", "COUGH\\ FEVER ", "FEVER", True),
        ("AdmittingDiagnosesDescription", "\\FEVER", "FEVER", True),
        ("OtherPatientIDs", "a-X1\\a-X2", "a-X2", True),
        ("OtherPatientIDs", "a-X1\\a-X2", "a-x2", False),
        ("OtherPatientIDs", "a-X1\\a-X2", "a-?1", True),
        ("OtherPatientIDs", "a-X1\\a-X2", "a-X3", False),
        ("OtherPatientNames", "Smith^J\\Jones^A", "jones*", True),
        ("OtherPatientNames", "Smith^J\\Jones^A", "smith^a", False),
        ("NameOfPhysiciansReadingStudy", "House^Greg\\Wilson^James", "wilson*", True),
        ("NameOfPhysiciansReadingStudy", "House^Greg\\Wilson^James", "house^james", False),
        ("OtherStudyNumbers", "7\\12", "012", True),
        ("OtherStudyNumbers", "7\\12", "712", False),
        ("StudyDescription", "CHEST\\ABDOMEN", "ABDOMEN", True),
        ("StudyDescription", "CHEST\\ABDOMEN", "A*", True),
        ("StudyDescription", "CHEST\\ABDOMEN", "C*N", False),
        ("PatientName", "Smith^John\\Jones^Ann", "jones*", True),
        ("PatientName", "Smith^John\\Jones^Ann", "smith^ann", False),
        ("StudyDate", "20240131\\20240201", "20240201", True),
    ),
    *group(
        "several values kept",
        ("ImageType", "DERIVED\\PRIMARY\\AXIAL", "PRIMARY", True),
        ("ImageType", "DERIVED\\PRIMARY\\AXIAL", "ORIGINAL", False),
        ("SimpleFrameList", "1\\70000", "70000", True),
        level="IMAGE",
    ),
    *group(
        "several values asked for",
        ("StudyDescription", "CHEST", "HEAD\\CHEST", True),
        ("StudyDescription", "CHEST", "HEAD\\C*", True),
        ("StudyDescription", "CHEST", "HEAD\\NECK", False),
        ("PatientID", "a-P1", "a-P0\\a-P1", True),
        ("PatientName", "Smith^John", "jones^*\\smith^*", True),
        ("StudyDate", "20240131", "20230101\\20240101-20240201", True),
        ("PatientWeight", "70", "60\\70.0", True),
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "PAIN\\FEVER", True),
    ),
]

_CT_AND_MR = {"1.1.1": {"Modality": "CT"}, "1.2.1": {"Modality": "MR"}, "2.1.1": {"Modality": "CT"}}

COMPUTED = [
    Case(rule="C.3.4", kept=_CT_AND_MR, keys={"ModalitiesInStudy": modalities}, found=found)
    for modalities, found in (
        ("CT", ("~.1", "~.2")),
        ("MR", ("~.1",)),
        ("mr", ()),
        ("US", ()),
        ("MR\\US", ("~.1",)),
        ("MR\\CT", ("~.1", "~.2")),
        ("M*", ("~.1",)),
        ("?T", ("~.1", "~.2")),
        ("*", ("~.1", "~.2")),
        ("", ("~.1", "~.2")),
        ("C*R", ()),
        ("CT ", ("~.1", "~.2")),
    )
] + [
    Case(rule="C.3.4", kept=_CT_AND_MR, keys={"ModalitiesInStudy": "MR"}, found=("~.1",),
         answers={"ModalitiesInStudy": "CT\\MR", "NumberOfStudyRelatedSeries": "2"}),
    Case(rule="C.3.4", kept={"1.1.1": {"Modality": ""}}, keys={"ModalitiesInStudy": "CT"}),
    Case(rule="C.3.4", kept={"1.1.1": {}}, keys={"ModalitiesInStudy": "?*"}),
    Case(rule="C.3.4", kept={"1.1.1": {"SOPClassUID": _CT}, "2.1.1": {"SOPClassUID": _MR}},
         keys={"SOPClassesInStudy": _MR}, found=("~.2",), answers={"SOPClassesInStudy": _MR}),
    Case(rule="C.3.4", kept={"1.1.1": {"SOPClassUID": _CT}, "1.1.2": {"SOPClassUID": _MR}},
         keys={"SOPClassesInStudy": f"1.2.3\\{_CT}"}, found=("~.1",),
         answers={"SOPClassesInStudy": f"{_CT}\\{_MR}"}),
]  # fmt: skip

_COUNTED = {"1.1.1": {}, "1.1.2": {}, "1.2.1": {}, "2.1.1": {"PatientID": "~.1"}}

COUNTS = [
    Case(rule="C.3.4", kept=_COUNTED, keys={"NumberOfStudyRelatedInstances": "3"}, found=("~.1",)),
    Case(rule="C.3.4", kept=_COUNTED, keys={"NumberOfStudyRelatedInstances": "03"}, found=("~.1",)),
    Case(rule="C.3.4", kept=_COUNTED, keys={"NumberOfStudyRelatedInstances": "1\\3"}, found=("~.1", "~.2")),
    Case(rule="C.3.4", kept=_COUNTED, keys={"NumberOfStudyRelatedSeries": "1"}, found=("~.2",)),
    Case(rule="C.3.4", kept=_COUNTED, keys={"NumberOfPatientRelatedStudies": "2"}, found=("~.1", "~.2")),
    Case(rule="C.3.4", kept=_COUNTED, keys={"StudyInstanceUID": "~.1"}, found=("~.1",),
         answers={"NumberOfStudyRelatedSeries": "2", "NumberOfStudyRelatedInstances": "3"}),
    Case(rule="C.3.4", kept=_COUNTED, keys={"NumberOfSeriesRelatedInstances": "2"}, level="SERIES",
         found=("~.1.1",)),
    Case(rule="C.3.4", kept=_COUNTED, keys={"SeriesInstanceUID": "~.1.2"}, level="SERIES", found=("~.1.2",),
         answers={"NumberOfSeriesRelatedInstances": "1", "NumberOfStudyRelatedInstances": "3"}),
    Case(rule="C.3.4", kept=_COUNTED, keys={"PatientID": "~.1"}, level="PATIENT", model="PATIENT_ROOT",
         found=("~.1",), answers={"NumberOfPatientRelatedStudies": "2", "NumberOfPatientRelatedSeries": "3",
                                  "NumberOfPatientRelatedInstances": "4"}),
    Case(rule="C.3.4", kept=_COUNTED, keys={"PatientID": "~.1", "NumberOfPatientRelatedStudies": "1"},
         level="PATIENT", model="PATIENT_ROOT"),
]  # fmt: skip

CASES = [*LISTS_OF_UIDS, *MULTI_VALUED, *COMPUTED, *COUNTS]
