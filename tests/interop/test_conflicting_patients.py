"""Two patients in one study, and Patient IDs that are corrected: a running server, and peers known and unknown."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from pydicom.dataset import Dataset

from interop.conftest import serving_with
from support import scu
from support.constructed import encode, simple_dataset
from support.instance import EXPLICIT_LITTLE_ENDIAN
from support.server import Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.conftest import Destinations
    from support import scp
    from support.instance import Instance
    from support.server import PacsdServer

NUMBERS = count(7700)
"""Of studies; each test has its own."""
INSTANCES = 3
DUPLICATE_SOP_INSTANCE = 0x0111
UNKNOWN = "STRANGER"
OTHER = "OTHERPEER"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, index_settings: dict[str, Any], destinations: Destinations
) -> Iterator[PacsdServer]:
    peers = [
        Peer(ae_title=scu.CALLING_AE_TITLE, port=104),
        Peer(ae_title=OTHER, port=104),
        Peer(ae_title="SINK", port=destinations.sink.port, allow=()),
    ]
    with serving_with(index_settings, tmp_path_factory.mktemp("patients"), peers) as running:
        yield running


@pytest.fixture
def study() -> int:
    """The number of a study that no other test has."""
    return next(NUMBERS)


def image(study: int, number: int, patient_id: str, **attributes: str) -> Instance:
    """One of a study's images, of this patient as far as it says."""
    dataset = simple_dataset(study)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.PatientID = patient_id
    dataset.PatientName = f"{patient_id}^Name"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
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


def test_a_corrected_study_moves_once_all_of_it_is_sent_again(server: PacsdServer, study: int) -> None:
    assert store(server, *(image(study, number, "WRONG") for number in range(INSTANCES))) == [0] * INSTANCES
    for number in range(INSTANCES):
        assert store(server, image(study, number, "RIGHT")) == [0]
        assert studies_of(server, "RIGHT") == [("RIGHT^Name", number + 1)]
        left = INSTANCES - number - 1
        assert studies_of(server, "WRONG") == ([("WRONG^Name", left)] if left else [])
        if number != 1:
            assert ("WRONG" in conflicts(server)) is (left > 0)
    server.wait_for_log("study-of-several-patients", after=0)


def test_three_patients_of_a_study_are_each_found_and_moved(
    server: PacsdServer, study: int, sink: scp.Destination
) -> None:
    patients = ("THREE-1", "THREE-2", "THREE-3")
    images = [image(study, number, patients[number % 3]) for number in range(6)]
    assert store(server, *images) == [0] * 6
    for patient_id in patients:
        assert studies_of(server, patient_id) == [(f"{patient_id}^Name", 2)]
        own = {each.sop_instance_uid for each in images if each.read().PatientID == patient_id}
        sink.reset()
        moved = scu.move(
            server, scu.keys("PATIENT", PatientID=patient_id), "SINK", model=scu.PATIENT_ROOT["move"]
        )
        assert moved.counts == (2, 0, 0)
        assert sink.inbox.received.keys() == own
    sink.reset()
    whole = scu.keys("STUDY", StudyInstanceUID=images[0].study_instance_uid)
    assert scu.move(server, whole, "SINK").counts == (6, 0, 0)


