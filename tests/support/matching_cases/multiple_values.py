"""Multiple value matching, negotiated: every value of a key must be one of the entity's (PS3.4 C.2.2.2.8).

What the same keys mean without negotiation, `several_values` says.
"""

from __future__ import annotations

from support.matching_cases.case import Case, group

_RULE = "C.2.2.2.8"
_OPTIONS = ("multiple_values",)
_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
_CT_AND_MR = {"1.1.1": {"Modality": "CT"}, "1.2.1": {"Modality": "MR"}, "2.1.1": {"Modality": "CT"}}

MODALITIES = [
    Case(rule=_RULE, kept=_CT_AND_MR, keys={"ModalitiesInStudy": asked}, found=found, options=_OPTIONS)
    for asked, found in (
        ("CT", ("~.1", "~.2")),
        ("CT\\MR", ("~.1",)),
        ("MR\\CT", ("~.1",)),
        ("CT\\CT", ("~.1", "~.2")),
        ("CT\\", ("~.1", "~.2")),
        ("CT\\US", ()),
        ("CT\\MR\\US", ()),
        ("C*\\?R", ("~.1",)),
        ("CT\\*", ("~.1", "~.2")),
        ("", ("~.1", "~.2")),
    )
]

SEVERAL_VALUES_KEPT = [
    *group(
        _RULE,
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "FEVER\\COUGH", True),
        ("AdmittingDiagnosesDescription", "COUGH\\PAIN\\FEVER", "FEVER\\COUGH", True),
        ("AdmittingDiagnosesDescription", "COUGH\\FEVER", "FEVER\\PAIN", False),
        ("AdmittingDiagnosesDescription", "FEVER", "FEVER\\COUGH", False),
        ("AdmittingDiagnosesDescription", "FEVER", "fever\\FEVER", False),
        ("AdmittingDiagnosesDescription", None, "FEVER\\COUGH", False),
        ("OtherPatientNames", "Doe^Jane\\Roe^Jane", "roe^jane\\DOE^*", True),
        ("OtherPatientNames", "Doe^Jane\\Roe^Jane", "Roe^Jane\\Poe^Jane", False),
        ("NameOfPhysiciansReadingStudy", "Müller^A\\Adams^B", "ADAMS^B\\Muller^*", True),
        # Whatever has one value by definition, and lists of UIDs: one of them suffices.
        ("StudyDescription", "CHEST", "HEAD\\CHEST", True),
        ("PatientName", "Doe^Jane", "Roe^Jane\\Doe^Jane", True),
        ("StudyDate", "20240131", "20230101\\20240131", True),
        options=_OPTIONS,
    ),
    *(
        Case(rule=_RULE, kept={"1.1.1": {"SOPClassUID": _CT}}, keys=keys, found=("~.1",), options=_OPTIONS)
        for keys in ({"SOPClassesInStudy": f"{_MR}\\{_CT}"}, {"StudyInstanceUID": "1.2.3\\~.1"})
    ),
    *group(
        _RULE,
        ("ImageType", "ORIGINAL\\PRIMARY\\AXIAL", "AXIAL\\ORIGINAL", True),
        ("ImageType", "DERIVED\\PRIMARY\\AXIAL", "AXIAL\\ORIGINAL", False),
        level="IMAGE",
        options=_OPTIONS,
    ),
]

CASES = [*MODALITIES, *SEVERAL_VALUES_KEPT]
