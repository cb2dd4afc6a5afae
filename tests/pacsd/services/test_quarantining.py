"""Taking an instance out of service and putting it back, and what must not be put back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import DatasetInvalid, IndexUnavailable, QuarantineRefused, StorageUnavailable
from pacsd.services.quarantine import QuarantinedInstance, quarantine_instance, restore_file
from pacsd.services.records import record_of_file
from support.fake_archive import altered, take
from support.memory_store import MemoryStore
from support.rows import paths_of

if TYPE_CHECKING:
    from pacsd.index.repository import Index
    from support.instance import Instance

REASON = "by command"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def kept_path(index: Index, instance: Instance) -> str:
    kept = index.find_by_sop_instance_uid(instance.sop_instance_uid)
    assert kept is not None
    return kept.path


def stored(store: MemoryStore, index: Index, instance: Instance) -> str:
    take(store, index, instance)
    return kept_path(index, instance)


def restore(store: MemoryStore, index: Index, name: str) -> str:
    return restore_file(store, index, name, partial(record_of_file, store, checksum_algorithm="xxh3_128"))


def quarantined(store: MemoryStore, index: Index, instance: Instance) -> str:
    taken = quarantine_instance(store, index, instance.sop_instance_uid, REASON)
    assert taken.name is not None
    return taken.name


def test_it_goes_and_comes_back(store: MemoryStore, index: Index) -> None:
    instance = altered()
    path = stored(store, index, instance)
    before = index.find_by_sop_instance_uid(instance.sop_instance_uid)
    name = quarantined(store, index, instance)
    assert index.find_by_sop_instance_uid(instance.sop_instance_uid) is None
    assert list(store.published()) == paths_of(index) == []
    assert store.withdrawn() == {path: None}
    restored = restore(store, index, name)
    assert before is not None
    assert index.find_by_sop_instance_uid(instance.sop_instance_uid) == replace(before, path=restored)
    assert list(store.published()) == paths_of(index) == [restored]
    assert restored != path
    assert store.quarantined == {}


def test_what_is_not_there_is_refused(store: MemoryStore, index: Index) -> None:
    with pytest.raises(QuarantineRefused, match=r"the index has no instance 1\.2\.3"):
        quarantine_instance(store, index, "1.2.3", REASON)


def test_a_missing_file_leaves_no_row(store: MemoryStore, index: Index) -> None:
    instance = altered()
    store.remove(stored(store, index, instance))
    assert quarantine_instance(store, index, instance.sop_instance_uid, REASON) == QuarantinedInstance(None)
    assert paths_of(index) == []


def test_sent_again_it_is_stored_anew(store: MemoryStore, index: Index) -> None:
    instance = altered()
    take(store, index, instance)
    name = quarantined(store, index, instance)
    path = stored(store, index, instance)
    with pytest.raises(QuarantineRefused, match=r"another file with the same content.*purge this one"):
        restore(store, index, name)
    assert list(store.published()) == paths_of(index) == [path]
    assert len(store.quarantined) == 1


def test_other_content_is_not_put_over_what_is_kept(store: MemoryStore, index: Index) -> None:
    take(store, index, altered(PatientName="Old^Name"))
    name = quarantined(store, index, altered())
    path = stored(store, index, altered(PatientName="New^Name"))
    with pytest.raises(QuarantineRefused, match=r"another file with other content.*pacsd quarantine add"):
        restore(store, index, name)
    assert list(store.published()) == paths_of(index) == [path]
    other = quarantined(store, index, altered())
    restore(store, index, name)
    assert list(store.quarantined) == [other]


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


DAMAGE = {
    "changed": (flipped, "content has changed"),
    "cut": (lambda content: content[:-2], "bytes instead of"),
    "grown": (lambda content: content + b"\0\0", "bytes instead of"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_does_not_come_back(store: MemoryStore, index: Index, kind: str) -> None:
    """It would be served as whole, under a checksum of its own; a whole copy in its place comes back."""
    instance = altered()
    damage, said = DAMAGE[kind]
    path = stored(store, index, instance)
    whole = store.files[path]
    store.files[path] = damage(whole)
    taken = quarantine_instance(store, index, instance.sop_instance_uid, REASON)
    assert taken.name is not None
    assert said in taken.fault
    with pytest.raises(QuarantineRefused, match=f"{said}.*send the instance again"):
        restore(store, index, taken.name)
    assert list(store.published()) == paths_of(index) == []
    assert len(store.quarantined) == 1
    store.quarantined[taken.name] = whole
    restored = restore(store, index, taken.name)
    assert paths_of(index) == [restored]


def test_what_nobody_has_recorded_comes_back_as_it_is(store: MemoryStore, index: Index) -> None:
    """Earlier versions recorded nothing, nor does the sweep."""
    instance = altered()
    path = stored(store, index, instance)
    store.files[path] = flipped(store.files[path])
    name = quarantined(store, index, instance)
    del store.announced[name]
    restored = restore(store, index, name)
    assert paths_of(index) == [restored]


def test_what_is_no_instance_stays_in_quarantine(store: MemoryStore, index: Index) -> None:
    path = stored(store, index, altered())
    store.files[path] = b"damaged"
    name = store.quarantine(path, REASON)
    assert name is not None
    assert index.forget(altered().sop_instance_uid, path)
    with pytest.raises((DatasetInvalid, StorageUnavailable)):
        restore(store, index, name)
    assert paths_of(index) == []
    assert len(store.quarantined) == 1


class Unreachable:
    """The index, which is away when something is to be committed."""

    def __init__(self, index: Index) -> None:
        self.find_by_sop_instance_uid = index.find_by_sop_instance_uid
        self.forget = index.forget
        self.has_path = index.has_path

    def commit(self, records: object) -> None:
        raise IndexUnavailable("away")


def test_a_restore_that_fails_can_be_repeated(store: MemoryStore, index: Index) -> None:
    """The file is published before the commit; what an attempt left there is not taken for another instance."""
    content = store.files[stored(store, index, altered())]
    name = quarantined(store, index, altered())
    with pytest.raises(IndexUnavailable):
        restore_file(
            store,
            Unreachable(index),  # type: ignore[arg-type]
            name,
            partial(record_of_file, store, checksum_algorithm="xxh3_128"),
        )
    assert len(store.quarantined) == 1
    restored = restore(store, index, name)
    assert paths_of(index) == [restored]
    assert store.files[restored] == content
    assert store.quarantined == {}
