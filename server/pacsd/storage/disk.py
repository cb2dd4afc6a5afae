"""Failures of the operating system's file calls, told in the archive's words."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pacsd.errors import StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["storage_errors", "sync_directory"]

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
ADVICE: Final = {
    errno.EACCES: "give the server's user write permission on the storage root",
    errno.EPERM: "give the server's user write permission on the storage root",
    errno.EROFS: "mount the file system read-write",
    errno.EIO: "check the disk: it reports input/output errors",
    errno.ENOENT: "a file or directory has gone from the storage root",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the system's limit of open files",
}


@contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Turn `OSError` into `StorageFull` or `StorageUnavailable`, the cause kept.

    The message says what was being done (`action`), what the system said and, where known, what to do; it
    names no file, as paths lead to patients.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno in FULL:
            raise StorageFull(f"cannot {action}: {reason}; free some space below the storage root") from error
        advice = ADVICE.get(error.errno or 0)
        raise StorageUnavailable(f"cannot {action}: {reason}" + (f"; {advice}" if advice else "")) from error


def sync_directory(path: Path | str) -> None:
    """Make a directory's entries durable; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
