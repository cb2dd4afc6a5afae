"""The archive's seams: what the services ask of the store of objects, of the index, and of what counts.

`storage.filesystem.FileStore` is a `BlobStore`, `index.repository.Index` a `Catalogue`, `observability.metrics.Metrics`
a `Metrics`. Whoever only reads, lists or looks up asks for no more than that.

A path names one published object within its store: no other one has that name, or had it before. Nobody keeps a path to
read from later where an opened object would do: what it names may be gone by then, the opened object is not.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, Self

from pacsd.effort import Effort
from pacsd.errors import DatasetInvalid
from pacsd.model import (
    ArchiveIdentity,
    CommitOutcome,
    CommitResult,
    ExtraKeysBuild,
    FindQuery,
    IndexState,
    InstanceRecord,
    InstanceSelection,
    StoredInstance,
    WorkProgress,
)

__all__ = [
    "BlobStore",
    "Catalogue",
    "ConvertedDataset",
    "ExtraKeys",
    "FoundMatches",
    "Fragment",
    "IncomingObject",
    "InstanceLocations",
    "InstanceLookup",
    "ListedStore",
    "Match",
    "Metrics",
    "OpenedObject",
    "QueryCatalogue",
    "ReadableStore",
]

Fragment = bytes | bytearray | memoryview
Match = Mapping[str, str]
"""The values of one entity by keyword; each key that is supported is among them."""


class IncomingObject(Protocol):
    """An object on its way in, for one thread at a time; whatever raises StorageFull or StorageUnavailable ends it."""

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""

    @property
    def prefix(self) -> bytes:
        """The data set's beginning."""

    @property
    def checksum(self) -> str:
        """Of the data set so far, as `algorithm:hex`."""

    def write(self, fragment: Fragment, /) -> None:
        """Append a fragment, whose memory may be reused then."""

    def read_at(self, position: int, length: int, /) -> bytes:
        """Return a part of the data set, less only at its end."""

    def complete(self) -> None:
        """Hand all of the content to the system; nothing is written after that."""

    def write_back(self) -> None:
        """Set the disk to work without waiting for it."""

    def sync(self) -> None:
        """Make the completed content durable."""

    def publish(self, record: InstanceRecord, /) -> str:
        """Put the synced object into its final place, and return the path, which `record` does not have yet.

        `record` says all else of what it holds, of which a store names it by what it likes. The name is durable only
        after `BlobStore.make_names_durable`.
        """

    def close(self) -> None:
        """Remove the object unless it is published; once it is, say that its row is committed, or never will be."""


