"""Two patients in one study, and Patient IDs that are corrected: a running server, and peers known and unknown."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydicom.dataset import Dataset

from support import scu
from support.constructed import encode, simple_dataset
from support.instance import EXPLICIT_LITTLE_ENDIAN
from support.server import PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

NUMBER = 7700
INSTANCES = 3
DUPLICATE_SOP_INSTANCE = 0x0111
UNKNOWN = "STRANGER"
OTHER = "OTHERPEER"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104), Peer(ae_title=OTHER, port=104)]
    )
    running.start()
    yield running
    running.stop()


def image(number: int, patient_id: str) -> Instance:
    """One of a study's images, of this patient as far as it says."""
    dataset = simple_dataset(NUMBER)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.PatientID = patient_id
    dataset.PatientName = f"{patient_id}^Name"
    return encode(dataset, f"number {number} of {patient_id}")


def store(server: PacsdServer, *instances: Instance, calling: str = scu.CALLING_AE_TITLE) -> list[int]:
    contexts = [(instances[0].sop_class_uid, EXPLICIT_LITTLE_ENDIAN)]
    with WireAssociation((server.host, server.port), contexts, calling=calling) as peer:
        responses = [peer.store(each) for each in instances]
        peer.release()
    assert all(bool(each.error_comment) is (each.status != 0) for each in responses)
    return [each.status for each in responses]


def studies_of(server: PacsdServer, patient_id: str) -> list[tuple[str, int]]:
    """Names and numbers of images of the studies that are found under a Patient ID."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.PatientID, identifier.PatientName = patient_id, ""
    identifier.NumberOfStudyRelatedInstances = None
    found = scu.find(server, identifier).matches
    return [(str(each.PatientName), int(each.NumberOfStudyRelatedInstances)) for each in found]


def conflicts(server: PacsdServer) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pacsd", "conflicts", "--config", str(server.config_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_corrected_study_moves_once_all_of_it_is_sent_again(server: PacsdServer) -> None:
    assert store(server, *(image(number, "WRONG") for number in range(INSTANCES))) == [0] * INSTANCES
    for number in range(INSTANCES):
        assert store(server, image(number, "RIGHT")) == [0]
        assert studies_of(server, "RIGHT") == [("RIGHT^Name", number + 1)]
        left = INSTANCES - number - 1
        assert studies_of(server, "WRONG") == ([("WRONG^Name", left)] if left else [])
        assert ("WRONG" in conflicts(server)) is (left > 0)
    server.wait_for_log("study-of-several-patients", after=0)


@pytest.mark.parametrize("calling", [OTHER, UNKNOWN])
def test_what_one_peer_sent_no_other_corrects(server: PacsdServer, calling: str) -> None:
    assert store(server, image(1, "KEPT")) == [0]
    assert store(server, image(1, "OTHER"), calling=calling) == [DUPLICATE_SOP_INSTANCE]
    assert store(server, image(1, "KEPT"), calling=calling) == [0]
    assert (studies_of(server, "KEPT"), studies_of(server, "OTHER")) == ([("KEPT^Name", 1)], [])


def test_an_unknown_peer_corrects_not_even_its_own(server: PacsdServer) -> None:
    assert store(server, image(1, "FIRST"), calling=UNKNOWN) == [0]
    assert store(server, image(1, "SECOND"), calling=UNKNOWN) == [DUPLICATE_SOP_INSTANCE]
    assert studies_of(server, "FIRST") == [("FIRST^Name", 1)]


def test_an_unknown_peer_renames_no_patient(server: PacsdServer) -> None:
    assert store(server, image(1, "SAME")) == [0]
    dataset = simple_dataset(NUMBER)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.2"
    dataset.PatientID, dataset.PatientName = "SAME", "Renamed^Name"
    assert store(server, encode(dataset, "renamed"), calling=UNKNOWN) == [0]
    assert studies_of(server, "SAME") == [("SAME^Name", 2)]
