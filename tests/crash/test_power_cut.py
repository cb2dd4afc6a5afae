"""A power cut at any moment: what was acknowledged before it is there after it.

A server's writes, syncs and answers are recorded. Played back on a disk that forgets whatever was not synced, the
recording says for every answer what a power cut just then would have left; some of that is served again.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from crash import load, versions
from crash.kept import assert_kept
from crash.system_calls import Call, read_recording, recorder
from crash.unsynced_disk import UnsyncedDisk
from pacsd.errors import StorageUnavailable
from pacsd.storage.identity import ARCHIVE, RECEIVED_DAYS, ReceivedDays, read_identity
from support import scu
from support.instance import dataset_offset
from support.server import SENDER, PacsdServer, Peer
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
PEERS = [SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104)]


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
    answers: Counter[str]
    """How often Success was answered, by SOP Instance UID."""


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
    answers: Counter[str] = Counter()
    syncs = [call for call in recording.calls if call.name in {"fsync", "fdatasync"}]
    steps = [(call.began, False, call) for call in recording.calls]
    steps += [(call.ended, True, call) for call in syncs]
    for _, is_over, call in sorted(steps, key=lambda step: step[:2]):
        if is_over:
            disk.sync(call)
            continue
        disk.apply(call)
        stored = successes(call, recording.server.port)
        answers.update(stored)
        if stored or (every_call and call.name not in {"sendto", "sendmsg"}):
            yield Moment(disk, set(answers), answers)


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


# --- replacing and healing

CHANGED_SERIES = [610_000 + 100 * number for number in range(6)]
"""Each a study of its own, with one instance."""
SENT = {
    **{versions.version(series, 1, 1).sop_instance_uid: [1, 2] for series in CHANGED_SERIES},
    versions.version(CHANGED_SERIES[0], 1, 1).sop_instance_uid: [1, 2, 3],
    versions.version(CHANGED_SERIES[1], 1, 1).sop_instance_uid: [1, 2, 2],
    versions.version(CHANGED_SERIES[2], 1, 1).sop_instance_uid: [1, 2, 2],
}
"""The versions that are sent, one after the other."""
LOST, FLIPPED = CHANGED_SERIES[1], CHANGED_SERIES[2]
"""Whose kept file is lost, or gets a wrong bit, before version 2 comes again."""


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """New studies, whose instances are replaced, lost, damaged and sent again."""
    folder = (tmp_path_factory.mktemp("changes") / "data").resolve()
    output = folder.parent / "calls"
    settings = {"storage": {"duplicates": "replace"}}
    server = PacsdServer(folder, peers=PEERS, launcher=recorder(output), settings=settings)
    server.start()
    try:
        for turn in range(3):
            for uid, sent in SENT.items():
                if turn < len(sent):
                    if turn == 2:
                        damage(server, uid)
                    series, number = load.numbers_of(uid)
                    assert versions.send(server, versions.version(series, number, sent[turn])) == 0x0000
        server.stop()
    finally:
        if server.is_running:
            server.kill()
    return Recording(server, read_recording(output), load.Load(server, SERIES), folder)


def damage(server: PacsdServer, uid: str) -> None:
    """Done by us, which the recording does not see: what is played back has two whole files then."""
    with closing(sqlite3.connect(server.index_path)) as database:
        ((path,),) = database.execute(
            "SELECT path FROM instances WHERE sop_instance_uid = ?", (uid,)
        ).fetchall()
    file = server.root / path
    if uid == versions.version(LOST, 1, 1).sop_instance_uid:
        file.unlink()
    elif uid == versions.version(FLIPPED, 1, 1).sop_instance_uid:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def faults(left: dict[str, bytes], moment: Moment, scratch: Path) -> list[str]:
    """What is wrong with what a power cut leaves: an older version than was acknowledged, or none, or not known."""
    found = []
    rows = rows_of(left, scratch)
    for uid, answers in moment.answers.items():
        content = left.get(STORE + rows[uid]) if uid in rows else None
        kept = versions.version_of(uid, content[dataset_offset(content) :]) if content else 0
        if kept < SENT[uid][answers - 1]:
            found.append(f"{uid}: version {kept} instead of {SENT[uid][answers - 1]}")
    days = days_known_to_a_start(left, scratch)
    found += [
        f"{path}: its day is not known" for path in rows.values() if path[: len("YYYY/MM/DD")] not in days
    ]
    return found


def days_known_to_a_start(left: dict[str, bytes], scratch: Path) -> list[str]:
    """On which days a start would look for files that came in the generation which the store says it is of."""
    for name in (ARCHIVE, RECEIVED_DAYS):
        (scratch / name).write_bytes(left.get(STORE + name, b""))
    try:
        identity = read_identity(scratch)
    except StorageUnavailable:
        return []
    return (ReceivedDays(scratch).since(identity.generation) or []) if identity else []


def is_set_aside(left: dict[str, bytes], moment: Moment) -> bool:
    """Whether the damaged file is where it was or in quarantine, there with its note, once it was sent again."""
    uid = versions.version(FLIPPED, 1, 1).sop_instance_uid
    taken = [path for path in left if path.startswith(f"{STORE}quarantine/") and path.endswith(".dcm")]
    for path in taken:
        note = json.loads(left.get(path.removesuffix(".dcm") + ".json") or b"{}")
        if not note.get("reason"):
            return False
    in_place = [path for path in left if uid in path]
    return moment.answers[uid] < 3 or len(taken) + len(in_place) >= 2


def test_no_version_that_was_acknowledged_is_lost_without_power(changes: Recording, tmp_path: Path) -> None:
    for moment in moments(changes):
        left = moment.disk.left()
        assert faults(left, moment, tmp_path) == []
        assert is_set_aside(left, moment)
    assert moment.answers == {uid: len(sent) for uid, sent in SENT.items()}


def test_any_part_of_a_change_may_reach_the_disk(changes: Recording, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    total = sum(1 for _ in moments(changes, every_call=True))
    chosen = set(chance.sample(range(total), DAMAGED_CUTS))
    for number, moment in enumerate(moments(changes, every_call=True)):
        if number in chosen:
            left = moment.disk.left(lambda: chance.random() < 0.5)
            assert faults(left, moment, tmp_path) == [], f"cut {number} of {total}"


@pytest.mark.parametrize(
    "forgotten",
    [
        pytest.param(lambda path: path.endswith(".part") and "incoming" in path, id="files"),
        pytest.param(lambda path: path.endswith("archive.json.part"), id="the identity"),
        pytest.param(lambda path: path.endswith("received-days"), id="the days"),
        pytest.param(lambda path: path.endswith(f".2.{FLIPPED}"), id="a series' directory"),
    ],
)
def test_each_forgotten_sync_of_a_change_would_show(
    changes: Recording, forgotten: Callable[[str], bool], tmp_path: Path
) -> None:
    assert any(faults(each.disk.left(), each, tmp_path) for each in moments(changes, deaf_to=forgotten))


@pytest.mark.parametrize(
    "forgotten",
    [
        pytest.param(lambda path: "quarantine/" in path and path.endswith(".json"), id="the note"),
        pytest.param(lambda path: path.endswith("store/quarantine"), id="the quarantine"),
    ],
)
def test_each_forgotten_sync_of_the_quarantine_would_show(
    changes: Recording, forgotten: Callable[[str], bool]
) -> None:
    assert not all(is_set_aside(each.disk.left(), each) for each in moments(changes, deaf_to=forgotten))
