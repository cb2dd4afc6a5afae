"""Sending a selection of instances to a destination, over as many associations as their contexts need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from dicomnet import AssociationEnded, DicomNet, RemoteProtocolError
from pacsd.errors import DestinationUnreachable
from pacsd.model import StoredInstance
from pacsd.scu.outgoing import associate, in_associations
from pacsd.scu.peer import Peer
from pacsd.scu.sender import InstanceSender
from pacsd.services.retrieve import Sent

__all__ = ["Delivery"]


class Delivery:
    """A context manager around the outgoing associations of one C-MOVE; they open as they are needed."""

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
        self._parts = in_associations(instances)
        self._new_net = new_net
        self._new_sender = new_sender
        self._calling_ae_title = calling_ae_title
        self._net: DicomNet | None = None
        self._sender: InstanceSender | None = None
        self._left_in_part = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def send(self, instance: StoredInstance) -> Sent:
        """Send the next instance, in the order of `instances`; raises DestinationUnreachable."""
        try:
            if not self._left_in_part:
                self._begin_part()
            self._left_in_part -= 1
            assert self._sender is not None  # noqa: S101 - _begin_part has made it
            return self._sender.send(instance)
        except (AssociationEnded, RemoteProtocolError) as error:
            raise DestinationUnreachable(f"{self._peer.ae_title}: {error}") from error

    def _begin_part(self) -> None:
        self._close()
        proposals, part = next(self._parts)
        self._net = self._new_net()
        associate(self._net, self._peer, proposals, calling_ae_title=self._calling_ae_title)
        self._sender = self._new_sender(self._net)
        self._left_in_part = len(part)

    def _close(self) -> None:
        if self._net is not None:
            if not self._net.is_associated:
                self._net.interrupt()  # an abort of ours was the last word; nobody need wait until it is heard
            self._net.close()
            self._net = None
