"""A peer that accepts one association, says what it is told and reads only when it is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.dicomnet.net.nets import WITHIN
from tests.dicomnet.pair import EXPLICIT, send, take_events

from dicomnet.connection import Connection
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import Message
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.negotiation import SupportedAbstractSyntax, answer_request


class RawAcceptor:
    """An acceptor's socket; `accept` belongs on a thread beside the requestor's."""

    def __init__(self, listening: socket.socket) -> None:
        self.address: tuple[str, int] = listening.getsockname()
        self._listening = listening
        self._connection = Connection(is_requestor=False)
        self._messages: list[MessageReceived] = []

    def accept(self, *, maximum_operations: int = 1) -> None:
        """Accept a connection, and on it all contexts in Explicit VR Little Endian, in both roles."""
        self._socket, _ = self._listening.accept()
        self._socket.settimeout(WITHIN)
        self._connection.transport_accepted()
        self._maximum_operations = maximum_operations
        while not self._connection.is_associated:
            self._receive()

    def read(self) -> MessageReceived:
        """Return the next message when its data set has come as well; that is dropped."""
        while not self._messages:
            assert not self._connection.should_close, "the association is over"
            self._receive()
        return self._messages.pop(0)

    def send_message(self, context_id: int, message: Message, dataset: Dataset | None = None) -> None:
        self._socket.sendall(send(self._connection, context_id, message, dataset))

    def send_and_abort(self, context_id: int, message: Message) -> None:
        """Send a message and an A-ABORT in one write."""
        content = send(self._connection, context_id, message)
        self._connection.abort()
        self._socket.sendall(content + b"".join(self._connection.data_to_send()))

    def read_to_end(self) -> None:
        """Read until the association is over, and confirm its release."""
        while not self._connection.should_close:
            self._receive()

    def _receive(self) -> None:
        received = self._socket.recv(1 << 16)
        if received:
            self._connection.receive_data(received)
        else:
            self._connection.transport_closed()
        for event in take_events(self._connection):
            match event:
                case ul.AssociateRequested(request):
                    support = SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,), requestor_as_scp=True)
                    self._connection.accept(
                        answer_request(
                            request,
                            lambda _, support=support: support,  # type: ignore[misc]
                            maximum_length=0,
                            maximum_operations=self._maximum_operations,
                        )
                    )
                case ul.ReleaseRequested():
                    self._connection.respond_release()
                case MessageReceived(has_dataset=False):
                    self._messages.append(event)
                case MessageReceived():
                    self._under_way = event
                case DatasetFragment(is_last=True):
                    self._messages.append(self._under_way)
        if outgoing := b"".join(self._connection.data_to_send()):
            self._socket.sendall(outgoing)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening() -> Iterator[RawAcceptor]:
    """Listen on a free port of this host for one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN)
        acceptor = RawAcceptor(server)
        try:
            yield acceptor
        finally:
            acceptor.close()
