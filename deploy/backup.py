#!/usr/bin/env python3
"""Copy an archive of pacsd, while it runs, into a folder from which it can be started: deploy/backup.py --help.

To be run with pacsd's own Python, such as /opt/pacsd/bin/python.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import sqlite3
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

try:
    from pacsd.dataset.checksums import ALGORITHMS, new_checksum
except ImportError:
    sys.exit("Run this with the Python in which pacsd is installed, such as /opt/pacsd/bin/python.")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COMPLETE, FAULTY, UNFINISHED, ANOTHER_DUMP = range(4)
"""Exit statuses; see DESCRIPTION."""
DESCRIPTION: Final = """\
Exit status 0: all is well. 1: faults were found, each is named in a line of its own; everything else was done.
2: it could not be finished, and the index that the backup had before is still there. 3: see --last-attempt."""

STORE: Final = "store/"
INDEX, DUMP, MANIFEST = "index.db", "index.dump", "manifest.db"
NOT_KEPT: Final = frozenset({"incoming", "lock"})
"""In the store's root: what is being received belongs to nobody yet, and a lock means nothing elsewhere."""
CHANGING: Final = f"{STORE}quarantine/"
"""Only here, and in the store's root itself, may a file get other content under the same name."""
ATTEMPTS: Final = 3
"""Files may give way to others (storage.duplicates = "replace") between the index's copy and theirs."""
CHUNK: Final = 1 << 20
BATCH_FILES, BATCH_BYTES = 500, 1 << 28
"""As much is copied between two notes in the manifest; a run that was killed has so much compared again."""
KNOWN_DIRECTORIES: Final = 100_000
"""Directories remembered; when there are more, the memory starts anew, which costs some looks and syncs."""
SELECT: Final = "SELECT path, size, checksum, dataset_offset, dataset_checksum, damaged FROM copies"


def main() -> int:
    """Run from the command line; returns the exit status."""
    arguments = _arguments()
    # Images and index are patient data: what is made here is for its owner alone.
    os.umask(0o077)
    faults = Faults()
    try:
        if arguments.command == "verify":
            demand_backup(arguments.target)
        with Backup(arguments.target, faults) as backup:
            if arguments.command == "verify":
                verify(backup, sys.stdin.buffer if arguments.dump else None)
            elif arguments.dump:
                return save_with_dump(backup, arguments.store, sys.stdin.buffer, last=arguments.last_attempt)
            else:
                save(backup, arguments.store, arguments.index)
    except (OSError, sqlite3.Error, Unfinished) as error:
        print(f"The backup is not complete: {error}", file=sys.stderr)
        return UNFINISHED
    return faults.status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True)
    saving = commands.add_parser(
        "save",
        epilog=DESCRIPTION,
        description="Copy what the backup lacks, or has damaged, while the server runs: give the same folder each "
        "time. With neither --index nor --dump only files are copied, for a dump to follow.",
    )
    saving.add_argument("--store", type=Path, required=True, help="storage.root")
    index = saving.add_mutually_exclusive_group()
    index.add_argument("--index", type=Path, help="the file of index.url, where that is SQLite")
    saving.add_argument(
        "--last-attempt",
        action="store_true",
        help="with --dump: tell of files that are not what the dump says of them; without, the exit status is 3, and "
        "another dump is wanted, as they may only have given way to others meanwhile",
    )
    verifying = commands.add_parser(
        "verify",
        epilog=DESCRIPTION,
        description="Read all of the backup again and compare it with what was copied, and with its index. What is "
        "damaged is copied anew by the next save.",
    )
    index.add_argument(
        "--dump", action="store_true",
        help=f"{DUMP}.part in the backup is a new dump of the index, and becomes {DUMP}; standard input is what "
        "pg_restore --file=- makes of it",
    )  # fmt: skip
    verifying.add_argument(
        "--dump", action="store_true", help=f"standard input is what pg_restore --file=- makes of {DUMP}"
    )
    for command in (saving, verifying):
        command.add_argument("target", type=Path, help="an existing folder, on another disk than the archive")
    return parser.parse_args()


class Unfinished(Exception):
    """What ends a run, in words for the administrator."""


class Faulty(Exception):
    """A file that is not what it should be, or cannot be read: why."""


