"""Files finished in two steps, and a batch of them made durable side by side."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.storage import disk
from pacsd.storage.filesystem import FileStore
from support.service_parts import record_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pacsd.storage.incoming import IncomingFile

    Begin = Callable[[bytes], IncomingFile]

HEADER = b"preamble and meta"
PATH = "2024/02/29/1.2/1.2.3/1.2.3.4.dcm"
WITHIN = 10
MEBIBYTE = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    store = FileStore(tmp_path / "store")
    store.open()
    yield store
    store.close()


@pytest.fixture
def begin(store: FileStore) -> Iterator[Begin]:
    """Begins files with their content; those still there at the end are closed."""
    begun: list[IncomingFile] = []

    def begin(content: bytes) -> IncomingFile:
        begun.append(store.begin(HEADER))
        begun[-1].write(content)
        return begun[-1]

    yield begin
    for file in begun:
        file.close()


def contents(count: int) -> list[bytes]:
    return [bytes([number]) * (100 + 50_000 * number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 40])
def test_a_batch_is_synced_once_each_and_can_be_published(
    store: FileStore, begin: Begin, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    synced: list[int] = []
    fdatasync = os.fdatasync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", noted)
    files = [begin(content) for content in contents(count)]
    assert store.make_durable(files) == [None] * count
    monkeypatch.undo()
    paths = [file.publish(record_at(PATH)) for file in files]
    assert sorted(synced) == sorted((store.root / path).stat().st_ino for path in paths)
    assert [(store.root / path).read_bytes() for path in paths] == [HEADER + one for one in contents(count)]
    for file in files:
        file.close()
    assert list(store.leftovers()) == []


def test_all_are_handed_to_the_disk_before_the_first_is_waited_for(
    store: FileStore, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr("pacsd.storage.incoming.start_writing_back", lambda *range_: order.append("start"))
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: order.append("sync"))
    store.make_durable([begin(b"1"), begin(b"2"), begin(b"3")])
    assert order == ["start"] * 3 + ["sync"] * 3


@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (3, 1), (4, 2), (9, 4), (40, 8)])
def test_the_more_files_the_more_threads(
    store: FileStore, begin: Begin, monkeypatch: pytest.MonkeyPatch, count: int, at_once: int
) -> None:
    """Each thread's first sync ends only when as many are under way; the caller does its share."""
    everybody = threading.Barrier(at_once)
    threads: set[int] = set()
    guard = threading.Lock()

    def fdatasync(descriptor: int) -> None:
        with guard:
            comes_first = threading.get_ident() not in threads
            threads.add(threading.get_ident())
        if comes_first:
            everybody.wait(timeout=WITHIN)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    assert store.make_durable([begin(b"x") for _ in range(count)]) == [None] * count
    assert len(threads) == at_once
    assert threading.get_ident() in threads


