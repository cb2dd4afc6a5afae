"""Group commit: many threads hand in work, one of them does it for all (leader and followers).

The first to wait for its work leads: it takes everything that is queued, commits it at once, wakes those it did it
for and leaves the lead to the next that waits. There is no timer and no extra thread, so a lone item is not delayed,
and batches grow by themselves with the time that a commit takes.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

__all__ = ["GroupCommit"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_LARGEST_BATCH: Final = 256


class _Entry(Generic[Item, Result]):
    """One item, and the thread that waits for its result, if one does already."""

    __slots__ = ("error", "is_settled", "item", "result", "waiting")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.is_settled = False
        self.result: Result | None = None
        self.error: Exception | None = None
        self.waiting: threading.Lock | None = None
        """Held while a thread waits; released to wake it."""


class GroupCommit(Generic[Item, Result]):
    """Runs `commit` for several callers of `submit` at once, and never twice at the same time.

    `commit` takes a batch in the order of submission and returns a result, or an exception in its place, for
    each item of it; what it raises concerns the whole batch. As one exception raised in several threads would
    collect the tracebacks of all, each caller but the first gets a copy, with the original as its cause.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        observe_lead: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`observe_lead` is told when a commit begins, and when it has ended."""
        self._commit = commit
        self._observe_lead = observe_lead
        self._lock = threading.Lock()
        self._queue: list[_Entry[Item, Result]] = []
        self._has_leader = False

    def submit(self, item: Item) -> Callable[[], Result]:
        """Queue an item for whoever leads next; the function returned waits for its result, or raises its error.

        It is to be called, from any thread: an item that nobody waits for is committed only along with others.
        """
        entry: _Entry[Item, Result] = _Entry(item)
        with self._lock:
            self._queue.append(entry)
        return partial(self._result_of, entry)

    def _result_of(self, entry: _Entry[Item, Result]) -> Result:
        while not entry.is_settled:
            waiting = self._join(entry)
            if waiting is not None:
                waiting.acquire()  # until its batch is committed, or nobody leads
            elif not entry.is_settled:
                self._lead()
        if entry.error is not None:
            raise entry.error
        return entry.result  # type: ignore[return-value] # settled without an error, it is the commit's result

    def _join(self, entry: _Entry[Item, Result]) -> threading.Lock | None:
        """Take the lead, or return the lock to wait for; None as well where there is nothing left to wait for."""
        with self._lock:
            if entry.is_settled:
                return None
            if not self._has_leader:
                self._has_leader = True
                return None
            entry.waiting = threading.Lock()
            entry.waiting.acquire()
            return entry.waiting

    def _lead(self) -> None:
        with self._lock:
            batch = self._queue[:_LARGEST_BATCH]
            del self._queue[:_LARGEST_BATCH]
        self._observe_lead(True)
        try:
            self._settle(batch)
        finally:
            self._observe_lead(False)
            with self._lock:
                self._has_leader = False
                successor = next((entry for entry in self._queue if entry.waiting is not None), None)
                woken = [*batch, successor] if successor is not None else batch
                for entry in woken:
                    if entry.waiting is not None:
                        entry.waiting.release()
                        entry.waiting = None

    def _settle(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        try:
            results = self._commit([entry.item for entry in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for a batch of {len(batch)}")  # noqa: TRY301
        except Exception as error:
            for entry in batch:
                entry.error = error if entry is batch[0] else _copy_of(error)
        else:
            for entry, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    entry.error = result
                else:
                    entry.result = result
        for entry in batch:
            entry.is_settled = True


def _copy_of(error: Exception) -> Exception:
    try:
        twin = copy.copy(error)
    except TypeError:  # its class cannot be made from its arguments
        twin = RuntimeError(str(error))
    twin.__cause__ = error
    return twin