class Faults:
    """The faults that were found, told as they are found, one a line."""

    def __init__(self) -> None:
        self.count = 0
        self._told: set[str] = set()

    def tell(self, path: str, what: str) -> None:
        """Name a file, relative to the backup, and what is the matter with it; only once for each file."""
        if path not in self._told:
            self._told.add(path)
            self.count += 1
            print(f"{path}: {what}", file=sys.stderr)

    @property
    def status(self) -> int:
        """The exit status of a run that came to its end."""
        return FAULTY if self.count else COMPLETE

    def __str__(self) -> str:
        return "1 fault" if self.count == 1 else f"{self.count or 'no'} faults"


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of a file: its length, and the checksums of all of it and of its data set."""

    size: int
    checksum: str
    dataset_offset: int | None
    """None where the file is no DICOM file."""
    dataset_checksum: str | None


@dataclass(frozen=True, slots=True)
class Entry(Content):
    """What the manifest says of a copy."""

    damaged: bool
    """It was found to be something else, or gone, since it was copied."""

    def demand(self, content: Content) -> None:
        """Raise Faulty unless this is what was copied."""
        _demand_size(content, self.size)
        if content.checksum != self.checksum:
            raise Faulty("another checksum than when it was copied")

    def demand_dataset(self, content: Content) -> None:
        """Raise Faulty unless this is what was copied, with the data set that was noted with it."""
        self.demand(content)
        if content.dataset_checksum != self.dataset_checksum:
            raise Faulty("another checksum of its data set than the manifest says")


@dataclass(frozen=True, slots=True)
class Row:
    """What the index says of a file; `path` is relative to the backup."""

    path: str
    size: int
    dataset_offset: int
    checksum: str

    def demand(self, content: Content) -> None:
        """Raise Faulty unless this is the file that was stored."""
        _demand_size(content, self.size)
        if (content.dataset_offset, content.dataset_checksum) != (self.dataset_offset, self.checksum):
            raise Faulty("another checksum than the index says")

    def is_of(self, content: Content) -> bool:
        """Say whether this is the file that was stored."""
        with suppress(Faulty):
            self.demand(content)
            return True
        return False


def _demand_size(content: Content, size: int) -> None:
    if content.size != size:
        raise Faulty(f"{content.size} bytes instead of {size}")


def read(
    file: IO[bytes], *, of: Content | Row | None = None, write: Callable[[bytes], object] | None = None
) -> Content:
    """Read a file to its end, handing each piece on to `write`; raises Faulty where it cannot be read.

    The data set's checksum is by the algorithm that `of` has, and from the offset that it names.
    """
    whole = new_checksum("xxh3_128")
    dataset, offset, algorithm = None, None, "xxh3_128"
    size = 0
    while chunk := _next_chunk(file):
        if size == 0:
            offset, algorithm = _dataset_of(of) if of is not None else (_dataset_offset(chunk), algorithm)
            dataset = None if offset is None else new_checksum(algorithm)
        whole.update(chunk)
        if dataset is not None and offset is not None and size + len(chunk) > offset:
            dataset.update(memoryview(chunk)[max(0, offset - size) :])
        if write is not None:
            write(chunk)
        size += len(chunk)
    found = None if dataset is None else f"{algorithm}:{dataset.hexdigest()}"
    return Content(size, f"xxh3_128:{whole.hexdigest()}", offset, found)


def _next_chunk(file: IO[bytes]) -> bytes:
    try:
        return file.read(CHUNK)
    except OSError as error:
        raise Faulty(f"cannot be read: {error.strerror}") from error


def _dataset_of(of: Content | Row) -> tuple[int | None, str]:
    named = of.checksum if isinstance(of, Row) else of.dataset_checksum
    algorithm = (named or "").partition(":")[0]
    # What a later version may have written is no checksum that could be compared here.
    return (of.dataset_offset, algorithm) if algorithm in ALGORITHMS else (None, algorithm)


def _dataset_offset(beginning: bytes) -> int | None:
    # PS3.10 §7.1: preamble, prefix, then the length of what remains of the file meta information.
    if beginning[128:140] != b"DICM\2\0\0\0UL\4\0" or len(beginning) < 144:
        return None
    return 144 + int.from_bytes(beginning[140:144], "little")


class Manifest:
    """What the backup's files were when they were copied.

    An SQLite database: a file is found without reading all of it, and what a killed run has not committed is undone.
    With a rollback journal instead of a WAL, as a backup may lie on a network file system. An entry is written after
    its file and the directories above it are synced, and removed before the file is replaced. So a file without an
    entry is one that nobody has noted yet, and is compared with its source.
    """

    def __init__(self, folder: Path) -> None:
        """Open it, or make one; raises Faulty where it is damaged, Unfinished where another run has it."""
        path = folder / MANIFEST
        # Made here, as SQLite would let others read it where the folder has a default ACL.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        sync(folder)
        self._database = sqlite3.connect(path, timeout=1, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        try:
            # Kept until the end, so that two runs are never at work on one backup.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = TRUNCATE")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("BEGIN EXCLUSIVE")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS copies (path TEXT PRIMARY KEY, size INTEGER NOT NULL, "
                "checksum TEXT NOT NULL, dataset_offset INTEGER, dataset_checksum TEXT, "
                "damaged INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"
            )
            self._database.execute("COMMIT")
            (said,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise Unfinished("another run is at work on it") from error
            if error.sqlite_errorcode not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise
            said = str(error)
        if said != "ok":
            raise Faulty(said)

    def close(self) -> None:
        """Let other runs have it."""
        self._database.close()

    def get(self, path: str) -> Entry | None:
        """Return what is known of a copy."""
        found = self._database.execute(f"{SELECT} WHERE path = ?", (path,)).fetchone()
        return None if found is None else _entry(found)[1]

    def entries(self, *, only_damaged: bool = False) -> Iterator[tuple[str, Entry]]:
        """Yield what is known of all copies, by path; it may be changed meanwhile."""
        last = ""
        condition = "AND damaged" if only_damaged else ""
        while page := self._database.execute(
            f"{SELECT} WHERE path > ? {condition} ORDER BY path LIMIT 1000", (last,)
        ).fetchall():
            yield from map(_entry, page)
            last = page[-1][0]

    def put(self, contents: Iterable[tuple[str, Content]]) -> None:
        """Note what copies are, durably and all at once; they are good then."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?, 0)",
            ((path, c.size, c.checksum, c.dataset_offset, c.dataset_checksum) for path, c in contents),
        )
        self._database.execute("COMMIT")

    def mark_damaged(self, path: str) -> None:
        """Have the next save make this copy anew."""
        self._database.execute("UPDATE copies SET damaged = 1 WHERE path = ?", (path,))

    def forget_good(self, path: str) -> None:
        """Say nothing of a copy from now on, unless that it is damaged."""
        self._database.execute("DELETE FROM copies WHERE path = ? AND NOT damaged", (path,))

    def forget(self, path: str) -> None:
        """Say nothing of a copy from now on."""
        self._database.execute("DELETE FROM copies WHERE path = ?", (path,))


