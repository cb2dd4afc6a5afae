"""A stored file that is open for reading: whole until it is closed, whatever becomes of its name."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pacsd.errors import StorageUnavailable
from pacsd.storage.disk import storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["OpenedFile"]


class OpenedFile:
    """A context manager that closes the file. Nothing is buffered, and several threads may read at once.

    It is read by `pread` and `preadv` and never mapped: what a disk cannot read is then the error of one call, where a
    mapping would end the process by SIGBUS. All methods raise what `failure` makes of an `OSError` and of what was
    being done, and `ValueError` once it is closed.
    """

    def __init__(self, path: str, *, failure: Callable[[str, OSError], Exception] = storage_error) -> None:
        self._failure = failure
        self._descriptor = -1
        try:
            # A pipe in its place would keep us waiting for who writes to it.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._status = os.fstat(self._descriptor)
            if stat.S_ISDIR(self._status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except OSError as error:
            self.close()
            raise failure("open a stored object", error) from error
        if not stat.S_ISREG(self._status.st_mode):
            self.close()
            raise StorageUnavailable("cannot open a stored object: it is no file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes, as it was opened."""
        return self._status.st_size

    @property
    def received_at(self) -> datetime:
        """When its content was written last, in UTC."""
        return datetime.fromtimestamp(self._status.st_mtime, UTC)

    @property
    def version(self) -> Hashable:
        """What the system says of a file as long as nobody touches it."""
        status = self._status
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on, less only at its end."""
        end = min(position + length, self.size)
        pieces: list[bytes] = []
        # In one piece, unless it has more than 2 GiB: the system gives no more at once.
        while position < end:
            try:
                piece = os.pread(self._opened, end - position, position)
            except OSError as error:
                raise self._failure("read a stored object", error) from error
            if not piece:
                break  # it was cut since it was opened
            pieces.append(piece)
            position += len(piece)
        return b"".join(pieces)

    def read_into(self, position: int, buffers: Sequence[memoryview]) -> int:
        """Fill buffers, one after the other, from `position` on, by one call; return how many bytes, 0 at its end."""
        try:
            return os.preadv(self._opened, buffers, position)
        except OSError as error:
            raise self._failure("read a stored object", error) from error

    def forget_cached(self) -> None:
        """Have the system read what is asked for next from the disk, and keep none of what was read."""
        try:
            os.posix_fadvise(self._opened, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self._failure("read a stored object", error) from error

    def close(self) -> None:
        """Close it; may be called again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError as error:
                raise self._failure("close a stored object", error) from error

    @property
    def _opened(self) -> int:
        if self._descriptor < 0:
            raise ValueError("the object is closed")
        return self._descriptor
