"""DicomNet: one DICOM connection, in either role, on threads and blocking sockets.

Its life: serving or connecting, association, release and close. Listening is `accepting`'s, what is said meanwhile
`association_control`' and, on a standing association, `exchange`'s; bytes and deadlines are `channel`'s, and what
PS3.8 knows is in `connection`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from dicomnet.connection import Connection
from dicomnet.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationReleased,
    ConnectionLost,
    LocalProtocolError,
)
from dicomnet.net.accepting import Accepting
from dicomnet.net.channel import Channel
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.listener import Listener
from dicomnet.net.observation import Observation
from dicomnet.net.runtime import USES
from dicomnet.net.security import refuse_retired_security
from dicomnet.net.tls import NegotiatedCipher, PeerCertificate, TlsConfiguration
from dicomnet.net.tls_transport import TlsTransport, client_transport
from dicomnet.net.transport import Transport
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.associate import DicomAssociate
from dicomnet.upper_layer.negotiation import NegotiatedAssociation
from dicomnet.upper_layer.pdu import AssociateRequest
from dicomnet.upper_layer.states import State

__all__ = ["DicomNet"]

_LOG: Final = logging.getLogger("dicomnet")

_AWAITING_COLLISION_RESPONSE: Final = (
    State.COLLISION_REQUESTOR_AWAITING_LOCAL_RESPONSE,
    State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE,
)


class DicomNet(Accepting):
    """One connection (or one listener, with a DicomNet of its own for each connection that it accepts).

    As a server: override `on_receive_*`, then `listen`. As a client: `connect`, `associate`, the `c_*` calls,
    `release`. All calls of one object are made on one thread; only `interrupt` may come from others.
    """

    def __init__(self, configuration: NetConfiguration | None = None, *, security: str | None = None) -> None:
        """`security` by name is refused but for "none": ISCL is retired. Raises SecurityNotSupported."""
        super().__init__(configuration or NetConfiguration())
        refuse_retired_security(security)
        self.temp_dir: Path | None = None
        """Where an application may put files of its own; see `initialize`."""
        self.peer_address: tuple[str, int] | None = None
        self.peer_certificate: PeerCertificate | None = None
        """Whom the peer has proved to be by TLS, from `on_secure` on; None: it showed no certificate."""
        self.negotiated_cipher: NegotiatedCipher | None = None
        """What the present or last connection is encrypted with; None: nothing."""
        self._is_closing = False

    def initialize(self, *, temp_dir: Path | None = None, security: str | None = None) -> None:
        """Set anew what the constructor sets, before the object is used.

        The engine writes no files; `temp_dir` is kept for who serves with it. Raises SecurityNotSupported for a
        retired or unknown `security`, LocalProtocolError while a socket is open.
        """
        if self.is_activated:
            raise LocalProtocolError("already in use")
        refuse_retired_security(security)
        self.temp_dir = temp_dir

    @classmethod
    def startup(cls) -> None:
        """Begin to use the engine; each call wants one `shutdown`. Connections need neither."""
        USES.begin()

    @classmethod
    def shutdown(cls) -> None:
        """End one use; the last frees the memory kept for connections to come.

        Connections that stand are not harmed. Raises LocalProtocolError without a `startup`.
        """
        USES.end()

    @classmethod
    @contextmanager
    def runtime(cls) -> Iterator[None]:
        """Put a `startup` and its `shutdown` around a block."""
        cls.startup()
        try:
            yield
        finally:
            cls.shutdown()

    # Serving.

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        """Return the object that shall serve a new connection, or None to close it at once."""
        return self.accept(type(self)(self.configuration))

    def serve(
        self,
        connected: socket.socket,
        peer_address: tuple[str, int],
        server: DicomNet,
        tls: TlsConfiguration | None = None,
    ) -> None:
        """Serve an accepted connection to its end, on the calling thread."""
        self._server = server
        self.peer_address = peer_address
        transport = (
            TlsTransport(connected, tls.server_context, is_server=True) if tls else Transport(connected)
        )
        channel = self._open(transport, is_requestor=False)
        channel.wake_fd = server.closing_fd
        channel.listener = self._serving_listener
        channel.connection.transport_accepted()
        error: Exception | None = None
        try:
            self._secure(transport, channel.wake_fd)
            self._await_association_request(channel)
            while channel.connection.is_associated:
                self._dispatch(self._next_event(channel))
            channel.raise_if_over()
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
            if (listener := self._serving_listener) is not None:
                listener.note_request(self)
            self.on_receive_associate_request(event.request)

    # Connecting.

    def connect(
        self,
        host: str,
        port: int,
        *,
        local: tuple[str, int] | None = None,
        timeout: float | None = None,
        tls: TlsConfiguration | None = None,
    ) -> None:
        """Open the transport connection; `local` is the address to connect from.

        `timeout` in seconds, instead of `Timeouts.connect`, and `tls` are for this one connection.

        Raises ConnectionLost, or of its kinds TlsHandshakeFailed; AssociationTimedOut where the peer is silent in
        the TLS handshake; TlsConfigurationError before anything is opened.
        """
        if self._channel is not None:
            raise LocalProtocolError("already connected")
        tls = tls or self.configuration.tls
        context = tls.client_context if tls else None
        if timeout is None:
            timeout = self.configuration.timeouts.connect
        try:
            connected = socket.create_connection((host, port), timeout=timeout, source_address=local)
        except OSError as error:
            lost = ConnectionLost(f"cannot connect to {host}:{port}: {error.strerror or error}")
            self.on_connect(lost)
            raise lost from error
        self.peer_address = (host, port)
        transport = Transport(connected)
        try:
            if context is not None:
                transport = client_transport(connected, context, host)
            self._secure(transport)
        except Exception as error:
            transport.close()
            self.on_connect(error)
            raise
        self._open(transport, is_requestor=True)
        self.on_connect(None)

    def _secure(self, transport: Transport, wake_fd: int | None = None) -> None:
        """Do the TLS handshake, where there is to be one."""
        self.peer_certificate = self.negotiated_cipher = None
        if isinstance(transport, TlsTransport):
            transport.handshake(self.configuration.timeouts.tls_handshake, wake_fd)
            self.peer_certificate = transport.peer_certificate
            self.negotiated_cipher = transport.cipher
            self.on_secure(self.peer_certificate)

    def _open(self, transport: Transport, *, is_requestor: bool) -> Channel:
        self._begin_conversation()
        connection = Connection(is_requestor=is_requestor, limits=self.configuration.limits)
        self._channel = Channel(connection, transport, self.configuration)
        observation = Observation.of(self, self.configuration.limits.associate_pdu_length)
        if observation is not None:
            self._channel.note_sent, self._channel.note_received = observation.sent, observation.received
        return self._channel

    def associate(self, request: AssociateRequest | DicomAssociate) -> NegotiatedAssociation:
        """Ask for an association and wait for the answer.

        Raises AssociationRejected, or AssociationEnded where no answer came; the connection is closed then.
        """
        channel = self._open_channel()
        try:
            self.send_associate_request(request)
            event = channel.next_event(deadline=time.monotonic() + self.configuration.timeouts.association)
        except AssociationEnded as error:
            self._shut(error)
            raise
        if isinstance(event, ul.AssociateRejected):
            raise self._rejected(event.reject)
        assert isinstance(event, ul.AssociateAccepted)  # noqa: S101 - no state leads to another event here
        return self._accepted(channel, event)

    def release(self) -> None:
        """End the association in order and close the connection; an association that is gone is no error.

        Where the peer has asked for the end already, it gets its answer.
        """
        error: AssociationEnded | None = None
        try:
            if self._channel is not None and self._channel.connection.state is State.DATA_TRANSFER:
                self.send_release_request()
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
        self.on_receive_release_response()
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
        self._finish_postponed()
        self._held.clear()
        try:
            self._end_association(channel, error)
            if isinstance(error, AssociationAborted) and error.by_peer:
                self.on_receive_abort(error.source, error.reason)
        finally:
            try:
                self.on_close(error)
            finally:
                self._channel = None
                self._is_closing = False

    def _end_association(self, channel: Channel, error: Exception | None) -> None:
        """Say that the association is over before the peer is waited for, which may take long to close."""
        try:
            if channel.connection.is_associated:
                channel.abort()
            if self._association is not None:
                self.on_disassociated(error)
        finally:
            if (listener := self._serving_listener) is not None:
                listener.note_end_of_association(self)
            channel.close()

    @property
    def _serving_listener(self) -> Listener | None:
        return self._server._listener if self._server else None  # noqa: SLF001 - it is of our own kind

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exception_type: object, exception: object, traceback: object) -> None:
        self.close(graceful=exception is None)
