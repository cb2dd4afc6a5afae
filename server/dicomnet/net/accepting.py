"""Who serves a connection that a listener has: `on_accept` is asked, `accept` is one way to answer."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from dicomnet.errors import LocalProtocolError
from dicomnet.net.association_steps import AssociationSteps
from dicomnet.net.configuration import NetConfiguration

if TYPE_CHECKING:
    from dicomnet.net.dicom_net import DicomNet

__all__ = ["Accepting"]


class Accepting(AssociationSteps):
    """The listener's question and its answers; on the listener's own thread."""

    def __init__(self, configuration: NetConfiguration) -> None:
        super().__init__(configuration)
        self._accepting: list[DicomNet] | None = None
        """Whom the connection that waits is given to; None while none waits."""

    @abstractmethod
    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        """Return the object that shall serve a new connection, or None to close it at once."""

    def accept(self, client: DicomNet) -> DicomNet:
        """Give the connection that `on_accept` is asked about to `client`, and return it.

        Returning an object from `on_accept` does the same. Raises LocalProtocolError at any other time, for a
        second object, and for one in use.
        """
        if self._accepting is None:
            raise LocalProtocolError("no connection waits to be accepted")
        if self._accepting or client.is_activated:
            raise LocalProtocolError("one unused object serves a connection")
        self._accepting.append(client)
        return client

    def admit(self, peer_address: tuple[str, int]) -> DicomNet | None:
        """Ask `on_accept` who serves a new connection; the listener's question."""
        accepted: list[DicomNet] = []
        self._accepting = accepted
        try:
            client = self.on_accept(peer_address)
        finally:
            self._accepting = None
        return client or next(iter(accepted), None)
