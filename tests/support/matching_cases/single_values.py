"""Single value and universal matching, by Value Representation (PS3.4 C.2.2.2.1, C.2.2.2.3; PS3.5 §6.2)."""

from __future__ import annotations

from support.matching_cases.case import group

_SINGLE, _UNIVERSAL = "C.2.2.2.1", "C.2.2.2.3"

UNIVERSAL = [
    *group(
        _UNIVERSAL,
        ("StudyDescription", "CHEST", "", True),
        ("StudyDescription", "", "", True),
        ("StudyDescription", None, "", True),
        ("StudyDescription", "CHEST", "   ", True),
        ("StudyDescription", "CHEST", "*", True),
        ("StudyDescription", None, "*", True),
        ("StudyDescription", "CHEST", "**", True),
        ("StudyDescription", "CHEST", " * ", True),
        ("PatientName", None, "", True),
        ("PatientName", None, "*", True),
        ("PatientName", "Smith^John", "*^*", True),
        ("PatientName", "Smith^John=山田", "*=*", True),
        ("PatientName", "Smith^John", "^^", True),
        ("StudyDate", None, "", True),
        ("StudyDate", None, "*", True),
        ("StudyDate", "20240131", "*", True),
        ("StudyDate", "unknown", "", True),
        ("StudyTime", None, "*", True),
        ("PatientAge", None, "", True),
        ("PatientWeight", None, "", True),
        ("PatientWeight", "heavy", "", True),
        ("OtherStudyNumbers", None, "*", True),
        ("StudyComments", None, "", True),
        ("ModalitiesInStudy", None, "", True),
        ("ModalitiesInStudy", None, "*", True),
        ("NumberOfStudyRelatedInstances", None, "", True),
    ),
    *group(
        _UNIVERSAL, ("Modality", None, "", True), ("FrameOfReferenceUID", None, "*", True), level="SERIES"
    ),
    *group(
        _UNIVERSAL,
        ("InstanceNumber", None, "", True),
        ("AcquisitionDateTime", None, "*", True),
        level="IMAGE",
    ),
    *group(_UNIVERSAL, ("PatientName", None, "", True), ("PatientSex", None, "*", True), level="PATIENT",
           model="PATIENT_ROOT"),
]  # fmt: skip

TEXT = [
    *group(
        f"{_SINGLE} LO",
        ("StudyDescription", "CHEST", "CHEST", True),
        ("StudyDescription", "CHEST", "chest", False),
        ("StudyDescription", "CHEST", "CHES", False),
        ("StudyDescription", "CHES", "CHEST", False),
        ("StudyDescription", None, "CHEST", False),
        ("StudyDescription", "", "CHEST", False),
        ("StudyDescription", "CHEST PA", "CHEST  PA", False),
        ("StudyDescription", "x" * 500 + "y", "x" * 500 + "y", True),
        ("StudyDescription", "x" * 500 + "y", "x" * 400, False),
        ("PatientID", "a-P1", "a-P1", True),
        ("PatientID", "a-P1", "a-p1", False),
        ("PatientID", "a-0012", "a-12", False),
        ("PatientID", "a'; DROP TABLE studies", "a'; DROP TABLE studies", True),
        ("PatientID", "a'b", "a''b", False),
        ("PatientID", 'a"b', 'a"b', True),
        ("AdmittingDiagnosesDescription", "COUGH", "COUGH", True),
        ("AdmittingDiagnosesDescription", "COUGH", "Cough", False),
    ),
    *group(
        f"{_SINGLE} SH",
        ("AccessionNumber", "00012", "00012", True),
        ("AccessionNumber", "00012", "12", False),
        ("StudyID", "7", "7", True),
        ("StudyID", "7", "7.0", False),
        ("StudyID", "A^B=C", "A^B=C", True),
        ("StudyID", "A/1-2", "A/1-2", True),
        ("StudyID", "A[1]", "A[1]", True),
        ("StudyID", "50%", "50%", True),
        ("StudyID", "500", "50%", False),
        ("StudyID", "A_B", "AxB", False),
    ),
    *group(
        f"{_SINGLE} CS",
        ("PatientSex", "F", "F", True),
        ("PatientSex", "F", "M", False),
        ("PatientSex", "F", "f", False),
    ),
    *group(
        f"{_SINGLE} CS",
        ("Modality", "CT", "CT", True),
        ("Modality", "CT", "ct", False),
        ("Laterality", "L", "L", True),
        ("Laterality", "L", "R", False),
        ("BodyPartExamined", "KNEE", "KNEE", True),
        level="SERIES",
    ),
    *group(
        f"{_SINGLE} AE",
        ("PerformedStationAETitle", "CT-1 ROOM", "CT-1 ROOM", True),
        ("PerformedStationAETitle", "CT-1 ROOM", "ct-1 room", False),
        ("PerformedStationAETitle", "CT-1", "CT_1", False),
        level="SERIES",
    ),
    *group(
        f"{_SINGLE} AS",
        ("PatientAge", "042Y", "042Y", True),
        ("PatientAge", "042Y", "041Y", False),
        ("PatientAge", "042Y", "042M", False),
    ),
    *group(
        f"{_SINGLE} LT",
        ("StudyComments", "Line one\r\nLine two", "Line one\r\nLine two", True),
        ("StudyComments", "Line one", "line one", False),
        ("StudyComments", "either\\or", "either\\or", True),
        ("StudyComments", "either\\or", "or", False),
        ("AdditionalPatientHistory", "none", "none", True),
    ),
    *group(
        f"{_SINGLE} ST",
        ("InstitutionAddress", "1 Main St\\Back door", "1 Main St\\Back door", True),
        ("InstitutionAddress", "1 Main St", "1 MAIN ST", False),
        level="SERIES",
    ),
    *group(
        f"{_SINGLE} UC, UR, UT",
        ("StrainDescription", "Black 6", "Black 6", True),
        ("StrainDescription", "Black 6", "BLACK 6", False),
        ("StrainAdditionalInformation", "a\\b", "a\\b", True),
        ("StrainAdditionalInformation", "a\\b", "a", False),
        ("PixelDataProviderURL", "http://pacs/a?b=%20", "http://pacs/a?b=%20", True),
        ("PixelDataProviderURL", "http://pacs/a", "http://PACS/a", False),
        level="IMAGE",
    ),
]

