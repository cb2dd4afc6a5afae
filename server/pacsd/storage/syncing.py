"""Syncing what a batch has changed side by side."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pacsd.errors import StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["CompleteFile", "SyncThreads", "make_durable"]

MOST_THREADS: Final = 8
SYNCS_PER_THREAD: Final = 2
"""Waking a thread costs about as much processor time as one sync of a small file."""

Item = TypeVar("Item")
Failure = StorageFull | StorageUnavailable


class CompleteFile(Protocol):
    """A file with all its content; see `storage.incoming.IncomingFile`."""

    def complete(self) -> None:
        """Hand all of the content to the system."""

    def write_back(self) -> None:
        """Set the disk to work without waiting for it."""

    def sync(self) -> None:
        """Make the content durable."""


class SyncThreads:
    """Threads that wait for the disk, started when a batch first has work for them. May be used by several threads.

    One sync after the other leaves the disk idle between them; the interpreter lock is free while it works.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def run(self, sync: Callable[[Item], None], items: Sequence[Item]) -> list[Exception | None]:
        """Call `sync` for each and return what each raised, None where nothing; none is under way any more then.

        A small batch is synced by the calling thread, which does its share of a larger one too.
        """
        errors: list[Exception | None] = [None] * len(items)
        shares = max(1, min(MOST_THREADS, len(items) // SYNCS_PER_THREAD))

        def sync_share(first: int) -> None:
            for position in range(first, len(items), shares):
                try:
                    sync(items[position])
                except Exception as error:
                    errors[position] = error

        others: list[Future[None]] = []
        try:
            others.extend(self._threads().submit(sync_share, share) for share in range(1, shares))
            sync_share(0)
        finally:
            if others:
                wait(others)
        return errors

    def close(self) -> None:
        """End the threads, as must be done before a fork; the next large batch starts them anew."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(MOST_THREADS - 1, thread_name_prefix="sync")
            return self._executor


def make_durable(files: Sequence[CompleteFile], threads: SyncThreads) -> list[Failure | None]:
    """Complete all files, set the disk to work on several, then sync them; see `FileStore.make_durable`."""
    failures: list[Failure | None] = [None] * len(files)
    for position, file in enumerate(files):
        try:
            file.complete()
            if len(files) > 1:
                file.write_back()
        except (StorageFull, StorageUnavailable) as failure:
            failures[position] = failure
    pending = [position for position, failure in enumerate(failures) if failure is None]
    errors = threads.run(lambda position: files[position].sync(), pending)
    for position, error in zip(pending, errors, strict=True):
        if isinstance(error, StorageFull | StorageUnavailable):
            failures[position] = error
        elif error is not None:
            raise error
    return failures