def _entry(columns: tuple[str, int, str, int | None, str | None, int]) -> tuple[str, Entry]:
    path, size, checksum, offset, of_dataset, damaged = columns
    return path, Entry(size, checksum, offset, of_dataset, bool(damaged))


class Backup:
    """The folder of a backup. Paths are texts relative to it; a `with` block has it to itself."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder = folder
        self.faults = faults
        self.copied = 0
        """Files, since the beginning of the run."""
        self._part = folder / "copy.part"
        self._pending: list[tuple[str, Content]] = []
        self._pending_bytes = 0
        self._changed: set[str] = set()
        """Directories to be synced before what is pending is noted."""
        self._durable: set[str] = set()
        """Directories whose names are durable, or will be by the next flush."""
        self._private: set[str] = set()
        """Directories that are there, and for their owner alone."""

    def __enter__(self) -> Backup:
        """Raise Unfinished where another run has it."""
        try:
            self.manifest = Manifest(self.folder)
        except Faulty as fault:
            damaged = self.folder / f"{MANIFEST}.damaged"
            self.faults.tell(
                MANIFEST, f"{fault}; it is {damaged.name} now, and the next save compares all files"
            )
            (self.folder / MANIFEST).replace(damaged)
            (self.folder / f"{MANIFEST}-journal").unlink(missing_ok=True)
            self.manifest = Manifest(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self.manifest.close()

    def status_of(self, path: str) -> os.stat_result | None:
        """Look at a copy, and take it and its directories from everybody but their owner; None where there is none.

        A former version has left them open.
        """
        try:
            status = os.lstat(self.folder / path)
        except FileNotFoundError:
            return None
        self._make_parents(path)
        if status.st_mode & 0o077:
            (self.folder / path).chmod(0o600)
        return status

    def read(self, path: str, *, of: Content | Row | None = None) -> Content:
        """Read a copy from its disk; raises Faulty where it is missing or cannot be read."""
        return self._read_from_disk(self.folder / path, of=of)

    def _read_from_disk(self, path: Path, *, of: Content | Row | None = None) -> Content:
        with opened(path) as file:
            # Otherwise what is compared may be what is in memory still, and not what the disk has kept.
            drop_cached(file)
            content = read(file, of=of)
            drop_cached(file)
        return content

    def copy(
        self,
        source: Path,
        path: str,
        *,
        demand: Callable[[Content], None] = lambda _: None,
        of: Row | None = None,
    ) -> None:
        """Make `path` what `source` is, as it is then read back from the disk.

        Raises Faulty where `source` is missing, cannot be read or is not what is demanded: then nothing has changed.
        """
        try:
            content = self._copy_to_part(source, demand, of)
        except Faulty:
            self._part.unlink()
            raise
        if self._read_back(self._part).checksum != content.checksum:
            raise Unfinished(f"the backup's disk gave back {path} otherwise than it was written")
        self._publish(self._part, path, content)
        self.copied += 1

    def _copy_to_part(self, source: Path, demand: Callable[[Content], None], of: Row | None) -> Content:
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as part, opened(source) as file:
            content = read(file, of=of, write=part.write)
            demand(content)
            status = os.fstat(file.fileno())
            part.flush()
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(descriptor)
        return content

    def publish_index(self, part: Path, path: str) -> None:
        """Give the new index, which is complete and synced, its name."""
        part.chmod(0o600)
        self._publish(part, path, self._read_back(part))
        self.flush()

    def _publish(self, part: Path, path: str, content: Content) -> None:
        self._make_parents(path)
        # Before: what is known of the old content must not be held against the new one. What is damaged stays known as
        # that until the new one is noted.
        self.manifest.forget_good(path)
        part.replace(self.folder / path)
        self.note(path, content)

    def _read_back(self, part: Path) -> Content:
        try:
            return self._read_from_disk(part)
        except Faulty as fault:
            raise Unfinished(f"{part.name} on the backup's disk: {fault}") from fault

    def _make_parents(self, path: str) -> None:
        unknown = [directory for directory in _above(path) if directory not in self._private]
        for directory in reversed(unknown):
            made = self.folder / directory
            with suppress(FileExistsError):
                made.mkdir(mode=0o700)
            if directory and made.stat().st_mode & 0o077:
                made.chmod(0o700)
        _remember(self._private, unknown)

    def note(self, path: str, content: Content) -> None:
        """Have it noted that a copy is good; some others may be waited for."""
        self._pending.append((path, content))
        self._pending_bytes += content.size
        above = _above(path)
        # A run that was killed may have made directories and not have come to syncing their names.
        unsure = [directory for directory in above[:-1] if directory not in self._durable]
        self._changed.update(above[:1], map(posixpath.dirname, unsure))
        _remember(self._durable, unsure)
        if len(self._pending) >= BATCH_FILES or self._pending_bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Return when all that was noted is durable."""
        for directory in self._changed:
            sync(self.folder / directory)
        self.manifest.put(self._pending)
        self._pending, self._pending_bytes, self._changed = [], 0, set()


