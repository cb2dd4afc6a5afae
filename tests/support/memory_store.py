"""The store of objects in memory; `tests/pacsd/services/test_store_contract.py` holds it to what the other one does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pacsd.dataset.checksums import new_checksum
from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.storage.layout import instance_path, path_of_receipt, path_without_receipt, sop_instance_uid_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from pacsd.model import ArchiveIdentity, InstanceRecord, StoredInstance
    from pacsd.services.ports import BlobStore, Fragment, IncomingObject

QUARANTINE = "quarantine/"
RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class MemoryObject:
    """An object that is open for reading; it keeps its content whatever becomes of its name."""

    def __init__(self, content: bytes, received_at: datetime = RECEIVED) -> None:
        self._content = content
        self._received_at = received_at
        self.closed = False

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def received_at(self) -> datetime:
        return self._received_at

    @property
    def version(self) -> bytes:
        return self._content

    def read_at(self, position: int, length: int) -> bytes:
        return self._opened[position : position + length]

    def read_into(self, position: int, buffers: Sequence[memoryview]) -> int:
        begin = position
        for buffer in buffers:
            piece = self._opened[position : position + len(buffer)]
            buffer[: len(piece)] = piece
            position += len(piece)
        return position - begin

    def forget_cached(self) -> None:
        """Nothing: this memory is where it is kept."""

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _opened(self) -> bytes:
        if self.closed:
            raise ValueError("the object is closed")
        return self._content


class IncomingMemory:
    """One object on its way into a MemoryStore."""

    def __init__(self, store: MemoryStore, name: str, header: bytes) -> None:
        self._store = store
        self._name = name
        self._header = header
        self._content = bytearray()
        self._completed = False
        self._finished = False
        self._published = False

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def prefix(self) -> bytes:
        return bytes(self._content[:65536])

    @property
    def checksum(self) -> str:
        checksum = new_checksum("xxh3_128")
        checksum.update(self._content)
        return f"xxh3_128:{checksum.hexdigest()}"

    def write(self, fragment: Fragment) -> None:
        self._store.note("write")
        if self._completed:
            raise ValueError("the file is finished")
        self._content += fragment

    def read_at(self, position: int, length: int) -> bytes:
        return bytes(self._content[position : position + length])

    def complete(self) -> None:
        self._completed = True

    def write_back(self) -> None:
        assert self._completed

    def sync(self) -> None:
        if not self._completed:
            raise ValueError("only a completed file can be synced")
        self._store.note("file synced")
        self._finished = True

    def publish(self, record: InstanceRecord) -> str:
        self._store.note("published")
        if not self._finished or self._published:
            raise ValueError("only a finished file can be published, and only once")
        self._published = True
        uids = (record.study_instance_uid, record.series_instance_uid, record.sop_instance_uid)
        path = self._store.add(instance_path(record.received_at, *uids), self._header + bytes(self._content))
        self._store.received[path] = record.received_at
        self._store.under_way[path] = self._name
        return path

    def close(self) -> None:
        self._store.incoming.discard(self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class MemoryStore:
    """Objects by path. `journal` takes the name of every effect; `failures` holds what an effect shall raise."""

    journal: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    received: dict[str, datetime] = field(default_factory=dict)
    """When the objects came, by path; `RECEIVED` where it is not said."""
    incoming: set[str] = field(default_factory=set)
    under_way: dict[str, str] = field(default_factory=dict)
    """Of a published path: its name in `incoming`, as long as that is there."""
    durable: set[str] = field(default_factory=set)
    """Published paths whose names were made durable."""
    quarantined: dict[str, bytes] = field(default_factory=dict)
    """Objects that were taken out of service, by the paths that they had, which are their names there."""
    announced: dict[str, StoredInstance | None] = field(default_factory=dict)
    """What was recorded of those that were taken out of service by command, or are about to be."""
    identity: ArchiveIdentity | None = None
    noted: list[tuple[int, str]] = field(default_factory=list)
    """The generations, and the days on which objects came in them."""
    complete_from: int | None = None
    """The generation since which all days were noted."""
    receipts: int = 0

    def note(self, effect: str) -> None:
        self.journal.append(effect)
        if effect in self.failures:
            raise self.failures[effect]

    def add(self, relative_path: str, content: bytes) -> str:
        """Publish content under a name that no object has or had."""
        self.receipts += 1
        path = path_of_receipt(relative_path, f"00000000-{self.receipts}")
        self.files[path] = content
        self.note_day(path)
        return path

    # What can be read and listed.

    def open_object(self, relative_path: str) -> MemoryObject:
        if relative_path.startswith(QUARANTINE):
            return MemoryObject(self._in_quarantine(relative_path.removeprefix(QUARANTINE)))
        if relative_path not in self.files:
            raise StorageUnavailable("cannot open a stored object: it is gone", is_missing=True)
        return MemoryObject(self.files[relative_path], self.received.get(relative_path, RECEIVED))

    def days(self) -> list[str]:
        return sorted({path[:10] for path in self.files})

    def received_days(self, generation: int) -> list[str] | None:
        known = self.noted_days(generation)
        if known is None:
            return None
        present, noted = set(self.days()), [day for _, day in self.noted]
        return sorted({*known, *(present & set(noted[-1:])), *(present - set(noted))})

    def noted_days(self, generation: int) -> list[str] | None:
        if self.complete_from is None or generation < self.complete_from:
            return None
        return sorted({day for noted_in, day in self.noted if noted_in >= generation})

    def published(self, days: Collection[str] | None = None) -> Iterator[str]:
        for day in self.days() if days is None else days:
            yield from [path for path in sorted(self.files) if path[:10] == day]

    def has(self, relative_path: str) -> bool:
        return relative_path in self.files

    def sop_instance_uid_of(self, relative_path: str) -> str | None:
        return sop_instance_uid_of(relative_path)

    def is_incoming(self, relative_path: str) -> bool:
        return self.under_way.get(relative_path) in self.incoming

    # What changes it.

    def identify(self, identity: ArchiveIdentity) -> None:
        if self.complete_from is None:
            self.complete_from = identity.generation
            self.noted = [(0, day) for day in self.days()]
        self.identity = identity

    def begin(self, header: bytes) -> IncomingMemory:
        self.note("begun")
        name = f"incoming/{len(self.journal)}.part"
        self.incoming.add(name)
        return IncomingMemory(self, name, header)

    def make_durable(
        self, files: Sequence[IncomingObject]
    ) -> Sequence[StorageFull | StorageUnavailable | None]:
        return [self._failure_of(file) for file in files]

    def _failure_of(self, file: IncomingObject) -> StorageFull | StorageUnavailable | None:
        try:
            file.complete()
            file.sync()
        except (StorageFull, StorageUnavailable) as failure:
            file.close()
            return failure
        return None

    def make_names_durable(self, relative_paths: Iterable[str]) -> None:
        self.note("directories synced")
        self.durable.update(relative_paths)

    def note_day(self, relative_path: str) -> None:
        note = (self.identity.generation if self.identity else 0, relative_path[:10])
        if note not in self.noted:
            self.noted.append(note)

    def remove(self, relative_path: str) -> bool:
        self.note("removed")
        if relative_path in self.incoming:
            self.incoming.remove(relative_path)
            return True
        return self.files.pop(relative_path, None) is not None

    def leftovers(self) -> Iterator[str]:
        yield from sorted(self.incoming)

    # Out of service.

    def quarantine(self, relative_path: str, reason: str) -> str | None:
        self.note("quarantined")
        if relative_path not in self.files:
            return None
        self.quarantined[relative_path] = self.files.pop(relative_path)
        return relative_path

    def announce_quarantine(
        self, relative_path: str, reason: str, recorded: StoredInstance | None = None
    ) -> str:
        self.announced[relative_path] = recorded
        return relative_path

    def complete_quarantine(self, name: str, relative_path: str) -> str | None:
        if self.quarantine(relative_path, "announced") or name in self.quarantined:
            return name
        del self.announced[name]
        return None

    def withdraw_quarantine(self, name: str) -> None:
        del self.announced[name]

    def withdrawn(self) -> dict[str, str | None]:
        return {path: None if path in self.quarantined else path for path in self.announced}

    def recorded_of_quarantined(self, name: str) -> StoredInstance | None:
        self._in_quarantine(name)
        recorded = self.announced.get(name)
        return None if recorded is None else replace(recorded, path=f"{QUARANTINE}{name}")

    def copy_from_quarantine(self, name: str) -> str:
        return self.add(path_without_receipt(name), self._in_quarantine(name))

    def purge(self, name: str) -> None:
        self._in_quarantine(name)
        del self.quarantined[name]
        self.announced.pop(name, None)

    def _in_quarantine(self, name: str) -> bytes:
        if name not in self.quarantined:
            raise StorageUnavailable(f"there is no {name} in quarantine", is_missing=True)
        return self.quarantined[name]


if TYPE_CHECKING:

    def _held_to_the_port(store: MemoryStore) -> BlobStore:
        return store
