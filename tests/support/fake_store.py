"""The file store in memory. `tests/pacsd/services/test_store_contract.py` holds it to what the real one does."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pacsd.dataset.checksums import new_checksum
from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.storage.layout import path_of_receipt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from pacsd.services.ingest import Fragment


class FakeFile:
    """One file on its way into a FakeStore."""

    def __init__(self, store: FakeStore, name: str, header: bytes) -> None:
        self._store = store
        self._name = name
        self._header = header
        self._content = bytearray()
        self._completed = False
        self._finished = False

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._store.incoming.discard(self._name)

    def publish(self, relative_path: str) -> str:
        self._store.note("published")
        if not self._finished:
            raise ValueError("only a finished file can be published")
        path = self._store.new_name(relative_path)
        self._store.files[path] = self._header + bytes(self._content)
        self._store.under_way[path] = self._name
        return path


@dataclass(slots=True)
class FakeStore:
    """Files by path. `journal` takes the name of every effect; `failures` holds what an effect shall raise."""

    journal: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    incoming: set[str] = field(default_factory=set)
    under_way: dict[str, str] = field(default_factory=dict)
    """Of a published path: its name in `incoming`, as long as that is there."""
    durable: set[str] = field(default_factory=set)
    """Published paths whose directory entries were synced."""
    receipts: int = 0
    quarantined: dict[str, bytes] = field(default_factory=dict)
    """Files that were taken out of service, by the paths that they had."""

    def note(self, effect: str) -> None:
        self.journal.append(effect)
        if effect in self.failures:
            raise self.failures[effect]

    def noted_days(self, generation: int) -> list[str] | None:
        return None

    def withdrawn(self) -> dict[str, str | None]:
        return {}

    def complete_quarantine(self, name: str, relative_path: str) -> str | None:
        return self.quarantine(relative_path, name)

    def note_day(self, relative_path: str) -> None:
        """Nothing: all days are looked at."""

    def received_days(self, generation: int) -> list[str] | None:
        return None

    def begin(self, header: bytes) -> FakeFile:
        self.note("begun")
        name = f"incoming/{len(self.journal)}.part"
        self.incoming.add(name)
        return FakeFile(self, name, header)

    def make_durable(self, files: Sequence[FakeFile]) -> list[StorageFull | StorageUnavailable | None]:
        return [self._failure_of(file) for file in files]

    def _failure_of(self, file: FakeFile) -> StorageFull | StorageUnavailable | None:
        try:
            file.complete()
            file.sync()
        except (StorageFull, StorageUnavailable) as failure:
            file.close()
            return failure
        return None

    def new_name(self, relative_path: str) -> str:
        self.receipts += 1
        return path_of_receipt(relative_path, f"00000000-{self.receipts}")

    def sync_directories(self, relative_paths: Iterable[str]) -> None:
        self.note("directories synced")
        self.durable.update(relative_paths)

    def remove(self, relative_path: str) -> bool:
        self.note("removed")
        if relative_path in self.incoming:
            self.incoming.remove(relative_path)
            return True
        return self.files.pop(relative_path, None) is not None

    def open_dataset(self, relative_path: str) -> io.FileIO:
        if relative_path not in self.files:
            raise StorageUnavailable("cannot open a stored object: no such file") from FileNotFoundError()
        file = io.FileIO(os.memfd_create("stored"), "r+")
        file.write(self.files[relative_path])
        file.seek(0)
        return file

    def leftovers(self) -> Iterator[str]:
        yield from sorted(self.incoming)

    def is_incoming(self, relative_path: str) -> bool:
        return self.under_way.get(relative_path) in self.incoming

    def days(self) -> list[str]:
        return sorted({path[:10] for path in self.files})

    def published(self, days: Collection[str] | None = None) -> Iterator[str]:
        for day in self.days() if days is None else days:
            yield from [path for path in sorted(self.files) if path[:10] == day]

    def quarantine(self, relative_path: str, reason: str) -> str | None:
        self.note("quarantined")
        if relative_path not in self.files:
            return None
        self.quarantined[relative_path] = self.files.pop(relative_path)
        return relative_path