@pytest.mark.parametrize(
    ("keyword", "wrong", "right"),
    [("IssuerOfPatientID", "WARD", "CLINIC"), ("PatientName", "Wrong^Name", "Right^Name")],
)
def test_half_of_a_study_corrected_and_then_the_rest(
    server: PacsdServer, study: int, keyword: str, wrong: str, right: str
) -> None:
    patient_id = f"HALF-{keyword}"

    def found(value: str) -> list[int]:
        keys = scu.keys("STUDY", PatientID=patient_id, NumberOfStudyRelatedInstances=None, **{keyword: value})
        return [int(each.NumberOfStudyRelatedInstances) for each in scu.find(server, keys).matches]

    def images_with(value: str) -> int:
        keys = scu.keys("IMAGE", SOPInstanceUID=None, PatientID=patient_id, **uids, **{keyword: value})
        return len(scu.find(server, keys).matches)

    old = [image(study, number, patient_id, **{keyword: wrong}) for number in range(4)]
    uids = {
        "StudyInstanceUID": old[0].study_instance_uid,
        "SeriesInstanceUID": old[0].series_instance_uid,
    }
    new = [image(study, number, patient_id, **{keyword: right}) for number in range(4)]
    assert store(server, *old) == [0] * 4
    assert store(server, *new[:2]) == [0] * 2
    assert (images_with(wrong), images_with(right)) == (2, 2)
    assert old[0].study_instance_uid in conflicts(server)
    assert store(server, *new[2:]) == [0] * 2
    assert (images_with(wrong), images_with(right)) == (0, 4)
    assert (found(wrong), found(right)) == ([], [4])


def test_reports_among_the_images_are_listed_by_level_with_their_sender(
    server: PacsdServer, study: int
) -> None:
    same = {"SeriesDescription": "Axial", "StudyDescription": "Chest", "StudyDate": "20260102"}
    images = [image(study, number, "MIXED", Modality="CT", **same) for number in range(3)]
    report = image(study, 8, "MIXED", **{**same, "Modality": "SR", "SeriesDescription": "Report"})
    assert store(server, *images) == [0] * 3
    before = server.metric("pacsd_attribute_conflicts_total", level="series")
    mark = server.log_size()
    for number in (8, 9):
        again = image(study, number, "MIXED", **{**same, "Modality": "SR", "SeriesDescription": "Report"})
        assert store(server, again, calling=OTHER) == [0]
    told = [each for each in server.log_events(after=mark) if each["event"] == "attributes-disagree"]
    assert [(each["query_level"], each["keywords"]) for each in told] == [
        ("SERIES", ["Modality", "SeriesDescription"])
    ]
    assert server.metric("pacsd_attribute_conflicts_total", level="series") == before + 2
    listed = conflicts(server)
    series = report.series_instance_uid
    assert f"series {series}: Modality, SeriesDescription: 2 of 5 objects, from {OTHER}" in listed
    assert "Axial" not in listed
    asked = scu.keys("STUDY", StudyInstanceUID=report.study_instance_uid, ModalitiesInStudy="CT")
    assert len(scu.find(server, asked).matches) == 1


@pytest.mark.parametrize("calling", [OTHER, UNKNOWN])
def test_what_one_peer_sent_no_other_corrects(server: PacsdServer, study: int, calling: str) -> None:
    kept, other = f"KEPT-{calling}", f"NOT-{calling}"
    assert store(server, image(study, 1, kept)) == [0]
    assert store(server, image(study, 1, other), calling=calling) == [DUPLICATE_SOP_INSTANCE]
    assert store(server, image(study, 1, kept), calling=calling) == [0]
    assert (studies_of(server, kept), studies_of(server, other)) == ([(f"{kept}^Name", 1)], [])


def test_an_unknown_peer_corrects_not_even_its_own(server: PacsdServer, study: int) -> None:
    assert store(server, image(study, 1, "FIRST"), calling=UNKNOWN) == [0]
    assert store(server, image(study, 1, "SECOND"), calling=UNKNOWN) == [DUPLICATE_SOP_INSTANCE]
    assert studies_of(server, "FIRST") == [("FIRST^Name", 1)]


def test_an_unknown_peer_renames_no_patient(server: PacsdServer, study: int) -> None:
    assert store(server, image(study, 1, "SAME")) == [0]
    renamed = image(study, 2, "SAME", PatientName="Renamed^Name")
    assert store(server, renamed, calling=UNKNOWN) == [0]
    assert studies_of(server, "SAME") == [("SAME^Name", 2)]
