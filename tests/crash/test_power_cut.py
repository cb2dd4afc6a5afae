"""A power cut at any moment: what was acknowledged before it is there after it.

A server's writes, syncs and answers are recorded. Played back on a disk that forgets whatever was not synced, the
recording says for every answer what a power cut just then would have left; some of that is served again.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from crash import load
from crash.kept import assert_kept
from crash.system_calls import Call, read_recording, recorder
from crash.unsynced_disk import UnsyncedDisk
from support import scu
from support.instance import dataset_offset
from support.server import PacsdServer, Peer
from support.wire import store_responses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERIES = 600_000
ENOUGH = 60
"""Acknowledged instances; many more sessions of the same kind would say no more."""
SERVED_CUTS = 3
DAMAGED_CUTS = 40
SEED = 20240229
INDEX, STORE = "index.db", "store/"
PEERS = [Peer(ae_title=scu.CALLING_AE_TITLE, port=104)]


@dataclass(frozen=True, slots=True)
class Recording:
    """A session, from a server's very first start on an empty folder to its end."""

    server: PacsdServer
    calls: list[Call]
    burden: load.Load
    folder: Path


@dataclass(frozen=True, slots=True)
class Moment:
    """Just before an answer goes out, with what is acknowledged then, this answer included."""

    disk: UnsyncedDisk
    acknowledged: set[str]


def record(folder: Path, sync: str) -> Recording:
    """Let eight senders store, some of it twice and at once."""
    folder = folder.resolve()
    output = folder.parent / f"{folder.name}.calls"
    server = PacsdServer(folder, peers=PEERS, launcher=recorder(output), settings={"storage": {"sync": sync}})
    server.start()
    burden = load.Load(server, SERIES)
    try:
        with burden.running():
            burden.wait_for(ENOUGH, within=90)
        # The kernel's word and nobody else's: not even a clean end writes what matters here.
        server.stop()
    finally:
        if server.is_running:
            server.kill()
    return Recording(server, read_recording(output), burden, folder)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("power") / "data", "full")


def moments(
    recording: Recording, *, deaf_to: Callable[[str], bool] = lambda path: False, every_call: bool = False
) -> Iterator[Moment]:
    """Play the recording; stop at each Success of a C-STORE, or with `every_call` after each change."""
    disk = UnsyncedDisk(str(recording.folder), deaf_to=deaf_to)
    acknowledged: set[str] = set()
    syncs = [call for call in recording.calls if call.name in {"fsync", "fdatasync"}]
    steps = [(call.began, False, call) for call in recording.calls]
    steps += [(call.ended, True, call) for call in syncs]
    for _, is_over, call in sorted(steps, key=lambda step: step[:2]):
        if is_over:
            disk.sync(call)
            continue
        disk.apply(call)
        stored = successes(call, recording.server.port)
        acknowledged |= stored
        if stored or (every_call and call.name not in {"sendto", "sendmsg"}):
            yield Moment(disk, acknowledged)


def successes(call: Call, port: int) -> set[str]:
    """The SOP Instance UIDs to which this call answers Success, if it sends on a DICOM connection."""
    if call.name not in {"sendto", "sendmsg"} or f":{port}->" not in (call.connection or ""):
        return set()
    return {uid for uid, status in store_responses(b"".join(call.literals)) if status == 0x0000}


def lost(left: dict[str, bytes], acknowledged: set[str], scratch: Path) -> set[str]:
    """Which acknowledged instances are not there, or not whole; no row may lack its file either way."""
    rows = rows_of(left, scratch)
    whole = {uid for uid, path in rows.items() if is_whole(uid, left.get(STORE + path))}
    return (acknowledged | set(rows)) - whole


