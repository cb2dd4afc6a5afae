"""What a store says of itself: which archive it is, how often a server was started on it, and which days it used.

Both files are in the storage root and are backed up with it. `received-days` says which of the dated directories can
hold files that an index knows nothing of, whatever the clock said when they were received and however old the index is.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pacsd.errors import StorageUnavailable
from pacsd.model import ArchiveIdentity
from pacsd.permissions import give_to_owner
from pacsd.storage.disk import storage_errors, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ARCHIVE", "RECEIVED_DAYS", "ReceivedDays", "identity_fault", "read_identity", "write_identity"]

ARCHIVE: Final = "archive.json"
RECEIVED_DAYS: Final = "received-days"

_FROM: Final = re.compile(r"from (\d+)\.")
"""The first line: of this generation and those after it, all days are here."""
_LINE: Final = re.compile(r"(\d+) (\d{4}/\d{2}/\d{2})\.")
_TORN: Final = re.compile(r"\d+( \d{0,4}(/\d{0,2}(/\d{0,2})?)?)?")
"""What a power cut leaves of a line that was being written: nothing was received on that day by it."""


def read_identity(root: Path) -> ArchiveIdentity | None:
    """Return what a store says of itself, None where it says nothing; raises StorageUnavailable."""
    try:
        return _read(root)
    except ValueError as error:
        raise StorageUnavailable(
            f"{root / ARCHIVE} is damaged: put it back from a backup, or move it away and start the server, which "
            "writes it anew from what the index knows"
        ) from error


def _read(root: Path) -> ArchiveIdentity | None:
    """As `read_identity`; raises ValueError where the file is damaged."""
    with storage_errors(f"read {root / ARCHIVE}"):
        try:
            content = (root / ARCHIVE).read_bytes()
        except FileNotFoundError:
            return None
    try:
        fields = json.loads(content)
        return ArchiveIdentity(str(fields["identity"]), int(fields["generation"]))
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def identity_fault(root: Path, begun: ArchiveIdentity) -> str | None:
    """Return why a store no longer says what its running server has written, and what to do; None if it does."""
    file = root / ARCHIVE
    restart = "restart the server: it writes the file anew and looks at all stored files"
    try:
        found = _read(root)
    except ValueError:
        return f"{file} is damaged: move it away and {restart}"
    except StorageUnavailable as error:
        return str(error)
    if found is None:
        return f"{file} is missing: is the disk of the storage root mounted? If it is, {restart}"
    if found.identity != begun.identity:
        return f"{file} is another archive's: is the right disk mounted at the storage root?"
    if found.generation > begun.generation:
        return f"another server has been started on this store, as {file} says: stop one of them"
    if found.generation < begun.generation:
        return f"{file} is an older one than this server has written: {restart}"
    return None


def write_identity(root: Path, identity: ArchiveIdentity, days: Iterable[str] = ()) -> None:
    """Have a store, with these days, say this of itself from now on, durably.

    Raises StorageUnavailable or StorageFull.
    """
    if ReceivedDays(root).since(identity.generation) is None:
        # Lost, damaged, or never there. It begins anew, and says so.
        earlier = "".join(f"0 {day}.\n" for day in days)
        _replace(root / RECEIVED_DAYS, f"from {identity.generation}.\n{earlier}")
    content = json.dumps({"identity": identity.identity, "generation": identity.generation}) + "\n"
    _replace(root / ARCHIVE, content)


def _replace(path: Path, content: str) -> None:
    part = path.with_name(f"{path.name}.part")
    with storage_errors(f"write {path}"):
        with part.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(part, path.parent)
        part.replace(path)
        sync_directory(path.parent)


class ReceivedDays:
    """The days on which a store took files, by generation. Several processes may note days at once."""

    def __init__(self, root: Path, *, sync: bool = True, generation: int | None = None) -> None:
        """`generation` is the running server's; None: what the store says when the first day is noted."""
        self._path = root / RECEIVED_DAYS
        self._sync = sync
        self._noted: set[str] = set()
        self._generation = generation
        self._lock = threading.Lock()

    def note(self, day: str) -> None:
        """Remember durably that files are received on a day, `YYYY/MM/DD`: before the first is published.

        Done once for a day and process. Raises StorageUnavailable or StorageFull.
        """
        if day in self._noted:
            return
        with self._lock, storage_errors("note the day of an object"):
            if day not in self._noted:
                self._append(day)
                self._noted.add(day)

    def _append(self, day: str) -> None:
        if self._generation is None:
            identity = read_identity(self._path.parent)
            self._generation = identity.generation if identity else 0
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            # In one write and on a line of its own, also after one that a power cut has torn.
            line = f"\n{self._generation} {day}.\n".encode()
            if os.write(descriptor, line) != len(line):
                # A disk that is about to be full takes a part of it, and says so the next time only.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._sync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def since(self, generation: int, present: Iterable[str] = ()) -> list[str] | None:
        """Return the days on which files came in this generation or a later one, oldest first.

        With them come those of the days `present` in the store that were never noted, and the latest that was, as the
        notes may have been put back from a backup, over a store that had gone on. None where that is not known, as for
        generation 0: then any day may have some. Raises StorageUnavailable.
        """
        with storage_errors("read the days of receipt"):
            try:
                lines = self._path.read_text("utf-8", errors="replace").splitlines()
            except FileNotFoundError:
                return None
        return _days(filter(None, lines), generation, present)


def _days(lines: Iterable[str], generation: int, present: Iterable[str]) -> list[str] | None:
    days = set()
    noted = set()
    complete_from = None
    latest: set[str] = set()
    for line in lines:
        if beginning := _FROM.fullmatch(line):
            complete_from = int(beginning[1])
        elif matched := _LINE.fullmatch(line):
            noted.add(matched[2])
            latest = {matched[2]}
            if int(matched[1]) >= generation:
                days.add(matched[2])
        elif not _TORN.fullmatch(line):
            return None
    if complete_from is None or generation < complete_from:
        return None
    # On the latest noted day more may have come since these notes were copied.
    return sorted(days | (latest & set(present)) | (set(present) - noted))
