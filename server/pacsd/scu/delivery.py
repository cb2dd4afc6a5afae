"""Sending a selection of instances to a destination, over as many associations as their contexts need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Self

import structlog

from dicomnet import AssociationEnded, DicomNet, RemoteProtocolError
from pacsd.effort import LOOKS
from pacsd.errors import DestinationUnreachable, RetrieveCancelled
from pacsd.model import StoredInstance
from pacsd.scu.outgoing import AbstractAndTransferSyntaxes, associate, association_parts
from pacsd.scu.peer import Peer
from pacsd.scu.sender import InstanceSender
from pacsd.selected import kinds_of
from pacsd.services.retrieve import Sent, SubOperation

__all__ = ["Delivery"]

_log = structlog.get_logger()

_LOSSES_IN_A_ROW: Final = 3
"""So many associations that end before anything was answered on them, and no further one is tried."""


class Delivery:
    """A context manager around the outgoing associations of one C-MOVE; they open as they are needed.

    An association that is lost takes one instance with it; the rest go over a new one.
    """

    def __init__(
        self,
        peer: Peer,
        instances: Sequence[StoredInstance],
        *,
        new_net: Callable[[], DicomNet],
        new_sender: Callable[[DicomNet], InstanceSender],
        calling_ae_title: str,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_cancelled` is asked while an association is being opened."""
        self._peer = peer
        self._is_cancelled = is_cancelled
        self._is_broken_off = False
        self._parts = association_parts(kinds_of(instances))
        self._new_net = new_net
        self._new_sender = new_sender
        self._calling_ae_title = calling_ae_title
        self._proposals: list[AbstractAndTransferSyntaxes] = []
        """Of the part that is being sent."""
        self._net: DicomNet | None = None
        self._sender: InstanceSender | None = None
        self._left_in_part = 0
        self._losses = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def break_off(self) -> None:
        """End what is under way, from any thread: `send` raises RetrieveCancelled."""
        self._is_broken_off = True
        net = self._net
        if net is not None:
            net.interrupt()

    def send(self, instance: StoredInstance) -> Sent:
        """Send the next instance, in the order of `instances`; raises DestinationUnreachable, RetrieveCancelled."""
        if not self._left_in_part:
            self.close()
            self._proposals, self._left_in_part = next(self._parts)
        self._left_in_part -= 1
        sender = self._associated_sender()
        try:
            sent = sender.send(instance)
        except RemoteProtocolError as error:
            # It would be no better on another association, and has nothing to do with this object.
            raise DestinationUnreachable(f"{self._peer.ae_title}: {error}") from error
        except AssociationEnded as error:
            if self._is_broken_off:
                raise RetrieveCancelled("the retrieve was cancelled") from error
            reason = f"{self._peer.ae_title}: {error}"
            self.close()  # a peer that wants to release takes no more on it, though it still stands
            self._losses += 1
            if self._losses >= _LOSSES_IN_A_ROW:
                raise DestinationUnreachable(reason) from error
            _log.warning(
                "destination-association-lost", sop_instance_uid=instance.sop_instance_uid, reason=reason
            )
            return Sent(instance, SubOperation.FAILED, reason)
        self._losses = 0
        return sent

    def _associated_sender(self) -> InstanceSender:
        """Return who sends over the association that there is, or else over a new one."""
        if self._sender is None or self._net is None or not self._net.is_associated:
            self.close()
            try:
                self._net = self._associated_net()
            except (AssociationEnded, RemoteProtocolError) as error:
                raise DestinationUnreachable(f"{self._peer.ae_title}: {error}") from error
            self._sender = self._new_sender(self._net)
        return self._sender

    def _associated_net(self) -> DicomNet:
        """Open an association on another thread, as looking up a name and connecting cannot be broken off."""
        net = self._new_net()
        opening = _Opening(
            net,
            lambda: associate(net, self._peer, self._proposals, calling_ae_title=self._calling_ae_title),
        )
        with net.configuration.while_waiting:
            opening.start()
            while not opening.has_ended.wait(LOOKS):
                if self._is_cancelled():
                    opening.abandon()
                    raise RetrieveCancelled("the retrieve was cancelled")
        if opening.error is not None:
            raise opening.error
        return net

    def close(self) -> None:
        """Release the association that there is; may be called again."""
        self._sender = None
        if self._net is not None:
            if not self._net.is_associated:
                self._net.interrupt()  # an abort of ours was the last word; nobody need wait until it is heard
            self._net.close()
            self._net = None


class _Opening(threading.Thread):
    """An association that is being opened."""

    def __init__(self, net: DicomNet, open_association: Callable[[], None]) -> None:
        super().__init__(name="delivery-opening", daemon=True)
        self._net = net
        self._open = open_association
        self._lock = threading.Lock()
        self._is_abandoned = False
        self.has_ended = threading.Event()
        self.error: Exception | None = None
        """Why it could not be opened, once it has ended."""

    def run(self) -> None:
        """Open it, and close it again where nobody waits for it any more."""
        try:
            self._open()
        except Exception as error:
            self.error = error
        with self._lock:
            self.has_ended.set()
            is_abandoned = self._is_abandoned
        if is_abandoned:
            self._net.close(graceful=False)

    def abandon(self) -> None:
        """Wait for it no more."""
        with self._lock:
            self._is_abandoned = True
            has_ended = self.has_ended.is_set()
        self._net.interrupt()
        if has_ended:
            self._net.close(graceful=False)
