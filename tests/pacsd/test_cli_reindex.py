"""`pacsd reindex`, the process, for instances that were stored before a key was configured."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from pacsd import app
from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.index.schema import migrations
from pacsd.settings import Settings
from support.app_worker import associated, worker
from support.archive_server import EXPLICIT
from support.fake_archive import altered

STORAGE = "1.2.840.10008.5.1.4.1.1.7"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A server's configuration, and the same for commands that are run in its folder, but for the key."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/pacsd.toml").write_text('index.extra_keys = ["ProtocolName"]', encoding="utf-8")
    migrations.upgrade("sqlite:///data/index.db")
    return {
        "storage": {"min_free_mb": 0},
        "access": {"unknown_peers": ["store", "find"]},
        "server": {"shutdown_timeout": 5},
    }


def _reindex(*options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pacsd", "reindex", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _warned_of(settings: Settings) -> list[tuple[str, ...]]:
    with capture_logs() as logs:
        app.prepare(settings)
    return [line["keywords"] for line in logs if line["event"] == "extra-keys-not-built"]


def test_a_key_is_built_while_the_server_runs(tables: dict[str, Any]) -> None:
    instance = altered(1, ProtocolName="Thorax")
    with worker(tables) as running, associated(running, STORAGE) as net:
        answer = net.c_store(net.context_for(STORAGE), instance.sop_instance_uid, instance.dataset)
        assert answer.status == 0x0000
    refusal = "no server has been started with ProtocolName in index.extra_keys"
    status, said = _reindex()
    assert (status, said.startswith(refusal)) == (1, True)

    tables["index"] = {"extra_keys": ["ProtocolName"]}
    assert _warned_of(Settings(**tables)) == [("ProtocolName",)]
    question = {
        "QueryRetrieveLevel": "SERIES",
        "StudyInstanceUID": instance.study_instance_uid,
        "ProtocolName": "Thor*",
    }
    with worker(tables) as running, associated(running, FIND) as net:
        for expected in ("Built: ProtocolName.\n", "Nothing to do: every configured key is built.\n"):
            identifier = write_identifier(elements_of(question), EXPLICIT)
            found = list(net.c_find(net.context_for(FIND), identifier))
            assert len(found) == 2, "before it is built and after"
            assert _reindex() == (0, expected)
    assert _warned_of(Settings(**tables)) == []


def test_files_are_read_again_for_what_an_older_version_did_not_keep(tables: dict[str, Any]) -> None:
    tables["index"] = {"extra_keys": ["ProtocolName"]}
    settings = Settings(**tables)
    app.prepare(settings)
    instance = altered(1, ProtocolName="Thorax")
    question = {
        "QueryRetrieveLevel": "SERIES",
        "StudyInstanceUID": instance.study_instance_uid,
        "SeriesInstanceUID": "",
        "ProtocolName": "Thor*",
    }
    identifier = write_identifier(elements_of(question), EXPLICIT)
    with worker(tables) as running, associated(running, STORAGE, FIND) as net:
        stored = net.c_store(net.context_for(STORAGE), instance.sop_instance_uid, instance.dataset)
        assert stored.status == 0x0000
        with sqlite3.connect("data/index.db") as database:
            # As a version would have left it that kept no such attribute.
            database.execute("UPDATE series SET header = '{}'")
            database.execute("DELETE FROM extra_values")
        for options, matches in ((), 0), (("--files",), 1):
            status, said = _reindex(*options)
            assert status == 0, said
            assert len(list(net.c_find(net.context_for(FIND), identifier))) == matches + 1
        assert "Read 1 files again; 1 rows of the index changed." in said
    (file,) = Path("data/store").rglob("*.dcm")
    file.unlink()
    status, said = _reindex("--files")
    assert status == 1
    assert "1 files could not be read" in said
    assert file.name in said


def test_a_database_that_was_never_migrated_is_status_1(tables: dict[str, Any]) -> None:
    Path("data/index.db").unlink()
    status, said = _reindex()
    assert status == 1
    assert "pacsd db upgrade" in said


def test_a_key_that_cannot_be_indexed_is_status_2(tables: dict[str, Any]) -> None:
    Path("config/pacsd.toml").write_text('index.extra_keys = ["PatientID"]', encoding="utf-8")
    status, said = _reindex()
    assert status == 2
    assert "index.extra_keys" in said
    assert "PatientID is matched without it" in said
