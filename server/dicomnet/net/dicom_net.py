"""DicomNet: one DICOM connection, in either role, on threads and blocking sockets.

Its life: listening or connecting, association, release, abort and close. What happens on a standing association
is `conversation`'s, bytes and deadlines are `channel`'s, and what PS3.8 knows is in `connection`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Final, Self

from dicomnet.connection import Connection
from dicomnet.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    AssociationReleased,
    ConnectionLost,
    LocalProtocolError,
)
from dicomnet.net.channel import Channel
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.conversation import Conversation
from dicomnet.net.listener import Listener
from dicomnet.net.transport import Transport
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.negotiation import (
    NegotiatedAssociation,
    SupportedAbstractSyntax,
    answer_request,
)
from dicomnet.upper_layer.pdu import (
    AbortSource,
    AssociateAccept,
    AssociateRequest,
    ContextResult,
)
from dicomnet.upper_layer.states import State

__all__ = ["DicomNet"]

_LOG: Final = logging.getLogger("dicomnet")

_AWAITING_COLLISION_RESPONSE: Final = (
    State.COLLISION_REQUESTOR_AWAITING_LOCAL_RESPONSE,
    State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE,
)


class DicomNet(Conversation):
    """One connection (or one listener, with a DicomNet of its own for each connection that it accepts).

    As a server: override `on_receive_*`, then `listen`. As a client: `connect`, `associate`, the `c_*` calls,
    `release`. All calls of one object are made on one thread; only `interrupt` may come from others.
    """

    def __init__(self, configuration: NetConfiguration | None = None) -> None:
        super().__init__(configuration or NetConfiguration())
        self.server: DicomNet | None = None
        """The listener that accepted this connection."""
        self.peer_address: tuple[str, int] | None = None
        self._is_closing = False
        self._listener: Listener | None = None

    # State and information.

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
        return self._channel is not None and self._channel.connection.is_associated

    @property
    def clients(self) -> list[DicomNet]:
        """The open connections of this listener."""
        return self._listener.clients if self._listener else []

    @property
    def client_count(self) -> int:
        """How many connections this listener has open."""
        return len(self.clients)

    @property
    def bytes_received(self) -> int:
        """From the peer, on the present connection; still there in `on_close`."""
        return self._channel.transport.bytes_received if self._channel else 0

    @property
    def bytes_sent(self) -> int:
        """To the peer, on the present connection; still there in `on_close`."""
        return self._channel.transport.bytes_sent if self._channel else 0

    # Listening.

    def listen(self, host: str = "", port: int = 0, *, backlog: int = 128) -> tuple[str, int]:
        """Open a listening socket and serve it from a thread; return its address.

        `host` "" is the local host alone, "*" all interfaces; port 0 is any free one. Raises OSError.
        """
        address = {"": "127.0.0.1", "*": ""}.get(host, host)
        listening = socket.create_server((address, port), backlog=backlog)
        bound = listening.getsockname()
        self.listen_on([listening])
        return bound[0], bound[1]

    def listen_on(self, sockets: list[socket.socket]) -> None:
        """Serve sockets that listen already (inherited from a parent process); they become ours to close."""
        self._listener = Listener(self, sockets)
        self._listener.start()

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections that stand go on to their own end."""
        if self._listener is not None:
            self._listener.stop_accepting()

    @property
    def closing_fd(self) -> int | None:
        """Of a listener: a file descriptor that becomes readable when it begins to close."""
        return self._listener.closing_fd if self._listener else None

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        """Return the object that shall serve a new connection, or None to close it at once."""
        return type(self)(self.configuration)

    def serve(self, connected: socket.socket, peer_address: tuple[str, int], server: DicomNet) -> None:
        """Serve an accepted connection to its end, on the calling thread."""
        self.server = server
        self.peer_address = peer_address
        channel = self._open(connected, is_requestor=False)
        channel.wake_fd = server.closing_fd
        channel.connection.transport_accepted()
        error: Exception | None = None
        try:
            self._await_association_request(channel)
            while channel.connection.is_associated:
                self._dispatch(channel.next_event(idle=True))
        except AssociationReleased as released:
            if channel.connection.state is State.DATA_TRANSFER:
                error = released  # another association's
            else:
                self.release()
        except AssociationEnded as ended:
            error = ended
        except Exception as unexpected:
            _LOG.exception("an operation failed unexpectedly; the association is aborted")
            error = unexpected
        finally:
            self._shut(error)

    def _await_association_request(self, channel: Channel) -> None:
        event = channel.next_event(deadline=time.monotonic() + self.configuration.timeouts.artim)
        if isinstance(event, ul.AssociateRequested):
            self.on_receive_associate_request(event.request)

    # Connecting.

    def connect(self, host: str, port: int, *, local: tuple[str, int] | None = None) -> None:
        """Open the transport connection; `local` is the address to connect from. Raises ConnectionLost."""
        if self._channel is not None:
            raise LocalProtocolError("already connected")
        timeout = self.configuration.timeouts.connect
        try:
            connected = socket.create_connection((host, port), timeout=timeout, source_address=local)
        except OSError as error:
            lost = ConnectionLost(f"cannot connect to {host}:{port}: {error.strerror or error}")
            self.on_connect(lost)
            raise lost from error
        self.peer_address = (host, port)
        self._open(connected, is_requestor=True)
        self.on_connect(None)

    def _open(self, connected: socket.socket, *, is_requestor: bool) -> Channel:
        self._begin_conversation()
        connection = Connection(is_requestor=is_requestor, limits=self.configuration.limits)
        self._channel = Channel(connection, Transport(connected), self.configuration)
        return self._channel

    def associate(self, request: AssociateRequest) -> NegotiatedAssociation:
        """Ask for an association and wait for the answer.

        Raises AssociationRejected, or AssociationEnded where no answer came; the connection is closed then.
        """
        channel = self._open_channel()
        channel.connection.request_association(request)
        channel.connection.transport_connected()
        try:
            channel.flush()
            event = channel.next_event(deadline=time.monotonic() + self.configuration.timeouts.association)
        except AssociationEnded as error:
            self._shut(error)
            raise
        if isinstance(event, ul.AssociateRejected):
            rejected = AssociationRejected.by(event.reject.result, event.reject.source, event.reject.reason)
            self._shut(rejected)
            raise rejected
        return self._established(channel)

    def _established(self, channel: Channel) -> NegotiatedAssociation:
        association = channel.connection.negotiated
        assert association is not None  # noqa: S101 - the state machine has just said so
        self._association = association
        self.on_associated(association)
        return association

    def release(self) -> None:
        """End the association in order and close the connection; an association that is gone is no error.

        Where the peer has asked for the end already, it gets its answer.
        """
        error: AssociationEnded | None = None
        try:
            if self._channel is not None and self._channel.connection.state is State.DATA_TRANSFER:
                self._channel.connection.request_release()
                self._channel.flush()
                self._await_release_response(self._channel)
            else:
                self._answer_release(State.AWAITING_LOCAL_RELEASE_RESPONSE)
        except AssociationEnded as ended:
            error = ended
        self._shut(error)

    def _await_release_response(self, channel: Channel) -> None:
        deadline = time.monotonic() + self.configuration.timeouts.association
        while not isinstance(channel.next_event(deadline=deadline), ul.ReleaseConfirmed):
            self._answer_release(*_AWAITING_COLLISION_RESPONSE)
        self._answer_release(*_AWAITING_COLLISION_RESPONSE)

    def _answer_release(self, *states: State) -> None:
        if self._channel is not None and self._channel.connection.state in states:
            self.send_release_response()

    def close(self, *, graceful: bool = True, timeout: float = 0.0) -> None:
        """Close; repeating it is no error.

        A listener closes in stages: no more connections; running operations until `timeout` seconds; then what
        is left is broken. A connection ends by release, or by abort where not `graceful`.
        """
        if self._listener is not None:
            self._listener.close(timeout if graceful else 0.0)
            self._listener = None
        if graceful:
            self.release()
        else:
            self._shut(None)

    def interrupt(self) -> None:
        """Break the connection, from any thread: whoever waits for the peer gets ConnectionLost."""
        channel = self._channel
        if channel is not None:
            channel.transport.interrupt()

    def _shut(self, error: Exception | None) -> None:
        """Close the connection and say so, exactly once, whatever the notes of it come to."""
        channel = self._channel
        if channel is None or self._is_closing:
            return
        self._is_closing = True
        try:
            channel.close()
            if isinstance(error, AssociationAborted) and error.by_peer:
                self.on_receive_abort(error.source, error.reason)
        finally:
            try:
                self.on_close(error)
            finally:
                self._channel = None
                self._is_closing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exception_type: object, exception: object, traceback: object) -> None:
        self.close(graceful=exception is None)

    # Sending.

    def send_associate_accept(self, accept: AssociateAccept) -> None:
        """Accept the association (PS3.8 §9.3.3)."""
        channel = self._open_channel()
        channel.connection.accept(accept)
        channel.flush()
        self._established(channel)

    def accept_association(
        self, request: AssociateRequest, support: Callable[[str], SupportedAbstractSyntax | ContextResult]
    ) -> None:
        """Negotiate each context by what `support` says of its SOP class, and accept."""
        maximum_length = self.configuration.maximum_length
        self.send_associate_accept(answer_request(request, support, maximum_length=maximum_length))

    def send_associate_reject(self, *, result: int, source: int, reason: int) -> None:
        """Reject the association (PS3.8 Table 9-21)."""
        channel = self._open_channel()
        channel.connection.reject(result=result, source=source, reason=reason)
        channel.flush()

    def send_release_response(self) -> None:
        """Confirm a release (PS3.8 §9.3.7)."""
        channel = self._open_channel()
        channel.connection.respond_release()
        channel.flush()

    def send_abort(self, *, source: int = AbortSource.SERVICE_USER, reason: int = 0) -> None:
        """Abort the association (PS3.8 §9.3.8); without one it does nothing."""
        if self._channel is not None:
            self._channel.abort(source=source, reason=reason)
