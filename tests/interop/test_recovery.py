"""A store or an index that is lost, older, foreign or in use: nothing is lost for it, and it is said what to do."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from crash import load
from interop.archives import (
    PostgresIndex,
    SqliteIndex,
    events,
    found,
    got,
    instances,
    put_files,
    quarantined,
    readiness,
    refusal,
    serving,
    store,
    stored_path,
    wait_for_ready,
)
from pacsd.storage.layout import sop_instance_uid_of
from support import scu
from support.deadline import wait_until
from support.injection import injected
from support.postgres import postgres_server
from support.server import PacsdServer
from support.wire import WireAssociation, message, store_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance
    from support.postgres import Postgres

FILES, DAYS = 600, 12
OUT_OF_RESOURCES = {0xA700, 0xA701, 0xA702}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteIndex | PostgresIndex:
    if request.param == "sqlite":
        return SqliteIndex(tmp_path)
    name = f"test_{abs(hash(request.node.name))}"
    return PostgresIndex(request.getfixturevalue("postgres"), name)


def prepare(server: PacsdServer, index: SqliteIndex | PostgresIndex) -> None:
    if isinstance(index, PostgresIndex):
        assert server.run("db", "upgrade").returncode == 0


@contextmanager
def slowly_rebuilt(server: PacsdServer) -> Iterator[int]:
    """Start it, with a disk on which each file takes a while to be opened; yields how many it has looked at by then."""
    server.launch()
    wait_until(lambda: readiness(server)[0] != 0, within=30, what="/readyz answers")
    housekeeping = [server.process_of("housekeeping")]
    looked_at = 0

    def is_under_way() -> bool:
        nonlocal looked_at
        _, checks = readiness(server)
        words = checks["index"]["reason"].split()
        assert words[:3] == ["rebuilding", "the", "index:"], words
        looked_at = int(words[3])
        return looked_at > 0

    with injected(server, "openat", "delay_enter=10000", processes=housekeeping):
        wait_until(is_under_way, within=30, what="the index is being rebuilt")
        status, checks = readiness(server)
        assert (status, checks["index"]["ok"]) == (503, False)
        total = int(checks["index"]["reason"].removesuffix(" files have been looked at").split()[-1])
        assert total in (FILES, FILES + 1), "all that are stored"
        yield looked_at


@pytest.mark.timeout(180)
def test_a_lost_index_is_made_anew_however_often_that_is_ended(
    tmp_path: Path, index: SqliteIndex | PostgresIndex
) -> None:
    """Files of a month ago; the rebuild is ended by SIGTERM, then by SIGKILL of all, and is whole in the end."""
    past, (new,) = instances(FILES), instances(1, series=300_100)
    with serving(tmp_path, **index.settings) as server:
        prepare(server, index)
        server.start()
        server.stop()
        put_files(server, past, days=DAYS)
        index.lose(server)
        told = refusal(server)
        assert "the index is empty, but the store holds files" in told
        assert "run `pacsd adopt index`" in told
        assert server.run("adopt", "index").returncode == 0

        with slowly_rebuilt(server) as first:
            assert_stores_only(server, past[0], new)
            server.stop()
        mark = server.log_size()
        with slowly_rebuilt(server) as second:
            assert events(server, "index-is-completed", after=mark)[0]["done"] > 0
            server.kill()
        server.start()
        assert first <= second, "it goes on where it was"
        assert server.metric("pacsd_index_complete") == 1
        assert found(server) == {each.sop_instance_uid for each in past}
        assert got(server, past[-1]) == past[-1].dataset
        assert got(server, new) == new.dataset


def assert_stores_only(server: PacsdServer, past: Instance, new: Instance) -> None:
    """While the index may lack something, it is not asked; instances are taken in all the same."""
    refused = [
        scu.find(server, scu.keys("STUDY", StudyInstanceUID=past.study_instance_uid)),
        scu.get(server, scu.image_keys(past), [(past.sop_class_uid, [past.transfer_syntax_uid])])[0],
        scu.move(server, scu.image_keys(past), "SINK"),
    ]
    for outcome in refused:
        assert outcome.status in OUT_OF_RESOURCES
        assert "the index is being completed" in outcome.error_comment
    assert store(server, [new]) == [0x0000]
    with scu.association(server, [(scu.VERIFICATION, ["1.2.840.10008.1.2"])]) as peer:
        assert peer.send_c_echo().Status == 0x0000
    assert server.metric("pacsd_index_complete") == 0


def version(number: int, text: str) -> Instance:
    """An instance of the series of `instances`, with content of its own."""
    sample = load.instance(200_100, number)
    assert len(text) == 4
    at = sample.dataset.rindex(b"\x5a\xa5\x5a\xa5")
    changed = sample.dataset[:at] + text.encode() + sample.dataset[at + 4 :]
    return type(sample)(
        **{**{name: getattr(sample, name) for name in type(sample).__slots__}, "dataset": changed}
    )


@pytest.mark.timeout(180)
def test_an_older_index_is_completed(tmp_path: Path, index: SqliteIndex | PostgresIndex) -> None:
    """A store under `replace` goes on after its index was saved, and that is put back: nothing is lost for it."""
    first, replaced, later, healed = (
        version(1, "AAAA"),
        version(2, "AAAA"),
        version(3, "AAAA"),
        version(4, "AAAA"),
    )
    with serving(tmp_path, storage={"duplicates": "replace"}, **index.settings) as server:
        prepare(server, index)
        server.start()
        assert store(server, [first, replaced, healed]) == [0x0000] * 3
        server.stop()
        index.save(server)
        files = {path: path.read_bytes() for path in server.kept_files()}
        server.start()
        assert store(server, [version(2, "BBBB"), version(4, "BBBB"), later]) == [0x0000] * 3
        server.stop()
        server.start()
        assert store(server, [version(5, "AAAA")]) == [0x0000]
        server.stop()
        index.put_back(server)
        # As from a backup, which has what was replaced as well; the other is the last copy.
        (old,) = [path for path in files if sop_instance_uid_of(path.name) == replaced.sop_instance_uid]
        replacement = next(
            path for path in server.kept_files() if path.name.startswith(replaced.sop_instance_uid)
        )
        assert not old.exists()
        old.write_bytes(files[old])
        os.utime(old, (replacement.stat().st_mtime - 60,) * 2)
        before = server.kept_files()

        mark = server.log_size()
        server.start()
        assert events(server, "index-older-than-store", after=mark)
        wanted = [first, version(2, "BBBB"), later, version(4, "BBBB"), version(5, "AAAA")]
        assert found(server) == {each.sop_instance_uid for each in wanted}
        for each in wanted:
            assert got(server, each) == each.dataset, each.sop_instance_uid
        kept = server.kept_files()
        assert len({path for path in kept if path.suffix == ".dcm"}) == len(before), "nothing is deleted"
        (line,) = quarantined(server).values()
        assert str(old.relative_to(server.root)) in line
        assert "another version of its instance was found that was acknowledged after it" in line
        assert server.run("verify").returncode == 0


@pytest.mark.parametrize("policy", ["reject", "replace"])
def test_another_checksum_makes_no_duplicates(tmp_path: Path, policy: str) -> None:
    sent, other = version(1, "AAAA"), version(1, "BBBB")
    with serving(tmp_path, storage={"duplicates": policy}) as server:
        server.start()
        assert store(server, [sent]) == [0x0000]
        server.stop()
        configuration = server.config_path.read_text()
        server.config_path.write_text(configuration.replace("[storage]", '[storage]\nchecksum = "sha256"'))
        server.start()
        assert store(server, [sent, sent]) == [0x0000, 0x0000]
        assert server.metric("pacsd_instances_received_total", outcome="identical") >= 1
        assert got(server, sent) == sent.dataset
        assert len([path for path in server.kept_files() if path.suffix == ".dcm"]) == 1
        assert store(server, [other]) == [0x0111 if policy == "reject" else 0x0000]
        assert got(server, sent) == (sent if policy == "reject" else other).dataset


DAMAGES = ("missing", "cut", "flipped")


@pytest.mark.parametrize("policy", ["keep-first", "replace", "reject"])
def test_what_is_sent_again_takes_the_place_of_a_damaged_file(tmp_path: Path, policy: str) -> None:
    sent = dict(zip((*DAMAGES, "whole"), (version(number, "AAAA") for number in range(1, 5)), strict=True))
    with serving(tmp_path, storage={"duplicates": policy}) as server:
        server.start()
        assert store(server, sent.values()) == [0x0000] * 4
        damaged = {damage: stored_path(server, sent[damage]) for damage in DAMAGES}
        damaged["missing"].unlink()
        os.truncate(damaged["cut"], damaged["cut"].stat().st_size - 10)
        content = damaged["flipped"].read_bytes()
        damaged["flipped"].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

        assert store(server, sent.values()) == [0x0000] * 4
        for each in sent.values():
            assert got(server, each) == each.dataset
        assert server.run("verify").returncode == 0
        assert server.metric("pacsd_damaged_instances_total", noticed="store") == 3
        assert server.metric("pacsd_instances_received_total", outcome="healed") == 3
        assert server.metric("pacsd_quarantined_files") == 2
        assert len(events(server, "instance-healed")) == 3
        listed = quarantined(server)
        for damage in ("cut", "flipped"):
            path = str(damaged[damage].relative_to(server.root))
            assert [name for name, line in listed.items() if path in line], damage
        restored = server.run("quarantine", "restore", *listed)
        assert restored.returncode == 1, "the whole files are not given up for them"
        assert all(f"{name}: " in restored.stderr for name in listed)
        purged = server.run("quarantine", "purge", *listed)
        assert (purged.returncode, purged.stdout) == (0, "2 files are removed for good.\n")
        assert server.metric("pacsd_quarantined_files") == 0
        for each in sent.values():
            assert got(server, each) == each.dataset


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A disk that is not mounted, another archive's index, and both ways round; each says what to do."""
    mine, yours = version(1, "AAAA"), load.instance(300_100, 1)
    with serving(tmp_path / "mine") as server, serving(tmp_path / "yours") as other:
        for each, sent in ((server, mine), (other, yours)):
            each.start()
            assert store(each, [sent]) == [0x0000]
            each.stop()

        mounted = server.root.rename(server.root.with_name("mounted"))
        server.root.mkdir()
        told = refusal(server)
        assert (
            "the storage root holds no stored file, but the index has instances: is its disk mounted" in told
        )
        assert "run `pacsd adopt store`" in told
        adopted = server.run("adopt", "index")
        assert adopted.returncode == 1
        assert "is its disk mounted" in adopted.stderr
        shutil.rmtree(server.root)
        mounted.rename(server.root)

        swap(server.index_path, other.index_path)
        for each in (server, other):
            told = refusal(each)
            assert "the index belongs to another store: correct index.url or storage.root" in told
            assert "run `pacsd adopt index`" in told
        # By command the foreign index is taken, and all that the store has is in it then.
        assert server.run("adopt", "index").returncode == 0
        server.start()
        assert found(server) == {mine.sop_instance_uid}
        assert got(server, mine) == mine.dataset
        server.stop()


