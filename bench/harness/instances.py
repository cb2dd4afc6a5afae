"""Which synthetic instances there are: kinds of objects, and the values in which one differs from the next."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from harness import wire

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"


@dataclass(frozen=True)
class Kind:
    """What the objects of one size are."""

    name: str
    sop_class: str
    modality: str
    rows: int
    columns: int
    frames: int = 1


KINDS = {
    "small": Kind("small", CT_IMAGE, "CT", 64, 64),
    "mr": Kind("mr", MR_IMAGE, "MR", 256, 256),
    "ct": Kind("ct", CT_IMAGE, "CT", 512, 512),
    "large": Kind("large", MULTI_FRAME_WORD, "OT", 512, 512, 190),
}
SYNTAXES = {"explicit": wire.EXPLICIT_LE, "implicit": wire.IMPLICIT_LE}

_FAMILIES = [
    first + second
    for first in ("KOV", "MAR", "SIL", "BER", "TAN", "OLS", "NOV", "GAR", "HAN", "ROS")
    for second in ("ALS", "TIN", "VER", "GEN", "SON")
]
_GIVEN = ["ALICE1", "BORIS1", "CARLA1", "DAVID1", "ELENA1", "FRANK1", "GRETA1", "HENRY1", "IRENE1", "JAMES1"]


def uid(kind: int, run: int, study: int, series: int = 0, instance: int = 0) -> str:
    """Return a UID of 43 characters: 2.25. and a decimal number of 38 digits below 2**128."""
    return f"2.25.1{kind:01d}{run:010d}{study:010d}{series:06d}{instance:010d}"


@dataclass(frozen=True)
class Instance:
    """The values that differ between instances."""

    study: str
    series: str
    sop: str
    patient_id: str
    patient_name: str
    date: str
    time: str
    accession: str
    study_id: str
    series_number: int
    number: int

    def values(self) -> dict[str, str]:
        """Return the values by the names of the templates' placeholders, each of a fixed width."""
        return {
            "study": self.study,
            "series": self.series,
            "sop": self.sop,
            "frame": self.study[:6] + "4" + self.study[7:],
            "patient_id": self.patient_id,
            "patient_name": self.patient_name,
            "date": self.date,
            "time": self.time,
            "accession": self.accession,
            "study_id": self.study_id,
            "series_number": f"{self.series_number:<4d}",
            "number": f"{self.number:<6d}",
        }


def patient(index: int) -> tuple[str, str]:
    """Return Patient ID and name."""
    return f"PAT{index:07d}", _FAMILIES[index % 50] + "^" + _GIVEN[index // 50 % 10]


def study_instances(
    run: int, study: int, patients: int, date: str, series: int = 2, instances: int = 100
) -> list[Instance]:
    """Return the instances of one study, in the order of their acquisition."""
    patient_id, patient_name = patient(study % patients)
    return [
        Instance(
            study=uid(1, run, study),
            series=uid(2, run, study, one + 1),
            sop=uid(3, run, study, one + 1, number + 1),
            patient_id=patient_id,
            patient_name=patient_name,
            date=date,
            time=f"{study % 24:02d}{study % 60:02d}00",
            accession=f"ACC{study:07d}",
            study_id=f"S{study:07d}",
            series_number=one + 1,
            number=number + 1,
        )
        for one in range(series)
        for number in range(instances)
    ]


def plan(instances: int, associations: int, run: int, first_study: int = 0) -> list[list[Instance]]:
    """Return a list of instances for each association, in whole studies of 200; no two share a study."""
    each = -(-instances // associations)
    lists, study = [], first_study
    for _ in range(associations):
        mine: list[Instance] = []
        while len(mine) < each:
            mine += study_instances(run, study, 10_000_000, "20240105")
            study += 1
        lists.append(mine[:each])
    return lists


def day(offset: int) -> str:
    """Return a date of 2024 or after, as DA."""
    return (dt.date(2024, 1, 1) + dt.timedelta(days=offset)).strftime("%Y%m%d")