def _above(path: str) -> list[str]:
    """Return the directories above a file, the nearest first; the last is "", the backup itself."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _remember(known: set[str], directories: Iterable[str]) -> None:
    if len(known) > KNOWN_DIRECTORIES:
        known.clear()
    known.update(directories)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read; raises Faulty where it is missing or may not be read."""
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise Faulty("missing" if isinstance(error, FileNotFoundError) else str(error.strerror)) from error
    with file:
        yield file


def sync(path: Path) -> None:
    """Make a file's content or a directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_cached(file: IO[bytes]) -> None:
    """Have the next reading of a synced file ask the disk."""
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def save(backup: Backup, store: Path, index: Path | None) -> None:
    """Copy the files, and the index where it is SQLite."""
    saving = Saving(backup, store)
    if index is None:
        saving.copy_files()
        saving.copy_bookkeeping()
        print(f"{backup.copied} files copied.")
        return
    part = backup.folder / f"{INDEX}.part"
    before: dict[str, str] = {}
    for _ in range(ATTEMPTS):
        copy_index(index, part)
        saving.copy_files()
        unsettled = saving.judge(rows_of_index(part))
        if not unsettled or unsettled == before:
            break
        before = unsettled
    saving.finish(part, INDEX, unsettled)


def save_with_dump(backup: Backup, store: Path, script: IO[bytes], *, last: bool) -> int:
    """Copy the files that a dump names, and give the dump its name; returns the exit status."""
    part = backup.folder / f"{DUMP}.part"
    sync(part)
    saving = Saving(backup, store)
    saving.copy_files()
    unsettled = saving.judge(rows_of_dump(script))
    if unsettled and not last:
        print(
            f"{len(unsettled)} files are not what the dump says of them; another dump tells.", file=sys.stderr
        )
        return ANOTHER_DUMP
    saving.finish(part, DUMP, unsettled)
    return backup.faults.status


class Saving:
    """One run that copies a store."""

    def __init__(self, backup: Backup, store: Path) -> None:
        self._backup = backup
        self._store = store
        self._rows = 0
        self._differing: set[str] = set()
        """Files without an entry whose copy is not what the store has: the index says which is the good one."""
        # Now, so that a server that is started on an interrupted backup looks for the files that came with it.
        self.copy_bookkeeping()

    def copy_bookkeeping(self) -> None:
        """Copy the files of the store's root, whose content changes, unless they are the same as before.

        After the index, too: an index that is older than the store is made good by the server, but with a store that
        is older than the index it could not tell what it lacks.
        """
        for entry in sorted(os.scandir(self._store), key=lambda entry: entry.name):
            if entry.name not in NOT_KEPT and entry.is_file(follow_symlinks=False):
                self._attempt(STORE + entry.name, self._update_by_content)
        self._backup.flush()

    def copy_files(self) -> None:
        """Copy the files that the backup lacks. Which of two different ones is good, only the index can say."""
        for path in self._files():
            self._attempt(path, self._update if path.startswith(CHANGING) else self._add)
        self._backup.flush()

    def _attempt(self, path: str, copy: Callable[[str], None]) -> None:
        try:
            copy(path)
        except Faulty as fault:
            # What is gone by now has given way to another file, or was purged.
            if self._source(path).exists():
                self._backup.faults.tell(path, f"in the store: {fault}")

    def _source(self, path: str) -> Path:
        return self._store / path.removeprefix(STORE)

    def _files(self) -> Iterator[str]:
        pending = [""]
        while pending:
            directory = pending.pop()
            try:
                entries = sorted(os.scandir(self._store / directory), key=lambda entry: entry.name)
            except OSError as error:
                if not directory:
                    raise
                if not isinstance(error, FileNotFoundError):
                    self._backup.faults.tell(STORE + directory, f"cannot be listed: {error.strerror}")
                continue
            for entry in entries:
                path = f"{STORE}{directory}{entry.name}"
                if not entry.name.isprintable():
                    self._backup.faults.tell(repr(path), "not copied: a name that pacsd does not give")
                elif directory and entry.is_file(follow_symlinks=False):
                    yield path
            pending += [
                f"{directory}{entry.name}/"
                for entry in reversed(entries)
                if entry.is_dir(follow_symlinks=False) and (directory or entry.name not in NOT_KEPT)
            ]

    def _update(self, path: str) -> None:
        copy = self._good_copy(path)
        with opened(self._source(path)) as file:
            status = os.fstat(file.fileno())
        if copy is None or (status.st_size, status.st_mtime_ns) != (copy.st_size, copy.st_mtime_ns):
            self._update_by_content(path)

    def _update_by_content(self, path: str) -> None:
        entry = self._backup.manifest.get(path)
        if entry is not None and self._good_copy(path) is not None:
            with opened(self._source(path)) as file:
                if read(file).checksum == entry.checksum:
                    return
        self._backup.copy(self._source(path), path)

    def _good_copy(self, path: str) -> os.stat_result | None:
        """Look at a copy that is as it was copied, as far as a look without reading can tell."""
        entry, copy = self._backup.manifest.get(path), self._backup.status_of(path)
        is_good = entry is not None and not entry.damaged and copy is not None and copy.st_size == entry.size
        return copy if is_good else None

    def _add(self, path: str) -> None:
        if self._good_copy(path) is not None:
            return
        backup, source = self._backup, self._source(path)
        entry = backup.manifest.get(path)
        if entry is not None:
            backup.manifest.mark_damaged(path)
            with suppress(Faulty):
                backup.copy(source, path, demand=entry.demand)
        elif backup.status_of(path) is not None:
            self._compare(source, path)
        else:
            backup.copy(source, path)

    def _compare(self, source: Path, path: str) -> None:
        with opened(source) as file:
            content = read(file)
        try:
            copied: Content | None = self._backup.read(path)
        except Faulty:
            copied = None
        if copied == content:
            self._backup.note(path, content)
        else:
            self._differing.add(path)

    def judge(self, rows: Iterable[Row]) -> dict[str, str]:
        """Compare each copy with what the index says, and make good those that the store has good.

        Returns what is the matter with the others, by path. They may have given way to other files since the index
        was copied, and so are not told before the last attempt.
        """
        unsettled = {}
        self._rows = 0
        for row in rows:
            self._rows += 1
            fault = self._fault_of_copy(row) or self._fault_of_source(row)
            if fault is not None:
                unsettled[row.path] = fault
        self._backup.flush()
        return unsettled

    def _fault_of_copy(self, row: Row) -> str | None:
        if not self._is_proven(row):
            try:
                self._prove(row)
            except Faulty as fault:
                if self._is_anywhere(row.path):
                    return f"neither the store nor the backup has it good: {fault}"
                return "lost: the index names it, and neither the store nor the backup has it"
        return None

    def _is_anywhere(self, path: str) -> bool:
        return self._source(path).exists() or self._backup.status_of(path) is not None

    def _is_proven(self, row: Row) -> bool:
        entry = self._backup.manifest.get(row.path)
        return entry is not None and row.is_of(entry) and self._good_copy(row.path) is not None

    def _prove(self, row: Row) -> None:
        entry = self._backup.manifest.get(row.path)
        with suppress(Faulty):
            content = self._backup.read(row.path, of=row)
            row.demand(content)
            if entry is not None:
                entry.demand(content)
            self._backup.note(row.path, content)
            return
        self._backup.copy(self._source(row.path), row.path, demand=row.demand, of=row)
        self._differing.discard(row.path)

    def _fault_of_source(self, row: Row) -> str | None:
        try:
            size = self._source(row.path).stat().st_size
        except FileNotFoundError:
            return None
        if size != row.size:
            fault = f"{size} bytes instead of {row.size}"
        elif row.path in self._differing:
            fault = "another checksum than the index says"
        else:
            return None
        return f"damaged in the store: {fault}; the backup has a good copy"

    def finish(self, part: Path, index: str, unsettled: dict[str, str]) -> None:
        """Give the new index its name, last of all, and say what the backup has."""
        backup = self._backup
        self.copy_bookkeeping()
        backup.publish_index(part, index)
        for path, fault in unsettled.items():
            backup.faults.tell(path, fault)
        for path, _ in backup.manifest.entries(only_damaged=True):
            if self._is_anywhere(path):
                backup.faults.tell(path, "damaged in the backup, and the store has no good one")
            else:
                backup.manifest.forget(path)
        counted = f"{backup.copied} files copied; the backup has {self._rows} instances"
        print(f"{counted}, {backup.faults}." if backup.faults.count else f"{counted}, each with its file.")


def copy_index(source: Path, part: Path) -> None:
    """Copy an SQLite database as it is at one moment, whoever writes to it; raises sqlite3.Error if it is damaged."""
    for name in (part.name, f"{part.name}-journal", f"{part.name}-wal", f"{part.name}-shm"):
        part.with_name(name).unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    # Not created where it is missing: an empty index would look like a backup.
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as live,
        closing(sqlite3.connect(part)) as copy,
    ):
        live.backup(copy)
    sync(part)
    with opened(part) as file:
        drop_cached(file)
    with closing(open_copied_index(part)) as copy:
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(f"the index is damaged: {said}")


def open_copied_index(path: Path) -> sqlite3.Connection:
    """Open a copy that nobody writes to: no files beside it come about."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def rows_of_index(path: Path) -> Iterator[Row]:
    """Yield the rows of a copied SQLite index."""
    with closing(open_copied_index(path)) as database:
        for name, *values in database.execute("SELECT path, size, dataset_offset, checksum FROM instances"):
            yield Row(STORE + name, *values)


