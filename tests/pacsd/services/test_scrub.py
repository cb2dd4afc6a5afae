"""The comparison of index and store: what it finds, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pacsd.errors import StorageUnavailable
from pacsd.model import DuplicatePolicy, WorkProgress
from pacsd.services import scrub as scrub_module
from pacsd.services.scrub import Fault, Scrub
from support.fake_archive import altered, take
from support.memory_store import MemoryStore
from support.rows import paths_of
from support.service_parts import NOW, record_at

if TYPE_CHECKING:
    from pacsd.index.repository import Index
    from pacsd.model import StoredInstance
    from support.instance import Instance
    from support.service_parts import OpenIndex

RECEIVED = NOW
EXTRA = "no row of the index names this file"


class Archive:
    """Instances, each received on a day of its own, and the faults that a scrub reports of them."""

    def __init__(self, store: MemoryStore, index: Index, replacing: Index) -> None:
        self.store, self.index, self._replacing = store, index, replacing
        self.faults: list[Fault] = []

    def take(self, instance: Instance, *, day: int = 0) -> str:
        before = set(self.store.published())
        take(self.store, self._replacing, instance, received=RECEIVED + timedelta(days=day))
        (path,) = set(self.store.published()) - before
        return path

    def scrub(self, **parts: Any) -> Scrub:
        return Scrub(
            **{
                "store": self.store,
                "index": self.index,
                "work": "scrub",
                "by": "checksum",
                "report_fault": self.faults.append,
                "now": lambda: RECEIVED,
                "clock": lambda: 0.0,
                **parts,
            }
        )

    def run(self, **parts: Any) -> WorkProgress:
        """Compare everything; the faults of this run are in `faults`."""
        self.faults.clear()
        scrub = self.scrub(**parts)
        scrub.begin()
        while scrub.step() is not None:
            pass
        return scrub.reached

    def found(self) -> list[tuple[str, str]]:
        return [(fault.path, fault.reason) for fault in self.faults]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def archive(store: MemoryStore, index: Index, open_index: OpenIndex) -> Archive:
    return Archive(store, index, open_index(DuplicatePolicy.REPLACE))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub_module, "_PAGE", 1)


def test_a_whole_archive_has_no_faults(archive: Archive) -> None:
    for number in range(1, 8):
        archive.take(altered(number), day=number % 3)
    done = archive.run()
    assert archive.faults == []
    assert (done.done, done.total, done.faults) == (7, 7, 0)
    assert done.began_at == done.ended_at == RECEIVED
    assert archive.index.progress_of("scrub") == done


def test_an_empty_archive_is_soon_done(archive: Archive) -> None:
    done = archive.run()
    assert (done.done, done.total, done.faults) == (0, 0, 0)
    assert done.ended_at is not None


DAMAGE: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "missing": (lambda content: None, "the stored file is missing"),
    "cut": (lambda content: content[:-10], "bytes instead of"),
    "grown": (lambda content: content + b"\0", "bytes instead of"),
    "empty": (lambda content: b"", "has 0 bytes instead of"),
    "flipped": (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "content has changed"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_reported_once_and_nothing_is_changed(archive: Archive, damage: str) -> None:
    paths = [archive.take(altered(number)) for number in range(1, 4)]
    change, reason = DAMAGE[damage]
    files = archive.store.files
    changed = change(files.pop(paths[1]))
    if changed is not None:
        files[paths[1]] = changed
    for _ in range(2):
        done = archive.run()
        ((path, told),) = archive.found()
        assert path == paths[1]
        assert reason in told
        assert archive.faults[0].sop_instance_uid == altered(2).sop_instance_uid
        assert (done.done, done.faults) == (3, 1)
    assert files.get(paths[1]) == changed
    assert archive.store.quarantined == {}


def test_another_instances_file_is_reported(archive: Archive) -> None:
    """Of the same length, so that only the content tells."""
    first, second = (archive.take(altered(number)) for number in (1, 2))
    assert len(archive.store.files[first]) == len(archive.store.files[second])
    archive.store.files[first] = archive.store.files[second]
    assert archive.run().faults == 1
    assert archive.run(by="length").faults == 0


def test_a_file_that_no_row_names_is_reported(archive: Archive) -> None:
    paths = [archive.take(altered(number), day=number) for number in range(1, 4)]
    extra = f"{paths[1]}.dcm"
    archive.store.files[extra] = b"extra"
    done = archive.run()
    assert archive.faults == [Fault(extra, EXTRA)]
    assert (done.done, done.total, done.faults) == (3, 3, 1)


def test_both_directions_in_one_run(archive: Archive) -> None:
    path = archive.take(altered(1))
    archive.store.files[f"{path}.moved"] = archive.store.files.pop(path)
    assert archive.run().faults == 2
    assert [told for _, told in archive.found()] == ["the stored file is missing", EXTRA]


@pytest.mark.usefixtures("small_pages")
def test_it_goes_on_where_it_was_ended_at_each_step(archive: Archive) -> None:
    """A new process each time, that takes one step and is told to end."""
    for number in range(1, 5):
        archive.take(altered(number), day=number)
    first, damaged, *_ = paths_of(archive.index)
    for number in (1, 3):
        archive.store.files[f"{first}.extra-{number}"] = b""
    archive.store.files[damaged] = b""
    progress: list[WorkProgress] = []
    for _ in range(30):
        scrub = archive.scrub()
        begun = scrub.begin()
        assert not progress or (begun.position, begun.done, begun.faults) == (
            progress[-1].position,
            progress[-1].done,
            progress[-1].faults,
        )
        scrub.step()
        scrub.pause()
        progress.append(scrub.reached)
        if scrub.reached.ended_at is not None:
            break
    assert (progress[-1].done, progress[-1].total, progress[-1].faults) == (4, 4, 3)
    assert len(archive.faults) == len(set(archive.faults)) == 3, "each was reported once"
    assert [each.done for each in progress[:5]] == [1, 2, 3, 4, 4]
    assert all(each.began_at == RECEIVED for each in progress)


@pytest.mark.usefixtures("small_pages")
def test_a_kill_costs_what_was_done_since_the_last_note(archive: Archive) -> None:
    for number in range(1, 7):
        archive.take(altered(number))
    seconds = iter([0.0, 0.0, 1.0, 6.0, 6.0, 7.0, 8.0])
    scrub = archive.scrub(clock=lambda: next(seconds))
    scrub.begin()
    for _ in range(4):
        scrub.step()
    assert scrub.reached.done == 4
    noted = archive.index.progress_of("scrub")
    assert noted is not None
    assert 1 < noted.done < 4
    assert archive.scrub().begin().done == noted.done


def test_it_begins_anew_when_it_is_done_or_told_to(archive: Archive) -> None:
    archive.take(altered())
    archive.run()
    assert archive.scrub().begin().done == 0
    scrub = archive.scrub()
    scrub.begin()
    scrub.step()
    scrub.pause()
    assert archive.scrub().begin().done == 1
    assert archive.scrub().begin(anew=True).done == 0


def test_two_works_do_not_share_their_progress(archive: Archive) -> None:
    archive.take(altered())
    scrub = archive.scrub()
    scrub.begin()
    scrub.step()
    scrub.pause()
    assert archive.scrub(work="verify").begin().done == 0


@pytest.mark.usefixtures("small_pages")
def test_what_came_meanwhile_has_its_turn_or_not_and_is_no_fault(archive: Archive) -> None:
    archive.take(altered(1), day=1)
    scrub = archive.scrub()
    scrub.begin()
    scrub.step()
    archive.take(altered(2), day=0)
    archive.take(altered(3), day=2)
    while scrub.step() is not None:
        pass
    assert archive.faults == []
    assert scrub.reached.done == scrub.reached.total == 2


class Meanwhile:
    """The store, where something happens in the moment in which a file is to be opened."""

    def __init__(self, store: MemoryStore, happens: Callable[[], object]) -> None:
        self._store, self._happens = store, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_object(self, relative_path: str) -> Any:
        self._happens()
        return self._store.open_object(relative_path)


def test_what_is_replaced_meanwhile_is_no_fault(archive: Archive) -> None:
    archive.take(altered(PatientName="Old^Name"))
    replaced = iter([altered(PatientName="New^Name")])

    def replace() -> None:
        for instance in replaced:
            archive.take(instance)

    assert archive.run(store=Meanwhile(archive.store, replace)).faults == 0


def test_what_is_replaced_twice_is_no_fault(archive: Archive) -> None:
    archive.take(altered(PatientName="First^Name"))
    replaced = iter([altered(PatientName="Second^Name"), altered(PatientName="Third^Name")])

    def replace() -> None:
        for instance in replaced:
            archive.take(instance)

    assert archive.run(store=Meanwhile(archive.store, replace)).faults == 0
    assert len(list(archive.store.published())) == 1


def test_what_is_about_to_be_removed_is_no_fault(archive: Archive) -> None:
    """Its row names another file already."""
    archive.take(altered())
    going = archive.take(altered(2))
    archive.index.forget(altered(2).sop_instance_uid, going)

    def wait(seconds: float) -> None:
        archive.store.remove(going)

    assert archive.run(wait=wait).faults == 0


def test_what_is_taken_out_of_service_meanwhile_is_no_fault(archive: Archive) -> None:
    path = archive.take(altered())
    stored: list[StoredInstance] = list(archive.index.stored_after("", 1))

    def remove() -> None:
        archive.index.forget(stored[0].sop_instance_uid, path)
        archive.store.remove(path)

    assert archive.run(store=Meanwhile(archive.store, remove)).faults == 0


def test_what_is_about_to_be_committed_is_no_fault(archive: Archive) -> None:
    path = archive.take(altered())
    with archive.store.begin(b"header") as file:
        file.write(b"content")
        file.complete()
        file.sync()
        published = file.publish(record_at(path))
        assert published != path
        assert archive.run().faults == 0
    assert archive.run().faults == 1, "its process is gone, and it has no row"


def test_a_file_that_cannot_be_read_is_a_fault(archive: Archive) -> None:
    archive.take(altered())

    def fail() -> None:
        raise StorageUnavailable("a bad sector")

    assert archive.run(store=Meanwhile(archive.store, fail)).faults == 1
    assert [told for _, told in archive.found()] == ["a bad sector"]


def test_a_step_ends_after_so_many_bytes(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the largest instances would otherwise be read at the disk's full speed, and no stop be heard."""
    sizes = [len(archive.store.files[archive.take(altered(number))]) for number in range(1, 6)]
    monkeypatch.setattr(scrub_module, "_STEP_BYTES", sizes[0] + 1)
    scrub = archive.scrub()
    scrub.begin()
    steps = [scrub.step() for _ in range(3)]
    assert steps == [2 * sizes[0], 2 * sizes[0], sizes[0]]
    assert scrub.reached.done == 5
    assert archive.scrub(by="length", work="verify").step() == 0, "nothing is read"