PADDING = [
    *group(
        "PS3.5 §6.2 padding",
        ("StudyDescription", "CHEST ", "CHEST", True),
        ("StudyDescription", " CHEST", "CHEST", True),
        ("StudyDescription", "CHEST", " CHEST  ", True),
        ("StudyDescription", "CHEST\0", "CHEST", True),
        ("StudyDescription", "CHEST", "CHEST\0", True),
        ("PatientSex", "F ", " F", True),
        ("PatientAge", " 042Y", "042Y ", True),
        ("StudyComments", "none ", "none", True),
        ("StudyDate", "20240131 ", " 20240131", True),
        ("StudyTime", " 1230 ", "1230", True),
        ("PatientWeight", " 70.5 ", "70.5", True),
        ("PatientName", " Smith^John ", "Smith^John", True),
        ("PatientName", "Smith ^ John", "Smith^John", True),
        ("PatientName", "Smith^John", " Smith ^John ", True),
    ),
    *group(
        "PS3.5 §6.2 padding",
        ("PerformedStationAETitle", " CT-1 ", "CT-1", True),
        ("FrameOfReferenceUID", "1.2.3\0", "1.2.3", True),
        ("FrameOfReferenceUID", "1.2.3", "1.2.3\0", True),
        ("FrameOfReferenceUID", "1.2.3", "1.2.3 ", True),
        level="SERIES",
    ),
]

NUMBERS = [
    *group(
        f"{_SINGLE} DS",
        ("PatientWeight", "70.50", "70.5", True),
        ("PatientWeight", "70.50", "+705e-1", True),
        ("PatientWeight", "7.05E+01", "70.5", True),
        ("PatientWeight", "70.50", "70", False),
        ("PatientWeight", "70.0", "70", True),
        ("PatientWeight", "70.", "70", True),
        ("PatientWeight", "0.5", ".5", True),
        ("PatientWeight", "-0", "0", True),
        ("PatientWeight", "heavy", "0", False),
        ("PatientWeight", None, "0", False),
    ),
    *group(
        f"{_SINGLE} IS",
        ("OtherStudyNumbers", "12", "012", True),
        ("OtherStudyNumbers", "12", "+12", True),
        ("OtherStudyNumbers", "12", "-12", False),
        ("OtherStudyNumbers", "12", "12.0", True),
        ("OtherStudyNumbers", "12", "1", False),
    ),
    *group(
        f"{_SINGLE} IS",
        ("SeriesNumber", "1", "01", True),
        ("SeriesNumber", "1", "+1", True),
        ("SeriesNumber", "1", "1e0", True),
        ("SeriesNumber", "10", "1", False),
        ("SeriesNumber", None, "0", False),
        level="SERIES",
    ),
    *group(
        f"{_SINGLE} IS, binary numbers",
        ("InstanceNumber", "7", "7 ", True),
        ("InstanceNumber", "2147483647", "2147483647", True),
        ("InstanceNumber", "2147483646", "2147483647", False),
        ("Rows", "512", "512", True),
        ("Rows", "512", "256", False),
        ("TagAngleSecondAxis", "-3", "-3", True),
        ("ColumnPositionInTotalImagePixelMatrix", "-70000", "-70000", True),
        ("SimpleFrameList", "70000", "70000", True),
        ("SlabThickness", "0.1", "0.1", True),
        ("SlabThickness", "0.1", "0.2", False),
        ("TableTopPitchAngle", "0.5", "0.5", True),
        level="IMAGE",
    ),
]

UIDS = [
    *group(
        f"{_SINGLE} UI",
        ("FrameOfReferenceUID", "1.2.3", "1.2.3", True),
        ("FrameOfReferenceUID", "1.2.3", "1.2", False),
        ("FrameOfReferenceUID", "1.2.3", "1.2.30", False),
        ("FrameOfReferenceUID", None, "1.2.3", False),
        level="SERIES",
    ),
]

TAGS = [
    *group(
        f"{_SINGLE} AT",
        ("FrameIncrementPointer", "00540010\\0018106A", "0018106A", True),
        ("FrameIncrementPointer", "00540010", "00540010", True),
        ("FrameIncrementPointer", "00540010", "00540020", False),
        ("FrameIncrementPointer", None, "00540010", False),
        level="IMAGE",
    ),
]

CASES = [*UNIVERSAL, *TEXT, *PADDING, *NUMBERS, *UIDS, *TAGS]
