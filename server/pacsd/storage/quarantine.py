"""Files that were taken out of service and are kept all the same, each with a note of where it was, when and why."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pacsd.errors import StorageUnavailable
from pacsd.storage.disk import storage_errors, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["QUARANTINE", "Quarantine", "Quarantined"]

QUARANTINE: Final = "quarantine"

_NOTE: Final = ".json"
_FILE: Final = ".dcm"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file in quarantine: `path` is where it was, relative to the storage root; `at` is in UTC, ISO 8601."""

    name: str
    path: str
    at: str
    reason: str
    size: int
    """Bytes."""


class Quarantine:
    """The quarantine of the store in `root`. Nothing here removes a file but `purge`."""

    def __init__(
        self, root: Path, *, sync: bool = True, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._root = root
        self._folder = root / QUARANTINE
        self._sync = sync
        self._now = now

    def take(self, relative_path: str, reason: str) -> str | None:
        """Move a file here and return its name; None if it is not there.

        The note is durable before the file moves: a file here without a note never exists.
        """
        source = self._root / relative_path
        with storage_errors("move an object into quarantine"):
            if not source.exists():
                return None
            is_new = not self._folder.exists()
            self._folder.mkdir(exist_ok=True)
            if is_new and self._sync:
                sync_directory(self._root)
            now = self._now()
            name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            self._write_note(name, {"path": relative_path, "at": now.isoformat(), "reason": reason})
            try:
                self._move(source, self._folder / f"{name}{_FILE}")
            except FileNotFoundError:
                (self._folder / f"{name}{_NOTE}").unlink()
                return None
            if self._sync:
                sync_directory(self._folder)
                sync_directory(source.parent)
        return name

    def _move(self, source: Path, target: Path) -> None:
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Older days may have been moved to another disk.
            part = target.with_suffix(".part")
            shutil.copy2(source, part)
            with part.open("rb") as copied:
                os.fsync(copied.fileno())
            part.rename(target)
            sync_directory(target.parent)
            source.unlink()

    def _write_note(self, name: str, note: dict[str, str]) -> None:
        with (self._folder / f"{name}{_NOTE}").open("x", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")
            file.flush()
            if self._sync:
                os.fsync(file.fileno())
        if self._sync:
            sync_directory(self._folder)

    def list(self) -> list[Quarantined]:
        """Return what is here, in the order in which it came."""
        with storage_errors("list the quarantine"):
            try:
                names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(_FILE))
            except FileNotFoundError:
                return []
        return [self.find(name.removesuffix(_FILE)) for name in names]

    def count(self) -> int:
        """Return how many files are here."""
        with storage_errors("list the quarantine"):
            try:
                return sum(entry.name.endswith(_FILE) for entry in os.scandir(self._folder))
            except FileNotFoundError:
                return 0

    def find(self, name: str) -> Quarantined:
        """Return one file's note; raises StorageUnavailable where there is no such file."""
        if "/" in name or name.startswith("."):
            raise StorageUnavailable(f"{name} is no name of a file in quarantine")
        file = self._folder / f"{name}{_FILE}"
        with storage_errors("look into the quarantine"):
            try:
                size = file.stat().st_size
            except FileNotFoundError:
                raise StorageUnavailable(f"there is no {name} in quarantine") from None
            try:
                note = json.loads((self._folder / f"{name}{_NOTE}").read_text("utf-8"))
                return Quarantined(name, str(note["path"]), str(note["at"]), str(note["reason"]), size)
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                return Quarantined(name, "", "", "its note is missing or damaged", size)

    def path_of(self, name: str) -> str:
        """Return where a file in quarantine is, relative to the storage root; raises as `find`."""
        self.find(name)
        return f"{QUARANTINE}/{name}{_FILE}"

    def purge(self, name: str) -> None:
        """Remove a file and its note for good; raises as `find`."""
        self.find(name)
        with storage_errors("remove an object from quarantine"):
            (self._folder / f"{name}{_FILE}").unlink()
            (self._folder / f"{name}{_NOTE}").unlink(missing_ok=True)
            if self._sync:
                sync_directory(self._folder)
