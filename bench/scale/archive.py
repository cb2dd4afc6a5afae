"""Which studies a generated archive has: everything about one follows from its number, so answers can be counted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from harness import wire
from harness.instances import CT_IMAGE, MR_IMAGE, uid
from pacsd.model import InstanceRecord

STUDIES_A_DAY = 120
"""So that a larger archive is an older one, and a day's question has the same answer in each."""
BIG_SERIES = 100
"""Images in the one series of a big study."""
NAMESAKES = 3
"""Patients that share a family name."""

_RUN = 78
_FIRST_DAY = dt.date(1995, 1, 1)
_BIG_EVERY, _BIG_AT = 5000, 7
_MODALITIES = ("CT", "CR", "MR", "US")
_RARE, _RARE_EVERY = "XA", 20
_SOP_CLASSES = {
    "CT": CT_IMAGE,
    "MR": MR_IMAGE,
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
}
_SYLLABLES = [first + second for first in "BDFGHKLMNPRSTVWZ" for second in "AEIOU"]
_GIVEN = ("ALICE", "BORIS", "CARLA")


class Archive:
    """So many studies in the order of their receipt, 120 a day; two of each patient, half the archive apart.

    A quarter are CT studies of two series of three images, the others have one series of two: three images and one
    and a quarter series a study. One study of 5,000 has a series of 100 images. One of twenty is XA.
    """

    def __init__(self, studies: int) -> None:
        """Generate nothing yet; there are at least two days of studies, and an even number."""
        if studies < 2 * STUDIES_A_DAY or studies % 2:
            raise ValueError(f"an archive has an even number of studies, {2 * STUDIES_A_DAY} at least")
        self.studies = studies
        self.patients = studies // 2

    def day_of(self, study: int) -> str:
        """Return the Study Date."""
        return day(study // STUDIES_A_DAY)

    def patient_id(self, study: int) -> str:
        """Return the Patient ID."""
        return f"PAT{study % self.patients:08d}"

    def patient_name(self, study: int) -> str:
        """Return the Patient's Name."""
        patient = study % self.patients
        return f"{family(patient // NAMESAKES)}^{_GIVEN[patient % NAMESAKES]}"

    def modality(self, study: int) -> str:
        """Return the Modality of all its series."""
        rare = study % _RARE_EVERY == _RARE_EVERY - 1
        return _RARE if rare else _MODALITIES[study % len(_MODALITIES)]

    def series(self, study: int) -> tuple[int, int]:
        """Return how many series the study has, and how many images each."""
        if study % _BIG_EVERY == _BIG_AT:
            return 1, BIG_SERIES
        return (2, 3) if self.modality(study) == "CT" else (1, 2)

    def big_studies(self) -> range:
        """Return the studies of one large series."""
        return range(_BIG_AT, self.studies, _BIG_EVERY)

    def instances(self, study: int) -> Iterator[InstanceRecord]:
        """Yield what was received of a study."""
        series, images = self.series(study)
        shared = self._of_study(study)
        for number in range(1, series + 1):
            of_series = shared | _of_series(study, number, shared["StudyDate"], self.modality(study))
            for image in range(1, images + 1):
                yield _record(study, number, image, of_series)

    def _of_study(self, study: int) -> dict[str, str]:
        patient = study % self.patients
        return {
            "PatientID": self.patient_id(study),
            "PatientName": self.patient_name(study),
            "PatientBirthDate": f"{1930 + patient % 80}{1 + patient % 12:02d}{1 + patient % 28:02d}",
            "PatientSex": "FM"[patient % 2],
            "StudyInstanceUID": study_uid(study),
            "StudyDate": self.day_of(study),
            "StudyTime": f"{study % 24:02d}{study % 60:02d}00",
            "AccessionNumber": accession_number(study),
            "StudyID": f"S{study:08d}",
            "StudyDescription": f"EXAMINATION {study % 200}",
            "ReferringPhysicianName": f"{family(study % 500)}^R^^DR",
            "PatientAge": f"{20 + patient % 70:03d}Y",
            "PatientWeight": str(50 + patient % 60),
        }


def day(offset: int) -> str:
    """Return the date so many days after the archive's first, as DA."""
    return (_FIRST_DAY + dt.timedelta(days=offset)).strftime("%Y%m%d")


def family(number: int) -> str:
    """Return a family name of ten letters; no two numbers below some millions share one, neighbours differ early."""
    scattered = number * 7_654_321 % 80**4
    letters = ""
    for _ in range(4):
        scattered, syllable = divmod(scattered, 80)
        letters += _SYLLABLES[syllable]
    return f"{letters}ER"


def accession_number(study: int) -> str:
    """Return the Accession Number."""
    return f"ACC{study:08d}"


def study_uid(study: int) -> str:
    """Return the Study Instance UID."""
    return uid(1, _RUN, study)


def series_uid(study: int, series: int) -> str:
    """Return the Series Instance UID; series are counted from 1."""
    return uid(2, _RUN, study, series)


def _of_series(study: int, series: int, date: str, modality: str) -> dict[str, str]:
    return {
        "SeriesInstanceUID": series_uid(study, series),
        "Modality": modality,
        "SeriesNumber": str(series),
        "SeriesDate": date,
        "SeriesTime": f"{study % 24:02d}{study % 60:02d}{series:02d}",
        "SeriesDescription": f"{modality} PROTOCOL {study % 50}",
        "BodyPartExamined": ("HEAD", "CHEST", "ABDOMEN", "KNEE")[study % 4],
        "PerformedProcedureStepStartDate": date,
        "ProtocolName": f"PROTOCOL {study % 50}",
        "Manufacturer": "MAKER",
        "ManufacturerModelName": f"MODEL {study % 7}",
        "StationName": f"STATION{study % 9}",
        "InstitutionName": "HOSPITAL",
    }


def _record(study: int, series: int, image: int, above: dict[str, str]) -> InstanceRecord:
    sop_instance_uid, date = uid(3, _RUN, study, series, image), above["StudyDate"]
    sop_class = _SOP_CLASSES[above["Modality"]]
    attributes = above | {
        "SOPInstanceUID": sop_instance_uid,
        "SOPClassUID": sop_class,
        "InstanceNumber": str(image),
        "ImageType": "ORIGINAL\\PRIMARY",
        "ContentDate": date,
        "ContentTime": above["SeriesTime"],
        "AcquisitionDate": date,
        "AcquisitionTime": above["SeriesTime"],
        "Rows": "512",
        "Columns": "512",
        "BitsAllocated": "16",
        "BitsStored": "12",
        "SamplesPerPixel": "1",
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": "0.5\\0.5",
        "SliceThickness": "5",
        "ImagePositionPatient": f"-125\\-125\\{image * 5}",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "WindowCenter": "40",
        "WindowWidth": "400",
        "KVP": "120",
    }
    study_instance_uid, series_instance_uid = above["StudyInstanceUID"], above["SeriesInstanceUID"]
    folder = f"{date[:4]}/{date[4:6]}/{date[6:]}/{study_instance_uid}/{series_instance_uid}"
    return InstanceRecord(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        transfer_syntax_uid=wire.EXPLICIT_LE,
        attributes=attributes,
        path=f"{folder}/{sop_instance_uid}.dcm",
        size=526_000,
        dataset_offset=400,
        checksum=f"xxh3-128:{study:016x}{series:08x}{image:08x}",
        received_at=dt.datetime(int(date[:4]), int(date[4:6]), int(date[6:]), 12, tzinfo=dt.UTC),
        calling_ae_title="MODALITY",
    )