def rows_of(left: dict[str, bytes], scratch: Path) -> dict[str, str]:
    """What the index says after the power cut: paths by SOP Instance UID."""
    for path in scratch.glob(f"{INDEX}*"):
        path.unlink()
    for suffix in ("", "-wal", "-journal"):
        if INDEX + suffix in left:
            (scratch / (INDEX + suffix)).write_bytes(left[INDEX + suffix])
    with closing(sqlite3.connect(scratch / INDEX)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'instances'").fetchall():
            return {}
        return dict(database.execute("SELECT sop_instance_uid, path FROM instances").fetchall())


def is_whole(uid: str, content: bytes | None) -> bool:
    if content is None or not content:
        return False
    return content[dataset_offset(content) :] == load.instance(*load.numbers_of(uid)).dataset


def test_the_recording_is_complete(recording: Recording) -> None:
    """Without a power cut the played back disk is the real one: no write has escaped."""
    disk = [moment.disk for moment in moments(recording, every_call=True)][-1]
    played = {path: content for path, content in disk.left(lambda: True).items() if is_recorded(path)}
    real = {
        str(path.relative_to(recording.folder)): path.read_bytes()
        for path in recording.folder.rglob("*")
        if path.is_file()
    }
    assert set(played) == {path for path in real if is_recorded(path)}
    assert [path for path, content in played.items() if content != real[path]] == []


def is_recorded(path: str) -> bool:
    """All but what was there before, and the shared memory of SQLite, which every start makes anew."""
    return path not in {"server.log", "pacsd.toml"} and not path.endswith("-shm")


def test_every_answer_is_true_without_power(recording: Recording, tmp_path: Path) -> None:
    for moment in moments(recording):
        assert lost(moment.disk.left(), moment.acknowledged, tmp_path) == set()
    assert len(moment.acknowledged) >= ENOUGH
    known = {
        load.sop_instance_uid(series, number)
        for series, numbers in recording.burden.acknowledged.items()
        for number in numbers
    }
    assert moment.acknowledged >= known


def test_any_part_of_what_was_not_synced_may_reach_the_disk(recording: Recording, tmp_path: Path) -> None:
    """Disks write in an order of their own; at no moment may a row lack its file, or the index be broken."""
    chance = random.Random(SEED)
    total = sum(1 for _ in moments(recording, every_call=True))
    chosen = set(chance.sample(range(total), DAMAGED_CUTS))
    for number, moment in enumerate(moments(recording, every_call=True)):
        if number in chosen:
            left = moment.disk.left(lambda: chance.random() < 0.5)
            assert lost(left, moment.acknowledged, tmp_path) == set(), f"cut {number} of {total}"


@pytest.mark.parametrize(
    "forgotten",
    [
        pytest.param(lambda path: path.endswith(".part"), id="files"),
        pytest.param(lambda path: path.endswith("-wal"), id="index"),
        pytest.param(lambda path: path.endswith(".1.600000"), id="a study's directory"),
        pytest.param(lambda path: path == "store", id="the root"),
    ],
)
def test_each_forgotten_sync_would_show(
    recording: Recording, forgotten: Callable[[str], bool], tmp_path: Path
) -> None:
    """The proof can fail: the same recording with one kind of sync left out loses instances."""
    assert any(
        lost(each.disk.left(), each.acknowledged, tmp_path) for each in moments(recording, deaf_to=forgotten)
    )


def test_a_store_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    unsafe = record(tmp_path / "data", "off")
    assert any(lost(each.disk.left(), each.acknowledged, tmp_path) for each in moments(unsafe))


def test_what_a_power_cut_leaves_is_served_again(recording: Recording, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    total = sum(1 for _ in moments(recording))
    chosen = {total - 1, *chance.sample(range(total), SERVED_CUTS - 1)}
    for number, moment in enumerate(moments(recording)):
        if number in chosen:
            serve_again(moment, tmp_path / str(number))


def serve_again(moment: Moment, folder: Path) -> None:
    """Start a server on what is left: all is found, fetched and equal, and nothing half-stored remains."""
    for name, content in moment.disk.left().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    server = PacsdServer(folder, peers=PEERS)
    server.start()
    try:
        assert server.incoming_files() == set()
        burden = load.Load(server, SERIES)
        for uid in moment.acknowledged:
            series, number = load.numbers_of(uid)
            burden.acknowledged[series].add(number)
        assert_kept(server, burden)
    finally:
        server.stop()
