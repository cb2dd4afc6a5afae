"""Sequences as keys (PS3.4 §C.2.2.2.6), asked for by pynetdicom and DCMTK, against what pydicom reads in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom.dataset import Dataset

from support import dcmtk, scp, scu

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pynetdicom.association import Association

    from interop.conftest import Archive

FILE = "CT_small.dcm"


@pytest.fixture(scope="module")
def peer(archive: Archive) -> Iterator[Association]:
    """One association for all queries of this module."""
    with scu.association(archive.server, [(scu.STUDY_ROOT["find"], scp.NARROW)]) as established:
        yield established


def other_ids(peer: Association, study: str, *items: Dataset) -> list[Dataset]:
    keys = scu.keys("STUDY", StudyInstanceUID=study)
    keys.OtherPatientIDsSequence = list(items)
    outcome = scu.collect(peer.send_c_find(keys, scu.STUDY_ROOT["find"]))
    assert outcome.status == 0x0000, outcome.error_comment
    assert {status.Status for status, _ in outcome.pending} <= {0xFF00}
    return outcome.matches


def item(**values: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_a_sequence_is_answered_with_all_its_items(peer: Association, archive: Archive) -> None:
    instance = archive.named(FILE)
    expected = instance.read().OtherPatientIDsSequence
    assert len(expected) == 2
    for items in ([], [Dataset()], [item(PatientID="")]):
        (match,) = other_ids(peer, instance.study_instance_uid, *items)
        assert match.OtherPatientIDsSequence == expected


def test_keys_are_matched_within_one_item(peer: Association, archive: Archive) -> None:
    instance = archive.named(FILE)
    first, second = instance.read().OtherPatientIDsSequence
    assert first.PatientID != second.PatientID
    study = instance.study_instance_uid
    for each in (first, second):
        asked = item(PatientID=f"{each.PatientID[:-1]}?", TypeOfPatientID=each.TypeOfPatientID)
        (match,) = other_ids(peer, study, asked)
        assert match.StudyInstanceUID == study
    assert other_ids(peer, study, item(PatientID="NOBODY")) == []


def test_several_items_in_a_key_are_refused(peer: Association, archive: Archive) -> None:
    keys = scu.keys("STUDY", StudyInstanceUID=archive.named(FILE).study_instance_uid)
    keys.OtherPatientIDsSequence = [item(PatientID="A"), item(PatientID="B")]
    outcome = scu.collect(peer.send_c_find(keys, scu.STUDY_ROOT["find"]))
    assert outcome.status in {0xA900, 0xC000}
    assert "OtherPatientIDsSequence" in outcome.error_comment


def test_findscu_matches_within_a_sequence(archive: Archive, tmp_path: Path) -> None:
    instance = archive.named(FILE)
    first = instance.read().OtherPatientIDsSequence[0]
    keys = (
        f"StudyInstanceUID={instance.study_instance_uid}",
        f"OtherPatientIDsSequence[0].PatientID={first.PatientID}",
    )
    (match,) = dcmtk.find(archive.server, tmp_path, "-S", "STUDY", *keys)
    assert match.OtherPatientIDsSequence == instance.read().OtherPatientIDsSequence