class OpenedObject(Protocol):
    """A stored object that is open for reading: whole until it is closed, even where it is removed meanwhile.

    It begins with preamble and file meta information, so `StoredInstance.dataset_offset` counts from its beginning.
    Whatever cannot be read raises StorageUnavailable. Several threads may read at once.
    """

    @property
    def size(self) -> int:
        """Bytes, as it was opened."""

    @property
    def received_at(self) -> datetime:
        """When it was received, in UTC."""

    @property
    def version(self) -> Hashable:
        """What is equal each time it is opened, as long as nobody has touched its content."""

    def read_at(self, position: int, length: int, /) -> bytes:
        """Return so many bytes from a position on, less only at its end."""

    def read_into(self, position: int, buffers: Sequence[memoryview], /) -> int:
        """Fill buffers, one after the other, from a position on; return how many bytes, perhaps fewer, 0 at its end."""

    def forget_cached(self) -> None:
        """Have what is read next come from where it is kept, and leave none of it in anybody's way."""

    def close(self) -> None:
        """Close it; may be called again."""

    def __enter__(self) -> Self:
        """Return it."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


class ConvertedDataset(Protocol):
    """A converted data set, which is kept until it is sent; for one thread at a time."""

    @property
    def in_memory(self) -> bytes | bytearray | None:
        """All of it, None where it has to be read."""

    def __len__(self) -> int:
        """Bytes."""

    def read_into(self, position: int, buffers: Sequence[memoryview], /) -> int:
        """Fill buffers as `OpenedObject.read_into` does, where it is not in memory; raises TranscodingFailed."""

    def close(self) -> None:
        """Let it be gone; to be called once."""


class ReadableStore(Protocol):
    """Where stored objects are read from."""

    def open_object(self, relative_path: str, /) -> OpenedObject:
        """Open a published object, or one in quarantine; the caller closes it.

        Raises StorageUnavailable, which says whether it `is_missing`.
        """


class ListedStore(ReadableStore, Protocol):
    """A store of which one can ask what it has; nothing here changes it."""

    def days(self) -> list[str]:
        """Return the days of receipt that have objects, `YYYY/MM/DD`, oldest first."""

    def received_days(self, generation: int, /) -> list[str] | None:
        """Return the days on which objects came in this generation or later, None where that is not known."""

    def noted_days(self, generation: int, /) -> list[str] | None:
        """Return the same, of what was noted alone."""

    def published(self, days: Collection[str] | None, /) -> Iterator[str]:
        """Yield the published objects of some days, in the order of these; of all days by default."""

    def has(self, relative_path: str, /) -> bool:
        """Say whether a published object is there."""

    def sop_instance_uid_of(self, relative_path: str, /) -> str | None:
        """Return the SOP Instance UID that a published object's name says, None where it says none.

        For an object that cannot say so itself; what another one says of itself counts more.
        """

    def is_incoming(self, relative_path: str, /) -> bool:
        """Say whether the row of a published object is about to be committed."""


class BlobStore(ListedStore, Protocol):
    """Where objects are kept. Raises StorageUnavailable, and StorageFull where something is to be written."""

    @property
    def identity(self) -> ArchiveIdentity | None:
        """What the store says of itself, None where it says nothing."""

    def identify(self, identity: ArchiveIdentity, /) -> None:
        """Have the store say this of itself from now on, durably."""

    def begin(self, header: bytes, /) -> IncomingObject:
        """Return a new object that begins with `header`, to be published or closed."""

    def make_durable(self, files: Sequence[IncomingObject], /) -> Sequence[Exception | None]:
        """Complete and sync objects side by side; return what went wrong with each, upon which it is gone."""

    def make_names_durable(self, relative_paths: Iterable[str], /) -> None:
        """Make the names of published objects durable."""

    def note_day(self, relative_path: str, /) -> None:
        """Have the next sweep look at a published object's day."""

    def remove(self, relative_path: str, /) -> bool:
        """Remove an object, published or left over, and return whether it was there."""

    def leftovers(self) -> Iterator[str]:
        """Yield the objects that never were published, of processes that have ended."""

    def quarantine(self, relative_path: str, reason: str, /) -> str | None:
        """Take a published object out of service without removing it; return its name, None if it is not there."""

    def announce_quarantine(self, relative_path: str, reason: str, recorded: StoredInstance, /) -> str:
        """Note durably that a published object is about to be quarantined; return its name in quarantine."""

    def complete_quarantine(self, name: str, relative_path: str, /) -> str | None:
        """Quarantine an object that was announced; return its name, None if it is not there."""

    def withdraw_quarantine(self, name: str, /) -> None:
        """Take an announcement back."""

    def withdrawn(self) -> dict[str, str | None]:
        """Return the paths of objects that must not come back, and the announcement of one that has yet to go."""

    def recorded_of_quarantined(self, name: str, /) -> StoredInstance | None:
        """Return what was `recorded` of an object in quarantine, with its path there; None where nobody knows."""

    def copy_from_quarantine(self, name: str, /) -> str:
        """Publish a copy of an object in quarantine where it was; return its path."""

    def purge(self, name: str, /) -> None:
        """Remove an object in quarantine for good."""


class InstanceLookup(Protocol):
    """What knows which object is an instance's now. Raises IndexUnavailable, as all that follows."""

    def find_by_sop_instance_uid(self, sop_instance_uid: str, /) -> StoredInstance | None:
        """Return the instance that is kept under a UID, wherever it belongs."""


