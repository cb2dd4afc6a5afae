"""Each check, good and bad, with its reason."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, NoReturn

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from pacsd.http.health import (
    Check,
    check_archive,
    check_database,
    check_disk,
    check_progress,
    check_workers_alive,
    check_workers_ready,
    liveness,
    readiness,
)
from pacsd.index.repository import Index
from pacsd.index.schema import migrations
from pacsd.model import ArchiveIdentity, DuplicatePolicy
from pacsd.services.archive import begin_generation
from pacsd.settings import IndexSettings, Settings, StorageSettings
from pacsd.storage.disk import Free, WatchedDisk
from pacsd.storage.filesystem import FileStore
from pacsd.supervision.shared_numbers import IndexCompleteness, WorkerState, WorkerTable
from pacsd.supervision.signs_of_life import OwnSigns, SignsOfLife

if TYPE_CHECKING:
    from pathlib import Path


BEGUN = ArchiveIdentity("A", 1)


@pytest.fixture
def workers() -> WorkerTable:
    table = WorkerTable()
    table.wanted = 2
    return table


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrations.upgrade(url)
    return url


class TestWorkers:
    def test_none_is_alive(self, workers: WorkerTable) -> None:
        workers.set(0, WorkerState.OTHER)
        assert not check_workers_alive(workers, SignsOfLife(), 30.0).ok
        assert not check_workers_ready(workers, SignsOfLife(), 30.0).ok

    def test_one_that_starts_is_alive_but_not_ready(self, workers: WorkerTable) -> None:
        workers.set(0, WorkerState.STARTING)
        assert check_workers_alive(workers, SignsOfLife(), 30.0).ok
        assert not check_workers_ready(workers, SignsOfLife(), 30.0).ok

    def test_one_of_two_is_not_enough(self, workers: WorkerTable) -> None:
        workers.set(0, WorkerState.READY)
        result = check_workers_ready(workers, SignsOfLife(), 30.0)
        assert (result.ok, result.reason) == (False, "1 of 2 workers ready")

    def test_all_are_ready_whatever_else_drains(self, workers: WorkerTable) -> None:
        for slot, state in enumerate((WorkerState.STOPPING, WorkerState.READY, WorkerState.READY)):
            workers.set(slot, state)
        assert check_workers_ready(workers, SignsOfLife(), 30.0).ok

    def test_a_stopping_server_is_not_ready(self, workers: WorkerTable) -> None:
        workers.set(0, WorkerState.STOPPING)
        workers.wanted = 0
        assert check_workers_alive(workers, SignsOfLife(), 30.0).ok
        assert check_workers_ready(workers, SignsOfLife(), 30.0).reason == "the server is stopping"


class TestSilence:
    """Of worker 7 in slot 0, and of worker 8 in slot 1."""

    @pytest.fixture
    def clock(self) -> list[int]:
        return [10**9]

    @pytest.fixture
    def signs(self, clock: list[int], workers: WorkerTable) -> SignsOfLife:
        signs = SignsOfLife(lambda: clock[0])
        for slot in range(2):
            signs.begin("worker", slot)
            signs.note_process(slot, 7 + slot)
            workers.set(slot, WorkerState.READY)
        return signs

    def _pass(self, clock: list[int], signs: SignsOfLife, seconds: int, *beating: int) -> None:
        clock[0] += seconds * 10**9
        for slot in beating:
            OwnSigns(signs, slot).beat()
            signs.note_process(slot, 7 + slot)

    def test_one_that_is_silent_is_not_ready(
        self, signs: SignsOfLife, workers: WorkerTable, clock: list[int]
    ) -> None:
        self._pass(clock, signs, 10, 1)
        assert check_workers_ready(workers, signs, 30.0).ok
        self._pass(clock, signs, 1, 1)
        ready = check_workers_ready(workers, signs, 30.0)
        assert not ready.ok
        assert ready.reason.startswith(
            "1 of 2 workers ready; worker process 7 has shown no sign of life since "
        )
        assert ready.reason.endswith("(11 s)")
        assert all(check.ok for check in liveness(workers, signs, 30.0).values())

    def test_all_that_are_silent_are_not_alive(
        self, signs: SignsOfLife, workers: WorkerTable, clock: list[int]
    ) -> None:
        self._pass(clock, signs, 11)
        assert not liveness(workers, signs, 30.0)["workers"].ok

    def test_a_silent_one_with_the_turn_keeps_all_from_storing(
        self, signs: SignsOfLife, workers: WorkerTable, clock: list[int]
    ) -> None:
        OwnSigns(signs, 0).note_turn(True)
        self._pass(clock, signs, 11, 0, 1)
        assert check_progress(signs, 30.0).ok, "it may be a slow disk"
        self._pass(clock, signs, 11, 1)
        assert "process 7 has held the turn" in liveness(workers, signs, 30.0)["processes"].reason

    def test_a_commit_that_stands_still_is_told_and_one_that_makes_attempts_is_not(
        self, signs: SignsOfLife, workers: WorkerTable, clock: list[int]
    ) -> None:
        own = OwnSigns(signs, 0)
        own.note_attempt()
        assert check_progress(signs, 30.0).ok, "there is no commit that it would be one of"
        own.note_commit(True)
        for _ in range(2):
            self._pass(clock, signs, 20, 0, 1)
            own.note_attempt()
        assert check_progress(signs, 30.0).ok
        self._pass(clock, signs, 31, 0, 1)
        assert "worker process 7 has been at one commit" in check_progress(signs, 30.0).reason
        assert all(check.ok for check in liveness(workers, signs, 30.0).values())
        own.note_commit(False)
        assert check_progress(signs, 30.0).ok

    def test_after_a_freeze_of_the_machine_all_have_a_new_chance(
        self, signs: SignsOfLife, workers: WorkerTable, clock: list[int]
    ) -> None:
        self._pass(clock, signs, 3600)
        signs.give_grace()
        assert check_progress(signs, 30.0).ok
        self._pass(clock, signs, 11)
        assert not check_progress(signs, 30.0).ok


def database_check(url: str) -> Check:
    found = check_database(url, "required", BEGUN)
    if not found["database"].ok:
        assert set(found.values()) == {found["database"]}, "nor can it be asked for anything else"
    return found["database"]


class TestDatabase:
    def test_it_answers(self, database: str) -> None:
        assert database_check(database).ok

    def test_a_missing_file_is_told_and_not_made(self, tmp_path: Path) -> None:
        file = tmp_path / "none.db"
        assert not database_check(f"sqlite:///{file}").ok
        assert not file.exists()

    def test_a_file_without_our_tables(self, tmp_path: Path) -> None:
        (tmp_path / "empty.db").touch()
        result = database_check(f"sqlite:///{tmp_path / 'empty.db'}")
        assert not result.ok
        assert "alembic_version" in result.reason

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("x" * 5000)
        assert "not a database" in database_check(f"sqlite:///{tmp_path / 'text.db'}").reason

    def test_a_file_whose_disk_has_turned_read_only(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SQLite reads on; only new instances are refused."""

        def refuse(**_: object) -> NoReturn:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        result = check_database(database, "required", BEGUN)["database"]
        assert not result.ok
        assert result.reason.endswith("Read-only file system; mount the file system read-write")

    def test_a_server_that_is_not_there_is_told_with_what_to_do_and_without_the_password(self) -> None:
        result = database_check("postgresql+psycopg://user:secret@127.0.0.1:1/pacs")
        assert not result.ok
        assert "is PostgreSQL running and reachable" in result.reason
        assert "secret" not in result.reason


