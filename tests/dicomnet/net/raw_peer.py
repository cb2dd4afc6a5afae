"""A peer that sends what it is told, when it is told, and reads only then."""

from __future__ import annotations

import select
import socket
import struct
from types import TracebackType
from typing import Self

from tests.dicomnet.net.nets import WITHIN, ask_for
from tests.dicomnet.pair import send, take_events

from dicomnet.connection import Connection, ConnectionEvent
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import Message
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.pdu import AssociateRequest
from dicomnet.upper_layer.writer import write_pdu


class RawPeer:
    """A requestor's socket; what it reads goes through a connection of its own, so that it can be looked at."""

    def __init__(self, address: tuple[str, int], *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WITHIN)
        self.socket.connect(address)
        self.connection = Connection(is_requestor=True)
        self._events: list[ConnectionEvent] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def associate(self, request: AssociateRequest | None = None) -> Self:
        """Ask and wait for the answer; context IDs are 1, 3, 5 … in the order of the SOP classes."""
        request = request or ask_for()
        self.connection.request_association(request)
        self.connection.transport_connected()
        self.connection.data_to_send()
        self.send(write_pdu(request))
        assert isinstance(self.read(), ul.AssociateAccepted)
        return self

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def send_message(self, context_id: int, message: Message, dataset: Dataset | None = None) -> None:
        self.send(send(self.connection, context_id, message, dataset))

    def read(self) -> ConnectionEvent | None:
        """Return the next event; None at the end of the stream."""
        while not self._events:
            received = self.socket.recv(1 << 16)
            if not received:
                return None
            self.connection.receive_data(received)
            self._events += take_events(self.connection)
        return self._events.pop(0)

    def read_to_end(self) -> list[ConnectionEvent]:
        """Return all events until the other side has said its last word."""
        events = []
        while (event := self.read()) is not None:
            events.append(event)
        return events

    def trickle(self, content: bytes, *, pause: float) -> int:
        """Send byte by byte with `pause` seconds between, until the other side speaks; return how many went."""
        for position in range(len(content)):
            if select.select([self.socket], [], [], pause)[0]:
                return position
            self.send(content[position : position + 1])
        return len(content)

    def reset(self) -> None:
        """Vanish: the other side's next read or write fails."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