class InstanceLocations(InstanceLookup, Protocol):
    """What knows where instances are."""

    def locate(self, chosen: InstanceSelection, effort: Effort | None = None, /) -> Sequence[StoredInstance]:
        """Return all instances of a selection, in a fixed order; as long as `effort` lets it.

        Raises IdentifierInvalid where the selection breaks the hierarchy, and what ends `effort`. What is looked up
        only as it is come to may raise as well.
        """


class FoundMatches(Protocol):
    """A query's matches by pages, each with a value for every key that is known."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the last page has been given."""

    def __iter__(self) -> Iterator[Sequence[Match]]:
        """Yield the pages."""

    def close(self) -> None:
        """Read no more."""


class QueryCatalogue(Protocol):
    """What answers queries."""

    def find(self, query: FindQuery, effort: Effort, /) -> FoundMatches:
        """Look for the matches, as long as `effort` lets it."""

    def unsupported_keys(self, query: FindQuery, /) -> tuple[str, ...]:
        """Return the keys that cannot be matched or answered."""


class ExtraKeys(Protocol):
    """The administrator's keys, whose values are kept in an index of their own."""

    def registered_extra_keys(self) -> Collection[str]:
        """Return the keys whose values are kept of what is stored."""

    def unbuilt_extra_keys(self) -> Sequence[ExtraKeysBuild]:
        """Return what is to be built."""

    def build_extra_keys(self, build: ExtraKeysBuild, /) -> ExtraKeysBuild:
        """Build some more; return where it stands then."""

    def remove_extra_values(self) -> int:
        """Remove some values of other keys; return how many."""


class Catalogue(InstanceLocations, QueryCatalogue, ExtraKeys, Protocol):
    """What knows of all instances."""

    def commit(self, records: Sequence[InstanceRecord], /) -> Sequence[CommitResult | DatasetInvalid]:
        """Keep a batch in one transaction; a result, or what is wrong with it, for each."""

    def forget(self, sop_instance_uid: str, path: str, /) -> bool:
        """Remove the row of an instance, if it still names this object; return whether."""

    def has_path(self, path: str, /) -> bool:
        """Say whether a row names this object."""

    def unknown_paths(self, paths: Sequence[str], /) -> list[str]:
        """Return those of the objects that no row names."""

    def stored_after(self, path: str, most: int, /) -> Sequence[StoredInstance]:
        """Return the next instances after an object, in the order of paths."""

    def count_instances(self) -> int:
        """Return how many instances there are."""

    def refresh(self, attributes: Mapping[str, Mapping[str, str]], /) -> int:
        """Bring rows up to date with what objects say, by path; return how many changed."""

    def state(self) -> IndexState:
        """Return what the index says of itself."""

    def claim(self, identity: ArchiveIdentity, /, *, swept_generation: int, anew: bool = False) -> None:
        """Belong to a store and to the server of its generation; raises ArchiveInUse where another one writes."""

    def note_swept(self, generation: int, /) -> None:
        """Remember that all objects of earlier generations have been looked at."""

    def progress_of(self, work: str, /) -> WorkProgress | None:
        """Return how far a work has come, None where it never began."""

    def note_progress(self, work: str, reached: WorkProgress, /) -> None:
        """Remember how far a work has come."""


class Metrics(Protocol):
    """What is counted of what the services do."""

    def commit_batch(self, size: int, seconds: float, /) -> None:
        """Count a group commit of so many instances, and how long it took."""

    def instance_stored(self, outcome: CommitOutcome, /) -> None:
        """Count an instance that was received."""

    def instance_damaged(self, noticed: str, /) -> None:
        """Count an object that is missing, damaged or unreadable; `noticed` says by what: "store", "retrieve"."""

    def scrubbed(self, timestamp: float, /) -> None:
        """Note when the last scrub ended, or the first began where none did, in seconds since 1970."""
