"""What a server makes of files without a row, where that is a matter of the file system."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from pacsd.model import ArchiveIdentity, DuplicatePolicy
from pacsd.services.archive import begin_generation
from pacsd.services.quarantine import quarantine_instance
from pacsd.services.records import record_of_file
from pacsd.services.sweep import complete_index, remove_half_files, sweep_days
from pacsd.storage.filesystem import FileStore
from support.fake_archive import altered, take
from support.rows import paths_of
from support.sweeps import RECEIVED, run_sweep, start, sweeping, take_without_row

if TYPE_CHECKING:
    from pathlib import Path

    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord
    from support.service_parts import OpenIndex


def test_half_files_go(store: FileStore, index: Index) -> None:
    for number in range(3):
        (store.root / "incoming" / f"1-{number}.part").write_bytes(b"half")
    assert remove_half_files(store) == 3
    assert list(store.leftovers()) == []


def test_a_second_run_does_nothing(store: FileStore, index: Index) -> None:
    take_without_row(store, altered(1))
    take(store, index, altered(2))
    (store.root / "incoming" / "1-1.part").write_bytes(b"half")
    run_sweep(store, index)
    before = {path: (store.root / path).stat().st_mtime_ns for path in store.published()}
    (finished,) = run_sweep(store, index)
    assert finished["files_indexed"] == 0
    assert list(store.leftovers()) == []
    assert {path: (store.root / path).stat().st_mtime_ns for path in store.published()} == before
    assert len(paths_of(index)) == 2


def test_a_file_that_the_disk_does_not_give_stays_and_is_named(store: FileStore, index: Index) -> None:
    """A directory under a file's name stands for a bad sector: it opens for nobody, root included."""
    path = take_without_row(store, altered(1))
    good = take_without_row(store, altered(2))

    def read_record(asked: str) -> InstanceRecord:
        if asked == path:
            (store.root / path).unlink()
            (store.root / path).mkdir()
        return record_of_file(store, asked, checksum_algorithm="xxh3_128")

    with capture_logs() as logs:
        sweep_days(sweeping(store, index, read_record=read_record), store.days())
    assert [line["path"] for line in logs if line["event"] == "file-not-indexed"] == [path]
    assert paths_of(index) == [good]


class Killed(BaseException):
    """Ends a worker where it stands."""


@pytest.mark.parametrize("damage", [None, b"damaged"])
def test_what_was_replaced_is_looked_at_though_it_is_of_an_earlier_day(
    store: FileStore, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    """The worker died between the commit and the removal of a file of a day on which nothing came since."""
    index = open_index(DuplicatePolicy.REPLACE)
    start(store, index)
    take(store, index, altered(PatientName="Old^Name"), received=RECEIVED)
    start(store, index)
    (old,) = store.published()
    if damage is not None:
        (store.root / old).write_bytes(damage)

    def die(self: FileStore, *arguments: object) -> None:
        raise Killed

    later = FileStore(store.root)
    monkeypatch.setattr(FileStore, "remove", die)
    monkeypatch.setattr(FileStore, "quarantine", die)
    with pytest.raises(Killed):
        take(later, index, altered(PatientName="New^Name"), received=RECEIVED + timedelta(days=400))
    monkeypatch.undo()
    assert len(list(store.published())) == 2
    begun = begin_generation(store, index)
    assert complete_index(
        sweeping(store, open_index(DuplicatePolicy.KEEP_FIRST), policy=DuplicatePolicy.REPLACE),
        swept_generation=index.state().swept_generation,
        generation=begun.generation,
    )
    assert list(store.published()) == paths_of(index) != [old]
    assert [each.path for each in store.quarantined.list()] == [old]


def test_days_that_an_older_note_of_them_lacks_are_looked_at(store: FileStore, index: Index) -> None:
    """A whole backup was put back over a store that had gone on since."""
    start(store, index)
    take(store, index, altered(1), received=RECEIVED)
    saved = {name: (store.root / name).read_bytes() for name in ("archive.json", "received-days")}
    start(store, index)
    later = take_without_row(FileStore(store.root), altered(2), received=RECEIVED + timedelta(days=3))
    for name, content in saved.items():
        (store.root / name).write_bytes(content)
    index.claim(ArchiveIdentity(index.state().identity or "", 1), swept_generation=1)
    assert start(store, index)
    assert later in paths_of(index)


def test_the_latest_day_is_looked_at_again(store: FileStore, index: Index) -> None:
    """A backup of that day was put back over the store: its notes know nothing of the generation that went on."""
    start(store, index)
    take(store, index, altered(1), received=RECEIVED)
    start(store, index)
    saved = (store.root / "received-days").read_bytes()
    later = take_without_row(FileStore(store.root), altered(2), received=RECEIVED)
    (store.root / "received-days").write_bytes(saved)
    assert start(store, index)
    assert later in paths_of(index)


def test_days_that_were_moved_to_another_disk_are_looked_at(
    store: FileStore, index: Index, tmp_path: Path
) -> None:
    path = take_without_row(store, altered())
    month = store.root / path[: len("YYYY/MM")]
    month.rename(tmp_path / "elsewhere")
    month.symlink_to(tmp_path / "elsewhere")
    run_sweep(store, index)
    assert paths_of(index) == [path]


def test_what_was_taken_out_of_service_does_not_come_back_with_a_backup(
    store: FileStore, index: Index
) -> None:
    """Nothing is removed from a backup: it has the file where it was, and in quarantine."""
    take(store, index, altered())
    (path,) = paths_of(index)
    content = (store.root / path).read_bytes()
    quarantine_instance(store, index, altered().sop_instance_uid, "wrong patient")
    (store.root / path).write_bytes(content)
    other = take_without_row(store, altered(2))
    run_sweep(store, index)
    assert paths_of(index) == list(store.published()) == [other]
    assert [taken.path for taken in store.quarantined.list()] == [path] * 2

    # What is put back into service, or sent again, has a name of its own.
    back = store.copy_from_quarantine(store.quarantined.list()[0].name)
    (store.root / path).write_bytes(content)
    run_sweep(store, index)
    assert set(paths_of(index)) == set(store.published()) == {back, other}