def swap(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def test_an_empty_store_is_gone_on_with_by_command(tmp_path: Path) -> None:
    """The disk is lost for good: what is sent again is kept, and until then a retrieve fails."""
    sent = version(1, "AAAA")
    with serving(tmp_path) as server:
        server.start()
        assert store(server, [sent]) == [0x0000]
        server.stop()
        shutil.rmtree(server.root)
        assert "adopt store" in refusal(server)
        assert server.run("adopt", "store").returncode == 0
        server.start()
        assert events(server, "stored-files-missing")
        assert got(server, sent) is None
        assert server.run("verify").returncode == 1
        assert store(server, [sent]) == [0x0000]
        assert got(server, sent) == sent.dataset
        assert server.run("verify").returncode == 0


def test_a_second_server_is_refused_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "first") as first:
        first.start()
        assert store(first, [version(1, "AAAA")]) == [0x0000]
        same = {
            "storage": {"root": str(first.root)},
            "index": {"url": f"sqlite:///{first.index_path}"},
        }
        before = first.kept_files()
        for number, shared in enumerate([("storage", "index"), ("storage",), ("index",)]):
            second = PacsdServer(
                tmp_path / f"second-{number}", settings={name: same[name] for name in shared}
            )
            told = refusal(second)
            assert f"process {first.pid} on " in told
            assert "stop that one first" in told
            assert "waiting-for-processes" not in told
        refused = first.run("adopt", "index")
        assert (refused.returncode, f"process {first.pid} on " in refused.stderr) == (1, True)
        assert first.kept_files() == before
        assert store(first, [version(2, "AAAA")]) == [0x0000]
        assert len(found(first)) == 2


