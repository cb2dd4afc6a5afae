"""Taking an instance out of service and putting it back, with the real store and index."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import DatasetInvalid, IndexUnavailable, QuarantineRefused, StorageUnavailable
from pacsd.services.quarantine import QuarantinedInstance, quarantine_instance, restore_file
from pacsd.services.records import record_of_file
from pacsd.storage.filesystem import FileStore
from support.fake_archive import altered, take
from support.rows import paths_of

if TYPE_CHECKING:
    from pacsd.index.repository import Index
    from support.instance import Instance

REASON = "by command"


def kept_path(index: Index, instance: Instance) -> str:
    kept = index.find_by_sop_instance_uid(instance.sop_instance_uid)
    assert kept is not None
    return kept.path


def stored(store: FileStore, index: Index, instance: Instance) -> str:
    take(store, index, instance)
    return kept_path(index, instance)


def restore(store: FileStore, index: Index, name: str) -> str:
    return restore_file(store, index, name, partial(record_of_file, store, checksum_algorithm="xxh3_128"))


def quarantined(store: FileStore, index: Index, instance: Instance) -> str:
    taken = quarantine_instance(store, index, instance.sop_instance_uid, REASON)
    assert taken.name is not None
    return taken.name


def test_it_goes_and_comes_back(store: FileStore, index: Index) -> None:
    instance = altered()
    path = stored(store, index, instance)
    before = index.find_by_sop_instance_uid(instance.sop_instance_uid)
    name = quarantined(store, index, instance)
    assert index.find_by_sop_instance_uid(instance.sop_instance_uid) is None
    assert list(store.published()) == paths_of(index) == []
    (note,) = store.quarantined.list()
    assert (note.path, note.reason) == (path, REASON)
    restored = restore(store, index, name)
    assert before is not None
    assert index.find_by_sop_instance_uid(instance.sop_instance_uid) == replace(before, path=restored)
    assert list(store.published()) == paths_of(index) == [restored]
    assert restored != path
    assert store.quarantined.count() == 0


def test_what_is_not_there_is_refused(store: FileStore, index: Index) -> None:
    with pytest.raises(QuarantineRefused, match=r"the index has no instance 1\.2\.3"):
        quarantine_instance(store, index, "1.2.3", REASON)


def test_a_missing_file_leaves_no_row(store: FileStore, index: Index) -> None:
    instance = altered()
    store.remove(stored(store, index, instance))
    assert quarantine_instance(store, index, instance.sop_instance_uid, REASON) == QuarantinedInstance(None)
    assert paths_of(index) == []


def test_sent_again_it_is_stored_anew(store: FileStore, index: Index) -> None:
    instance = altered()
    take(store, index, instance)
    name = quarantined(store, index, instance)
    path = stored(store, index, instance)
    with pytest.raises(QuarantineRefused, match=r"another file with the same content.*purge this one"):
        restore(store, index, name)
    assert list(store.published()) == paths_of(index) == [path]
    assert store.quarantined.count() == 1


def test_other_content_is_not_put_over_what_is_kept(store: FileStore, index: Index) -> None:
    take(store, index, altered(PatientName="Old^Name"))
    name = quarantined(store, index, altered())
    path = stored(store, index, altered(PatientName="New^Name"))
    with pytest.raises(QuarantineRefused, match=r"another file with other content.*pacsd quarantine add"):
        restore(store, index, name)
    assert list(store.published()) == paths_of(index) == [path]
    other = quarantined(store, index, altered())
    restore(store, index, name)
    assert [each.name for each in store.quarantined.list()] == [other]


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


DAMAGE = {
    "changed": (flipped, "content has changed"),
    "cut": (lambda content: content[:-2], "bytes instead of"),
    "grown": (lambda content: content + b"\0\0", "bytes instead of"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_does_not_come_back(store: FileStore, index: Index, kind: str) -> None:
    """It would be served as whole, under a checksum of its own; a whole copy in its place comes back."""
    instance = altered()
    damage, said = DAMAGE[kind]
    path = store.root / stored(store, index, instance)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    taken = quarantine_instance(store, index, instance.sop_instance_uid, REASON)
    assert taken.name is not None
    assert said in taken.fault
    with pytest.raises(QuarantineRefused, match=f"{said}.*send the instance again"):
        restore(store, index, taken.name)
    assert list(store.published()) == paths_of(index) == []
    assert store.quarantined.count() == 1
    (store.root / store.quarantined.path_of(taken.name)).write_bytes(whole)
    restored = restore(store, index, taken.name)
    assert paths_of(index) == [restored]


@pytest.mark.parametrize("recorded", [None, {"size": "no"}, []])
def test_a_note_that_records_nothing_is_as_it_ever_was(
    store: FileStore, index: Index, recorded: object
) -> None:
    """Earlier versions recorded nothing, nor does the sweep."""
    instance = altered()
    path = store.root / stored(store, index, instance)
    path.write_bytes(flipped(path.read_bytes()))
    name = quarantined(store, index, instance)
    note = store.root / "quarantine" / f"{name}.json"
    content = json.loads(note.read_text())
    assert content.pop("recorded")["checksum"]
    note.write_text(json.dumps(content if recorded is None else {**content, "recorded": recorded}))
    restored = restore(store, index, name)
    assert paths_of(index) == [restored]


def test_what_is_no_instance_stays_in_quarantine(store: FileStore, index: Index) -> None:
    path = stored(store, index, altered())
    (store.root / path).write_bytes(b"damaged")
    name = store.quarantine(path, REASON)
    assert name is not None
    assert index.forget(altered().sop_instance_uid, path)
    with pytest.raises((DatasetInvalid, StorageUnavailable)):
        restore(store, index, name)
    assert paths_of(index) == []
    assert store.quarantined.count() == 1


class Unreachable:
    """The index, which is away when something is to be committed."""

    def __init__(self, index: Index) -> None:
        self.find_by_sop_instance_uid = index.find_by_sop_instance_uid
        self.forget = index.forget
        self.has_path = index.has_path

    def commit(self, records: object) -> None:
        raise IndexUnavailable("away")


def test_a_restore_that_fails_can_be_repeated(store: FileStore, index: Index) -> None:
    """The file is published before the commit; what an attempt left there is not taken for another instance."""
    content = (store.root / stored(store, index, altered())).read_bytes()
    name = quarantined(store, index, altered())
    with pytest.raises(IndexUnavailable):
        restore_file(
            store,
            Unreachable(index),  # type: ignore[arg-type]
            name,
            partial(record_of_file, store, checksum_algorithm="xxh3_128"),
        )
    assert store.quarantined.count() == 1
    restored = restore(store, index, name)
    assert paths_of(index) == [restored]
    assert (store.root / restored).read_bytes() == content
    assert store.quarantined.count() == 0
