"""The file store: whole files or none, never one over another, and failing disks."""

from __future__ import annotations

import errno
import hashlib
import math
import multiprocessing
import os
import posixpath
import resource
import shutil
import threading
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.storage.disk import Free, WatchedDisk
from pacsd.storage.filesystem import FileStore
from pacsd.storage.layout import path_without_receipt
from pacsd.storage.room import PLENTY
from support.service_parts import NOW, record_at, record_of

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = b"preamble and meta"
PATH = "2024/02/29/1.2/1.2.3/1.2.3.4.dcm"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "store")
    store.open()
    return store


def put(store: FileStore, content: bytes, path: str = PATH) -> str:
    with store.begin(HEADER) as incoming:
        incoming.write(content)
        incoming.complete()
        incoming.sync()
        return incoming.publish(record_at(path))


def failing(error: int) -> Callable[..., None]:
    def call(*arguments: object, **options: object) -> None:
        raise OSError(error, os.strerror(error))

    return call


def test_a_published_file_holds_header_and_data_set(store: FileStore) -> None:
    with store.begin(HEADER) as incoming:
        incoming.write(b"data ")
        incoming.write(memoryview(b"set"))
        assert incoming.size == 8
        assert incoming.prefix == b"data set"
        assert incoming.checksum == f"xxh3_128:{xxhash.xxh3_128_hexdigest(b'data set')}"
        assert incoming.read_at(5, 100) == b"set"
        incoming.complete()
        incoming.sync()
        assert incoming.read_at(0, 4) == b"data"
        path = incoming.publish(record_at(PATH))
    assert path_without_receipt(path) == PATH
    store.make_names_durable([path])
    assert (store.root / path).read_bytes() == HEADER + b"data set"
    assert list(store.published()) == [path]
    assert list(store.leftovers()) == []
    with store.open_object(path) as file:
        assert file.read_at(len(HEADER), 4) == b"data"


