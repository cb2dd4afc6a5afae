"""One object on its way in: a file under `incoming/` that is published whole or leaves nothing behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NoReturn, Self

from pacsd.dataset.checksums import new_checksum
from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.storage.disk import start_writing_back, storage_error
from pacsd.storage.layout import instance_path

if TYPE_CHECKING:
    from types import TracebackType

    from pacsd.model import InstanceRecord
    from pacsd.storage.filesystem import FileStore

__all__ = ["IncomingFile"]

PREFIX_LENGTH: Final = 65536
"""Bytes of the data set kept in memory for the header scan."""
GATHERED_LENGTH: Final = 65536
"""Bytes of small fragments that are put together before they are written."""
LARGE_FRAGMENT: Final = 32768
"""Bytes from which on a fragment is written from where it is instead of copied."""
RESERVED_AT_FIRST: Final = 131072
RESERVED_AT_ONCE: Final = 1 << 20
"""Bytes that a larger object reserves of the disk before it goes on; they stay reserved until they are all written."""
EARLY_LENGTH: Final = 1 << 20
"""Bytes after which the disk is set to work while more are still coming."""

Fragment = bytes | bytearray | memoryview


class IncomingFile:
    """A context manager: leaving it removes the name under `incoming/`, and unless it is published, the file.

    For one thread at a time. A published file has both names until `close`: that tells it from one that nobody is
    about to commit. It is finished in two steps: `complete` by whoever receives it, and then `sync`, best by
    `FileStore.make_durable` together with others.

    All methods raise `StorageFull` or `StorageUnavailable` where the disk fails, upon which the file is gone,
    as after a failed write or sync nobody knows what it holds. Using it further raises `ValueError`.
    """

    def __init__(self, store: FileStore, path: str, header: bytes, algorithm: str) -> None:
        self._store = store
        self._path = path
        self._header_length = len(header)
        self._algorithm = algorithm
        self._checksum = new_checksum(algorithm)
        self._prefix: bytes | bytearray = b""
        self._gathered = bytearray(header)
        self._size = 0
        self._written = 0
        self._started = 0
        self._completed = False
        self._finished = False
        self._published = False
        store.room.reserve(RESERVED_AT_FIRST)
        self._reserved = RESERVED_AT_FIRST
        self._reserved_until = RESERVED_AT_FIRST
        """What `_written` may become without a further reservation."""
        try:
            self._descriptor: int | None = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640
            )
        except OSError as error:
            self._release()
            raise storage_error("create a file for an incoming object", error) from error
        self._exists = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes of the data set so far; the whole file has those of the header more."""
        return self._size

    @property
    def prefix(self) -> bytes:
        """The first 64 KiB of the data set, or all of it if it is smaller."""
        return bytes(self._prefix)

    @property
    def checksum(self) -> str:
        """Of the data set so far, as `algorithm:hex`."""
        return f"{self._algorithm}:{self._checksum.hexdigest()}"

    def write(self, fragment: Fragment) -> None:
        """Append a fragment of the data set; its memory may be reused when this returns."""
        if self._completed or not self._exists:
            raise ValueError("the file is finished")
        self._checksum.update(fragment)
        length = len(fragment)
        self._size += length
        missing = PREFIX_LENGTH - len(self._prefix)
        if missing > 0:
            beginning = fragment if length <= missing else memoryview(fragment)[:missing]
            if not self._prefix:
                self._prefix = bytes(beginning)  # which is all of it, most often
            else:
                if isinstance(self._prefix, bytes):
                    self._prefix = bytearray(self._prefix)
                self._prefix += beginning
        if length >= LARGE_FRAGMENT:
            self._write_out(fragment)
        else:
            self._gathered += fragment
            if len(self._gathered) >= GATHERED_LENGTH:
                self._write_out()
        if self._written - self._started >= EARLY_LENGTH:
            self.write_back()

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes of the data set from `position` on, less only at its end."""
        self._write_out()
        self._make_sure_it_exists()
        try:
            return os.pread(self._opened, length, self._header_length + position)
        except OSError as error:
            self._give_up("read an incoming object", error)

    def complete(self) -> None:
        """Hand all of the content to the system; nothing may be written after it.

        Nothing is durable before `sync`. May be called again.
        """
        self._write_out()
        self._make_sure_it_exists()
        self._completed = True
        if self._reserved:
            self._release()

    def write_back(self) -> None:
        """Set the disk to work, without waiting: worth it where something else is done before `sync`."""
        if self._store.sync and self._written > self._started:
            start_writing_back(self._opened, self._started, self._written - self._started)
            self._started = self._written

    def sync(self) -> None:
        """Make the completed content durable (unless the store doesn't sync).

        May be called again, but not after it failed: the kernel forgets a failed write-back once it has told of
        it. Raises `ValueError` before `complete`.
        """
        self._make_sure_it_exists()
        if not self._completed:
            raise ValueError("only a completed file can be synced")
        if self._store.sync and not self._finished:
            try:
                os.fdatasync(self._opened)
            except OSError as error:
                self._give_up("make an incoming object durable", error)
        self._finished = True

    def publish(self, record: InstanceRecord) -> str:
        """Put the finished file into the final place for the instance that it holds; return that, relative to the root.

        That is beside `layout.instance_path`, under a name that no file has or had before; see `path_of_receipt`. The
        new directory entry is durable only after `FileStore.make_names_durable`. The name under `incoming/` stays until
        `close`. Raises `ValueError` before `sync`.
        """
        if not self._finished or self._published or not self._exists:
            raise ValueError("only a finished file can be published, and only once")
        try:
            self._close_descriptor()
        except OSError as error:
            self._give_up("close an incoming object", error)
        path = instance_path(
            record.received_at,
            record.study_instance_uid,
            record.series_instance_uid,
            record.sop_instance_uid,
        )
        published = self._store.link(self._path, path)
        self._published = True
        return published

    def close(self) -> None:
        """Remove the file from `incoming/`; the published one, if any, stays. May be called again."""
        if not self._exists:
            return
        self._exists = False
        if self._reserved:
            self._release()
        try:
            try:
                self._close_descriptor()
            finally:
                os.unlink(self._path)  # noqa: PTH108 - for every object, and pathlib takes several times as long
        except FileNotFoundError:
            return  # somebody has cleared up
        except OSError as error:
            raise storage_error("remove a file from incoming/", error) from error

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError("the file is published or removed")
        return self._descriptor

    def _make_sure_it_exists(self) -> None:
        if not self._exists:
            raise ValueError("the file has been removed from incoming/")

    def _give_up(self, action: str, error: OSError) -> NoReturn:
        self.close()
        raise storage_error(action, error) from error

    def _write_out(self, fragment: Fragment = b"") -> None:
        """Write what was gathered and then `fragment`, all of it however little the system takes at once."""
        buffers = [memoryview(buffer).cast("B") for buffer in (self._gathered, fragment) if len(buffer)]
        if not buffers:
            return
        self._make_sure_it_exists()
        until = self._header_length + self._size
        if until > self._reserved_until:
            self._reserve(until - self._written)
        try:
            self._write_all(buffers)
        except OSError as error:
            self._give_up("write an incoming object", error)
        self._gathered = bytearray()

    def _reserve(self, length: int) -> None:
        """Make sure that so much more may be written without touching what is to be kept free of the disk."""
        reserved = max(length, RESERVED_AT_ONCE)
        try:
            # In the place of what was reserved before: the disk has got that, as far as it is written.
            self._store.room.reserve(reserved - self._reserved)
        except (StorageFull, StorageUnavailable):
            self.close()
            raise
        self._reserved = reserved
        self._reserved_until = self._written + reserved

    def _release(self) -> None:
        self._store.room.release(self._reserved)
        self._reserved = 0

    def _write_all(self, buffers: list[memoryview]) -> None:
        while buffers:
            written = os.writev(self._opened, buffers)
            if written <= 0:
                self.close()
                raise StorageUnavailable("cannot write an incoming object: no bytes were taken")
            self._written += written
            while buffers and written >= len(buffers[0]):
                written -= len(buffers.pop(0))
            if written:
                buffers[0] = buffers[0][written:]
