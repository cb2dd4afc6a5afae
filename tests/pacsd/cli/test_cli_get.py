"""`pacsd get`: instances as they are stored, in files that are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_peer import EXPLICIT, FIND, Final, Script
from pacsd_command import Pacsd
from pydicom import dcmread
from running_server import Server

from dicomnet import SubOperationFields
from pacsd.dataset.uids import name_of_uid
from support.instance import Instance, dataset_offset
from support.peers import free_port

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
STUDY = ("-k", "StudyInstanceUID=1.2.3")


@pytest.fixture
def stored(pacsd: Pacsd, server: Server, folder: Path) -> Server:
    assert pacsd("send", *server.address, folder, "--aet", "CLI").status == 0
    return server


def uid_keys(instances: tuple[Instance, ...]) -> list[str]:
    studies = sorted({instance.study_instance_uid for instance in instances})
    return [part for uid in studies for part in ("-k", f"StudyInstanceUID={uid}")]


def test_files_hold_what_was_stored(
    pacsd: Pacsd, stored: Server, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    output = tmp_path / "new" / "folder"
    done = pacsd("get", *stored.address, "--aet", "CLI", *uid_keys(instances), "-o", output)
    assert done.status == 0, done.err
    assert f"{len(instances)} completed, 0 with warnings, 0 failed" in done.out
    assert {path.name for path in output.iterdir()} == {f"{i.sop_instance_uid}.dcm" for i in instances}
    for instance in instances:
        path = output / f"{instance.sop_instance_uid}.dcm"
        content = path.read_bytes()
        assert content[dataset_offset(content) :] == instance.dataset_on_the_wire
        meta = dcmread(path, stop_before_pixels=True).file_meta
        assert meta.TransferSyntaxUID == instance.transfer_syntax_uid
        assert meta.MediaStorageSOPClassUID == instance.sop_class_uid
        assert meta.MediaStorageSOPInstanceUID == instance.sop_instance_uid


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_level_in_patient_root(
    pacsd: Pacsd, stored: Server, instances: tuple[Instance, ...], tmp_path: Path, depth: int
) -> None:
    ct = next(i for i in instances if i.name == "CT_small.dcm")
    keys = [
        f"PatientID={ct.read().PatientID}",
        f"StudyInstanceUID={ct.study_instance_uid}",
        f"SeriesInstanceUID={ct.series_instance_uid}",
        f"SOPInstanceUID={ct.sop_instance_uid}",
    ]
    chosen = [part for key in keys[:depth] for part in ("-k", key)]
    done = pacsd("get", *stored.address, "--aet", "CLI", *chosen, "-o", tmp_path / "out")
    assert done.status == 0, done.err
    content = (tmp_path / "out" / f"{ct.sop_instance_uid}.dcm").read_bytes()
    assert content.endswith(ct.dataset)


def test_a_server_without_find_gives_it_uncompressed(
    pacsd: Pacsd, stored: Server, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    rle = next(i for i in instances if i.name == "MR_small_RLE.dcm")
    chosen = ("-k", f"StudyInstanceUID={rle.study_instance_uid}")
    done = pacsd("get", *stored.address, "--aet", "GETONLY", *chosen, "-o", tmp_path)
    assert done.status == 0, done.err
    assert "no C-FIND before the C-GET" in done.err
    received = dcmread(tmp_path / f"{rle.sop_instance_uid}.dcm")
    assert received.file_meta.TransferSyntaxUID == EXPLICIT
    assert (received.pixel_array == rle.read().pixel_array).all()


def test_contexts_follow_from_what_there_is(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, tmp_path: Path
) -> None:
    """One context for each class and syntax, with the SCP role proposed for the class (PS3.7 §D.3.3.4)."""

    def matches(keys: dict[str, str]) -> list[dict[str, str]]:
        if keys["QueryRetrieveLevel"] == "SERIES":
            return [{"SeriesInstanceUID": "1.2.3.4"}]
        assert (keys["StudyInstanceUID"], keys["SeriesInstanceUID"]) == ("1.2.3", "1.2.3.4")
        return [
            {"SOPClassUID": CT_CLASS, "AvailableTransferSyntaxUID": JPEG_BASELINE},
            {"SOPClassUID": "no UID at all"},
        ]

    script.matches = matches
    assert pacsd("get", *peer, *STUDY, "-o", tmp_path).status == 0
    request = script.requests[1]
    storage = [(c.abstract_syntax, c.transfer_syntaxes) for c in request.presentation_contexts[1:]]
    assert storage[0] == (CT_CLASS, (JPEG_BASELINE,))
    assert {uid for uid, _ in storage} == {CT_CLASS}
    assert all(len(syntaxes) == 1 for _, syntaxes in storage)
    (role,) = request.user_information.roles
    assert (role.sop_class_uid, role.scu_role, role.scp_role) == (CT_CLASS, False, True)


def test_many_classes_stay_within_128_contexts(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, tmp_path: Path
) -> None:
    def matches(keys: dict[str, str]) -> list[dict[str, str]]:
        if keys["QueryRetrieveLevel"] == "SERIES":
            return [{"SeriesInstanceUID": "1.2.3.4"}]
        return [{"SOPClassUID": f"1.2.5.{number}"} for number in range(50)]

    script.matches = matches
    assert pacsd("get", *peer, *STUDY, "-o", tmp_path).status == 0
    contexts = script.requests[1].presentation_contexts
    assert len(contexts) == 128
    assert {context.abstract_syntax for context in contexts[1:]} == {f"1.2.5.{n}" for n in range(50)}


def test_what_cannot_be_a_file_name_is_refused(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    script.refused_classes = frozenset({FIND})
    data = instances[0].dataset
    script.sent_by_get = [(CT_CLASS, uid, data) for uid in ("../evil", "1.2.9", "1.2.EVIL")]
    script.final = Final(0xB000, SubOperationFields(number_of_completed_suboperations=1))
    output = tmp_path / "out"
    done = pacsd("get", *peer, *STUDY, "-o", output)
    assert done.status == 1
    assert script.get_statuses == [0xC000, 0, 0]
    assert {path.name for path in output.iterdir()} == {"1.2.9.dcm", f"{name_of_uid('1.2.EVIL')}.dcm"}
    assert not list(tmp_path.rglob("*evil*"))


def test_a_full_disk_is_told_to_the_peer(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    """A folder stands where the file should: nothing else is lost, and no half file stays."""
    script.refused_classes = frozenset({FIND})
    (tmp_path / "1.2.8.dcm").mkdir()
    data = instances[0].dataset
    script.sent_by_get = [(CT_CLASS, "1.2.8", data), (CT_CLASS, "1.2.9", data)]
    done = pacsd("get", *peer, *STUDY, "-o", tmp_path)
    assert done.status == 1
    assert script.get_statuses == [0x0110, 0]
    assert "not kept: cannot write a file" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.8.dcm", "1.2.9.dcm"]


def test_an_instance_that_breaks_off_leaves_no_file(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield instances[0].dataset
        raise InterruptedError

    script.refused_classes = frozenset({FIND})
    (tmp_path / "1.2.9.dcm").write_bytes(b"older")
    script.sent_by_get = [(CT_CLASS, "1.2.9", breaks_off())]
    done = pacsd("get", *peer, *STUDY, "-o", tmp_path)
    assert done.status == 1
    assert "the peer aborted" in done.err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("1.2.9.dcm", b"older")]


def test_an_older_file_gives_way_to_a_whole_one(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    script.refused_classes = frozenset({FIND})
    (tmp_path / "1.2.9.dcm").write_bytes(b"older")
    script.sent_by_get = [(CT_CLASS, "1.2.9", instances[0].dataset)]
    assert pacsd("get", *peer, *STUDY, "-o", tmp_path).status == 0
    assert (tmp_path / "1.2.9.dcm").read_bytes().endswith(instances[0].dataset)


def test_a_peer_that_counts_more_than_came_is_not_believed(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, tmp_path: Path
) -> None:
    script.final = Final(0, SubOperationFields(number_of_completed_suboperations=2))
    done = pacsd("get", *peer, *STUDY, "-o", tmp_path)
    assert done.status == 1
    assert "the peer counts 2 as sent, but 0 have come" in done.err


def test_failed_instances_are_named(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, tmp_path: Path
) -> None:
    script.final = Final(0xA702, SubOperationFields(number_of_failed_suboperations=2), failed="1.2.7\\1.2.8")
    done = pacsd("get", *peer, *STUDY, "-o", tmp_path)
    assert done.status == 1
    assert [line for line in done.err.splitlines() if line.startswith("failed")] == [
        "failed: 1.2.7",
        "failed: 1.2.8",
    ]
    assert "A702 refused: out of resources, unable to perform sub-operations: 2 failed" in done.out


def test_nobody_listens(pacsd: Pacsd, tmp_path: Path) -> None:
    done = pacsd("get", "127.0.0.1", free_port(), *STUDY, "-o", tmp_path)
    assert (done.status, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to retrieve"),
        (["-k", "Modality=CT"], "Modality is no unique key"),
        (["-k", "SeriesInstanceUID=1.2"], "needs a StudyInstanceUID"),
        (["-k", "StudyInstanceUID"], "needs a StudyInstanceUID"),
        (["-k", "StudyInstanceUID=1", "-k", "SeriesInstanceUID=2", "--level", "STUDY"], "is no key at level"),
        (["-k", "PatientID=1", "--model", "study"], "no key"),
        (["-k", "StudyInstanceUID=" + "1" * 0xFFFF], "longer than"),
    ],
)
def test_wrong_usage_is_status_2(pacsd: Pacsd, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = pacsd("get", "127.0.0.1", "104", "-o", tmp_path, *arguments)
    assert done.status == 2
    assert said in " ".join(done.err.replace("│", " ").split())
