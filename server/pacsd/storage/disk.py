"""What the store asks of the operating system, and its failures told in the archive's words."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import math
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.permissions import MOUNT_READ_WRITE, let_user

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MIN_FREE_INODES",
    "WatchedDisk",
    "spread_subdirectories",
    "start_writing_back",
    "storage_error",
    "storage_errors",
    "sync_directory",
]

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
NOT_PERMITTED: Final = let_user("write to the storage root")
ADVICE: Final = {
    errno.EACCES: NOT_PERMITTED,
    errno.EPERM: NOT_PERMITTED,
    errno.EROFS: MOUNT_READ_WRITE,
    errno.EIO: "check the disk: it reports input/output errors",
    errno.ENOENT: "a file or directory has gone from the storage root",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the system's limit of open files",
}


GET_FLAGS: Final = 0x80086601
SET_FLAGS: Final = 0x40086602
TOP_OF_HIERARCHIES: Final = 0x00020000
"""What `chattr +T` sets, FS_TOPDIR_FL."""
_FLAGS: Final = Struct("i")

SYNC_FILE_RANGE_WRITE: Final = 2


MIN_FREE_INODES: Final = 1000
"""Files that a disk must still be able to take: those that every store needs for a moment, and the database's."""


LEAST_WRITABLE: Final = 1 << 20
"""Bytes without which a server cannot begin to write: the database alone needs some of them."""


@dataclass(frozen=True, slots=True)
class Free:
    """What a file system can still take from the server's user."""

    space: int
    """Bytes."""
    inodes: float
    """Files; infinite where the file system sets no limit."""


@dataclass(frozen=True, slots=True)
class WatchedDisk:
    """A file system that is to be kept from being full."""

    folder: Path
    """A folder on it."""
    min_free_bytes: int
    setting: str
    """Which says so."""

    def free(self) -> Free:
        """Look; raises OSError."""
        status = os.statvfs(self.folder)
        return Free(status.f_bavail * status.f_frsize, status.f_favail if status.f_files else math.inf)

    def why_unwritable(self) -> str:
        """Return why the disk takes nothing any more, "" if it does; says nothing of permissions or a broken disk."""
        folder = next(
            path for path in (self.folder.absolute(), *self.folder.absolute().parents) if path.exists()
        )
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, LEAST_WRITABLE)
        except OSError as error:
            if error.errno in FULL or error.errno == errno.EROFS:
                return os.strerror(error.errno)
        return ""

    def shortage(self, free: Free, reserved: int = 0) -> str:
        """Return what there is too little of, "" if nothing; `reserved` bytes are about to be written.

        What matters most comes first: an Error Comment has 64 characters.
        """
        if free.space - reserved < self.min_free_bytes:
            about = f"{reserved} of them about to be written, " if reserved else ""
            return f"{self.setting}: {free.space} bytes free, {about}{self.min_free_bytes} to be kept free"
        if free.inodes < MIN_FREE_INODES:
            half = self.setting.partition(".")[0]
            return f"{half}: {free.inodes:.0f} inodes free, {MIN_FREE_INODES} to be kept free"
        return ""


def _sync_file_range() -> Any:
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call


_start = _sync_file_range()


def storage_error(action: str, error: OSError) -> StorageFull | StorageUnavailable:
    """Return `error` as `storage_errors` tells it, to be raised from it.

    For what is done for every object: a context manager made by a generator takes longer than some of the calls
    it guards.
    """
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in FULL:
        return StorageFull(f"cannot {action}: {reason}; free some space below the storage root")
    advice = ADVICE.get(error.errno or 0)
    return StorageUnavailable(
        f"cannot {action}: {reason}" + (f"; {advice}" if advice else ""),
        is_missing=error.errno == errno.ENOENT,
        lacks_resources=error.errno in SHORT_OF,
    )


@contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Turn `OSError` into `StorageFull` or `StorageUnavailable`, the cause kept.

    The message says what was being done (`action`), what the system said and, where known, what to do; it
    names no file, as paths lead to patients.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(action, error) from error


def start_writing_back(descriptor: int, position: int = 0, length: int = 0) -> None:
    """Ask the system to begin writing a part of a file to the disk, without waiting; 0 bytes means to its end.

    Makes nothing durable, it only shortens the sync that has to follow, and so no failure is told: what goes
    wrong while writing is that sync's to report. `posix_fadvise` would do as much, but gives up the file's cached
    pages and so makes a fetch of what has just come in read the disk. Does nothing where the system has no such
    call.
    """
    if _start is not None:
        _start(descriptor, position, length, SYNC_FILE_RANGE_WRITE)


def spread_subdirectories(path: Path | str) -> None:
    """Have the file system put what is made in a directory's subdirectories far apart, where it has such a notion.

    ext4 otherwise keeps them in one block group, with its inodes, bitmaps and locks: two processes that create
    files all the time are then in each other's way, and in that of whatever else is written or deleted there.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # another file system, or one that somebody else owns
            (flags,) = _FLAGS.unpack(fcntl.ioctl(descriptor, GET_FLAGS, _FLAGS.pack(0)))
            fcntl.ioctl(descriptor, SET_FLAGS, _FLAGS.pack(flags | TOP_OF_HIERARCHIES))
    finally:
        os.close(descriptor)


def sync_directory(path: Path | str) -> None:
    """Make a directory's entries durable; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
