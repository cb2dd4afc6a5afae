"""Disks that are full, without inodes or read-only: what is kept is served, and nothing is taken in meanwhile."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.mounts import SmallDisk
from support.server import PacsdServer, Peer
from support.wire import Response, WireAssociation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.instance import Instance

OUT_OF_RESOURCES = 0xA700
MB = 1_000_000


def instance(number: int, pixels: int = 20_000) -> Instance:
    dataset = simple_dataset(7400)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.Rows, dataset.Columns = pixels // 1000, 500
    dataset.PixelData = number.to_bytes(2, "little") * (pixels // 2)
    return encode(dataset, f"number {number}")


def connect(server: PacsdServer) -> WireAssociation:
    sample = instance(1)
    return WireAssociation((server.host, server.port), [(sample.sop_class_uid, sample.transfer_syntax_uid)])


def store(server: PacsdServer, sent: Instance) -> Response:
    with connect(server) as peer:
        response = peer.store(sent)
        peer.release()
    return response


def assert_served(server: PacsdServer, kept: list[Instance]) -> None:
    """These and no others are found, and fetched as they were sent."""
    keys = scu.keys("STUDY", StudyInstanceUID=instance(1).study_instance_uid)
    assert len(scu.find(server, keys).matches) == 1
    _, inbox = scu.get(server, keys, scu.own_contexts([instance(1)]))
    assert {uid: one.dataset for uid, one in inbox.received.items()} == {
        each.sop_instance_uid: each.dataset for each in kept
    }


def reasons(server: PacsdServer) -> dict[str, str]:
    """Of the checks of /readyz that fail."""
    checks = json.loads(server.get("/readyz").text)["checks"]
    return {name: check["reason"] for name, check in checks.items() if not check["ok"]}


def is_reachable(server: PacsdServer, path: str) -> bool:
    """Whether a check is passed, by a server that may be starting."""
    try:
        return server.get(path).status == 200
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", "size=12000000,nr_inodes=2000") as mounted:
        yield mounted


@contextmanager
def server_on(
    disk: SmallDisk, tmp_path: Path, *, halves: str = "store and index", min_free_mb: int = 1
) -> Iterator[PacsdServer]:
    """A server with one or both halves of its archive on the disk."""
    index = disk.folder if "index" in halves else tmp_path
    server = PacsdServer(
        tmp_path / "server",
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        launcher=disk.launcher,
        root=(disk.folder if "store" in halves else tmp_path) / "store",
        settings={
            "storage": {"min_free_mb": min_free_mb},
            "index": {"url": f"sqlite:///{index}/index.db", "min_free_mb": 1},
        },
    )
    server.start()
    try:
        yield server
        server.stop()
    finally:
        if server.is_running:
            server.kill()


def use_up_inodes(disk: SmallDisk) -> Callable[[], None]:
    folder = disk.visible_folder / "many"
    folder.mkdir()
    names = [folder / str(number) for number in range(os.statvfs(folder).f_favail)]
    for name in names:
        name.touch()

    def undo() -> None:
        for name in names:
            name.unlink()

    return undo


def fill_up(disk: SmallDisk) -> Callable[[], None]:
    return disk.fill().unlink


def make_read_only(disk: SmallDisk) -> Callable[[], None]:
    disk.remount("ro")
    return lambda: disk.remount("rw")


@pytest.mark.parametrize(
    ("fault", "halves", "ends", "said"),
    [
        (fill_up, "store and index", "kill", "No space left on device"),
        (fill_up, "store and index", "stop", "No space left on device"),
        (use_up_inodes, "store", "stop", "No space left on device"),
        (make_read_only, "store and index", "kill", "Read-only file system"),
    ],
    ids=["full, after a crash", "full", "the store without inodes", "read-only, after a crash"],
)
def test_a_start_serves_what_is_kept_and_stores_again_when_it_can(
    disk: SmallDisk,
    tmp_path: Path,
    fault: Callable[[SmallDisk], Callable[[], None]],
    halves: str,
    ends: str,
    said: str,
) -> None:
    with server_on(disk, tmp_path, halves=halves) as server:
        start_on(disk, server, fault, ends, said)


def start_on(
    disk: SmallDisk,
    server: PacsdServer,
    fault: Callable[[SmallDisk], Callable[[], None]],
    ends: str,
    said: str,
) -> None:
    kept = [instance(number) for number in (1, 2, 3)]
    assert [store(server, each).status for each in kept] == [0x0000] * 3
    getattr(server, ends)()
    undo = fault(disk)
    mark = server.log_size()
    server.launch()
    wait_until(lambda: is_reachable(server, "/healthz"), within=30, what="it serves")
    wait_until(lambda: "workers" not in reasons(server), within=30, what="its worker is ready")
    refusal = store(server, instance(4))
    assert refusal.status == OUT_OF_RESOURCES
    assert said in refusal.error_comment
    assert said in reasons(server)["storing"]
    assert_served(server, kept)
    pid = server.pid
    undo()
    wait_until(lambda: is_reachable(server, "/readyz"), within=30, what="it stores again")
    assert server.pid == pid
    assert store(server, instance(4)).status == 0x0000
    assert_served(server, [*kept, instance(4)])
    events = [event["event"] for event in server.log_events(after=mark)]
    assert "archive-read-only" in events
    assert "archive-writable-again" in events


@pytest.mark.parametrize(
    ("half", "check", "fault"),
    [("store", "storage", use_up_inodes), ("index", "index_disk", fill_up)],
    ids=["the store has no inodes", "the index has no space"],
)
def test_a_disk_that_fills_up_refuses_and_says_which(
    disk: SmallDisk,
    tmp_path: Path,
    half: str,
    check: str,
    fault: Callable[[SmallDisk], Callable[[], None]],
) -> None:
    with server_on(disk, tmp_path, halves=half) as server:
        assert store(server, instance(1)).status == 0x0000
        undo = fault(disk)
        wait_until(lambda: check in reasons(server), within=10, what="it is not ready any more")

        def is_refused() -> bool:
            answer = store(server, instance(2))
            return answer.status == OUT_OF_RESOURCES and f"disk full, {check[:5]}" in answer.error_comment

        wait_until(is_refused, within=10, what="stores are refused")
        assert server.metric("pacsd_ready", check=check) == 0
        assert server.metric("pacsd_ready", check="workers") == 1
        assert_served(server, [instance(1)])
        undo()
        wait_until(lambda: store(server, instance(3)).status == 0x0000, within=10, what="there is room again")
        wait_until(lambda: not reasons(server), within=10, what="it is ready again")


def test_what_comes_at_once_does_not_touch_what_is_kept_free(tmp_path: Path) -> None:
    """Twelve objects of 4 MB, by two workers, where there is room for four."""
    large = [instance(number, 4 * MB) for number in range(1, 13)]
    found: dict[str, Response] = {}
    with (
        SmallDisk(tmp_path / "disk", "size=24000000") as disk,
        server_on(disk, tmp_path, halves="store", min_free_mb=5) as server,
    ):
        least = [disk.free()]

        def send(each: Instance) -> None:
            found[each.sop_instance_uid] = store(server, each)

        threads = [threading.Thread(target=send, args=(each,)) for each in large]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            least.append(disk.free())
        assert min(least) >= 5 * MB
        kept = [each for each in large if found[each.sop_instance_uid].status == 0x0000]
        refused = [answer for answer in found.values() if answer.status]
        assert {answer.status for answer in refused} == {OUT_OF_RESOURCES}
        assert all("storage.min_free_mb" in answer.error_comment for answer in refused)
        wait_until(lambda: not server.incoming_files(), within=10, what="half files are gone")
        while disk.free() > 5 * MB + 4 * MB + MB:
            kept.append(instance(100 + len(kept), 4 * MB))
            assert store(server, kept[-1]).status == 0x0000, "nothing is reserved any more"
        assert_served(server, kept)
