"""A disk of which nothing is believed: a power cut takes whatever no fsync has secured.

Stricter than any file system is. A file's bytes are safe when the file has been synced since they were written; a
name is safe when the directory that holds it has been synced since, and so have those above it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crash.system_calls import NEVER

if TYPE_CHECKING:
    from crash.system_calls import Call

NEVER_SYNCED = -1
Keep = Callable[[], bool]
"""Whether one operation that was not secured reached the disk all the same."""


@dataclass(slots=True)
class File:
    """An inode: the writes to it, and the place in the recording where its last sync began."""

    writes: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    """When it ended, position and bytes; None in their place cuts or fills the file to the position."""
    synced: int = NEVER_SYNCED
    size: int = 0

    def write(self, ended: int, position: int, content: bytes | None) -> None:
        self.writes.append((ended, position, content))
        self.size = position if content is None else max(self.size, position + len(content))

    def content(self, keep: Keep) -> bytes:
        """What is left of it."""
        left = bytearray()
        for ended, position, content in self.writes:
            if not (ended < self.synced or keep()):
                continue
            length = position if content is None else max(len(left), position)
            left[:] = left[:length].ljust(length, b"\0")
            if content is not None:
                left[position : position + len(content)] = content
        return bytes(left)


@dataclass(slots=True)
class Directory:
    """The names in it: as they are now, and how they came and went."""

    names: dict[str, File | Directory] = field(default_factory=dict)
    changes: list[tuple[int, str, File | Directory | None]] = field(default_factory=list)
    synced: int = NEVER_SYNCED

    def put(self, ended: int, name: str, entry: File | Directory | None) -> None:
        """Give `name` to an entry, or None to nothing."""
        self.changes.append((ended, name, entry))
        if entry is None:
            del self.names[name]
        else:
            self.names[name] = entry

    def left(self, keep: Keep) -> dict[str, File | Directory]:
        """The names that are left."""
        left = {name: entry for ended, name, entry in self.changes if ended < self.synced or keep()}
        return {name: entry for name, entry in left.items() if entry is not None}


class UnsyncedDisk:
    """A folder that was empty when the recording began; `apply` the calls that concern it, in order."""

    def __init__(self, folder: str, *, deaf_to: Callable[[str], bool] = lambda path: False) -> None:
        """`deaf_to` says of which paths a sync is not heard: what a program that forgets it would leave."""
        self._folder = folder
        self._deaf_to = deaf_to
        self._top = Directory()

    def apply(self, call: Call) -> None:
        """Do what the call did; one that failed or is of no concern does nothing."""
        if call.result < 0:
            return
        apply = getattr(self, f"_{call.name}", None)
        paths = [*self._inside(call)]
        if not paths:
            return
        assert apply is not None, f"{call.name} is not known here, and it changed the folder"
        apply(call, *paths)

    def sync(self, call: Call) -> None:
        """Secure what a call that has returned Success was to secure: all that ended before it began."""
        if call.result != 0 or call.file is None or self._relative(call.file) is None:
            return
        path = self._relative(call.file) or ""
        entry = self._find(path)
        if entry is not None and not self._deaf_to(path):
            entry.synced = max(entry.synced, call.began)

    def left(self, keep: Keep = lambda: False) -> dict[str, bytes]:
        """The files that are left after a power cut now, by their paths relative to the folder."""
        files: dict[str, bytes] = {}
        pending: list[tuple[str, Directory]] = [("", self._top)]
        while pending:
            path, directory = pending.pop()
            for name, entry in directory.left(keep).items():
                if isinstance(entry, Directory):
                    pending.append((f"{path}{name}/", entry))
                else:
                    files[path + name] = entry.content(keep)
        return files

    def _inside(self, call: Call) -> list[str]:
        if (
            call.name
            in {"open", "openat", "creat", "mkdir", "mkdirat", "link", "linkat", "truncate"} | _NAMING
        ):
            named = [
                self._relative(literal.decode()) for literal in call.literals if literal.startswith(b"/")
            ]
        else:
            named = [self._relative(call.file)] if call.file else []
        return [path for path in named if path is not None]

    def _relative(self, path: str) -> str | None:
        if path == self._folder:
            return ""
        return path.removeprefix(f"{self._folder}/") if path.startswith(f"{self._folder}/") else None

    def _find(self, path: str) -> File | Directory | None:
        entry: File | Directory | None = self._top
        for name in path.split("/") if path else ():
            entry = entry.names.get(name) if isinstance(entry, Directory) else None
        return entry

    def _parent(self, path: str) -> tuple[Directory, str]:
        *above, name = path.split("/")
        parent = self._top
        for part in above:
            if part not in parent.names:
                # Of two calls at the same time the later one may have begun first: the mkdir is still to come.
                parent.put(NEVER, part, Directory())
            entry = parent.names[part]
            assert isinstance(entry, Directory), f"{part} is not known to be a directory"
            parent = entry
        return parent, name

    def _file(self, path: str) -> File:
        """The file; what was open before the recording began is taken up when it is first written."""
        found = self._find(path)
        if found is None:
            parent, name = self._parent(path)
            found = File()
            parent.put(-2, name, found)
        assert isinstance(found, File)
        return found

    def _openat(self, call: Call, path: str) -> None:
        flags = call.text.rpartition('"')[2]
        if "O_CREAT" in flags and self._find(path) is None:
            parent, name = self._parent(path)
            parent.put(call.ended, name, File())
        if "O_TRUNC" in flags:
            self._file(path).write(call.ended, 0, None)

    _open = _openat

    def _mkdir(self, call: Call, path: str) -> None:
        parent, name = self._parent(path)
        parent.put(call.ended, name, parent.names.get(name) or Directory())

    _mkdirat = _mkdir

    def _link(self, call: Call, source: str, target: str) -> None:
        parent, name = self._parent(target)
        parent.put(call.ended, name, self._file(source))

    _linkat = _link

    def _rename(self, call: Call, source: str, target: str) -> None:
        self._link(call, source, target)
        self._unlink(call, source)

    _renameat = _renameat2 = _rename

    def _unlink(self, call: Call, path: str) -> None:
        parent, name = self._parent(path)
        if name in parent.names:
            parent.put(call.ended, name, None)

    _unlinkat = _rmdir = _unlink

    def _write(self, call: Call, path: str) -> None:
        """A write without a position: all files that are written so are written from end to end."""
        file = self._file(path)
        content = b"".join(call.literals)[: call.result]
        file.write(call.ended, file.size, content)

    _writev = _write

    def _pwrite64(self, call: Call, path: str) -> None:
        content = b"".join(call.literals)[: call.result]
        self._file(path).write(call.ended, call.numbers[-1], content)

    def _ftruncate(self, call: Call, path: str) -> None:
        self._file(path).write(call.ended, call.numbers[-1], None)

    def _fsync(self, call: Call, path: str) -> None:
        """Takes effect when it returns; see `sync`."""

    _fdatasync = _fsync

    def _sync_file_range(self, call: Call, path: str) -> None:
        """Makes nothing durable: it neither waits nor has the disk's own memory emptied."""


_NAMING = {"rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "symlink", "symlinkat"}
