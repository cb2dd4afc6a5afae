"""State and information of a DicomNet: what it is doing, whom it belongs to, whom it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.exchange import Conversation
from dicomnet.net.listener import Listener

if TYPE_CHECKING:
    from dicomnet.net.dicom_net import DicomNet

__all__ = ["Information"]


class Information(Conversation):
    """What can be asked of a DicomNet at any time, from any thread."""

    def __init__(self, configuration: NetConfiguration) -> None:
        super().__init__(configuration)
        self._server: DicomNet | None = None
        self._listener: Listener | None = None

    @property
    def server(self) -> DicomNet | None:
        """The listener that accepted this connection; None where we connected ourselves."""
        return self._server

    @property
    def is_activated(self) -> bool:
        """A socket is open: listening or connected."""
        return self._listener is not None or self._channel is not None

    @property
    def is_connected(self) -> bool:
        """A transport connection stands."""
        return self._channel is not None

    @property
    def is_associated(self) -> bool:
        """An association stands (PS3.8 §9.2.1: Sta6 to Sta12)."""
        channel = self._channel  # once: its own thread may take it away meanwhile
        return channel is not None and channel.connection.is_associated

    @property
    def clients(self) -> list[DicomNet]:
        """The open connections of this listener, the oldest first."""
        listener = self._listener
        return listener.clients if listener else []

    @property
    def client_count(self) -> int:
        """How many connections this listener has open."""
        return len(self.clients)

    def get_client(self, index: int) -> DicomNet:
        """Return an open connection of this listener by its place among them; raises IndexError.

        A place is good for one call: as connections end, those behind move up.
        """
        clients = self.clients
        if not 0 <= index < len(clients):
            raise IndexError(f"no client {index}, there are {len(clients)}")
        return clients[index]

    @property
    def queue_send(self) -> int:
        """How many messages are being sent and not yet wholly handed to the socket: sending blocks, so 0 or 1."""
        channel = self._channel
        return channel.messages_under_way if channel else 0

    @property
    def queue_send_bytes(self) -> int:
        """How many bytes the kernel holds that the peer has not yet acknowledged."""
        channel = self._channel
        return channel.transport.unsent_bytes if channel else 0

    @property
    def bytes_received(self) -> int:
        """From the peer, on the present connection; still there in `on_close`."""
        channel = self._channel
        return channel.transport.bytes_received if channel else 0

    @property
    def bytes_sent(self) -> int:
        """To the peer, on the present connection; still there in `on_close`."""
        channel = self._channel
        return channel.transport.bytes_sent if channel else 0
