"""What the services rely on in a file store, tried on the real one and on the fake that other tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pacsd.errors import StorageUnavailable
from pacsd.storage.filesystem import FileStore
from pacsd.storage.layout import path_without_receipt
from support.memory_store import MemoryStore
from support.service_parts import record_at

if TYPE_CHECKING:
    from pathlib import Path

Store = MemoryStore | FileStore
PATH = "2026/01/02/1.2/1.3/1.4.dcm"


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "fake":
        return MemoryStore()
    real = FileStore(tmp_path)
    real.open()
    return real


def publish(store: Store, content: bytes = b"data", path: str = PATH) -> str:
    with store.begin(b"header") as file:
        file.write(content)
        file.complete()
        file.sync()
        return file.publish(record_at(path))


def read(store: Store, path: str) -> bytes:
    with store.open_object(path) as file:
        return file.read_at(0, file.size)


def test_a_published_file_holds_header_and_fragments(store: Store) -> None:
    with store.begin(b"header") as file:
        for fragment in (b"da", bytearray(b"ta"), memoryview(b"set")):
            file.write(fragment)
        assert file.size == 7
        assert file.prefix == b"dataset"
        assert file.read_at(2, 3) == b"tas"
        assert file.read_at(5, 100) == b"et"
        file.complete()
        file.sync()
        path = file.publish(record_at(PATH))
    assert path_without_receipt(path) == PATH
    assert read(store, path) == b"headerdataset"
    assert list(store.published(None)) == [path]
    assert list(store.leftovers()) == []


def test_equal_content_has_an_equal_checksum(store: Store) -> None:
    checksums = []
    for content in (b"one", b"one", b"two"):
        with store.begin(b"header") as file:
            file.write(content)
            checksums.append(file.checksum)
    assert checksums[0] == checksums[1] != checksums[2]


def test_a_file_that_is_not_published_vanishes(store: Store) -> None:
    with store.begin(b"header") as file:
        file.write(b"data")
        assert len(list(store.leftovers())) == 1
    assert list(store.leftovers()) == []
    assert list(store.published(None)) == []


def test_a_file_vanishes_with_an_exception(store: Store) -> None:
    with pytest.raises(KeyError), store.begin(b"header"):
        raise KeyError
    assert list(store.leftovers()) == []


def test_only_a_finished_file_is_published(store: Store) -> None:
    with store.begin(b"header") as file, pytest.raises(ValueError, match="finished"):
        file.publish(record_at(PATH))


def test_nothing_is_written_behind_the_end(store: Store) -> None:
    with store.begin(b"header") as file:
        file.complete()
        file.sync()
        with pytest.raises(ValueError, match="finished"):
            file.write(b"more")


def test_a_batch_is_finished_in_two_steps(store: Store) -> None:
    with store.begin(b"header") as one, store.begin(b"header") as other:
        for file, content in ((one, b"one"), (other, b"other")):
            file.write(content)
            with pytest.raises(ValueError, match="completed"):
                file.sync()
        one.complete()
        with pytest.raises(ValueError, match="finished"):
            one.write(b"more")
        with pytest.raises(ValueError, match="finished"):
            one.publish(record_at(PATH))
        assert store.make_durable([one, other]) == [None, None]
        assert read(store, one.publish(record_at(PATH))) == b"headerone"
        assert read(store, other.publish(record_at(PATH))) == b"headerother"
    assert list(store.leftovers()) == []


def test_a_name_in_use_is_not_overwritten(store: Store) -> None:
    path = publish(store, b"first")
    other = publish(store, b"second")
    assert other != path
    assert read(store, path) == b"headerfirst"
    assert read(store, other) == b"headersecond"


def test_a_removed_file_is_gone_and_its_name_is_not_given_again(store: Store) -> None:
    path = publish(store)
    assert store.remove(path)
    assert not store.remove(path)
    assert list(store.published(None)) == []
    with pytest.raises(StorageUnavailable):
        store.open_object(path)
    assert publish(store) != path
    assert not store.remove(path)


def test_directories_of_published_files_can_be_synced(store: Store) -> None:
    path = publish(store)
    store.make_names_durable([path])
    assert read(store, path) == b"headerdata"


def test_published_files_come_by_day(store: Store) -> None:
    days = ["2025/12/31", "2026/01/02", "2026/01/03", "2026/11/01"]
    paths = [publish(store, path=f"{day}/1.2/1.3/1.4.dcm") for day in reversed(days)][::-1]
    assert store.days() == days
    assert list(store.published(None)) == paths
    assert list(store.published(days[1:3])) == paths[1:3]
    assert list(store.published(["1999/01/01"])) == []


def test_a_file_is_incoming_until_it_is_closed(store: Store) -> None:
    with store.begin(b"header") as file:
        file.complete()
        file.sync()
        path = file.publish(record_at(PATH))
        assert store.is_incoming(path)
    assert not store.is_incoming(path)
    assert not store.is_incoming("2026/01/02/1.2/1.3/none.dcm")


def test_a_file_in_quarantine_is_out_of_service(store: Store) -> None:
    path = publish(store)
    assert store.quarantine(path, "damaged")
    assert list(store.published(None)) == []
    with pytest.raises(StorageUnavailable):
        store.open_object(path)
    assert store.quarantine(path, "damaged") is None