def test_sha256_is_a_choice_and_nonsense_is_not(tmp_path: Path) -> None:
    store = FileStore(tmp_path, checksum_algorithm="sha256")
    store.open()
    with store.begin(b"") as incoming:
        incoming.write(b"x")
        assert incoming.checksum == f"sha256:{hashlib.sha256(b'x').hexdigest()}"
    with pytest.raises(ValueError, match="xxh3_128, sha256"):
        FileStore(tmp_path, checksum_algorithm="crc")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(
        st.sampled_from([0, 1, 100, 16384, 32767, 32768, 65535, 65536, 65537, 200_000]), max_size=8
    ),
    taken=st.sampled_from([1 << 30, 70_000, 4099]),
)
def test_any_fragments_and_short_writes_make_the_same_file(
    tmp_path: Path, sizes: list[int], taken: int
) -> None:
    store = FileStore(tmp_path, sync=False)
    store.open()
    writev = os.writev

    def short_writev(descriptor: int, buffers: list[memoryview]) -> int:
        return writev(descriptor, [buffers[0][:taken]])

    content = bytes(index % 251 for index in range(sum(sizes)))
    buffer = bytearray(max(sizes, default=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", short_writev)
        with store.begin(HEADER) as incoming:
            position = 0
            for size in sizes:
                # As the network does it: one buffer, used again as soon as `write` returns.
                buffer[:size] = content[position : position + size]
                incoming.write(memoryview(buffer)[:size])
                buffer[:size] = bytes(size)
                position += size
            incoming.complete()
            incoming.sync()
            assert incoming.prefix == content[:65536]
            assert incoming.size == len(content)
            assert incoming.checksum == f"xxh3_128:{xxhash.xxh3_128_hexdigest(content)}"
            published = incoming.publish(record_at(PATH))
    assert (store.root / published).read_bytes() == HEADER + content


def test_nothing_is_ever_overwritten(store: FileStore) -> None:
    paths = [put(store, content) for content in (b"one", b"two", b"three")]
    assert len(set(paths)) == 3
    assert {path_without_receipt(path) for path in paths} == {PATH}
    contents = [(store.root / path).read_bytes() for path in paths]
    assert contents == [HEADER + b"one", HEADER + b"two", HEADER + b"three"]


def test_no_name_is_used_twice(store: FileStore) -> None:
    """Who is about to remove a file, and was slow, must not remove another one."""
    names = set()
    for opened in (store, store, FileStore(store.root), FileStore(store.root)):
        path = put(opened, b"content")
        names.add(path)
        assert store.remove(path)
    assert len(names) == 4


def test_a_name_that_somebody_else_has_given_is_not_overwritten(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsd.storage.filesystem.secrets.token_hex", lambda count: "0" * 2 * count)
    one, other = put(FileStore(store.root), b"one"), FileStore(store.root)
    path = put(other, b"two")
    assert path != one
    assert [(store.root / each).read_bytes() for each in (one, path)] == [HEADER + b"one", HEADER + b"two"]
    monkeypatch.setattr("pacsd.storage.filesystem.path_of_receipt", lambda path, receipt: one)
    with pytest.raises(StorageUnavailable, match="files of all names"):
        put(other, b"three")


def test_an_unpublished_file_leaves_nothing_behind(store: FileStore) -> None:
    with store.begin(HEADER) as incoming:
        incoming.write(b"x" * 100_000)
        assert len(list(store.leftovers())) == 1
    assert list(store.leftovers()) == []
    with suppress(ConnectionError), store.begin(HEADER) as incoming:
        incoming.write(b"x")
        raise ConnectionError
    assert list(store.leftovers()) == []
    assert list(store.published()) == []
    incoming.close()
    with pytest.raises(ValueError, match="finished"):
        incoming.write(b"x")


def test_only_a_finished_file_is_published_and_once(store: FileStore) -> None:
    with store.begin(HEADER) as incoming:
        with pytest.raises(ValueError, match="finished file"):
            incoming.publish(record_at(PATH))
        incoming.complete()
        incoming.sync()
        with pytest.raises(ValueError, match="finished"):
            incoming.write(b"late")
        path = incoming.publish(record_at(PATH))
        with pytest.raises(ValueError, match="once"):
            incoming.publish(record_at(PATH))
    assert list(store.published()) == [path]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/\0"])
def test_paths_stay_below_the_root(store: FileStore, path: str) -> None:
    for use in (store.open_object, store.remove, lambda path: store.make_names_durable([path])):
        with pytest.raises(ValueError, match="relative to the storage root"):
            use(path)
    with store.begin(HEADER) as incoming:
        incoming.complete()
        incoming.sync()
        keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        published = incoming.publish(record_of(**dict.fromkeys(keywords, path)))
    assert (store.root / published).resolve().parent.parent.parent == store.root / f"{NOW:%Y/%m/%d}"


def test_a_full_disk_is_storage_full_and_leaves_nothing(store: FileStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFull, match="free some space"), store.begin(HEADER) as incoming:
            incoming.write(bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(store.leftovers()) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, StorageUnavailable),
        (errno.EACCES, StorageUnavailable),
        (errno.EIO, StorageUnavailable),
        (errno.ESTALE, StorageUnavailable),
    ],
)
@pytest.mark.parametrize("call", ["open", "writev", "fdatasync", "link", "fsync"])
def test_every_failing_call_has_its_error_and_leaves_nothing_under_incoming(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, call: str, error: int, expected: type[Exception]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(error))
        with pytest.raises(expected) as caught:
            store.make_names_durable([put(store, b"secret")])
    assert isinstance(caught.value.__cause__, OSError)
    assert os.strerror(error) in str(caught.value)
    assert "1.2.3.4" not in str(caught.value)
    assert list(store.leftovers()) == []


def test_after_a_failed_sync_the_file_cannot_be_finished_again(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel forgets a failed write-back once it has told of it: a second sync would succeed."""
    with store.begin(HEADER) as incoming:
        incoming.write(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", failing(errno.EIO))
            incoming.complete()
            with pytest.raises(StorageUnavailable):
                incoming.sync()
        assert list(store.leftovers()) == []
        with pytest.raises(ValueError, match="removed"):
            incoming.complete()
        with pytest.raises(ValueError, match="finished file"):
            incoming.publish(record_at(PATH))


def test_a_file_that_was_written_in_part_cannot_be_finished(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.begin(HEADER) as incoming:
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", failing(errno.ENOSPC))
            with pytest.raises(StorageFull):
                incoming.write(bytes(100_000))
        with pytest.raises(ValueError, match="removed"):
            incoming.complete()


def test_the_watermark_is_looked_at_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    store = FileStore(tmp_path, min_free_bytes=1 << 62, clock=lambda: now[0])
    store.open()
    with pytest.raises(StorageFull, match="to be kept free"):
        store.begin(HEADER)
    looks = []
    monkeypatch.setattr(
        WatchedDisk, "free", lambda self: looks.append(now[0]) or Free((1 << 62) + PLENTY * 2, math.inf)
    )
    now[0] += 1.0
    store.begin(HEADER).close()
    now[0] += 0.9
    store.begin(HEADER).close()
    now[0] += 0.1
    store.begin(HEADER).close()
    assert looks == [101.0, 102.0]


def test_what_several_receive_at_once_does_not_touch_what_is_kept_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, each with an object that alone would fit."""
    reserved = memoryview(array("q", [0, 0, 0]))
    stores = [FileStore(tmp_path, min_free_bytes=5_000_000, reserved=reserved, slot=slot) for slot in (0, 1)]
    stores[0].open()
    monkeypatch.setattr(WatchedDisk, "free", lambda self: Free(6_500_000, math.inf))
    first, second = (each.begin(HEADER) for each in stores)
    first.write(bytes(500_000))
    assert list(reserved[1:]) == [1 << 20, 131072]
    with pytest.raises(StorageFull, match="about to be written"):
        second.write(bytes(500_000))
    assert reserved[2] == 0
    assert not list(stores[0].leftovers())[1:], "the half file is gone"
    first.complete()
    assert list(reserved[1:]) == [0, 0]
    first.close()


def test_nothing_is_begun_while_the_other_disk_is_full(tmp_path: Path) -> None:
    index_disk = WatchedDisk(tmp_path, 1 << 62, "index.min_free_mb")
    store = FileStore(tmp_path, other_disks=[index_disk])
    store.open()
    with pytest.raises(StorageFull, match=r"disk full, index\.min_free_mb"):
        store.begin(HEADER)


def test_opening_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(StorageUnavailable, match="storage root"):
        FileStore(blocked / "store").open()
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(errno.EPERM))
        with pytest.raises(StorageUnavailable, match=r"no hard links.*ext4 or XFS"):
            FileStore(tmp_path / "linkless").open()
    with monkeypatch.context() as patch:
        # As some file systems in user space and on the network do it.
        patch.setattr(os, "link", shutil.copyfile)
        with pytest.raises(StorageUnavailable, match=r"no hard links.*ext4 or XFS"):
            FileStore(tmp_path / "linkless").open()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", failing(errno.EROFS))
        with pytest.raises(StorageUnavailable, match="read-write"):
            FileStore(tmp_path / "readonly").open()
    FileStore(tmp_path / "linkless").open()
    assert [path for path in (tmp_path / "linkless").rglob("*") if path.is_file()] == []


def test_the_root_itself_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[Path] = set()
    monkeypatch.setattr("pacsd.storage.filesystem.sync_directory", synced.add)
    root = tmp_path / "data" / "store"
    FileStore(root).open()
    assert synced == {tmp_path, tmp_path / "data", root}
    synced.clear()
    FileStore(root).open()
    assert synced == {root}


def test_every_new_directory_is_synced_with_its_parents_once(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "pacsd.storage.filesystem.sync_directory",
        lambda path: synced.append(str(Path(path).relative_to(store.root))),
    )
    store.make_names_durable([put(store, b"1"), put(store, b"2", "2024/02/29/1.2/1.2.4/5.dcm")])
    assert sorted(synced) == [
        ".", "2024", "2024/02", "2024/02/29", "2024/02/29/1.2", "2024/02/29/1.2/1.2.3", "2024/02/29/1.2/1.2.4"
    ]  # fmt: skip
    synced.clear()
    store.make_names_durable([put(store, b"3")])
    assert synced == ["2024/02/29/1.2/1.2.3"]
    synced.clear()
    other = FileStore(store.root)
    other.make_names_durable([put(other, b"4")])
    assert len(synced) == 6, "another process may not have come to it yet"


def test_directories_that_could_not_be_synced_are_tried_again(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(store, b"1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(StorageUnavailable, match="check the disk"):
            store.make_names_durable([path])
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.make_names_durable([path])
    assert len(synced) == 6


def test_without_sync_nothing_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, call, failing(errno.EIO))
    store = FileStore(tmp_path, sync=False)
    store.open()
    store.make_names_durable([put(store, b"x")])


def test_removing(store: FileStore) -> None:
    path = put(store, b"x")
    assert store.remove(path)
    assert not store.remove(path)
    assert list(store.published()) == []
    with pytest.raises(StorageUnavailable, match="gone"):
        store.open_object(path)
    (store.root / "incoming" / "left.part").touch()
    assert [store.remove(leftover) for leftover in store.leftovers()] == [True]


def test_published_files_come_by_date_and_foreign_ones_do_not(store: FileStore) -> None:
    days = ("2023/12/31", "2024/01/01", "2024/01/02")
    paths = [put(store, b"x", f"{day}/1/2/{number}.dcm") for day in reversed(days) for number in (2, 1)]
    (store.root / "lost+found").mkdir()
    (store.root / "lost+found" / "x").touch()
    (store.root / "index.db").touch()
    assert list(store.published()) == paths[::-1]


def test_threads_publishing_one_name_get_one_each(store: FileStore) -> None:
    published: list[str] = []
    start = threading.Barrier(8)

    def publish(number: int) -> None:
        start.wait(timeout=10)
        for turn in range(10):
            path = put(store, f"{number} {turn}".encode())
            store.make_names_durable([path])
            published.append(path)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(set(published)) == 80
    contents = {(store.root / path).read_bytes() for path in published}
    assert contents == {HEADER + f"{number} {turn}".encode() for number in range(8) for turn in range(10)}


def publish_many(root: Path, number: int) -> None:
    store = FileStore(root, sync=False)
    for turn in range(20):
        put(store, f"{number} {turn}".encode())


def test_processes_publishing_one_name_get_one_each(store: FileStore) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=publish_many, args=(store.root, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    contents = [(store.root / path).read_bytes() for path in store.published()]
    assert sorted(contents) == sorted(HEADER + f"{n} {turn}".encode() for n in range(3) for turn in range(20))
    assert list(store.leftovers()) == []


def test_incoming_files_are_spread_over_directories(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that follow each other get different ones, and a store that is opened again has no more."""
    FileStore(store.root).open()
    folders = [path for path in (store.root / "incoming").iterdir() if path.is_dir()]
    assert len(folders) == 16
    used = set()
    for pid in range(1000, 1016):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        with FileStore(store.root).begin(HEADER):
            (leftover,) = store.leftovers(pid)
            used.add(posixpath.dirname(leftover))
    assert len(used) == 16


def test_a_store_without_these_directories_still_receives(store: FileStore) -> None:
    for folder in (store.root / "incoming").iterdir():
        folder.rmdir()
    with store.begin(HEADER) as incoming:
        incoming.complete()
        incoming.sync()
        path = incoming.publish(record_at(PATH))
    assert list(store.published()) == [path]


@pytest.mark.timeout(10)
def test_what_is_no_file_is_not_waited_for(store: FileStore) -> None:
    path = put(store, b"1")
    (store.root / path).unlink()
    os.mkfifo(store.root / path)
    with pytest.raises(StorageUnavailable, match="it is no file"):
        store.open_object(path)
