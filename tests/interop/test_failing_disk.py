"""A disk that fails while an instance is written or made durable: refused with 0xA700, and nothing is trusted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.injection import injected
from support.server import PacsdServer, Peer
from support.wire import Response, WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

OUT_OF_RESOURCES = 0xA700
NUMBER = 7100
PIXELS = 400_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    """A server with one worker."""
    running = PacsdServer(
        tmp_path,
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        settings={"server": {"workers": 1}},
    )
    running.start()
    yield running
    if running.is_running:
        running.stop()


def instance(number: int, pixels: int = 2000) -> Instance:
    dataset = simple_dataset(NUMBER)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.Rows, dataset.Columns = pixels // 1000, 500
    dataset.PixelData = number.to_bytes(2, "little") * (pixels // 2)
    return encode(dataset, f"number {number}")


def store(server: PacsdServer, sent: Instance) -> Response:
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    with WireAssociation((server.host, server.port), [context]) as peer:
        response = peer.store(sent)
        peer.release()
    return response


def assert_kept_exactly(server: PacsdServer, expected: list[Instance]) -> None:
    """These and no others are in the index, found and fetched, and there is one file for each."""
    assert found(server) == {each.sop_instance_uid for each in expected}
    assert len(server.kept_files()) == len(expected)
    assert server.incoming_files() == set()
    keys = scu.keys("STUDY", StudyInstanceUID=instance(1).study_instance_uid)
    _, inbox = scu.get(server, keys, scu.own_contexts([instance(1)]))
    assert {uid: one.dataset for uid, one in inbox.received.items()} == {
        each.sop_instance_uid: each.dataset for each in expected
    }


def found(server: PacsdServer) -> set[str]:
    sample = instance(1)
    keys = scu.keys(
        "IMAGE",
        StudyInstanceUID=sample.study_instance_uid,
        SeriesInstanceUID=sample.series_instance_uid,
        SOPInstanceUID=None,
    )
    return {str(match.SOPInstanceUID) for match in scu.find(server, keys).matches}


def rows(server: PacsdServer) -> dict[str, str]:
    with closing(sqlite3.connect(server.index_path)) as database:
        return dict(database.execute("SELECT sop_instance_uid, path FROM instances").fetchall())


FAULTS = {
    "no room for more of a file": ("writev", "error=ENOSPC:when=2+", PIXELS),
    "no room for a file": ("openat", "error=ENOSPC", 2000),
    "a file cannot be written": ("writev", "error=EIO", 2000),
    "a file cannot be synced": ("fdatasync", "error=EIO", 2000),
    "a file cannot be published": ("link,linkat", "error=EIO", 2000),
    "a directory cannot be synced": ("fsync", "error=EIO", 2000),
}


@pytest.mark.parametrize(("calls", "fault", "pixels"), FAULTS.values(), ids=list(FAULTS))
def test_a_failing_disk_refuses_and_leaves_nothing(
    server: PacsdServer, calls: str, fault: str, pixels: int
) -> None:
    """Also after a failed sync, whose pages the kernel may have dropped: the next attempt writes them anew."""
    assert store(server, instance(1)).status == 0x0000
    with injected(server, calls, fault):
        refusal = store(server, instance(2, pixels))
    assert refusal.status == OUT_OF_RESOURCES
    assert refusal.error_comment
    assert_kept_exactly(server, [instance(1)])
    assert store(server, instance(2, pixels)).status == 0x0000
    assert_kept_exactly(server, [instance(1), instance(2, pixels)])
    server.assert_no_traceback()


def test_an_index_that_cannot_be_synced_refuses(server: PacsdServer) -> None:
    assert store(server, instance(1)).status == 0x0000
    with injected(server, "fdatasync", "error=EIO", on=write_ahead_log(server)):
        refusal = store(server, instance(2))
    assert refusal.status == OUT_OF_RESOURCES
    assert refusal.error_comment
    assert found(server) == {instance(1).sop_instance_uid}
    assert store(server, instance(2)).status == 0x0000
    assert store(server, instance(3)).status == 0x0000
    assert found(server) == {instance(number).sop_instance_uid for number in (1, 2, 3)}
    server.stop()
    server.start()
    assert_kept_exactly(server, [instance(number) for number in (1, 2, 3)])


def test_a_crash_after_a_failed_sync_of_the_index_leaves_no_row_without_its_file(server: PacsdServer) -> None:
    """What could not be synced may be read back at the next start: then it is kept, or is not; never half."""
    assert store(server, instance(1)).status == 0x0000
    with injected(server, "fdatasync", "error=EIO", on=write_ahead_log(server)):
        assert store(server, instance(2)).status == OUT_OF_RESOURCES
    server.kill()
    server.start()
    assert [path for path in rows(server).values() if not (server.root / path).is_file()] == []
    assert store(server, instance(2)).status == 0x0000
    assert_kept_exactly(server, [instance(1), instance(2)])


def test_a_slow_index_only_takes_its_time(server: PacsdServer) -> None:
    """Every sync of its log takes half a second: the answers wait for it, and other services don't."""
    assert store(server, instance(1)).status == 0x0000
    sent = [instance(number) for number in (2, 3)]
    context = (sent[0].sop_class_uid, sent[0].transfer_syntax_uid)
    log = write_ahead_log(server)
    with injected(server, "fdatasync", "delay_enter=500000", on=log):
        peers = [WireAssociation((server.host, server.port), [context]) for _ in sent]
        for peer, each in zip(peers, sent, strict=True):
            peer.send_store(each, 1)
        assert found(server) >= {instance(1).sop_instance_uid}
        assert [peer.read_response().status for peer in peers] == [0x0000, 0x0000]
        for peer in peers:
            peer.release()
    assert_kept_exactly(server, [instance(1), *sent])


def write_ahead_log(server: PacsdServer) -> Path:
    return server.index_path.with_name(f"{server.index_path.name}-wal")
