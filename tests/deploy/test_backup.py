"""`deploy/backup.py` by itself; that a server starts from what it has copied, the containers' tests prove."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "backup.py"


class Archive:
    """A store and an index as the script sees them."""

    def __init__(self, folder: Path) -> None:
        self.store, self.index, self.target = folder / "store", folder / "index.db", folder / "backup"
        for each in (self.store / "incoming", self.target):
            each.mkdir(parents=True)
        with closing(sqlite3.connect(self.index)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE instances (path TEXT)")

    def add(self, path: str, content: bytes = b"content") -> None:
        (self.store / path).parent.mkdir(parents=True, exist_ok=True)
        (self.store / path).write_bytes(content)
        with closing(sqlite3.connect(self.index)) as database, database:
            database.execute("INSERT INTO instances VALUES (?)", (path,))

    def save(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, SCRIPT, "--store", self.store, "--index", self.index, self.target],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_all_files_and_the_index_are_copied_but_not_what_is_being_received(archive: Archive) -> None:
    archive.add("2026/01/02/1.2/1.3/1.4.dcm")
    (archive.store / "incoming" / "half.part").write_bytes(b"half")
    result = archive.save()
    assert result.stdout == "1 files copied; the backup has 1 instances, each with its file.\n"
    copied = [path.relative_to(archive.target) for path in archive.target.rglob("*") if path.is_file()]
    assert sorted(map(str, copied)) == ["index.db", "store/2026/01/02/1.2/1.3/1.4.dcm"]


def test_the_next_time_only_what_is_new_is_copied(archive: Archive) -> None:
    archive.add("2026/01/02/1.2/1.3/1.4.dcm")
    archive.save()
    first = archive.target / "store/2026/01/02/1.2/1.3/1.4.dcm"
    before = first.stat().st_ino
    archive.add("2026/01/02/1.2/1.3/1.5.dcm")
    assert archive.save().stdout == "1 files copied; the backup has 2 instances, each with its file.\n"
    assert first.stat().st_ino == before


def test_a_copy_that_was_cut_off_is_made_again(archive: Archive) -> None:
    archive.add("2026/01/02/1.2/1.3/1.4.dcm")
    half = archive.target / "store/2026/01/02/1.2/1.3/1.4.dcm.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"con")
    assert archive.save().returncode == 0
    assert half.with_suffix("").read_bytes() == b"content"
    assert not half.exists()


def test_a_row_without_its_file_is_no_complete_backup(archive: Archive) -> None:
    archive.add("2026/01/02/1.2/1.3/1.4.dcm")
    (archive.store / "2026/01/02/1.2/1.3/1.4.dcm").unlink()
    result = archive.save()
    assert result.returncode == 1
    assert "The backup is not complete: 1 of 1 instances have no file" in result.stderr


def test_a_wrong_folder_is_told(archive: Archive) -> None:
    archive.index.unlink()
    result = archive.save()
    assert result.returncode == 1
    assert "The backup is not complete: unable to open database file" in result.stderr
    assert not archive.index.exists()
    archive.store.rename(archive.store.with_name("elsewhere"))
    assert f"No such file or directory: '{archive.store}'" in archive.save().stderr


def test_times_stay_so_that_the_next_start_looks_at_enough(archive: Archive) -> None:
    note = archive.store / "last-sweep"
    note.touch()
    os.utime(note, (1000, 1000))
    archive.save()
    os.utime(note, (2000, 2000))
    archive.save()
    assert (archive.target / "store" / "last-sweep").stat().st_mtime == 1000
