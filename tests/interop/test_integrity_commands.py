"""What an administrator has for the archive's health: `pacsd verify`, the scrub, the quarantine, private files."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from interop.archives import events, found, got, instances, quarantined, serving, store, stored_path
from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance
    from support.server import PacsdServer

COUNT = 120
SENT = instances(COUNT)
WHOLE = f"Compared {COUNT} instances with their files: no faults.\n"
CHANGED = "the stored file's content has changed (checksum)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    """A running server with whole files; each test leaves them so."""
    with serving(tmp_path_factory.mktemp("integrity"), integrity={"scrub_days": 0}) as running:
        running.start()
        assert set(store(running, SENT)) == {0x0000}
        yield running


def flip(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.fixture
def faults(server: PacsdServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """One of each kind; what `pacsd verify` is to say, by kind. Mended at the end."""
    shutil.copytree(server.root, tmp_path / "copy")
    files = dict(
        zip(("flipped", "missing", "cut", "grown", "another", "taken"), _files(server), strict=False)
    )
    flip(files["flipped"])
    files["missing"].unlink()
    os.truncate(files["cut"], 100)
    with files["grown"].open("ab") as grown:
        grown.write(b"\0")
    files["another"].write_bytes(files["taken"].read_bytes())
    extra = files["taken"].with_name("extra.dcm")
    extra.write_bytes(b"extra")
    said = {
        "flipped": CHANGED,
        "missing": "the stored file is missing",
        "cut": "the stored file has 100 bytes instead of",
        "grown": f"the stored file has {files['grown'].stat().st_size} bytes instead of",
        "another": CHANGED,
    }
    yield {
        **{kind: f"{files[kind].relative_to(server.root)}: {reason}" for kind, reason in said.items()},
        "extra": f"{extra.relative_to(server.root)}: no row of the index names this file\n",
    }
    extra.unlink()
    shutil.copytree(
        tmp_path / "copy", server.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("incoming")
    )


def _files(server: PacsdServer) -> list[Path]:
    return [stored_path(server, instance) for instance in SENT[:6]]


def by_length(faults: dict[str, str]) -> set[str]:
    return {kind for kind in faults if CHANGED not in faults[kind]}


def test_verify_names_each_fault_once(server: PacsdServer, faults: dict[str, str]) -> None:
    """Beside a running server, and it changes nothing."""
    before = {path: path.read_bytes() for path in server.kept_files()}
    done = server.run("verify")
    assert done.returncode == 1
    for kind, said in faults.items():
        assert done.stdout.count(said) == 1, kind
    assert done.stdout.count("SOP Instance UID") == 5
    assert len(done.stdout.splitlines()) == len(faults) + 1
    assert done.stdout.endswith(f"Compared {COUNT} instances with their files: 6 faults.\n")
    assert {path: path.read_bytes() for path in server.kept_files()} == before

    done = server.run("verify", "--length")
    assert done.returncode == 1
    assert {kind for kind, said in faults.items() if said in done.stdout} == by_length(faults)


def test_a_run_that_is_killed_is_taken_up(server: PacsdServer) -> None:
    """At 40 kB a second it takes a few seconds; how far it is was noted meanwhile."""
    flipped = _files(server)[0]
    flip(flipped)
    command = [sys.executable, "-m", "pacsd", "verify", "--rate", "0.04", "--config", str(server.config_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as slow:
        wait_until(lambda: noted(server) > 0, within=30, what="verify has noted how far it is")
        slow.kill()
        assert slow.stdout is not None
        assert CHANGED in slow.stdout.read() or noted(server) < COUNT
    flip(flipped)
    done = server.run("verify")
    assert "goes on where an earlier run was ended, after" in done.stderr
    assert done.returncode == 1, "it had found one, and says so in the end"
    assert done.stdout == f"Compared {COUNT} instances with their files: 1 faults.\n"
    done = server.run("verify", "--anew")
    assert (done.returncode, done.stdout, done.stderr) == (0, WHOLE, "")


def noted(server: PacsdServer) -> int:
    with closing(sqlite3.connect(server.index_path)) as database:
        rows = database.execute(
            "SELECT done FROM progress WHERE work = 'verify' AND ended_at IS NULL"
        ).fetchall()
    return int(rows[0][0]) if rows else 0


def test_an_interrupted_run_begins_anew_if_told_to(server: PacsdServer) -> None:
    command = [
        sys.executable,
        "-m",
        "pacsd",
        "verify",
        "--rate",
        "0.001",
        "--config",
        str(server.config_path),
    ]
    mark = noted(server)
    assert mark == 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as slow:
        wait_until(lambda: began(server), within=30, what="verify has begun")
        slow.send_signal(signal.SIGINT)
        slow.communicate(timeout=30)
        assert slow.returncode != 0
    assert server.run("verify", "--length").stderr == "", "that is another comparison"
    done = server.run("verify", "--anew")
    assert (done.returncode, done.stdout, done.stderr) == (0, WHOLE, "")


def began(server: PacsdServer) -> bool:
    with closing(sqlite3.connect(server.index_path)) as database:
        return bool(
            database.execute("SELECT 1 FROM progress WHERE work = 'verify' AND ended_at IS NULL").fetchall()
        )


def test_what_is_quarantined_by_command_comes_back(server: PacsdServer) -> None:
    sent: Instance = SENT[-1]
    everything = {each.sop_instance_uid for each in SENT}
    done = server.run("quarantine", "add", sent.sop_instance_uid, "--reason", "a test image")
    assert done.returncode == 0
    assert found(server) == everything - {sent.sop_instance_uid}
    assert server.metric("pacsd_quarantined_files") == 1
    ((name, line),) = quarantined(server).items()
    assert "a test image" in line
    assert server.run("quarantine", "restore", name).returncode == 0
    assert got(server, sent) == sent.dataset
    assert server.run("quarantine", "restore").returncode == 2
    refused = server.run("quarantine", "add", sent.sop_instance_uid, "1.2.3")
    assert refused.returncode == 1
    assert refused.stderr == "the index has no instance 1.2.3\n"
    (name,) = quarantined(server)
    assert server.run("quarantine", "purge", name, "--older-than", "0").stdout.startswith("1 files")
    assert store(server, [sent]) == [0x0000]
    assert got(server, sent) == sent.dataset
    assert found(server) == everything
    assert server.metric("pacsd_quarantined_files") == 0


@pytest.mark.usefixtures("faults")
def test_the_scrub_finds_what_verify_finds(server: PacsdServer, faults: dict[str, str]) -> None:
    """Without a server, `pacsd verify` works as well; then a start with a scrub that is due."""
    assert server.metric("pacsd_scrub_completed_timestamp_seconds") == 0
    server.stop()
    without = server.run("verify", "--anew")
    assert (without.returncode, without.stdout.splitlines()[-1].split()[-2:]) == (1, ["6", "faults."])
    configuration = server.config_path.read_text()
    server.config_path.write_text(
        configuration.replace("scrub_days = 0", "scrub_days = 1\nscrub_mb_per_second = 1000")
    )
    mark = server.log_size()
    server.start()
    server.wait_for_log("scrub-finished", after=mark, within=20)
    (finished,) = events(server, "scrub-finished", after=mark)
    assert (finished["instances"], finished["faults"]) == (COUNT, 6)
    logged = {
        f"{event['path']}: {event['reason']}"
        for name in ("instance-damaged", "file-without-row")
        for event in events(server, name, after=mark)
    }
    assert len(logged) == len(faults)
    assert all(any(line.startswith(said.strip()) for line in logged) for said in faults.values())
    assert server.metric("pacsd_damaged_instances_total", noticed="scrub") == 5, "and a file without a row"
    wait_until(
        lambda: server.metric("pacsd_scrub_completed_timestamp_seconds") > 1.7e9,
        within=10,
        what="the scrub's end is exported",
    )


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [("077", 0o600, 0o700), ("027", 0o640, 0o750)]
)
def test_files_are_private(tmp_path: Path, umask: str, file_mode: int, folder_mode: int) -> None:
    """Whatever the umask of the shell is; so with what the commands make."""
    before = os.umask(0o022)
    try:
        with serving(tmp_path, server={"workers": 1, "umask": umask}) as server:
            server.start()
            assert set(store(server, SENT[:2])) == {0x0000}
            assert server.run("quarantine", "add", SENT[0].sop_instance_uid).returncode == 0
            made = [server.root, *server.root.rglob("*"), *server.index_path.parent.glob("index.db*")]
            assert {"archive.json", "received-days", "lock", "quarantine", "incoming", "index.db-wal"} <= {
                path.name for path in made
            }
            server.stop()
            for path in tmp_path.glob("index.db*"):
                path.unlink()
            assert server.run("adopt", "index").returncode == 0
            made += [*server.root.rglob("*"), *tmp_path.glob("index.db*")]
            for path in made:
                if not path.exists():
                    continue
                mode = path.stat().st_mode & 0o777
                most = folder_mode if path.is_dir() else file_mode
                assert mode | most == most, f"{path}: {mode:o}"
                if path.suffix == ".dcm":
                    assert mode == file_mode
    finally:
        os.umask(before)
