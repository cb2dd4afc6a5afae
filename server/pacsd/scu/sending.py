"""Sending files by C-STORE, over as many associations as their contexts and the peer's manners need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from dicomnet import AssociationEnded, DicomNet, LocalProtocolError
from pacsd.errors import DestinationUnreachable, StorageUnavailable, TranscodingFailed
from pacsd.model import StoredInstance
from pacsd.scu.association import association
from pacsd.scu.outgoing import MAX_CONTEXTS, AbstractAndTransferSyntaxes, in_associations, storage_syntaxes
from pacsd.scu.peer import Peer
from pacsd.scu.sender import OUTCOMES
from pacsd.scu.storing import StoreRequester, Transcode
from pacsd.scu.verdicts import verdict
from pacsd.services.ports import OpenedObject
from pacsd.services.retrieve import Sent, SubOperation

__all__ = ["FileSender"]

_LOSSES_IN_A_ROW: Final = 3
"""So many associations that end before anything was answered on them, and no further one is tried."""


class FileSender:
    """Sends instances in files (`path` is where they are) to one peer. `open_file` may raise StorageUnavailable."""

    def __init__(
        self,
        peer: Peer,
        *,
        calling_ae_title: str,
        new_net: Callable[[], DicomNet],
        open_file: Callable[[str], OpenedObject],
        transcode: Transcode,
    ) -> None:
        self._open_file = open_file
        self._peer = peer
        self._calling_ae_title = calling_ae_title
        self._new_net = new_net
        self._transcode = transcode
        self._losses = 0

    def send(self, instances: Sequence[StoredInstance]) -> Iterator[Sent]:
        """Send each instance once and yield how it went; raises nothing that is the peer's or a file's fault.

        An association that is lost takes one instance with it; the rest go over a new one. Where none can be had,
        all that remain have failed.
        """
        unreachable = ""
        for proposals, part in in_associations(_in_good_order(instances)):
            remaining = deque(part)
            while remaining and not unreachable:
                try:
                    yield from self._send_part(proposals, remaining)
                except DestinationUnreachable as error:
                    unreachable = str(error)
            for instance in remaining:
                yield Sent(instance, SubOperation.FAILED, unreachable)

    def _send_part(
        self, proposals: Sequence[AbstractAndTransferSyntaxes], remaining: deque[StoredInstance]
    ) -> Iterator[Sent]:
        """Send over one association what it can carry, taking it off `remaining`."""
        with association(
            self._new_net(), self._peer, proposals, calling_ae_title=self._calling_ae_title
        ) as net:
            requester = StoreRequester(net, self._transcode)
            while remaining and net.is_associated:
                try:
                    sent = self._send_one(requester, remaining[0])
                except AssociationEnded as error:
                    self._losses += 1
                    if self._losses >= _LOSSES_IN_A_ROW:
                        raise
                    yield Sent(remaining.popleft(), SubOperation.FAILED, str(error))
                    return
                remaining.popleft()
                yield sent

    def _send_one(self, requester: StoreRequester, instance: StoredInstance) -> Sent:
        try:
            with self._open_file(instance.path) as file:
                response = requester.store(instance, file)
        except (StorageUnavailable, TranscodingFailed, LocalProtocolError) as error:
            return Sent(instance, SubOperation.FAILED, str(error))
        self._losses = 0
        outcome = OUTCOMES.get(response.status_class, SubOperation.FAILED)
        return Sent(instance, outcome, "" if outcome is SubOperation.COMPLETED else verdict(response))


def _in_good_order(instances: Sequence[StoredInstance]) -> Sequence[StoredInstance]:
    """Keep studies together, unless the contexts need several associations: then what shares one comes together."""
    pairs = dict.fromkeys((instance.sop_class_uid, instance.transfer_syntax_uid) for instance in instances)
    if len(storage_syntaxes(pairs)) <= MAX_CONTEXTS:
        return instances
    return sorted(instances, key=lambda instance: (instance.sop_class_uid, instance.transfer_syntax_uid))