def rows_of_dump(script: IO[bytes]) -> Iterator[Row]:
    """Yield the rows that `pg_restore --file=-` writes; raises Unfinished where its script has no end."""
    columns: list[bytes] | None = None
    within = complete = found = False
    for line in script:
        if within:
            if line == b"\\.\n":
                within, columns = False, None
            elif columns is not None:
                yield _row(columns, line)
        elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            within = True
            if line.startswith(b"COPY public.instances ("):
                columns = line[line.index(b"(") + 1 : line.rindex(b")")].replace(b'"', b"").split(b", ")
                found = True
        elif line.startswith(b"-- PostgreSQL database dump complete"):
            complete = True
    if not (complete and found):
        raise Unfinished("the dump cannot be read to its end, or has no table of instances")


def _row(columns: list[bytes], line: bytes) -> Row:
    # Tabs in a value are escaped; those that are wanted here hold nothing that would be.
    values = line.split(b"\t")
    if len(values) != len(columns) or not line.endswith(b"\n"):
        raise Unfinished("the dump ends within its table of instances")
    named = dict(zip(columns, values, strict=True))
    return Row(
        STORE + named[b"path"].decode(),
        int(named[b"size"]),
        int(named[b"dataset_offset"]),
        named[b"checksum"].decode(),
    )


