"""C-FIND at every level of both information models (PS3.4 §C.6.1, §C.6.2), for all that was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import dcmtk, scp, scu
from support.bundled import bundled_instances
from support.constructed import FAMILY_NAME, PATIENT_ID, ROOT, constructed_instances

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association

    from interop.conftest import Archive
    from support.instance import Instance

CORPUS = bundled_instances() + constructed_instances()
STUDIES = sorted({instance.study_instance_uid for instance in CORPUS})
WITH_PATIENT_ID = ("CT_small.dcm", "MR_small_bigendian.dcm", "big endian", "deflated", "examples_jpeg2k.dcm")
every_study = pytest.mark.parametrize("study", STUDIES)


@pytest.fixture(scope="module")
def peer(archive: Archive) -> Iterator[Association]:
    """One association for all queries of this module."""
    contexts = [(scu.STUDY_ROOT["find"], scp.NARROW), (scu.PATIENT_ROOT["find"], scp.NARROW)]
    with scu.association(archive.server, contexts) as established:
        yield established


def query(peer: Association, identifier: Dataset, model: str = scu.STUDY_ROOT["find"]) -> list[Dataset]:
    outcome = scu.collect(peer.send_c_find(identifier, model))
    assert outcome.status == 0x0000, outcome.error_comment
    return outcome.matches


@every_study
def test_a_study_is_found_with_its_attributes(peer: Association, archive: Archive, study: str) -> None:
    keywords = ("PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyID")
    keys = scu.keys("STUDY", StudyInstanceUID=study, **dict.fromkeys(keywords))
    (match,) = query(peer, keys)
    assert match.StudyInstanceUID == study
    for keyword in keywords:
        expected = {known_text(instance, keyword) for instance in archive.study(study)}
        assert text(match, keyword) in expected, keyword


@every_study
def test_the_series_of_a_study_are_found(peer: Association, archive: Archive, study: str) -> None:
    keys = scu.keys(
        "SERIES", StudyInstanceUID=study, SeriesInstanceUID=None, Modality=None, SeriesNumber=None
    )
    found = {str(match.SeriesInstanceUID): text(match, "Modality") for match in query(peer, keys)}
    expected = {i.series_instance_uid: text(i.read(), "Modality") for i in archive.study(study)}
    assert found == expected


@every_study
def test_the_instances_of_each_series_are_found(peer: Association, archive: Archive, study: str) -> None:
    for series in {instance.series_instance_uid for instance in archive.study(study)}:
        keys = scu.keys("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=None)
        keys.SOPClassUID = ""
        keys.InstanceNumber = ""
        found = [
            (str(match.SOPInstanceUID), str(match.SOPClassUID), text(match, "InstanceNumber"))
            for match in query(peer, keys)
        ]
        members = [i for i in archive.study(study) if i.series_instance_uid == series]
        expected = [(i.sop_instance_uid, i.sop_class_uid, text(i.read(), "InstanceNumber")) for i in members]
        assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("name", WITH_PATIENT_ID)
def test_patient_root_finds_an_instance_from_the_top_down(
    peer: Association, archive: Archive, name: str
) -> None:
    """Baseline hierarchical queries: the unique key of every level above stands in the identifier."""
    instance, model = archive.named(name), scu.PATIENT_ROOT["find"]
    patient = str(instance.read().PatientID)
    study, series = instance.study_instance_uid, instance.series_instance_uid
    patients = query(peer, scu.keys("PATIENT", PatientID=patient, PatientName=None), model)
    studies = query(peer, scu.keys("STUDY", PatientID=patient, StudyInstanceUID=None), model)
    all_series = query(
        peer, scu.keys("SERIES", PatientID=patient, StudyInstanceUID=study, SeriesInstanceUID=None), model
    )
    images = query(
        peer,
        scu.keys(
            "IMAGE",
            PatientID=patient,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID=instance.sop_instance_uid,
        ),
        model,
    )
    assert [match.PatientID for match in patients] == [patient]
    assert study in {str(match.StudyInstanceUID) for match in studies}
    assert series in {str(match.SeriesInstanceUID) for match in all_series}
    assert [match.SOPInstanceUID for match in images] == [instance.sop_instance_uid]


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("name", ["CT_small.dcm", "deflated", "Korean, three component groups"])
def test_findscu_finds_in_study_root(archive: Archive, name: str, level: str, tmp_path: Path) -> None:
    instance = archive.named(name)
    matches = dcmtk.find(archive.server, tmp_path, "-S", level, *hierarchical_keys(instance, level))
    assert instance_key(matches, level) == expected_key(instance, level)


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_jpeg2k.dcm"])
def test_findscu_finds_in_patient_root(archive: Archive, name: str, level: str, tmp_path: Path) -> None:
    instance = archive.named(name)
    patient = f"PatientID={instance.read().PatientID}"
    matches = dcmtk.find(archive.server, tmp_path, "-P", level, patient, *hierarchical_keys(instance, level))
    assert instance_key(matches, level) == expected_key(instance, level)


def test_one_query_answers_one_pending_response_per_match(peer: Association) -> None:
    keys = scu.keys("STUDY", PatientID=f"{PATIENT_ID}-*", StudyInstanceUID=None)
    outcome = scu.collect(peer.send_c_find(keys, scu.STUDY_ROOT["find"]))
    patients = {i.study_instance_uid: str(i.read().get("PatientID", "")) for i in constructed_instances()}
    expected = {study for study, patient in patients.items() if patient.startswith(PATIENT_ID)}
    assert len(outcome.pending) == len(expected)
    assert {str(match.StudyInstanceUID) for match in outcome.matches} == expected
    assert {status.Status for status, _ in outcome.pending} <= {0xFF00, 0xFF01}
    assert outcome.status == 0x0000
    assert outcome.identifier is None


def test_nothing_matches(peer: Association) -> None:
    assert query(peer, scu.keys("STUDY", StudyInstanceUID="1.2.3.4.5.6.7.8.9")) == []


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("StudyInstanceUID", [f"{ROOT}.6", f"{ROOT}.7", "1.2.3.4"], {6, 7}),
        ("AccessionNumber", "ACC1?", {11, 12, 13, 14, 15, 16, 17}),
        ("AccessionNumber", "ACC6", {6}),
        ("PatientName", f"{FAMILY_NAME.lower()}^number^7", {7}),
        ("PatientName", "Yamada*", {2}),
        ("PatientName", "*山田^太郎*", {2}),
        ("PatientName", "*홍^길동*", {3}),
        ("PatientName", "*小东", {4, 5}),
    ],
)
def test_matching(peer: Association, keyword: str, value: str | list[str], expected: set[int]) -> None:
    """PS3.4 §C.2.2.2: UID lists, wild cards, single values, names without regard to case and in any group."""
    constructed = {instance.study_instance_uid for instance in constructed_instances()}
    keys = scu.keys("STUDY", StudyID=None, StudyInstanceUID=None)
    keys.SpecificCharacterSet = "ISO_IR 192"
    setattr(keys, keyword, value)
    found = [match for match in query(peer, keys) if match.StudyInstanceUID in constructed]
    assert {int(match.StudyID) for match in found} == expected


@pytest.mark.parametrize(
    ("dates", "is_found"),
    [
        ("20240229", True),
        ("20240228-20240301", True),
        ("-20240228", False),
        ("20240229-", True),
        ("20240301-", False),
    ],
)
def test_date_ranges_are_inclusive(peer: Association, dates: str, is_found: bool) -> None:
    """PS3.4 §C.2.2.2.5."""
    keys = scu.keys("STUDY", StudyInstanceUID=f"{ROOT}.6", StudyDate=dates)
    assert bool(query(peer, keys)) is is_found


def hierarchical_keys(instance: Instance, level: str) -> list[str]:
    uids = {
        "STUDY": f"StudyInstanceUID={instance.study_instance_uid}",
        "SERIES": f"SeriesInstanceUID={instance.series_instance_uid}",
        "IMAGE": f"SOPInstanceUID={instance.sop_instance_uid}",
    }
    if level == "PATIENT":
        return []
    return list(uids.values())[: list(uids).index(level) + 1]


def instance_key(matches: list[Dataset], level: str) -> list[str]:
    return [str(match[UNIQUE_KEYS[level]].value) for match in matches]


def expected_key(instance: Instance, level: str) -> list[str]:
    return [str(instance.read()[UNIQUE_KEYS[level]].value)]


UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


def known_text(instance: Instance, keyword: str) -> str:
    """The value as pydicom decodes it, apart from the one name that it is known to leave escape sequences in."""
    if (instance.name, keyword) == ("Chinese, ISO 2022", "PatientName"):
        return "Zhang^XiaoDong=张^小东"
    return text(instance.read(), keyword)


def text(dataset: Dataset, keyword: str) -> str:
    """A value as text; absent, empty and padded count as equal."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
