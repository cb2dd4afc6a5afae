"""What one association brings in: instances that were received and wait to be finished, together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import structlog

from pacsd.model import CommitOutcome
from pacsd.services.ingest import IncomingInstance, Ingest, ReceivedInstance
from pacsd.services.ports import Fragment

__all__ = ["Intake"]

_log = structlog.get_logger()


class Intake:
    """For one association, and its thread."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._unfinished: list[ReceivedInstance] = []
        self._has_warned = False

    def receive(self, incoming: IncomingInstance, dataset: Iterable[Fragment]) -> Callable[[], CommitOutcome]:
        """Write one instance down from the fragments of its data set; the function returned finishes it.

        That is to be called once, and says what became of the instance: when it returns, the instance (or, for a
        duplicate, the one kept) survives a power cut. The first to be called does the work for all that have been
        received until then. Both raise DatasetInvalid, DuplicateInstance, StorageFull, StorageUnavailable or
        IndexUnavailable, and this whatever `dataset` raises; then nothing of the instance is left behind, unless
        the index failed while it committed.
        """
        received = self._ingest.receive(incoming, dataset)
        self._unfinished.append(received)
        if not (self._has_warned or received.has_valid_uids):
            # Once: a device that makes one such UID makes thousands.
            self._has_warned = True
            _log.warning("uid-not-valid", sop_instance_uid=incoming.sop_instance_uid)
        return partial(self._finish, received)

    def _finish(self, received: ReceivedInstance) -> CommitOutcome:
        unfinished, self._unfinished = self._unfinished, []
        self._ingest.hand_in(unfinished)
        return self._ingest.finish(received)
