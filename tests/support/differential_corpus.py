"""What several archives are given to be asked the same: pydicom's files, and studies made to tell archives apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from support.bundled import bundled_instances
from support.constructed import ROOT
from support.instance import UNCOMPRESSED, Instance, part10_header
from support.matching_cases.encoding import instance

if TYPE_CHECKING:
    from support.matching_cases.case import Attributes

__all__ = ["MADE_ROOT", "bundled_headers", "made_instances", "name_of"]

_IMPLICIT, _LITTLE, _BIG, _ = UNCOMPRESSED
_PIXEL_DATA = {_IMPLICIT: b"\xe0\x7f\x10\x00", _LITTLE: b"\xe0\x7f\x10\x00", _BIG: b"\x7f\xe0\x00\x10"}

_STUDIES: dict[str, Attributes] = {
    "smith": {"PatientName": "Smith^John", "StudyDate": "20240131", "StudyTime": "123015", "AccessionNumber": "A-1",
              "StudyDescription": "CHEST PA", "Modality": "CT", "PatientSex": "M", "PatientBirthDate": "19700101",
              "SeriesNumber": "1", "InstanceNumber": "1", "StudyID": "1"},
    "smithson": {"PatientName": "Smithson^Ann", "StudyDate": "20240201", "StudyTime": "000000",
                 "AccessionNumber": "A-2", "StudyDescription": "chest pa", "Modality": "MR", "PatientSex": "F",
                 "PatientBirthDate": "19800202", "StudyID": "2"},
    "capitals": {"PatientName": "SMITH^JOHN", "StudyDate": "20231231", "StudyTime": "235959", "AccessionNumber": "A%3",
                 "StudyDescription": "50% DOSE", "Modality": "CT", "StudyID": "10"},
    "short": {"PatientName": "Smith", "StudyDate": "20240229", "StudyTime": "1230", "AccessionNumber": "A_4",
              "StudyDescription": "A_B", "Modality": "US", "StudyID": "A[1]"},
    "umlaut": {"PatientName": "Müller^Jürgen", "StudyDate": "20240301", "StudyTime": "123015.5",
               "AccessionNumber": "B-5", "StudyDescription": "Größe", "Modality": "CR", "StudyID": "x.5"},
    "plain": {"PatientName": "Muller^Jurgen", "StudyDate": "20240302", "StudyTime": "12", "AccessionNumber": "B-6",
              "StudyDescription": "Grosse", "Modality": "CR", "StudyID": "x/6"},
    "groups": {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう", "StudyDate": "20240303", "StudyTime": "010203",
               "AccessionNumber": "B-7", "StudyDescription": "胸部", "Modality": "DX", "StudyID": "7"},
    "several": {"PatientName": "O'Neil^Pat", "StudyDate": "20240304", "StudyTime": "080000", "AccessionNumber": "C 8",
                "StudyDescription": "KNEE\\HIP", "Modality": "OT", "StudyID": "07"},
    "absent": {},
    "empty": dict.fromkeys(("PatientName", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription",
                            "Modality", "StudyID"), ""),
}  # fmt: skip
_SECONDARY_CAPTURE, _BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.11"
MADE_ROOT = f"{ROOT}.90"


@cache
def made_instances() -> tuple[Instance, ...]:
    """One instance a study, and a report in a second series of the first study."""
    first = [
        _made(number, series=1, SOPClassUID=_SECONDARY_CAPTURE, **attributes)
        for number, attributes in enumerate(_STUDIES.values(), 1)
    ]
    report = {**_STUDIES["smith"], "Modality": "SR", "SeriesNumber": "2"}
    return (*first, _made(1, series=2, SOPClassUID=_BASIC_TEXT_SR, **report))


def _made(study: int, *, series: int, **attributes: str) -> Instance:
    return instance(
        {
            "PatientID": f"MADE-{study}",
            "StudyInstanceUID": f"{MADE_ROOT}.{study}",
            "SeriesInstanceUID": f"{MADE_ROOT}.{study}.{series}",
            "SOPInstanceUID": f"{MADE_ROOT}.{study}.{series}.1",
            **attributes,
        }
    )


def name_of(unique_key: str) -> str | None:
    """The name of a made patient or study, with series and instance number ("smith.1.1"); None for any other."""
    names = dict(enumerate(_STUDIES, 1))
    kind, _, place = unique_key.replace(MADE_ROOT, "MADE").replace("-", ".").partition(".")
    if kind != "MADE":
        return None
    study, *below = place.split(".")
    return ".".join([names[int(study)], *below])


@cache
def bundled_headers() -> tuple[Instance, ...]:
    """pydicom's uncompressed files without their pixels, which no question is about."""
    native = [each for each in bundled_instances() if each.transfer_syntax_uid in _PIXEL_DATA]
    return tuple(map(_without_pixels, native))


def _without_pixels(whole: Instance) -> Instance:
    dataset, syntax = whole.read(), whole.transfer_syntax_uid
    if "PixelData" not in dataset:
        return whole
    value = dataset["PixelData"].file_tell - len(part10_header("1.2.3", "1.2.3", syntax))
    return replace(whole, dataset=whole.dataset[: whole.dataset.rindex(_PIXEL_DATA[syntax], 0, value)])