def verify(backup: Backup, script: IO[bytes] | None) -> None:
    """Read the whole backup again, tell its faults, and have the next save copy anew what is damaged."""
    faults = backup.faults
    files = 0
    for path, entry in backup.manifest.entries():
        files += 1
        try:
            content = backup.read(path, of=entry)
            entry.demand_dataset(content)
        except Faulty as fault:
            backup.manifest.mark_damaged(path)
            faults.tell(path, str(fault))
        else:
            if entry.damaged:
                backup.note(path, content)
    backup.flush()
    instances = 0
    for row in _indexed(backup, script):
        instances += 1
        _verify_row(backup, row)
    backup.flush()
    print(f"{files} files and {instances} instances compared: {faults}.")


def demand_backup(folder: Path) -> None:
    """Raise Unfinished where there is nothing to be verified, before so much as a manifest comes about there."""
    if not (folder / STORE).is_dir():
        raise Unfinished(f"{folder} holds no backup")


def _indexed(backup: Backup, script: IO[bytes] | None) -> Iterator[Row]:
    path = backup.folder / INDEX
    if backup.status_of(INDEX) is not None:
        with closing(open_copied_index(path)) as index:
            try:
                said = [text for (text,) in index.execute("PRAGMA integrity_check(10)")]
            except sqlite3.DatabaseError as error:
                said = [str(error)]
        if said == ["ok"]:
            yield from rows_of_index(path)
        else:
            backup.faults.tell(INDEX, "; ".join(said).replace("\n", " "))
    if script is not None:
        try:
            yield from rows_of_dump(script)
        except Unfinished as error:
            backup.faults.tell(DUMP, str(error))
    elif backup.status_of(INDEX) is None:
        print(
            f"The backup has no {INDEX}: only with --dump is anything compared with the index.",
            file=sys.stderr,
        )


def _verify_row(backup: Backup, row: Row) -> None:
    entry = backup.manifest.get(row.path)
    if entry is not None and (entry.damaged or row.is_of(entry)):
        return
    try:
        content = backup.read(row.path, of=row)
        row.demand(content)
    except Faulty as fault:
        backup.faults.tell(row.path, str(fault))
    else:
        if entry is not None:
            backup.note(row.path, content)


if __name__ == "__main__":
    sys.exit(main())
