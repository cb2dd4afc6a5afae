"""What the services rely on in a store, tried on the one of files and on the one in memory that other tests use."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import StorageUnavailable
from pacsd.model import ArchiveIdentity, StoredInstance
from pacsd.storage.filesystem import FileStore
from pacsd.storage.layout import path_without_receipt
from support.memory_store import MemoryStore
from support.service_parts import record_at

if TYPE_CHECKING:
    from pathlib import Path

Store = MemoryStore | FileStore
PATH = "2026/01/02/1.2/1.3/1.4.dcm"


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    files = FileStore(tmp_path)
    files.open()
    return files


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


def version_of(store: Store, path: str) -> object:
    with store.open_object(path) as file:
        return file.version


def test_an_object_is_read_at_any_position(store: Store) -> None:
    with store.open_object(publish(store, b"0123456789")) as file:
        assert file.size == 16
        assert file.read_at(6, 4) == b"0123"
        assert file.read_at(12, 100) == b"6789"
        assert file.read_at(16, 1) == file.read_at(100, 1) == file.read_at(3, 0) == b""


def test_an_object_is_read_into_buffers(store: Store) -> None:
    one, other = bytearray(4), bytearray(b"........")
    with store.open_object(publish(store, b"0123456789")) as file:
        assert file.read_into(6, [memoryview(one), memoryview(other)]) == 10
        assert file.read_into(16, [memoryview(one)]) == 0
    assert (bytes(one), bytes(other)) == (b"0123", b"456789..")


def test_reading_from_the_store_itself_changes_nothing(store: Store) -> None:
    with store.open_object(publish(store)) as file:
        file.forget_cached()
        assert file.read_at(0, 100) == b"headerdata"


@pytest.mark.parametrize("away", ["removed", "quarantined"])
def test_an_opened_object_does_not_depend_on_its_name(store: Store, away: str) -> None:
    path = publish(store)
    with store.open_object(path) as file:
        assert store.remove(path) if away == "removed" else store.quarantine(path, "damaged")
        assert not store.has(path)
        assert file.read_at(0, 100) == b"headerdata"
        assert file.size == 10


def test_nothing_is_read_once_it_is_closed(store: Store) -> None:
    file = store.open_object(publish(store))
    file.close()
    file.close()
    for read in (lambda: file.read_at(0, 1), lambda: file.read_into(0, [memoryview(bytearray(1))])):
        with pytest.raises(ValueError, match="closed"):
            read()


def test_an_object_is_the_same_until_another_takes_its_place(store: Store) -> None:
    path = publish(store, b"first")
    assert version_of(store, path) == version_of(store, path)
    assert version_of(store, path) != version_of(store, publish(store, b"second"))


def test_an_object_says_when_it_was_received(store: Store) -> None:
    now = datetime.now(UTC)
    with store.begin(b"header") as file:
        file.complete()
        file.sync()
        path = file.publish(replace(record_at(PATH), received_at=now))
    with store.open_object(path) as opened:
        assert abs(opened.received_at - now) < timedelta(minutes=1)


def test_a_missing_object_is_said_to_be(store: Store) -> None:
    assert not store.has(PATH)
    with pytest.raises(StorageUnavailable) as told:
        store.open_object(PATH)
    assert told.value.is_missing
    assert not told.value.lacks_resources


def test_an_object_is_published_once(store: Store) -> None:
    with store.begin(b"header") as file:
        file.complete()
        file.sync()
        path = file.publish(record_at(PATH))
        with pytest.raises(ValueError, match="once"):
            file.publish(record_at(PATH))
    assert list(store.published(None)) == [path]


def test_a_name_may_say_whose_object_it_is(store: Store) -> None:
    assert store.sop_instance_uid_of(publish(store)) in ("1.4", None)
    assert store.sop_instance_uid_of("2026/01/02/1.2/1.3/image.dcm") is None


def test_leftovers_can_be_removed(store: Store) -> None:
    store.begin(b"header")
    (left,) = store.leftovers()
    assert store.remove(left)
    assert list(store.leftovers()) == []


def test_a_store_says_which_archive_it_is(store: Store) -> None:
    assert store.identity is None
    for generation in (1, 2):
        store.identify(ArchiveIdentity("an archive", generation))
        assert store.identity == ArchiveIdentity("an archive", generation)


def test_the_days_of_a_generation_are_known_from_its_beginning(store: Store) -> None:
    assert store.received_days(1) is None
    store.identify(ArchiveIdentity("an archive", 1))
    assert store.received_days(0) is None
    assert store.received_days(1) == store.noted_days(1) == []
    publish(store)
    assert store.received_days(1) == store.noted_days(1) == ["2026/01/02"]
    store.note_day("2025/11/30/1.2/1.3/1.4.dcm")
    assert store.noted_days(1) == ["2025/11/30", "2026/01/02"]


RECORDED = StoredInstance(
    sop_instance_uid="1.4",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    path="to be replaced",
    size=10,
    dataset_offset=6,
)


def test_an_object_goes_into_quarantine_by_command_and_comes_back(store: Store) -> None:
    path = publish(store)
    recorded = replace(RECORDED, path=path)
    name = store.announce_quarantine(path, "by command", recorded)
    assert store.has(path)
    assert store.withdrawn() == {path: name}
    assert store.complete_quarantine(name, path) == name
    assert store.complete_quarantine(name, path) == name, "a sweep may have been quicker"
    assert not store.has(path)
    assert store.withdrawn() == {path: None}
    kept = store.recorded_of_quarantined(name)
    assert kept == replace(recorded, path=kept.path if kept else "")
    assert read(store, kept.path) == b"headerdata"
    back = store.copy_from_quarantine(name)
    assert path_without_receipt(back) == PATH
    assert back != path
    assert read(store, back) == read(store, kept.path) == b"headerdata"
    store.purge(name)
    assert store.withdrawn() == {}
    with pytest.raises(StorageUnavailable):
        store.copy_from_quarantine(name)
    assert read(store, back) == b"headerdata"


def test_an_announcement_can_be_taken_back(store: Store) -> None:
    path = publish(store)
    name = store.announce_quarantine(path, "by command", RECORDED)
    store.withdraw_quarantine(name)
    assert store.withdrawn() == {}
    assert store.has(path)


def test_a_missing_object_does_not_go_into_quarantine(store: Store) -> None:
    path = publish(store)
    name = store.announce_quarantine(path, "by command", RECORDED)
    store.remove(path)
    assert store.complete_quarantine(name, path) is None
    assert store.withdrawn() == {}


def test_what_is_quarantined_as_damaged_has_no_record(store: Store) -> None:
    name = store.quarantine(publish(store), "damaged")
    assert name is not None
    assert store.recorded_of_quarantined(name) is None
    assert store.withdrawn() == {}


def test_what_is_not_in_quarantine_cannot_be_had_from_there(store: Store) -> None:
    for use in (store.recorded_of_quarantined, store.copy_from_quarantine, store.purge):
        with pytest.raises(StorageUnavailable):
            use("20260102T030405-00000000")
