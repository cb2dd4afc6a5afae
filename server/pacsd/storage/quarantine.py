"""Files that were taken out of service and are kept all the same, each with a note of where it was, when and why."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pacsd.errors import StorageUnavailable
from pacsd.model import StoredInstance
from pacsd.permissions import give_to_owner
from pacsd.storage.disk import storage_errors, sync_directory
from pacsd.storage.layout import has_receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["QUARANTINE", "Quarantine", "Quarantined"]

QUARANTINE: Final = "quarantine"

_NOTE: Final = ".json"
_FILE: Final = ".dcm"
_COMMAND: Final = "command"
"""In a note, under "by": the file was taken out of service by people, and shall stay so."""

_RECORDED: Final = "recorded"
"""In a note: what the index had recorded of the file."""

_SETTLED: Final = 2_000_000_000
"""Nanoseconds after a change from which another one would have another time."""


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
        self._withdrawn: tuple[int, dict[str, str | None]] | None = None
        """When the folder had been changed last, and what `withdrawn` found."""

    def take(self, relative_path: str, reason: str) -> str | None:
        """Move a file here and return its name; None if it is not there.

        The note is durable before the file moves: a file here without a note never exists.
        """
        with storage_errors("move an object into quarantine"):
            if not (self._root / relative_path).exists():
                return None
        return self.complete(self._announce(relative_path, reason), relative_path)

    def announce(self, relative_path: str, reason: str, recorded: StoredInstance | None = None) -> str:
        """Write the note of a file that is to come by command, durably; return its name. `complete` moves the file.

        `recorded` is what the index has recorded of the file; `recorded_of` returns it again.
        """
        more = {} if recorded is None else {_RECORDED: asdict(recorded)}
        return self._announce(relative_path, reason, by=_COMMAND, **more)

    def _announce(self, relative_path: str, reason: str, **more: Any) -> str:
        with storage_errors("move an object into quarantine"):
            is_new = not self._folder.exists()
            self._folder.mkdir(exist_ok=True)
            if is_new:
                give_to_owner(self._folder, self._root)
            if is_new and self._sync:
                sync_directory(self._root)
            now = self._now()
            name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            self._write_note(name, {"path": relative_path, "at": now.isoformat(), "reason": reason, **more})
        return name

    def complete(self, name: str, relative_path: str) -> str | None:
        """Move an announced file here and return its name; None, and no note is left, if it is not there.

        A sweep completes what it finds announced, so it may have come just before.
        """
        source, target = self._root / relative_path, self._folder / f"{name}{_FILE}"
        with storage_errors("move an object into quarantine"):
            try:
                self._move(source, target)
            except FileNotFoundError:
                if target.exists():
                    return name
                (self._folder / f"{name}{_NOTE}").unlink(missing_ok=True)
                return None
            if self._sync:
                sync_directory(self._folder)
                sync_directory(source.parent)
        return name

    def withdraw(self, name: str) -> None:
        """Remove the note of a file that does not come after all."""
        with storage_errors("remove a note from quarantine"):
            (self._folder / f"{name}{_NOTE}").unlink(missing_ok=True)

    def withdrawn(self) -> dict[str, str | None]:
        """Return where files were that must not come back, with the name of the announcement of one that has yet to go.

        That is None for those that are here by command already. The folder is listed only where something has changed
        in it.
        """
        with storage_errors("list the quarantine"):
            try:
                changed = self._folder.stat().st_mtime_ns
                if self._withdrawn is not None and self._withdrawn[0] == changed:
                    return self._withdrawn[1]
                names = {entry.name for entry in os.scandir(self._folder)}
            except FileNotFoundError:
                return {}
        notes = {
            name.removesuffix(_NOTE): self._note_of(name.removesuffix(_NOTE))
            for name in sorted(names)
            if name.endswith(_NOTE)
        }
        come = {name for name in notes if f"{name}{_FILE}" in names}
        withdrawn: dict[str, str | None] = {
            note["path"]: None
            for name, note in notes.items()
            # Earlier versions gave a name again: it may be another file's now.
            if name in come and note.get("by") == _COMMAND and has_receipt(note["path"])
        }
        withdrawn |= {note["path"]: name for name, note in notes.items() if note and name not in come}
        # A note that is being written changes the folder no more, and what changed it just now may do so again in the
        # same moment.
        if all(notes.values()) and self._now().timestamp() * 1e9 > changed + _SETTLED:
            self._withdrawn = changed, withdrawn
        return withdrawn

    def _note_of(self, name: str) -> dict[str, str]:
        """Return what a note says; nothing where it is missing or damaged."""
        try:
            note = self._content_of(name)
            known = {key: str(note[key]) for key in ("path", "at", "reason")}
            return known | ({"by": str(note["by"])} if "by" in note else {})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}

    def _content_of(self, name: str) -> Any:
        with storage_errors("look into the quarantine"):
            try:
                return json.loads((self._folder / f"{name}{_NOTE}").read_text("utf-8"))
            except FileNotFoundError:
                return {}

    def recorded_of(self, name: str) -> StoredInstance | None:
        """Return what the index had recorded of a file when it was announced, with the file's path in quarantine.

        None where its note does not say, as those of earlier versions. Raises as `find`.
        """
        path = self.path_of(name)
        try:
            return replace(StoredInstance(**self._content_of(name)[_RECORDED]), path=path)
        except (ValueError, KeyError, TypeError):
            return None

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

    def _write_note(self, name: str, note: dict[str, Any]) -> None:
        with (self._folder / f"{name}{_NOTE}").open("x", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")
            file.flush()
            if self._sync:
                os.fsync(file.fileno())
        give_to_owner(self._folder / f"{name}{_NOTE}", self._folder)
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
        note = self._note_of(name)
        if not note:
            return Quarantined(name, "", "", "its note is missing or damaged", size)
        return Quarantined(name, note["path"], note["at"], note["reason"], size)

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
