"""Sending a selection of instances to a destination, over as many associations as their contexts need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Self

import structlog

from dicomnet import AssociationEnded, DicomNet, RemoteProtocolError
from pacsd.errors import DestinationUnreachable
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
    ) -> None:
        self._peer = peer
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
        self._close()

    def send(self, instance: StoredInstance) -> Sent:
        """Send the next instance, in the order of `instances`; raises DestinationUnreachable."""
        if not self._left_in_part:
            self._close()
            self._proposals, self._left_in_part = next(self._parts)
        self._left_in_part -= 1
        sender = self._associated_sender()
        try:
            sent = sender.send(instance)
        except RemoteProtocolError as error:
            # It would be no better on another association, and has nothing to do with this object.
            raise DestinationUnreachable(f"{self._peer.ae_title}: {error}") from error
        except AssociationEnded as error:
            reason = f"{self._peer.ae_title}: {error}"
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
            self._close()
            self._net = self._new_net()
            try:
                associate(self._net, self._peer, self._proposals, calling_ae_title=self._calling_ae_title)
            except (AssociationEnded, RemoteProtocolError) as error:
                raise DestinationUnreachable(f"{self._peer.ae_title}: {error}") from error
            self._sender = self._new_sender(self._net)
        return self._sender

    def _close(self) -> None:
        self._sender = None
        if self._net is not None:
            if not self._net.is_associated:
                self._net.interrupt()  # an abort of ours was the last word; nobody need wait until it is heard
            self._net.close()
            self._net = None
