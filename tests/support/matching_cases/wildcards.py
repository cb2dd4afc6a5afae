"""Wild card matching, and the characters that other languages of patterns have (PS3.4 C.2.2.2.4)."""

from __future__ import annotations

from support.matching_cases.case import group

_WILD = "C.2.2.2.4"

PLACES = group(
    _WILD,
    ("StudyDescription", "CHEST PA", "CHEST*", True),
    ("StudyDescription", "CHEST", "CHEST*", True),
    ("StudyDescription", "CHES", "CHEST*", False),
    ("StudyDescription", "CHEST PA", "*PA", True),
    ("StudyDescription", "CHEST PA", "*P", False),
    ("StudyDescription", "CHEST PA", "*EST*", True),
    ("StudyDescription", "CHEST PA", "C*PA", True),
    ("StudyDescription", "CPA", "C*PA", True),
    ("StudyDescription", "CHEST PA", "C*T*A", True),
    ("StudyDescription", "CHEST PA", "C**A", True),
    ("StudyDescription", "CHEST PA", "*A*C*", False),
    ("StudyDescription", "aaab", "*aab", True),
    ("StudyDescription", "CHEST", "CH?ST", True),
    ("StudyDescription", "CHST", "CH?ST", False),
    ("StudyDescription", "CHEST", "?HEST", True),
    ("StudyDescription", "CHEST", "CHES?", True),
    ("StudyDescription", "CHEST", "CHEST?", False),
    ("StudyDescription", "CHEST", "?????", True),
    ("StudyDescription", "CHEST", "????", False),
    ("StudyDescription", "CHEST", "?*", True),
    ("StudyDescription", "CHEST", "??*??", True),
    ("StudyDescription", "CHE", "??*??", False),
    ("StudyDescription", None, "?*", False),
    ("StudyDescription", "", "?*", False),
    ("StudyDescription", "C", "?", True),
    ("StudyDescription", "x" * 500 + "y", "x*y", True),
    ("StudyDescription", "x" * 500 + "y", "x*z", False),
    ("StudyDescription", "CHEST", "chest*", False),
    ("StudyDescription", "CHEST", "*e*", False),
    ("StudyDescription", "CHEST ", "*T", True),
    ("StudyDescription", "CHEST PA", "CHEST PA* ", True),
)

LITERALS = group(
    f"{_WILD} literals",
    ("StudyDescription", "50% DOSE", "50%*", True),
    ("StudyDescription", "500 DOSE", "50%*", False),
    ("StudyDescription", "500 DOSE", "*%*", False),
    ("StudyDescription", "A_B", "A_?", True),
    ("StudyDescription", "AxB", "A_?", False),
    ("StudyDescription", "AxB", "*_B", False),
    ("StudyDescription", "A/B", "A/*B", True),
    ("StudyDescription", "A/%", "A/%*", True),
    ("StudyDescription", "A/x", "A/%*", False),
    ("StudyDescription", "A[x]B", "A[x]*", True),
    ("StudyDescription", "AxB", "A[x]*", False),
    ("StudyDescription", "A]B", "*]?", True),
    ("StudyDescription", "A^B", "A[^x]*", False),
    ("StudyDescription", "A-B", "A-*", True),
    ("StudyDescription", "AbB", "A[a-c]?", False),
    ("StudyDescription", "A'B", "A'*", True),
    ("StudyDescription", 'A"B', 'A"*', True),
    ("StudyDescription", "A.B", "A.?", True),
    ("StudyDescription", "A(B)+", "A(B)+*", True),
    ("StudyDescription", "AxB", "A.?", False),
    ("StudyDescription", "A;--", "*;--", True),
    ("StudyDescription", "{0}:x %s", "{0}:? %s", True),
    ("StudyComments", "a\\b", "a\\?", True),
    ("StudyComments", "a\\%b", "a\\%*", True),
    ("StudyComments", "a\\xb", "a\\%*", False),
    ("StudyDescription", "x\U0010ffff", "x\U0010ffff*", True),
    ("StudyDescription", "x\ue000", "x\ud7ff*", False),
)

REPRESENTATIONS = [
    *group(
        f"{_WILD} SH",
        ("AccessionNumber", "ACC-12", "ACC-1?", True),
        ("AccessionNumber", "ACC-12", "ACC?2", False),
        ("StudyID", "ABC", "A*", True),
    ),
    *group(f"{_WILD} LO", ("PatientID", "a-P12", "a-P*", True), ("PatientID", "a-P12", "a-p*", False)),
    *group(f"{_WILD} LT", ("StudyComments", "line two", "line*", True), ("StudyComments", "line two", "LINE*", False),
           ("StudyComments", "line\r\ntwo", "line*two", True)),
    *group(
        f"{_WILD} CS, AE, ST",
        ("Modality", "CT", "C?", True),
        ("Modality", "CT", "c*", False),
        ("BodyPartExamined", "KNEE", "K*E", True),
        ("PerformedStationAETitle", "CT-1", "CT-*", True),
        ("PerformedStationAETitle", "CT-1", "MR*", False),
        ("InstitutionAddress", "1 Main St", "*Main*", True),
        level="SERIES",
    ),
    *group(
        f"{_WILD} UC, UR, UT",
        ("StrainDescription", "Black 6", "Black*", True),
        ("StrainAdditionalInformation", "a\\b", "a?b", True),
        ("PixelDataProviderURL", "http://pacs/a", "http://*/a", True),
        level="IMAGE",
    ),
    *group(
        f"{_WILD} none in AS",
        ("PatientAge", "042Y", "04?Y", False),
        ("PatientAge", "042Y", "0*", False),
    ),
]  # fmt: skip

SCRIPTS = group(
    f"{_WILD} scripts",
    ("StudyDescription", "Brustkorb Größe", "*Gr?ße", True),
    ("StudyDescription", "胸部CT", "胸?CT", True),
    ("StudyDescription", "胸部CT", "胸*", True),
    ("StudyDescription", "胸部CT", "胸部ct", False),
    ("StudyDescription", "胸部CT", "胸部CT", True),
    ("StudyDescription", "Ακτινογραφία", "Ακτινο*", True),
    ("StudyDescription", "Ακτινογραφία", "ακτινο*", False),
    ("StudyDescription", "\U0001d504x", "?x", True),
    ("StudyDescription", "Größe", "Gro\u0308ße", True),
    ("StudyDescription", "Gro\u0308ße", "Gr?ße", True),
    ("StudyDescription", "Größe", "Grosse", False),
)

CASES = [*PLACES, *LITERALS, *REPRESENTATIONS, *SCRIPTS]
