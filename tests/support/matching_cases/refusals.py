"""Keys to be refused, with the attribute named: level, keyword and key."""

from __future__ import annotations

__all__ = ["REFUSED", "TOO_MUCH"]

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
    ("SERIES", "SeriesNumber", "first"),
    ("IMAGE", "InstanceNumber", "*1"),
    ("IMAGE", "AcquisitionDateTime", "yesterday"),
    ("IMAGE", "AcquisitionDateTime", "20241301"),
    ("IMAGE", "AcquisitionDateTime", "2024013124"),
    ("IMAGE", "AcquisitionDateTime", "20240131+2500"),
    ("IMAGE", "AcquisitionDateTime", "2024-2025-2026"),
)
"""Keys that mean nothing to their Value Representation (PS3.5 §6.2)."""

TOO_MUCH = (
    ("STUDY", "StudyDescription", "x" * 5000),
    ("STUDY", "StudyDescription", "\\".join(f"{n}*" for n in range(1000))),
    ("STUDY", "StudyInstanceUID", "\\".join(f"1.{n}" for n in range(20_000))),
)
"""Keys that ask for more than a database takes in one statement; not all of them fit into an identifier."""
