"""`pacsd send`: which files go, as what, and what is said of those that did not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_peer import EXPLICIT, IMPLICIT, Script
from pacsd_command import Pacsd
from running_server import Server

from dicomnet import CStoreRequest, DicomNet
from support import dcmtk
from support.bundled import bundled_file
from support.instance import Instance, dataset_offset, part10_header, read_dataset
from support.peers import free_port

ALL_SYNTAXES = (
    EXPLICIT,
    IMPLICIT,
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.91",
)


@pytest.fixture
def generous(script: Script) -> Script:
    """The peer takes every syntax of our files."""
    script.transfer_syntaxes = ALL_SYNTAXES
    return script


def test_data_sets_go_as_they_are(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    done = pacsd("send", *peer, folder)
    assert done.status == 0, done.err
    assert done.out.startswith(f"{len(instances)} sent, 0 sent with warnings, 0 failed, 0 skipped")
    assert done.err == ""
    expected = {i.sop_instance_uid: (i.transfer_syntax_uid, i.dataset_on_the_wire) for i in instances}
    assert generous.received == expected


def test_to_a_server(pacsd: Pacsd, server: Server, folder: Path, instances: tuple[Instance, ...]) -> None:
    done = pacsd("send", *server.address, folder, "--aet", "CLI")
    assert done.status == 0, done.err
    assert done.out.startswith(f"{len(instances)} sent")


def test_to_dcmtk(pacsd: Pacsd, folder: Path, instances: tuple[Instance, ...], tmp_path: Path) -> None:
    with dcmtk.storescp("STORESCP", tmp_path / "received", port=free_port()) as storescp:
        done = pacsd("send", "127.0.0.1", storescp.port, "--called", "STORESCP", folder)
        assert done.status == 0, done.err
        received = [path.read_bytes() for path in storescp.folder.iterdir()]
    datasets = {content[dataset_offset(content) :] for content in received}
    assert datasets == {instance.dataset_on_the_wire for instance in instances}


def test_a_peer_that_takes_no_compression_gets_pixels_all_the_same(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    done = pacsd("send", *peer, folder)
    assert done.status == 0, done.err
    assert set(script.received) == {i.sop_instance_uid for i in instances}
    compressed = next(i for i in instances if i.name == "MR_small_RLE.dcm")
    syntax, data = script.received[compressed.sop_instance_uid]
    assert syntax in (EXPLICIT, IMPLICIT)
    assert (read_dataset(data, syntax).pixel_array == compressed.read().pixel_array).all()


def test_what_is_not_dicom_is_skipped_and_counted(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    (folder / "notes.txt").write_text("not an image")
    (folder / "empty").touch()
    shutil.copy(bundled_file("dicomdirtests/DICOMDIR"), folder)
    done = pacsd("send", *peer, folder)
    assert done.status == 0, done.err
    assert done.out.startswith(f"{len(instances)} sent, 0 sent with warnings, 0 failed, 3 skipped")


def test_a_file_that_is_named_itself_must_be_an_instance(
    pacsd: Pacsd, peer: tuple[str, int], folder: Path
) -> None:
    (folder / "notes.txt").write_text("not an image")
    done = pacsd("send", *peer, folder / "notes.txt")
    assert done.status == 1
    assert "no DICOM instance: " in done.err
    assert "0 sent, 0 sent with warnings, 1 failed" in done.out


def test_a_damaged_file_is_not_passed_over(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    (folder / "damaged.dcm").write_bytes((folder / instances[1].name).read_bytes()[:200])
    done = pacsd("send", *peer, folder)
    assert done.status == 1
    assert "damaged.dcm" in done.err
    assert done.out.startswith(f"{len(instances)} sent, 0 sent with warnings, 1 failed")


def test_a_file_whose_meta_information_names_no_instance(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    """SOP class and instance then are those of the data set."""
    instance = instances[0]
    file = tmp_path / "bare.dcm"
    file.write_bytes(part10_header("", "", instance.transfer_syntax_uid) + instance.dataset)
    done = pacsd("send", *peer, file)
    assert done.status == 0, done.err
    assert generous.received == {instance.sop_instance_uid: (instance.transfer_syntax_uid, instance.dataset)}


def test_refusals_and_warnings_are_grouped_by_reason(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    full, coerced = instances[0].sop_instance_uid, instances[1].sop_instance_uid

    def answer(_: DicomNet, request: CStoreRequest) -> tuple[int, str]:
        known = {full: (0xA700, "disk \x1b[2J full"), coerced: (0xB000, "")}
        return known.get(request.affected_sop_instance_uid, (0, ""))

    generous.on_store = answer
    done = pacsd("send", *peer, folder)
    assert done.status == 1
    failed, warned = done.err.splitlines()
    assert failed.startswith(
        "failed: A700 refused: out of resources (disk \N{REPLACEMENT CHARACTER}[2J full): "
    )
    assert failed.endswith(instances[0].name)
    assert warned.startswith("warning: B000 warning: coercion of data elements: ")
    assert done.out.startswith(f"{len(instances) - 2} sent, 1 sent with warnings, 1 failed")


def test_warnings_alone_are_no_failure(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path
) -> None:
    generous.on_store = lambda _net, _request: (0xB007, "")
    assert pacsd("send", *peer, folder).status == 0


def test_a_lost_association_takes_one_instance_with_it(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    victim = instances[2].sop_instance_uid

    def answer(net: DicomNet, request: CStoreRequest) -> tuple[int, str]:
        if request.affected_sop_instance_uid == victim:
            net.send_abort()
        return 0, ""

    generous.on_store = answer
    done = pacsd("send", *peer, folder)
    assert done.status == 1
    assert "the peer aborted" in done.err
    assert done.out.startswith(f"{len(instances) - 1} sent, 0 sent with warnings, 1 failed")
    assert set(generous.received) == {i.sop_instance_uid for i in instances} - {victim}
    assert len(generous.requests) == 2


def test_a_file_that_becomes_shorter_while_it_is_sent(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    """Half of it must not pass for the whole: the association is aborted, and the others go over a new one."""
    first, second, third = sorted(folder.rglob("*.dcm"))[:3]
    shortened = next(i for i in instances if i.name == second.name)

    def answer(_: DicomNet, request: CStoreRequest) -> tuple[int, str]:
        with second.open("r+b") as file:
            file.truncate(second.stat().st_size // 2)
        return 0, ""

    generous.on_store = answer
    done = pacsd("send", *peer, first, second, third)
    assert done.status == 1
    assert "a stored file ends at" in done.err
    assert done.out.startswith("2 sent, 0 sent with warnings, 1 failed")
    assert shortened.sop_instance_uid not in generous.received


def test_a_peer_that_always_aborts_is_not_called_for_ever(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    def answer(net: DicomNet, _: CStoreRequest) -> tuple[int, str]:
        net.send_abort()
        return 0, ""

    generous.on_store = answer
    done = pacsd("send", *peer, folder)
    assert done.status == 1
    assert f"0 sent, 0 sent with warnings, {len(instances)} failed" in done.out
    assert len(generous.requests) == 3


def test_nobody_listens(pacsd: Pacsd, folder: Path, instances: tuple[Instance, ...]) -> None:
    done = pacsd("send", "127.0.0.1", free_port(), folder)
    assert done.status == 1
    assert "refused" in done.err
    assert f"0 sent, 0 sent with warnings, {len(instances)} failed" in done.out


def test_a_class_that_the_peer_does_not_take(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, folder: Path, instances: tuple[Instance, ...]
) -> None:
    plan = next(i for i in instances if i.name == "rtplan.dcm")
    generous.refused_classes = frozenset({plan.sop_class_uid})
    done = pacsd("send", *peer, folder)
    assert done.status == 1
    assert f"the peer accepted no context for SOP class {plan.sop_class_uid}" in done.err
    assert set(generous.received) == {i.sop_instance_uid for i in instances} - {plan.sop_instance_uid}


def test_more_classes_than_one_association_has_contexts(
    pacsd: Pacsd, peer: tuple[str, int], generous: Script, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    """Two contexts a class, 70 classes, two files each in an order that mixes them."""
    folder = tmp_path / "many"
    folder.mkdir()
    data = instances[0].dataset
    for number in range(140):
        header = part10_header(f"1.2.3.{number % 70}", f"1.2.4.{number}", instances[0].transfer_syntax_uid)
        (folder / f"{number:03}.dcm").write_bytes(header + data)
    done = pacsd("send", *peer, folder)
    assert done.status == 0, done.err
    assert len(generous.received) == 140
    assert len(generous.requests) == 2
    assert all(len(request.presentation_contexts) <= 128 for request in generous.requests)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["127.0.0.1", "104"], "one PATH at least"),
        (["127.0.0.1", "104", "nowhere"], "No such file"),
        (["127.0.0.1", "port", "."], "is no port"),
    ],
)
def test_wrong_usage_is_status_2(pacsd: Pacsd, arguments: list[str], said: str) -> None:
    done = pacsd("send", *arguments)
    assert done.status == 2
    assert said in done.err
