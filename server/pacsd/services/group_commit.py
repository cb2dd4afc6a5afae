"""Group commit: many threads hand in work, one of them does it for all (leader and followers).

The first to come leads: it takes everything that is queued, commits it at once, wakes those it did it for and
hands the lead to the next that waits. There is no timer and no extra thread, so a lone item is not delayed, and
batches grow by themselves with the time that a commit takes.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["GroupCommit"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_LARGEST_BATCH: Final = 256


class _Entry(Generic[Item, Result]):
    """One item, and the thread that waits for its result."""

    __slots__ = ("error", "item", "result", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.wake = threading.Event()
        self.result: Result | None = None
        self.error: Exception | None = None


class GroupCommit(Generic[Item, Result]):
    """Runs `commit` for several callers of `submit` at once, and never twice at the same time.

    `commit` takes a batch in the order of submission and returns a result, or an exception in its place, for
    each item of it; what it raises concerns the whole batch. As one exception raised in several threads would
    collect the tracebacks of all, each caller but the first gets a copy, with the original as its cause.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result | Exception]]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._queue: list[_Entry[Item, Result]] = []
        self._has_leader = False

    def submit(self, item: Item) -> Result:
        """Return the result for `item` when its batch is committed, or raise what went wrong with it."""
        entry: _Entry[Item, Result] = _Entry(item)
        with self._lock:
            self._queue.append(entry)
            leads = not self._has_leader
            self._has_leader = True
        if not leads:
            entry.wake.wait()
        if entry.result is None and entry.error is None:  # nobody has done it: the lead is ours
            self._lead()
        if entry.error is not None:
            raise entry.error
        assert entry.result is not None  # noqa: S101 - _lead leaves one or the other
        return entry.result

    def _lead(self) -> None:
        with self._lock:
            batch = self._queue[:_LARGEST_BATCH]
            del self._queue[:_LARGEST_BATCH]
        try:
            self._settle(batch)
        finally:
            with self._lock:
                successor = self._queue[0] if self._queue else None
                self._has_leader = successor is not None
            for entry in batch:
                entry.wake.set()
            if successor is not None:
                successor.wake.set()

    def _settle(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        try:
            results = self._commit([entry.item for entry in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for a batch of {len(batch)}")  # noqa: TRY301
        except Exception as error:
            batch[0].error = error
            for entry in batch[1:]:
                entry.error = _copy_of(error)
            return
        for entry, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                entry.error = result
            else:
                entry.result = result


def _copy_of(error: Exception) -> Exception:
    try:
        twin = copy.copy(error)
    except TypeError:  # its class cannot be made from its arguments
        twin = RuntimeError(str(error))
    twin.__cause__ = error
    return twin
