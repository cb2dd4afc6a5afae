"""Data sets that must not enter the archive: each ends in its status with a comment, and leaves nothing behind."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite

from support import scu
from support.bundled import bundled_file
from support.constructed import FAMILY_NAME, PATIENT_ID, encode, simple_dataset
from support.deadline import wait_until
from support.instance import Instance, dataset_offset
from support.wire import WireAssociation, data_transfer, message, store_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.server import PacsdServer

CANNOT_UNDERSTAND = range(0xC000, 0xD000)
MISMATCH = range(0xA900, 0xAA00)
INVALID_INSTANCE = range(0x0117, 0x0118)
NUMBER = 9000
"""Of the data sets here, so that their UIDs meet no others."""


def good() -> Instance:
    return encode(simple_dataset(NUMBER), "good")


def without(keyword: str) -> Instance:
    dataset = simple_dataset(NUMBER)
    instance = encode(dataset, keyword)
    del dataset[keyword]
    return replace(instance, dataset=encode_bare(dataset))


def encode_bare(dataset: Dataset) -> bytes:
    """A data set that lacks what `encode` asks for."""
    buffer = io.BytesIO()
    dataset.file_meta = FileMetaDataset()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    content = buffer.getvalue()
    return content[dataset_offset(content) :]


def with_value(keyword: str, value: str) -> Instance:
    """The data set says `value`, the command what it always says."""
    dataset = simple_dataset(NUMBER)
    instance = encode(dataset, keyword)
    old = dataset[keyword]
    uid = str(old.value).encode()
    uid += b"\x00" * (len(uid) % 2)
    head = struct.pack("<HH2sH", old.tag.group, old.tag.element, b"UI", len(uid))
    assert instance.dataset.count(head + uid) == 1
    patched = instance.dataset.replace(head + uid, head + value.encode().ljust(len(uid), b"\x00"))
    return replace(instance, dataset=patched)


def cut(size: int) -> Instance:
    instance = good()
    return replace(instance, dataset=instance.dataset[:size])


def cut_in_the_pixels() -> Instance:
    instance = good()
    return replace(instance, dataset=instance.dataset[:-10])


def truncated_bundled_file(name: str) -> Instance:
    path = bundled_file(name)
    header = dcmread(path, stop_before_pixels=True)
    content = path.read_bytes()
    return Instance(
        name=name,
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
        dataset=content[dataset_offset(content) :],
    )


CASES: dict[str, tuple[Callable[[], Instance], range]] = {
    "another SOP Instance UID than the command": (
        lambda: replace(good(), sop_instance_uid="1.2.3.4.5"),
        MISMATCH,
    ),
    "another SOP Class UID than the command": (
        lambda: replace(good(), sop_class_uid="1.2.840.10008.5.1.4.1.1.2"),
        MISMATCH,
    ),
    "no StudyInstanceUID": (lambda: without("StudyInstanceUID"), CANNOT_UNDERSTAND),
    "no SeriesInstanceUID": (lambda: without("SeriesInstanceUID"), CANNOT_UNDERSTAND),
    "a Study Instance UID that climbs": (
        lambda: with_value("StudyInstanceUID", "../../../../x"),
        CANNOT_UNDERSTAND,
    ),
    "a Series Instance UID with a slash": (
        lambda: with_value("SeriesInstanceUID", "1.2/3"),
        CANNOT_UNDERSTAND,
    ),
    "cut off in the header": (lambda: cut(150), CANNOT_UNDERSTAND),
    "cut off in an element's head": (lambda: cut(3), CANNOT_UNDERSTAND),
    "cut off in the pixels": (cut_in_the_pixels, CANNOT_UNDERSTAND),
    "empty": (lambda: cut(0), CANNOT_UNDERSTAND),
    "noise": (lambda: replace(good(), dataset=bytes(range(256)) * 40), CANNOT_UNDERSTAND),
}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(pacsd_server: PacsdServer) -> object:
    """No file more in the store or in `incoming`, and no row for the study."""
    before = pacsd_server.kept_files()
    yield
    wait_until(lambda: pacsd_server.kept_files() == before, within=5, what="no file is left behind")
    instance = good()
    outcome = scu.find(pacsd_server, scu.keys("STUDY", StudyInstanceUID=instance.study_instance_uid))
    assert (outcome.status, outcome.matches) == (0x0000, [])


@pytest.mark.parametrize(("make", "statuses"), CASES.values(), ids=list(CASES))
def test_is_refused_with_a_comment_and_a_log_line(
    pacsd_server: PacsdServer, make: Callable[[], Instance], statuses: range
) -> None:
    instance = make()
    contexts = [(instance.sop_class_uid, instance.transfer_syntax_uid)]
    mark = pacsd_server.log_size()
    with WireAssociation((pacsd_server.host, pacsd_server.port), contexts) as peer:
        response = peer.store(instance)
        assert response.status in statuses, f"{response.status:04X} {response.error_comment}"
        assert response.error_comment
        assert len(response.error_comment) <= 64, "VR LO"
        peer.release()
    pacsd_server.wait_for_log(instance.sop_instance_uid, after=mark)
    assert PATIENT_ID not in response.error_comment
    assert FAMILY_NAME not in pacsd_server.log_text()


@pytest.mark.parametrize("name", ["MR_truncated.dcm", "rtplan_truncated.dcm"])
def test_a_truncated_file_is_refused(pacsd_server: PacsdServer, name: str) -> None:
    """Its last element says more bytes than there are."""
    instance = truncated_bundled_file(name)
    contexts = [(instance.sop_class_uid, instance.transfer_syntax_uid)]
    with WireAssociation((pacsd_server.host, pacsd_server.port), contexts) as peer:
        response = peer.store(instance)
        peer.release()
    assert response.status in CANNOT_UNDERSTAND, f"{response.status:04X} {response.error_comment}"
    assert response.error_comment


@pytest.mark.parametrize("uid", ["../../x", "/etc/x", "1.2.3/../../x", "", "1.2." + "3" * 130])
def test_a_sop_instance_uid_that_is_none_is_refused(
    pacsd_server: PacsdServer, uid: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In the command and in the data set alike; no path is ever made of it."""
    outside = set(pacsd_server.root.parent.parent.iterdir())
    dataset = simple_dataset(NUMBER)
    dataset.SOPInstanceUID = "1.2"
    instance = replace(encode(dataset, "x"), sop_instance_uid=uid)
    with WireAssociation((pacsd_server.host, pacsd_server.port), storage_context(instance)) as peer:
        response = peer.store(instance)
        assert response.status in (*MISMATCH, *CANNOT_UNDERSTAND, *INVALID_INSTANCE), f"{response.status:04X}"
        assert response.error_comment
        assert peer.store(replace(instance, sop_instance_uid="1.2.3.999"), 2).status in MISMATCH
        peer.release()
    assert set(pacsd_server.root.parent.parent.iterdir()) == outside
    assert not Path("/etc/x").exists()


@pytest.mark.parametrize("end", ["abort", "close"])
def test_a_transfer_that_breaks_off_leaves_nothing(pacsd_server: PacsdServer, end: str) -> None:
    instance = good()
    with WireAssociation((pacsd_server.host, pacsd_server.port), storage_context(instance)) as peer:
        command = store_request(1, instance.sop_class_uid, instance.sop_instance_uid)
        peer.send(message(1, command) + data_transfer(1, 0, instance.dataset[:300]))
        wait_until(lambda: bool(pacsd_server.incoming_files()), within=5, what="the transfer is under way")
        if end == "abort":
            peer.send(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
    wait_until(lambda: not pacsd_server.incoming_files(), within=5, what="the partial file is removed")


def storage_context(instance: Instance) -> list[tuple[str, str]]:
    return [(instance.sop_class_uid, instance.transfer_syntax_uid)]
