"""The file store: a root directory of dated directories, with `incoming/` beside them.

Several threads and several processes may use one root at once. Nothing here overwrites a file, gives a name twice or
removes a directory: a directory that one process removed could take with it what another has just made durable.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import posixpath
import secrets
import threading
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pacsd.dataset.checksums import new_checksum
from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.permissions import give_to_owner
from pacsd.storage.disk import (
    WatchedDisk,
    spread_subdirectories,
    storage_error,
    storage_errors,
    sync_directory,
)
from pacsd.storage.identity import ARCHIVE, ReceivedDays, read_identity, write_identity
from pacsd.storage.incoming import IncomingFile
from pacsd.storage.layout import path_of_receipt, path_without_receipt, sop_instance_uid_of
from pacsd.storage.opened_file import OpenedFile
from pacsd.storage.quarantine import Quarantine
from pacsd.storage.room import DiskRoom
from pacsd.storage.syncing import SyncThreads, make_durable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from pacsd.model import ArchiveIdentity, StoredInstance
    from pacsd.storage.syncing import CompleteFile

__all__ = ["FileStore", "IncomingFile"]

INCOMING: Final = "incoming"
DAY: Final = len("YYYY/MM/DD")
"""Characters of a published path that say its day."""
LAST_SWEEP: Final = "last-sweep"
"""What earlier versions kept in the root, and nobody reads any more."""
KNOWN_DIRECTORIES: Final = 100_000
"""Directories remembered as durable; when there are more, the memory starts anew, which costs some syncs."""
NAME_ATTEMPTS: Final = 10
"""One is enough unless somebody else has made files of such names."""
INCOMING_DIRECTORIES: Final = 16
"""Below `incoming/`, for processes to share as little of the file system as can be."""
NOT_BELOW: Final = frozenset({"", ".", ".."})
"""Parts of a path that could lead out of the root."""


class FileStore:
    """The files below `root`. Call `open` once before anything else; `FileStore` itself touches nothing.

    `min_free_bytes` is the watermark that nothing new touches, nor what several processes receive at once: `reserved`
    and `slot` are as `DiskRoom` has them. Nothing is begun either while one of `other_disks` is full.
    `sync=False` gives up durability for speed. `generation` is that of the server that is running; by default, what the
    store says. Raises `ValueError` for an unknown checksum algorithm.
    """

    def __init__(
        self,
        root: Path,
        *,
        sync: bool = True,
        min_free_bytes: int = 0,
        checksum_algorithm: str = "xxh3_128",
        generation: int | None = None,
        reserved: memoryview | None = None,
        slot: int = 0,
        other_disks: Sequence[WatchedDisk] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        new_checksum(checksum_algorithm)
        self.root = root
        self.sync = sync
        # Text where it counts: `pathlib` would take as long as the system calls.
        self._root = str(root)
        self._incoming = root / INCOMING
        self._incoming_directory = ""
        """This process's, as text; chosen when it is first needed."""
        self._checksum_algorithm = checksum_algorithm
        self.disk = WatchedDisk(root, min_free_bytes, "storage.min_free_mb")
        self.room = DiskRoom(
            self.disk,
            reserved=memoryview(array("q", [0, 0])) if reserved is None else reserved,
            slot=slot,
            others=tuple(other_disks),
            clock=clock,
        )
        self._durable: set[str] = set()
        self._lock = threading.Lock()
        self._sync_threads = SyncThreads()
        self._received_days = ReceivedDays(root, sync=sync, generation=generation)
        self.quarantined = Quarantine(root, sync=sync)
        # Once for all names: asking for random bytes takes as long as making one.
        self._token = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._receipts = itertools.count()
        self._receipt_token = secrets.token_hex(4)

    def open(self) -> None:
        """Create the directories and try out what the store needs: writing, syncing and hard links.

        Raises `StorageUnavailable` (or `StorageFull`), saying what to do.
        """
        with storage_errors(f"use the storage root {self.root}"):
            created = [path for path in (self._incoming, *self._incoming.parents) if not path.exists()]
            self._incoming.mkdir(parents=True, exist_ok=True)
            if self._incoming in created:
                give_to_owner(self._incoming, self.root)
            probe = self._incoming / f"probe-{os.getpid()}-{secrets.token_hex(8)}"
            linked = probe.with_suffix(".link")
            try:
                probe.write_bytes(b"pacsd")
                self._try_hard_link(probe, linked)
            finally:
                probe.unlink(missing_ok=True)
                linked.unlink(missing_ok=True)
            spread_subdirectories(self._incoming)
            for _ in range(INCOMING_DIRECTORIES - len(self._incoming_directories())):
                # ext4 finds their places by their names.
                directory = self._incoming / secrets.token_hex(4)
                directory.mkdir()
                give_to_owner(directory, self._incoming)
            if self.sync:
                for directory in {self.root, *(path.parent for path in created)}:
                    sync_directory(directory)

    @property
    def identity(self) -> ArchiveIdentity | None:
        """What the store says of itself, as of now; None where it says nothing. Raises `StorageUnavailable`."""
        return read_identity(self.root)

    @property
    def is_archive(self) -> bool:
        """Whether the store says, readably or not, which archive it is. Raises `StorageUnavailable`."""
        with storage_errors(f"look for {self.root / ARCHIVE}"):
            return (self.root / ARCHIVE).exists()

    def identify(self, identity: ArchiveIdentity) -> None:
        """Have the store say this of itself from now on, durably; raises `StorageUnavailable` or `StorageFull`."""
        write_identity(self.root, identity, self.days())
        with storage_errors("remove what an earlier version kept"):
            (self.root / LAST_SWEEP).unlink(missing_ok=True)

    def note_day(self, relative_path: str) -> None:
        """Have the next sweep look at a published file's day: before its row goes, or before it is removed.

        Raises `StorageUnavailable` or `StorageFull`.
        """
        self._received_days.note(relative_path[:DAY])

    def received_days(self, generation: int) -> list[str] | None:
        """Return the days on which files came in this generation or later; None where any day may have some.

        With them those that nobody has noted, as where an older copy of the notes was put back.
        """
        return self._received_days.since(generation, self.days())

    def _try_hard_link(self, probe: Path, linked: Path) -> None:
        unfit = StorageUnavailable(
            f"the file system of the storage root {self.root} has no hard links, which keep files from being "
            "overwritten: choose another one, such as ext4 or XFS"
        )
        try:
            linked.hardlink_to(probe)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV):
                raise unfit from error
            raise
        status = linked.stat()
        # Some that pretend make a copy, or don't count: `is_incoming` would take what is being committed for abandoned.
        if status.st_nlink != 2 or status.st_ino != probe.stat().st_ino:
            raise unfit

    def _incoming_directories(self) -> list[str]:
        return sorted(entry.path for entry in os.scandir(self._incoming) if entry.is_dir())

    def close(self) -> None:
        """End the threads that syncing has started, as must be done before a fork; the store goes on working."""
        self._sync_threads.close()

    def begin(self, header: bytes) -> IncomingFile:
        """Return a new file under `incoming/` that begins with `header` (preamble and file meta information).

        Raises `StorageFull` where it would take what is to be kept free; so does writing to it.
        """
        path = f"{self._own_incoming_directory()}/{os.getpid()}-{self._token}-{next(self._numbers)}.part"
        return IncomingFile(self, path, header, self._checksum_algorithm)

    def _own_incoming_directory(self) -> str:
        if not self._incoming_directory:
            with storage_errors("list incoming/"):
                directories = self._incoming_directories()
            # Processes that were started together have numbers that follow each other.
            self._incoming_directory = (
                directories[os.getpid() % len(directories)] if directories else str(self._incoming)
            )
        return self._incoming_directory

    def link(self, source: str, relative_path: str) -> str:
        """Give `source` a second name beside `relative_path` that no file has or had before; returns it.

        For `IncomingFile.publish`, which see.
        """
        self._received_days.note(relative_path[:DAY])
        try:
            for _ in range(NAME_ATTEMPTS):
                published = path_of_receipt(relative_path, f"{self._receipt_token}-{next(self._receipts)}")
                with contextlib.suppress(FileExistsError):
                    self._link_once(source, published)
                    return published
        except OSError as error:
            raise storage_error("publish an object", error) from error
        raise StorageUnavailable("cannot publish an object: there are files of all names that it could have")

    def _link_once(self, source: str, relative_path: str) -> None:
        target = self._resolve(relative_path)
        try:
            os.link(source, target)
        except FileNotFoundError:
            # Only now, as most directories are there. Whatever was known of these no longer holds.
            with self._lock:
                self._durable.difference_update(_lineage(posixpath.dirname(relative_path)))
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)

    def make_durable(self, files: Sequence[CompleteFile]) -> list[StorageFull | StorageUnavailable | None]:
        """Complete and sync files of `begin`, side by side; returns what went wrong with each, None if nothing.

        Where something did, that file is gone and the others are durable all the same. Several threads may be
        in here at once, but each file belongs to one. Faster the more files come at once.
        """
        return make_durable(files, self._sync_threads)

    def make_names_durable(self, relative_paths: Iterable[str]) -> None:
        """Make the directory entries of these published files durable, each directory once.

        So with the directories above them, unless this process has synced their entries before: another one
        may have made them and not have come to it yet. Raises `StorageUnavailable`, upon which none of the
        files may be acknowledged.
        """
        if not self.sync:
            return
        paths = list(relative_paths)
        for path in paths:
            self._resolve(path)
        parents = {posixpath.dirname(path) for path in paths}
        named = {directory for parent in parents for directory in _lineage(parent)}
        with self._lock:
            fresh = named - self._durable
        changed = parents.union(map(posixpath.dirname, fresh))
        # Any order does: all of them are durable before this returns.
        errors = self._sync_threads.run(
            lambda directory: sync_directory(self._resolve(directory) if directory else self._root),
            list(changed),
        )
        with storage_errors("make directory entries durable"):
            for error in errors:
                if error is not None:
                    raise error
        with self._lock:
            if len(self._durable) > KNOWN_DIRECTORIES:
                self._durable.clear()
            self._durable.update(fresh)

    def open_object(self, relative_path: str) -> OpenedFile:
        """Open a stored file for reading; the caller closes it.

        Raises `StorageUnavailable` if it is missing or cannot be read.
        """
        return OpenedFile(self._resolve(relative_path))

    def sop_instance_uid_of(self, relative_path: str) -> str | None:
        """Return the SOP Instance UID that a published file's name says; see `layout.sop_instance_uid_of`."""
        return sop_instance_uid_of(relative_path)

    def has(self, relative_path: str) -> bool:
        """Return whether a published file is there; says nothing of its content."""
        return os.path.isfile(self._resolve(relative_path))  # noqa: PTH113 - as text, as everything here

    def remove(self, relative_path: str) -> bool:
        """Remove a file, published or under `incoming/`, and return whether it was there."""
        path = Path(self._resolve(relative_path))
        with storage_errors("remove a stored object"):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            return True

    def quarantine(self, relative_path: str, reason: str) -> str | None:
        """Take a published file out of service without removing it; see `Quarantine.take`."""
        self._resolve(relative_path)
        return self.quarantined.take(relative_path, reason)

    def noted_days(self, generation: int) -> list[str] | None:
        """As `received_days`, of the notes alone: what may have come since a sweep that began in this generation."""
        return self._received_days.since(generation)

    def announce_quarantine(
        self, relative_path: str, reason: str, recorded: StoredInstance | None = None
    ) -> str:
        """Note that a published file is about to be quarantined; see `Quarantine.announce`."""
        self._resolve(relative_path)
        return self.quarantined.announce(relative_path, reason, recorded)

    def recorded_of_quarantined(self, name: str) -> StoredInstance | None:
        """Return what the index had recorded of a file in quarantine; see `Quarantine.recorded_of`."""
        return self.quarantined.recorded_of(name)

    def complete_quarantine(self, name: str, relative_path: str) -> str | None:
        """Quarantine a file that was announced; see `Quarantine.complete`."""
        self._resolve(relative_path)
        return self.quarantined.complete(name, relative_path)

    def withdraw_quarantine(self, name: str) -> None:
        """Take an announcement back; see `Quarantine.withdraw`."""
        self.quarantined.withdraw(name)

    def withdrawn(self) -> dict[str, str | None]:
        """Return which files must not come back, and which announcements are to be completed; see `Quarantine`."""
        return self.quarantined.withdrawn()

    def copy_from_quarantine(self, name: str) -> str:
        """Publish a file in quarantine where it was, under another name; it stays in quarantine, too.

        Returns the path. Raises `StorageUnavailable` where there is no such file, or nobody knows where it was.
        """
        path = self.quarantined.find(name).path
        if len(path) <= DAY:
            raise StorageUnavailable(f"the note of {name} does not say where it was")
        return self.link(self._resolve(self.quarantined.path_of(name)), path_without_receipt(path))

    def purge(self, name: str) -> None:
        """Remove a file in quarantine for good; see `Quarantine.purge`."""
        self.quarantined.purge(name)

    def leftovers(self, pid: int | None = None) -> Iterator[str]:
        """Yield the files under `incoming/`, relative to the root; with `pid` those of one process.

        For the time before workers start, or after that process has ended: until then these are objects on
        their way in.
        """
        with storage_errors("list incoming/"):
            folders = [str(self._incoming), *self._incoming_directories()]
            files = [entry for folder in folders for entry in os.scandir(folder) if not entry.is_dir()]
        for file in sorted(files, key=lambda entry: entry.path):
            if pid is None or file.name.startswith(f"{pid}-"):
                yield posixpath.relpath(file.path, self._root)

    def is_incoming(self, relative_path: str) -> bool:
        """Return whether a published file has its name under `incoming/` still: then its row is being committed."""
        with storage_errors("look for an incoming object"):
            try:
                status = os.lstat(self._resolve(relative_path))
            except FileNotFoundError:
                return False
            # Other links than ours, such as a backup's, don't count.
            return status.st_nlink > 1 and status.st_ino in self._incoming_inodes()

    def _incoming_inodes(self) -> set[int]:
        folders = [str(self._incoming), *self._incoming_directories()]
        return {entry.inode() for folder in folders for entry in os.scandir(folder)}

    def published(self, days: Collection[str] | None = None) -> Iterator[str]:
        """Yield the published files, relative to the root, day by day; those of some days (`YYYY/MM/DD`) only.

        Ordered by date if no days are given, otherwise as the days are.
        """
        if days is None:
            days = self.days()
        for day in days:
            yield from self._published_on(day)

    def days(self) -> list[str]:
        """Return the days that have a directory, `YYYY/MM/DD`, oldest first."""
        return [
            f"{year}/{month}/{day}"
            for year in self._numbered("")
            for month in self._numbered(year)
            for day in self._numbered(f"{year}/{month}")
        ]

    def _numbered(self, directory: str) -> list[str]:
        with storage_errors("list stored objects"):
            # Also by a symbolic link: older days may have been moved to another disk.
            return sorted(
                entry.name
                for entry in os.scandir(self.root / directory)
                if entry.name.isdigit() and entry.is_dir()
            )

    def _published_on(self, day: str) -> Iterator[str]:
        pending = [day]
        while pending:
            directory = pending.pop()
            with storage_errors("list stored objects"):
                try:
                    entries = sorted(os.scandir(self.root / directory), key=lambda entry: entry.name)
                except FileNotFoundError:
                    continue
            yield from [
                f"{directory}/{entry.name}" for entry in entries if entry.is_file(follow_symlinks=False)
            ]
            pending += [
                f"{directory}/{entry.name}"
                for entry in reversed(entries)
                if entry.is_dir(follow_symlinks=False)
            ]

    def _resolve(self, relative_path: str) -> str:
        """Return the path below the root; raises `ValueError` for one that could lead out of it."""
        if "\0" in relative_path or not NOT_BELOW.isdisjoint(relative_path.split("/")):
            raise ValueError("not a path of a file relative to the storage root")
        return f"{self._root}/{relative_path}"


def _lineage(directory: str) -> list[str]:
    """Return a directory and those above it, the root excluded."""
    parts = directory.split("/") if directory else []
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
