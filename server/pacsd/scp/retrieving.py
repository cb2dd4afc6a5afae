"""What C-MOVE and C-GET have in common: the sub-operations, their pending responses and the end (PS3.4 §C.4.2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dicomnet import (
    AssociationEnded,
    Status,
    SubOperationFields,
)
from pacsd.errors import DestinationUnreachable, IndexUnavailable, OperationCancelled, RetrieveCancelled
from pacsd.model import InstanceSelection, StoredInstance
from pacsd.query.information_models import RETRIEVE_MODELS
from pacsd.scp.operation import Operation
from pacsd.scp.selection import failed_list, read_selection
from pacsd.scp.statuses import Answer, counts, retrieve_answer
from pacsd.services.retrieve import Progress, Sent

__all__ = ["Retrieval", "answer_retrieve"]

_PENDING_INTERVAL: Final = 1.0
"""Seconds between pending responses: often enough that no peer times out, and no response for each object."""
_LOOK_INTERVAL: Final = 0.02
"""Seconds between looks whether the retrieve was cancelled, while it may be waiting for a destination."""
_LAST_SECONDS: Final = 0.03
"""That the sub-operation under way may still take when the retrieve was cancelled, before it is broken off."""


def answer_retrieve(
    operation: Operation,
    send: Callable[..., None],
    perform: Callable[[InstanceSelection, Callable[[SubOperationFields], None]], Answer],
) -> None:
    """Answer a C-GET or C-MOVE, whose responses `send` sends.

    `perform` is given what is selected and what sends pending responses, and returns the final one.
    """
    context, request = operation.context, operation.request

    def send_pending(counts: SubOperationFields) -> None:
        send(context, request, status=Status.PENDING, **counts)

    def respond(answer: Answer) -> None:
        send(context, request, status=answer.status, identifier=answer.identifier, **answer.fields)

    def performed() -> Answer:
        selection = read_selection(
            operation.read_identifier(),
            context.transfer_syntax,
            RETRIEVE_MODELS[context.abstract_syntax],
            relational=operation.options.relational,
            default_character_set=operation.net.admission.default_character_set,
        )
        return perform(selection, send_pending)

    operation.run(performed, respond)


@dataclass(slots=True, kw_only=True)
class Retrieval:
    """One C-MOVE or C-GET under way."""

    instances: Sequence[StoredInstance]
    transfer_syntax: str
    """Of the identifiers on the requestor's association."""
    send_pending: Callable[[SubOperationFields], None]
    is_cancelled: Callable[[], bool]
    clock: Callable[[], float]
    break_off: Callable[[], None] | None = None
    """Ends the sub-operation that is under way, from another thread: `send` raises RetrieveCancelled then.

    None where that would end the requestor's own association.
    """
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by who uses the requestor's association.

    A `send` whose C-STORE goes over it holds it too, from the request to its response: no other message may come
    between the PDVs of one (PS3.8 Annex E). Before, while the instance is verified and decompressed, the association
    is free; so it is all the time where sub-operations have associations of their own.
    """
    _end: Exception | None = None
    """What `is_cancelled` has said, or raised, by which the retrieve ends."""

    def perform(
        self, send: Callable[[StoredInstance], Sent], *, close: Callable[[], None] = lambda: None
    ) -> Answer:
        """Send all instances, then `close` what they were sent over; return the final response.

        A `send` that raises DestinationUnreachable has lost its association: what remains counts as failed, as it does
        where the index does not say any more where it is.
        """
        progress = Progress(remaining=len(self.instances))
        try:
            with self._watched(progress):
                cancelled = self._send_all(progress, send)
                close()
        except (DestinationUnreachable, IndexUnavailable) as error:
            progress.fail_remaining(self.instances)
            progress.reason = progress.reason or str(error)
            cancelled = False
        failed = failed_list(progress.failed_sop_instance_uids, self.transfer_syntax)
        return retrieve_answer(progress, cancelled=cancelled, failed_list=failed)

    def _send_all(self, progress: Progress, send: Callable[[StoredInstance], Sent]) -> bool:
        """Send until the end or until cancelled, which is returned; keep `progress` up to date."""
        try:
            return self._send_each(progress, send)
        except (OperationCancelled, RetrieveCancelled):
            with self.turn:
                self._is_at_end()  # or something else has ended it, which this raises
            return True

    def _send_each(self, progress: Progress, send: Callable[[StoredInstance], Sent]) -> bool:
        next_pending = self.clock()
        for instance in self.instances:
            with self.turn:
                if self._is_at_end():
                    return True
                if self.clock() >= next_pending:
                    self.send_pending(counts(progress, with_remaining=True))
                    next_pending = self.clock() + _PENDING_INTERVAL
            progress.count(send(instance))
        return False

    def _is_at_end(self) -> bool:
        """Say whether it was cancelled, or raise what else ends it: the same again, once it has. Needs the turn."""
        if self._end is None:
            try:
                if not self.is_cancelled():
                    return False
                self._end = RetrieveCancelled("the retrieve was cancelled")
            except Exception as error:
                self._end = error
        if not isinstance(self._end, RetrieveCancelled):
            raise self._end
        return True

    def is_over(self) -> bool:
        """Say whether nobody waits for the rest, for whoever takes long over one instance in the operation's thread."""
        with self.turn:
            try:
                return self._is_at_end()
            except AssociationEnded:
                return True

    def _is_to_be_broken_off(self) -> bool:
        """Say whether the requestor waits for the end. Where it is gone there is no hurry."""
        with self.turn:
            try:
                return self._is_at_end()
            except AssociationEnded:
                return False
            except Exception:
                return True  # as the operation's thread will be told

    @contextmanager
    def _watched(self, progress: Progress) -> Iterator[None]:
        """Send pending responses from time to time, whatever the thread of the operation is doing in the block.

        A large object, or a slow destination, would let the requestor believe that nobody is there any more. And where
        it cancels meanwhile, break off what is under way.
        """
        ended = threading.Event()

        def watch() -> None:
            remaining = len(self.instances) + 1
            interval = _PENDING_INTERVAL if self.break_off is None else _LOOK_INTERVAL
            next_pending = time.monotonic() + _PENDING_INTERVAL
            last_moment: float | None = None
            while not ended.wait(interval):
                now = time.monotonic()
                if self.break_off is not None and self._is_to_be_broken_off():
                    last_moment = last_moment or now + _LAST_SECONDS
                    if now >= last_moment:
                        self.break_off()
                    continue
                if now < next_pending:
                    continue
                next_pending = now + _PENDING_INTERVAL
                with self.turn:
                    lasts, remaining = remaining == progress.remaining, progress.remaining
                    if not lasts:
                        continue
                    try:
                        self.send_pending(counts(progress, with_remaining=True))
                    except AssociationEnded:
                        return  # the operation comes to know it by itself

        thread = threading.Thread(target=watch, name="retrieve-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