class TestDisk:
    def test_room_enough(self, tmp_path: Path) -> None:
        assert check_disk(WatchedDisk(tmp_path, 1, "storage.min_free_mb")).ok
        assert list(tmp_path.iterdir()) == [], "nothing is left behind"

    def test_below_the_watermark(self, tmp_path: Path) -> None:
        result = check_disk(WatchedDisk(tmp_path, 1 << 62, "index.min_free_mb"))
        assert not result.ok
        assert "index.min_free_mb" in result.reason

    def test_no_such_directory(self, tmp_path: Path) -> None:
        result = check_disk(WatchedDisk(tmp_path / "none", 0, "storage.min_free_mb"))
        assert "No such file or directory" in result.reason

    def test_inodes_run_short_only_where_they_are_counted(self, tmp_path: Path) -> None:
        disk = WatchedDisk(tmp_path, 10, "storage.min_free_mb")
        assert "storage: 999 inodes free" in disk.shortage(Free(10, 999))
        assert disk.shortage(Free(10, math.inf)) == ""
        assert "1 of them about to be written" in disk.shortage(Free(10, math.inf), reserved=1)


def test_a_server_that_was_overtaken_is_not_ready(tmp_path: Path, database: str) -> None:
    store, index = FileStore(tmp_path / "store"), Index(database, duplicates=DuplicatePolicy.KEEP_FIRST)
    store.open()
    begun = begin_generation(store, index)

    def check(root: Path, generation: ArchiveIdentity) -> Check:
        return check_archive(root, generation, check_database(database, "required", generation)["archive"])

    assert check(store.root, begun).ok
    shutil.copytree(store.root, tmp_path / "copy")
    later = begin_generation(FileStore(tmp_path / "copy"), index)
    index.dispose()
    overtaken = check(store.root, begun)
    assert not overtaken.ok
    assert "another server has been started on this index" in overtaken.reason
    assert check(tmp_path / "copy", later).ok
    beside = check(tmp_path / "copy", begun)
    assert "another server has been started on this store" in beside.reason
    (store.root / "archive.json").unlink()
    assert "is the disk of the storage root mounted?" in check(store.root, begun).reason


def test_readiness_names_each_check(tmp_path: Path, database: str, workers: WorkerTable) -> None:
    settings = Settings(
        storage=StorageSettings(root=tmp_path, min_free_mb=0),
        index=IndexSettings(url=database, min_free_mb=0),
    )
    completeness = IndexCompleteness()
    completeness.report(600, 6000)
    found = readiness(settings, workers, completeness, BEGUN, SignsOfLife())
    assert found["index"].reason == "rebuilding the index: 600 of 6000 files have been looked at"
    completeness.complete()
    assert readiness(settings, workers, completeness, BEGUN, SignsOfLife())["index"].ok
    storing = readiness(settings, workers, completeness, BEGUN, SignsOfLife(), "the disk is read-only")[
        "storing"
    ]
    assert (storing.ok, storing.reason) == (False, "queries are answered, but the disk is read-only")
    assert {name: check.ok for name, check in found.items()} == {
        "workers": False,
        "database": True,
        "durability": True,
        "index": False,
        "archive": False,
        "progress": True,
        "storage": True,
        "index_disk": True,
    }


def test_a_probe_makes_one_connection(tmp_path: Path, database: str, workers: WorkerTable) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path), index=IndexSettings(url=database))
    made: list[object] = []
    event.listen(Pool, "connect", note := lambda connection, _: made.append(connection))
    try:
        assert readiness(settings, workers, IndexCompleteness(), BEGUN, SignsOfLife())["database"].ok
    finally:
        event.remove(Pool, "connect", note)
    assert len(made) == 1
