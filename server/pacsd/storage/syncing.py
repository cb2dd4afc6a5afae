"""Syncing the files of a batch side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from pacsd.errors import StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CompleteFile", "SyncThreads"]

MOST_THREADS: Final = 8
FILES_PER_THREAD: Final = 2
"""Waking a thread costs about as much processor time as one sync of a small file."""

Failure = StorageFull | StorageUnavailable


class CompleteFile(Protocol):
    """A file with all its content; see `storage.incoming.IncomingFile`."""

    def complete(self) -> None:
        """Hand all of the content to the system."""

    def sync(self) -> None:
        """Make the content durable."""


class SyncThreads:
    """Threads that wait for the disk, started when a batch first has work for them. May be used by several threads.

    One sync after the other leaves the disk idle between them; the interpreter lock is free while it works.
    Whoever forks must do so before the first large batch.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def make_durable(self, files: Sequence[CompleteFile]) -> list[Failure | None]:
        """Complete and sync these files; returns what went wrong with each, None where nothing did.

        A small batch is synced by the calling thread, which does its share of a larger one too.
        """
        failures: list[Failure | None] = [None] * len(files)
        for position, file in enumerate(files):
            try:
                file.complete()
            except (StorageFull, StorageUnavailable) as failure:
                failures[position] = failure
        pending = [position for position, failure in enumerate(failures) if failure is None]
        shares = max(1, min(MOST_THREADS, len(pending) // FILES_PER_THREAD))
        others = [
            self._threads().submit(_sync, files, pending[share::shares], failures)
            for share in range(1, shares)
        ]
        try:
            _sync(files, pending[::shares], failures)
        finally:
            # Also when this share failed: nobody may close a file that another thread is still syncing.
            errors = [other.exception() for other in others]
        for error in errors:
            if error is not None:
                raise error
        return failures

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(MOST_THREADS - 1, thread_name_prefix="sync")
            return self._executor


def _sync(files: Sequence[CompleteFile], positions: Sequence[int], failures: list[Failure | None]) -> None:
    for position in positions:
        try:
            files[position].sync()
        except (StorageFull, StorageUnavailable) as failure:
            failures[position] = failure