def test_a_second_server_on_the_same_database_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    """From another machine, as it were: only the database knows of both."""
    index = PostgresIndex(postgres, "shared_by_two")
    with serving(tmp_path / "first", **index.settings) as first:
        prepare(first, index)
        first.start()
        assert store(first, [version(1, "AAAA")]) == [0x0000]
        second = PacsdServer(tmp_path / "second", settings=index.settings)
        shutil.copytree(first.root, second.root)
        told = refusal(second)
        assert "another pacsd is connected to the index and writes to it" in told
        assert store(first, [version(2, "AAAA")]) == [0x0000]
        first.kill()
        first.start()
        assert len(found(first)) == 2


def test_a_start_waits_for_workers_that_still_finish(tmp_path: Path) -> None:
    """Their supervisor was killed in the middle of a C-STORE, which is finished and acknowledged."""
    earlier, under_way = version(1, "AAAA"), version(2, "AAAA")
    with serving(tmp_path) as server:
        server.start()
        assert store(server, [earlier]) == [0x0000]
        context = (under_way.sop_class_uid, under_way.transfer_syntax_uid)
        with WireAssociation((server.host, server.port), [context]) as peer:
            request = store_request(1, under_way.sop_class_uid, under_way.sop_instance_uid)
            whole = message(1, request, under_way.dataset)
            peer.send(whole[:-100])
            wait_until(lambda: bool(server.incoming_files()), within=10, what="the instance comes in")
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            server.forget()
            mark = server.log_size()
            server.launch()
            server.wait_for_log("waiting-for-processes-of-an-earlier-server", after=mark, within=20)
            (line,) = events(server, "waiting-for-processes-of-an-earlier-server", after=mark)
            assert line["pid"] == killed
            peer.send(whole[-100:])
            assert peer.read_response().status == 0x0000
        wait_for_ready(server)
        assert found(server) == {earlier.sop_instance_uid, under_way.sop_instance_uid}
        assert got(server, under_way) == under_way.dataset


