"""What C-MOVE and C-GET have in common: the sub-operations, their pending responses and the end (PS3.4 §C.4.2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dicomnet import AssociationEnded, SubOperationFields
from pacsd.errors import DestinationUnreachable, IndexUnavailable, RetrieveCancelled
from pacsd.model import StoredInstance
from pacsd.scp.selection import failed_list
from pacsd.scp.statuses import Answer, counts, retrieve_answer
from pacsd.services.retrieve import Progress, Sent

__all__ = ["Retrieval"]

_PENDING_INTERVAL: Final = 1.0
"""Seconds between pending responses: often enough that no peer times out, and no response for each object."""


@dataclass(slots=True, kw_only=True)
class Retrieval:
    """One C-MOVE or C-GET under way."""

    instances: Sequence[StoredInstance]
    transfer_syntax: str
    """Of the identifiers on the requestor's association."""
    send_pending: Callable[[SubOperationFields], None]
    is_cancelled: Callable[[], bool]
    clock: Callable[[], float]
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by who uses the requestor's association.

    A `send` whose C-STORE goes over it holds it too, from the request to its response: no other message may come
    between the PDVs of one (PS3.8 Annex E). Before, while the instance is verified and decompressed, the association
    is free; so it is all the time where sub-operations have associations of their own.
    """

    def perform(self, send: Callable[[StoredInstance], Sent]) -> Answer:
        """Send all instances; return the final response.

        A `send` that raises DestinationUnreachable has lost its association: what remains counts as failed, as it does
        where the index does not say any more where it is.
        """
        progress = Progress(remaining=len(self.instances))
        try:
            with self._pending_while_one_lasts(progress):
                cancelled = self._send_all(progress, send)
        except (DestinationUnreachable, IndexUnavailable) as error:
            progress.fail_remaining(self.instances)
            progress.reason = progress.reason or str(error)
            cancelled = False
        failed = failed_list(progress.failed_sop_instance_uids, self.transfer_syntax)
        return retrieve_answer(progress, cancelled=cancelled, failed_list=failed)

    def _send_all(self, progress: Progress, send: Callable[[StoredInstance], Sent]) -> bool:
        """Send until the end or until cancelled, which is returned; keep `progress` up to date."""
        next_pending = self.clock()
        for instance in self.instances:
            with self.turn:
                if self.is_cancelled():
                    return True
                if self.clock() >= next_pending:
                    self.send_pending(counts(progress, with_remaining=True))
                    next_pending = self.clock() + _PENDING_INTERVAL
            try:
                progress.count(send(instance))
            except RetrieveCancelled:
                return True
        return False

    def is_over(self) -> bool:
        """Say whether nobody waits for the rest, for whoever takes long over one instance in the operation's thread."""
        with self.turn:
            try:
                return self.is_cancelled()
            except AssociationEnded:
                return True

    @contextmanager
    def _pending_while_one_lasts(self, progress: Progress) -> Iterator[None]:
        """Send pending responses from time to time, whatever the thread of the operation is doing in the block.

        A large object, or a slow destination, would let the requestor believe that nobody is there any more.
        """
        ended = threading.Event()

        def send_pendings() -> None:
            remaining = len(self.instances) + 1
            while not ended.wait(_PENDING_INTERVAL):
                with self.turn:
                    lasts, remaining = remaining == progress.remaining, progress.remaining
                    if not lasts:
                        continue
                    try:
                        self.send_pending(counts(progress, with_remaining=True))
                    except AssociationEnded:
                        return  # the operation comes to know it by itself

        thread = threading.Thread(target=send_pendings, name="pending responses", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
