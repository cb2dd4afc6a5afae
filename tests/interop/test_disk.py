"""A store that cannot be written any more: 0xA700, and whatever was acknowledged stays (PS3.4 §B.2.3)."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.mounts import mounting_is_possible, namespace_options
from support.peers import missing
from support.server import PacsdServer, Peer
from support.wire import Response, WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

DISK_SIZE = 4_000_000
OUT_OF_RESOURCES = 0xA700
PIXELS = 400_000


@pytest.fixture
def small_disk_server(tmp_path: Path) -> Iterator[PacsdServer]:
    """A server in a mount namespace, whose store is a file system of 4 MB."""
    if not mounting_is_possible():
        missing("no file system can be mounted here, not even in a namespace")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={DISK_SIZE} none "$0" && exec "$@"'
    server = PacsdServer(
        tmp_path,
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        launcher=["unshare", *namespace_options(), "sh", "-c", mount, str(disk)],
        root=disk / "store",
    )
    server.start()
    yield server
    server.stop()


def large_instance(number: int) -> Instance:
    dataset = simple_dataset(7000)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.Rows, dataset.Columns = 400, 500
    dataset.PixelData = number.to_bytes(2, "little") * (PIXELS // 2)
    return encode(dataset, f"large {number}")


def store_until_refused(server: PacsdServer) -> tuple[list[Instance], Response]:
    """Send instances until one is refused: those acknowledged before it, and the refusal."""
    acknowledged: list[Instance] = []
    with connect(server) as peer:
        for number in range(1, 2 * DISK_SIZE // PIXELS):
            instance = large_instance(number)
            response = peer.store(instance, number)
            if response.status != 0:
                peer.release()
                return acknowledged, response
            acknowledged.append(instance)
    raise AssertionError("the disk takes more than it holds")


def connect(server: PacsdServer) -> WireAssociation:
    sample = large_instance(1)
    return WireAssociation((server.host, server.port), [(sample.sop_class_uid, sample.transfer_syntax_uid)])


def assert_kept_exactly(server: PacsdServer, acknowledged: list[Instance]) -> None:
    """These and no others are found and fetched, and there is one file for each."""
    study, series = f"{large_instance(1).study_instance_uid}", large_instance(1).series_instance_uid
    keys = scu.keys("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=None)
    found = scu.find(server, keys)
    assert {str(m.SOPInstanceUID) for m in found.matches} == {i.sop_instance_uid for i in acknowledged}
    assert len(server.kept_files()) == len(acknowledged)
    assert server.incoming_files() == set()
    keys = scu.keys("STUDY", StudyInstanceUID=study)
    _, inbox = scu.get(server, keys, scu.own_contexts(acknowledged))
    assert {uid: one.dataset for uid, one in inbox.received.items()} == {
        i.sop_instance_uid: i.dataset for i in acknowledged
    }


def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(small_disk_server: PacsdServer) -> None:
    acknowledged, refusal = store_until_refused(small_disk_server)
    assert refusal.status == OUT_OF_RESOURCES
    assert refusal.error_comment
    assert acknowledged, "some fit"
    assert_kept_exactly(small_disk_server, acknowledged)


def test_a_read_only_store_refuses_and_still_answers(small_disk_server: PacsdServer) -> None:
    before = large_instance(1)
    with connect(small_disk_server) as peer:
        assert peer.store(before).status == 0x0000
        set_writable(small_disk_server, writable=False)
        refusal = peer.store(large_instance(2), 2)
        assert refusal.status == OUT_OF_RESOURCES
        assert refusal.error_comment
        readiness = small_disk_server.get("/readyz")
        assert readiness.status == 503
        assert "Read-only file system" in readiness.text
        assert_kept_exactly(small_disk_server, [before])
        set_writable(small_disk_server, writable=True)
        assert small_disk_server.get("/readyz").status == 200
        assert peer.store(large_instance(3), 3).status == 0x0000
        peer.release()
    assert_kept_exactly(small_disk_server, [before, large_instance(3)])


def test_below_the_watermark_nothing_is_begun_until_there_is_room_again(
    small_disk_server: PacsdServer,
) -> None:
    """The disk has room for the instance still, but less than is to be kept free."""
    ballast = small_disk_server.visible_root().parent / "ballast"
    ballast.write_bytes(bytes(DISK_SIZE - 900_000))
    instance = large_instance(1)
    with connect(small_disk_server) as peer:
        refusal = peer.store(instance)
        assert refusal.status == OUT_OF_RESOURCES
        assert "free" in refusal.error_comment
        assert small_disk_server.kept_files() == set()
        ballast.unlink()
        wait_until(lambda: peer.store(instance).status == 0x0000, within=10, what="there is room again")
        peer.release()
    assert_kept_exactly(small_disk_server, [instance])


def set_writable(server: PacsdServer, *, writable: bool) -> None:
    """Remount the server's disk, in its namespace."""
    enter = ["nsenter", "-t", str(server.pid), "-m"]
    if os.geteuid() != 0:
        enter += ["-U", "--preserve-credentials"]
    mode = "rw" if writable else "ro"
    subprocess.run([*enter, "mount", "-o", f"remount,{mode}", str(server.root.parent)], check=True)