def test_a_dead_workers_file_is_indexed_without_a_restart(tmp_path: Path) -> None:
    """It was published, and its worker was killed while another program kept it from committing."""
    sent, next_one = version(1, "AAAA"), version(2, "AAAA")
    with serving(tmp_path) as server:
        server.start()
        (worker,) = server.storing_workers()
        context = (sent.sop_class_uid, sent.transfer_syntax_uid)
        with (
            closing(sqlite3.connect(server.index_path, isolation_level=None)) as other,
            WireAssociation((server.host, server.port), [context]) as peer,
        ):
            other.execute("BEGIN IMMEDIATE")
            peer.send_store(sent, 1)
            wait_until(
                lambda: any(path.suffix == ".dcm" for path in server.kept_files()),
                within=10,
                what="the file is published",
            )
            os.kill(worker, signal.SIGKILL)
            other.execute("ROLLBACK")
        began = time.monotonic()
        server.wait_for_log("files-of-dead-worker-indexed", after=0, within=15)
        assert time.monotonic() - began < 10
        wait_for_ready(server)
        assert found(server) == {sent.sop_instance_uid}
        assert got(server, sent) == sent.dataset
        assert server.incoming_files() == set()
        assert store(server, [sent, next_one]) == [0x0000] * 2
        assert server.run("verify").returncode == 0


@pytest.mark.parametrize("content", [None, b"\0" * 40], ids=["missing", "damaged"])
def test_a_running_server_needs_no_archive_json(tmp_path: Path, content: bytes | None) -> None:
    """It says what to do, and replaces and reloads its workers meanwhile."""
    first, second, third, last = instances(4)
    with serving(tmp_path) as server:
        server.start()
        assert store(server, [first]) == [0x0000]
        file = server.root / "archive.json"
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        mark = server.log_size()
        (worker,) = server.storing_workers()
        os.kill(worker, signal.SIGKILL)
        server.wait_for_log("process-died", after=mark)
        wait_until(lambda: server.storing_workers() not in ([worker], []), within=10, what="it is replaced")
        assert store(server, [second]) == [0x0000]
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_log("configuration-reloaded", after=mark, within=10)
        assert store(server, [third]) == [0x0000]
        server.wait_for_log("store-identity-lost", after=mark, within=20)
        status, checks = readiness(server)
        assert (status, checks["workers"]["ok"], checks["archive"]["ok"]) == (503, True, False)
        assert "restart the server: it writes the file anew" in checks["archive"]["reason"]
        assert found(server) == {each.sop_instance_uid for each in (first, second, third)}
        server.stop()

        file.unlink(missing_ok=True)
        server.start()
        assert store(server, [last]) == [0x0000]
        assert found(server) == {each.sop_instance_uid for each in (first, second, third, last)}