@pytest.mark.parametrize("count", [2, 12])
@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [("fdatasync", errno.EIO, StorageUnavailable), ("writev", errno.ENOSPC, StorageFull)],
)
def test_what_fails_for_one_file_concerns_no_other(
    store: FileStore,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    call: str,
    error: int,
    expected: type[Exception],
) -> None:
    files = [begin(bytes([number])) for number in range(count)]
    bad = files[1]._descriptor
    original = getattr(os, call)

    def failing(descriptor: int, *arguments: object) -> object:
        if descriptor == bad:
            raise OSError(error, os.strerror(error))
        return original(descriptor, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        failures = store.make_durable(files)
    assert [type(failure) for failure in failures if failure] == [expected]
    assert isinstance(failures[1], expected)
    assert len(list(store.leftovers())) == count - 1, "the file that is not trusted is gone"
    with pytest.raises(ValueError, match="finished file"):
        files[1].publish(record_at(PATH))
    kept = [file.publish(record_at(PATH)) for number, file in enumerate(files) if number != 1]
    assert {(store.root / path).read_bytes()[-1] for path in kept} == set(range(count)) - {1}


def test_a_file_of_a_failed_sync_cannot_be_synced_again(
    store: FileStore, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = begin(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        (failure,) = store.make_durable([file])
    assert isinstance(failure, StorageUnavailable)
    with pytest.raises(ValueError, match="removed"):
        file.sync()
    with pytest.raises(ValueError, match="removed"):
        file.complete()


def test_the_two_steps_keep_their_order(store: FileStore, begin: Begin) -> None:
    file = begin(b"data")
    with pytest.raises(ValueError, match="completed"):
        file.sync()
    file.complete()
    with pytest.raises(ValueError, match="finished"):
        file.write(b"more")
    with pytest.raises(ValueError, match="finished file"):
        file.publish(record_at(PATH))
    file.complete()
    assert file.read_at(1, 2) == b"at"
    file.sync()
    file.sync()
    assert (store.root / file.publish(record_at(PATH))).read_bytes() == HEADER + b"data"


def test_without_sync_a_batch_is_only_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path, sync=False)
    store.open()
    syncs: list[object] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    monkeypatch.setattr("pacsd.storage.incoming.start_writing_back", lambda *range_: syncs.append(range_))
    files = [store.begin(HEADER) for _ in range(5)]
    for file in files:
        file.write(bytes(2 * MEBIBYTE))
    assert store.make_durable(files) == [None] * 5
    for file in files:
        assert (store.root / file.publish(record_at(PATH))).stat().st_size == len(HEADER) + 2 * MEBIBYTE
    assert syncs == []


class BrokenFile:
    """A file whose sync fails in a way that nobody expects, or waits until the others have failed."""

    def __init__(self, *, breaks: bool, broken: threading.Event) -> None:
        self.breaks = breaks
        self.broken = broken
        self.is_synced = False

    def write_back(self) -> None:
        """As a file does that has nothing to write."""

    def complete(self) -> None:
        """Nothing to write."""

    def sync(self) -> None:
        if self.breaks:
            self.broken.set()
            raise KeyError("unexpected")
        assert self.broken.wait(timeout=WITHIN)
        self.is_synced = True


@pytest.mark.parametrize("place", [0, 1])
def test_an_unexpected_error_is_raised_when_no_thread_is_at_work(store: FileStore, place: int) -> None:
    """Else its files would be closed while they are synced."""
    broken = threading.Event()
    files = [BrokenFile(breaks=number == place, broken=broken) for number in range(4)]
    with pytest.raises(KeyError, match="unexpected"):
        store.make_durable(files)
    assert [file.is_synced for file in files] == [number != place for number in range(4)]


def test_directories_are_synced_at_once_too(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"2024/02/29/1/{number}/1.dcm" for number in range(4)]
    for path in paths:
        with store.begin(HEADER) as file:
            file.complete()
            file.sync()
            file.publish(record_at(path))
    store.make_names_durable(paths)
    everybody = threading.Barrier(2)
    synced: set[int] = set()

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        everybody.wait(timeout=WITHIN)

    monkeypatch.setattr(os, "fsync", fsync)
    store.make_names_durable(paths)
    assert synced == {(store.root / path).parent.stat().st_ino for path in paths}


def test_of_several_directories_one_that_fails_is_enough(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"2024/02/29/1/{number}/1.dcm" for number in range(8)]
    for path in paths:
        with store.begin(HEADER) as file:
            file.complete()
            file.sync()
            file.publish(record_at(path))
    bad = (store.root / paths[5]).parent.stat().st_ino

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageUnavailable, match="directory entries"):
            store.make_names_durable(paths)
    synced: list[object] = []
    monkeypatch.setattr("pacsd.storage.filesystem.sync_directory", synced.append)
    store.make_names_durable(paths)
    assert len(synced) == 8 + 5, "none of them counts as durable"


def test_closing_ends_the_threads_and_a_next_batch_starts_them_anew(store: FileStore, begin: Begin) -> None:
    before = threading.active_count()
    for _ in range(2):
        assert store.make_durable([begin(b"x") for _ in range(8)]) == [None] * 8
        assert threading.active_count() > before
        store.close()
        assert threading.active_count() == before
    store.close()


def test_a_large_object_is_written_back_while_it_comes(
    store: FileStore, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "pacsd.storage.incoming.start_writing_back",
        lambda descriptor, position, length: ranges.append((position, length)),
    )
    file = begin(b"")
    for _ in range(10):
        file.write(bytes(300_000))
    assert len(ranges) == 2, "of 3 MB, once for each full mebibyte and what came with it"
    file.complete()
    file.write_back()
    assert [position for position, _ in ranges] == [0, ranges[0][1], ranges[0][1] + ranges[1][1]]
    assert sum(length for _, length in ranges) == len(HEADER) + 3_000_000
    file.write_back()
    assert len(ranges) == 3, "nothing is left to be started"


def test_starting_to_write_back_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sync that follows tells of failures; a system without the call has only that."""
    with (tmp_path / "closed").open("wb") as file:
        file.write(b"x")
        descriptor = file.fileno()
        disk.start_writing_back(descriptor)
    disk.start_writing_back(descriptor, 0, 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    monkeypatch.setattr(disk, "_start", disk._sync_file_range())
    disk.start_writing_back(descriptor)


def test_a_file_that_somebody_cleared_up_closes_all_the_same(store: FileStore, begin: Begin) -> None:
    file = begin(b"x")
    assert [store.remove(leftover) for leftover in store.leftovers()] == [True]
    file.close()
    assert list(store.leftovers()) == []


def test_names_of_one_process_can_be_told_and_never_meet(store: FileStore, begin: Begin) -> None:
    """Process numbers come again, in a container with every start."""
    begin(b"1")
    other = FileStore(store.root)
    with other.begin(HEADER):
        assert len(set(store.leftovers(os.getpid()))) == 2
    assert list(store.leftovers(os.getpid() + 1)) == []
