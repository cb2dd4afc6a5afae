"""DicomNet: one DICOM connection, in either role, on threads and blocking sockets.

All names are here; what they do is its collaborators': a `listener` accepts, `association_control` begins and ends
associations, `exchange` has the messages on them, and `invocation` the requests with many answers. Bytes and deadlines
are `channel`'s, and what PS3.8 knows is in `connection`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

from dicomnet import uids
from dicomnet.dimse.command_set import CommandSet
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    Message,
    NActionRequest,
    NActionResponse,
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NDeleteResponse,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NGetResponse,
    NSetRequest,
    NSetResponse,
    Priority,
    Request,
    Response,
)
from dicomnet.errors import ConnectionLost, LocalProtocolError
from dicomnet.net.association_control import AssociationControl
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.exchange import Exchange
from dicomnet.net.invocation import OutgoingInstance, invoke, invoke_store, invoke_stores
from dicomnet.net.listener import Listener, listening_socket
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.net.runtime import USES
from dicomnet.net.security import refuse_retired_security
from dicomnet.net.tls import NegotiatedCipher, PeerCertificate, TlsConfiguration
from dicomnet.net.tls_transport import TlsTransport, client_transport
from dicomnet.net.transport import Transport
from dicomnet.upper_layer.associate import DicomAssociate
from dicomnet.upper_layer.negotiation import NegotiatedAssociation, PresentationContext
from dicomnet.upper_layer.pdu import AbortSource, AssociateRequest

__all__ = ["DicomNet"]


class DicomNet(Callbacks):
    """One connection (or one listener, with a DicomNet of its own for each connection that it accepts).

    As a server: override `on_receive_*`, then `listen`. As a client: `connect`, `associate`, the `c_*` calls,
    `release`. All calls of one object are made on one thread; only `interrupt` may come from others.

    `send_*` are ordinary blocking calls that return when the bytes were handed to the socket. They raise
    LocalProtocolError where the state does not allow them, and AssociationEnded where the connection is gone or the
    peer takes nothing. `c_*` and `n_*` send a request and wait for the response with its message ID. They raise
    LocalProtocolError where no fitting context was accepted, AssociationEnded where no answer comes, and DatasetTooLong
    for a data set past `Limits.identifier_length` of the configuration, where they return one whole.
    """

    def __init__(self, configuration: NetConfiguration | None = None, *, security: str | None = None) -> None:
        """`security` by name is refused but for "none": ISCL is retired. Raises SecurityNotSupported."""
        super().__init__()
        refuse_retired_security(security)
        self.configuration = configuration or NetConfiguration()
        """For the next connection, or for what is accepted next."""
        self._exchange = Exchange(self, self._upper_layer)
        self._control = AssociationControl(self, self._upper_layer, self._exchange)
        self._listener: Listener | None = None
        self._server: DicomNet | None = None
        self.temp_dir: Path | None = None
        """Where an application may put files of its own; see `initialize`."""
        self.peer_address: tuple[str, int] | None = None
        self.peer_certificate: PeerCertificate | None = None
        """Whom the peer has proved to be by TLS, from `on_secure` on; None: it showed no certificate."""
        self.negotiated_cipher: NegotiatedCipher | None = None
        """What the present or last connection is encrypted with; None: nothing."""

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

    # State and information, to be asked at any time, from any thread.

    @property
    def server(self) -> DicomNet | None:
        """The listener that accepted this connection; None where we connected ourselves."""
        return self._server

    @property
    def is_activated(self) -> bool:
        """A socket is open: listening or connected."""
        return self._listener is not None or self._upper_layer.channel is not None

    @property
    def is_connected(self) -> bool:
        """A transport connection stands."""
        return self._upper_layer.channel is not None

    @property
    def is_associated(self) -> bool:
        """An association stands (PS3.8 §9.2.1: Sta6 to Sta12)."""
        channel = self._upper_layer.channel  # once: its own thread may take it away meanwhile
        return channel is not None and channel.connection.is_associated

    @property
    def association(self) -> NegotiatedAssociation | None:
        """What was agreed on; None before A-ASSOCIATE-AC, kept after the end until the next connection."""
        return self._upper_layer.association

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
        channel = self._upper_layer.channel
        return channel.messages_under_way if channel else 0

    @property
    def queue_send_bytes(self) -> int:
        """How many bytes the kernel holds that the peer has not yet acknowledged."""
        channel = self._upper_layer.channel
        return channel.transport.unsent_bytes if channel else 0

    @property
    def bytes_received(self) -> int:
        """From the peer, on the present connection; still there in `on_close`."""
        channel = self._upper_layer.channel
        return channel.transport.bytes_received if channel else 0

    @property
    def bytes_sent(self) -> int:
        """To the peer, on the present connection; still there in `on_close`."""
        channel = self._upper_layer.channel
        return channel.transport.bytes_sent if channel else 0

    @property
    def peer_has_spoken(self) -> bool:
        """Whether something has come that `is_cancelled` would read; may be asked from any thread, and never waits."""
        channel = self._upper_layer.channel
        return channel is not None and channel.has_unread

    # Listening.

    def listen(
        self,
        host: str = "",
        port: int = 0,
        *,
        backlog: int = 128,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> tuple[str, int]:
        """Open a listening socket and serve it from a thread; return its address.

        `host` "" is the local host alone, "*" all interfaces; port 0 is any free one. Raises OSError, and
        TlsConfigurationError where `configuration.tls` cannot be used.
        """
        self._check_tls()
        listening = listening_socket(host, port, backlog=backlog, family=family)
        bound = listening.getsockname()
        self.listen_on([listening])
        return bound[0], bound[1]

    def listen_on(self, sockets: list[socket.socket], *, plain: Sequence[socket.socket] = ()) -> None:
        """Serve sockets that listen already (inherited from a parent process); they become ours to close.

        On `plain`, no TLS is spoken whatever the configuration says. Raises TlsConfigurationError.
        """
        self._check_tls()
        self._listener = Listener(self, [*sockets, *plain], plain=plain)
        self._listener.start()

    def _check_tls(self) -> None:
        if self.configuration.tls is not None:
            _ = self.configuration.tls.server_context  # its errors are the server's, not the first client's

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        """Return the object that shall serve a new connection, or None to close it at once."""
        return self.accept(type(self)(self.configuration))

    def accept(self, client: DicomNet) -> DicomNet:
        """Give the connection that `on_accept` is asked about to `client`, and return it.

        Returning an object from `on_accept` does the same. Raises LocalProtocolError at any other time, for a
        second object, and for one in use.
        """
        if self._listener is None:
            raise LocalProtocolError("no connection waits to be accepted")
        self._listener.accept(client)
        return client

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections that stand go on to their own end."""
        if self._listener is not None:
            self._listener.stop_accepting()

    def dismiss(self, clients: Mapping[DicomNet, str]) -> None:
        """Have connections of this listener end by A-ABORT, each for its reason; from any thread.

        What runs on one is finished and answered first, and nothing further is served. `interrupt` is for those that
        take too long.
        """
        for client, reason in clients.items():
            client.be_dismissed(reason)
        if clients and self._listener is not None:
            self._listener.call_for_attention()

    def be_dismissed(self, reason: str) -> None:
        """Let the association end when nothing is under way any more; see `dismiss`, which wakes it too."""
        channel = self._upper_layer.channel  # once: its own thread may take it away meanwhile
        if channel is not None:
            channel.dismissal = reason

    @property
    def attention_fd(self) -> int | None:
        """Of a listener: a file descriptor that becomes readable when a client may be dismissed; then it is another."""
        return self._listener.attention_fd if self._listener else None

    @property
    def closing_fd(self) -> int | None:
        """Of a listener: a file descriptor that becomes readable when it begins to close."""
        return self._listener.closing_fd if self._listener else None

    # A connection, from its beginning to its end.

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
        if self._upper_layer.channel is not None:
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
        self._control.open(transport, self.configuration, is_requestor=True)
        self.on_connect(None)

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
        channel = self._control.open(transport, self.configuration, is_requestor=False)
        channel.wake_fd = server.closing_fd
        channel.listener = listener = server._listener
        channel.connection.transport_accepted()
        if listener is not None:
            self._control.before_lingering = lambda: listener.note_end_of_association(self)
        with self._control.closing():
            self._secure(transport, channel.wake_fd)
            request = self._control.await_request()
            if request is not None:
                if listener is not None:
                    listener.note_request(self)
                self.on_receive_associate_request(request)
            self._control.serve()

    def _secure(self, transport: Transport, wake_fd: int | None = None) -> None:
        """Do the TLS handshake, where there is to be one."""
        self.peer_certificate = self.negotiated_cipher = None
        if isinstance(transport, TlsTransport):
            transport.handshake(self.configuration.timeouts.tls_handshake, wake_fd)
            self.peer_certificate = transport.peer_certificate
            self.negotiated_cipher = transport.cipher
            self.on_secure(self.peer_certificate)

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
            self._control.shut(None)

    def interrupt(self) -> None:
        """Break the connection, from any thread: whoever waits for the peer gets ConnectionLost."""
        channel = self._upper_layer.channel
        if channel is not None:
            channel.transport.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exception_type: object, exception: object, traceback: object) -> None:
        self.close(graceful=exception is None)

    # Our own association; `accept_association` and what else answers a peer that asks for one is in `Callbacks`.

    def associate(self, request: AssociateRequest | DicomAssociate) -> NegotiatedAssociation:
        """Ask for an association and wait for the answer.

        Raises AssociationRejected, or AssociationEnded where no answer came; the connection is closed then.
        """
        return self._control.request(_as_request(request))

    def send_associate_request(self, request: AssociateRequest | DicomAssociate) -> None:
        """Ask for an association and don't wait (PS3.8 §9.3.2): `receive` has the answer, or `associate` does both.

        Raises LocalProtocolError for a request that cannot be written; AssociationEnded as all sending.
        """
        self._upper_layer.request_association(_as_request(request))

    def release(self) -> None:
        """End the association in order and close the connection; an association that is gone is no error.

        Where the peer has asked for the end already, it gets its answer.
        """
        self._control.release()

    def send_release_request(self) -> None:
        """Ask for the end and don't wait (PS3.8 §9.3.6): `receive` has the answer, or `release` does both."""
        self._upper_layer.request_release()

    def send_abort(self, *, source: int = AbortSource.SERVICE_USER, reason: int = 0) -> None:
        """Abort the association (PS3.8 §9.3.8); without one it does nothing."""
        self._upper_layer.abort(source=source, reason=reason)

    def receive(self, *, timeout: float | None = None) -> bool:
        """Wait for what the peer says next and call its `on_*`; return whether the connection still stands.

        The loop of a requestor without `c_*` and `n_*` calls: `while net.receive(): …`. It waits `timeout` seconds,
        by default as for an answer, and then aborts. However the association ends, `on_close` says why, and
        nothing is raised but what a callback raises. Raises LocalProtocolError where nothing can come, and inside
        the callback of a request.
        """
        return self._control.receive(timeout)

    # Messages of any kind.

    def context_for(self, sop_class_uid: str) -> PresentationContext:
        """Return the first accepted context of a SOP class in which we are SCU; raises LocalProtocolError."""
        return self._upper_layer.context_for(sop_class_uid)

    def next_message_id(self) -> int:
        """Return a message ID that no request of ours uses now (PS3.7 §9.1)."""
        return self._exchange.next_message_id()

    def send_message(
        self, context: PresentationContext, message: Message | CommandSet, dataset: Dataset | None = None
    ) -> None:
        """Write one message; what is still unread of a data set being received is dropped first.

        An exception out of `dataset` aborts the association.
        """
        self._upper_layer.send(context, message, dataset)

    def send_data(
        self, context_id: int, command: Message | CommandSet, dataset: Dataset | None = None
    ) -> None:
        """Write a command set of any making, and its data set, on an accepted context (PS3.7 §6.3).

        The low level under all `send_*`; raises as they do, and LocalProtocolError for another context.
        """
        self._upper_layer.send(self._upper_layer.context_of(context_id), command, dataset)

    def await_response(self, *message_ids: int) -> tuple[Response, ReceivedDataset | None]:
        """Wait for the next response to any of our requests; what is unread of a data set before it is dropped.

        Requests of the peer that come before it are served meanwhile (C-GET's C-STOREs), or kept for later
        while we serve one already.
        """
        return self._exchange.await_response(*message_ids)

    def gathering(self) -> AbstractContextManager[None]:
        """Let small messages that are sent in a block leave together: at its end, or earlier where they are many."""
        return self._upper_layer.gathering()

    def answer_later(self, request: Request, answer: Callable[[], None]) -> None:
        """Let the handler of `request` return before its operation is finished: `answer` finishes and answers it.

        Of a peer that has negotiated a window (PS3.7 §D.3.3.3) several operations can so be received first and
        finished together. The answers are given on this thread, each once and in order: when as many wait as the
        window has, before a request of another kind, and before the thread waits for the peer; without a window
        at once when the handler has returned. If the association ends before, `answer` is called all the same, and
        what it sends raises AssociationEnded.
        """
        self._exchange.postponed.add(request, answer)

    def is_cancelled(self, request: Request) -> bool:
        """Look, without waiting, whether the peer has cancelled `request` (C-CANCEL, PS3.7 §9.3.2.3).

        To be asked between two steps of a long answer; raises AssociationEnded where the peer is gone.
        """
        return self._exchange.is_cancelled(request)

    # Requests of the C-services, sent without waiting.

    def send_c_echo_request(self, context: PresentationContext, *, message_id: int) -> None:
        """Ask for a C-ECHO (PS3.7 §9.3.5.1)."""
        self._upper_layer.send(
            context, CEchoRequest(message_id=message_id, affected_sop_class_uid=context.abstract_syntax)
        )

    def send_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: Dataset
    ) -> None:
        """Send an object (PS3.7 §9.3.1.1), already encoded in the context's transfer syntax."""
        self._upper_layer.send(context, request, dataset)

    def send_c_find_request(
        self, context: PresentationContext, *, message_id: int, identifier: Dataset, priority: int = 0
    ) -> None:
        """Ask for matches (PS3.7 §9.3.2.1)."""
        self._upper_layer.send(
            context,
            CFindRequest(
                message_id=message_id, affected_sop_class_uid=context.abstract_syntax, priority=priority
            ),
            identifier,
        )

    def send_c_get_request(
        self, context: PresentationContext, *, message_id: int, identifier: Dataset, priority: int = 0
    ) -> None:
        """Ask for objects on this association (PS3.7 §9.3.3.1)."""
        self._upper_layer.send(
            context,
            CGetRequest(
                message_id=message_id, affected_sop_class_uid=context.abstract_syntax, priority=priority
            ),
            identifier,
        )

    def send_c_move_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        move_destination: str,
        identifier: Dataset,
        priority: int = 0,
    ) -> None:
        """Ask for objects to be sent to a third party (PS3.7 §9.3.4.1)."""
        self._upper_layer.send(
            context,
            CMoveRequest(
                message_id=message_id,
                affected_sop_class_uid=context.abstract_syntax,
                move_destination=move_destination,
                priority=priority,
            ),
            identifier,
        )

    def send_c_cancel_request(self, context: PresentationContext, *, message_id: int) -> None:
        """Ask the peer to stop the operation that the request with `message_id` began (PS3.7 §9.3.2.3)."""
        self._upper_layer.send(context, CCancelRequest(message_id_being_responded_to=message_id))

    # Requests of the N-services, sent without waiting.
    # `sop_class_uid` is the context's abstract syntax where it is not said; Meta SOP Classes need it.

    def send_n_report_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        event_type_id: int,
        dataset: Dataset | None = None,
        sop_class_uid: str = "",
    ) -> None:
        """Report an event to the SCU of the SOP class (PS3.7 §10.3.1.1)."""
        request = NEventReportRequest(
            message_id=message_id,
            affected_sop_class_uid=sop_class_uid or context.abstract_syntax,
            affected_sop_instance_uid=sop_instance_uid,
            event_type_id=event_type_id,
        )
        self._upper_layer.send(context, request, dataset)

    def send_n_get_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        attribute_identifier_list: tuple[int, ...] = (),
        sop_class_uid: str = "",
    ) -> None:
        """Ask for attributes by their tags, for all without any (PS3.7 §10.3.2.1)."""
        request = NGetRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
            attribute_identifier_list=attribute_identifier_list,
        )
        self._upper_layer.send(context, request)

    def send_n_set_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        dataset: Dataset,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for attributes to be changed to those of `dataset` (PS3.7 §10.3.3.1)."""
        request = NSetRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
        )
        self._upper_layer.send(context, request, dataset)

    def send_n_action_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        action_type_id: int,
        dataset: Dataset | None = None,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for an action on an instance (PS3.7 §10.3.4.1)."""
        request = NActionRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
            action_type_id=action_type_id,
        )
        self._upper_layer.send(context, request, dataset)

    def send_n_create_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str = "",
        dataset: Dataset | None = None,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for an instance to be made; without a UID its maker draws one (PS3.7 §10.3.5.1)."""
        request = NCreateRequest(
            message_id=message_id,
            affected_sop_class_uid=sop_class_uid or context.abstract_syntax,
            affected_sop_instance_uid=sop_instance_uid,
        )
        self._upper_layer.send(context, request, dataset)

    def send_n_delete_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for an instance to be deleted (PS3.7 §10.3.6.1)."""
        request = NDeleteRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
        )
        self._upper_layer.send(context, request)

    # The C-services: request and response as one call.

    def c_echo(self) -> CEchoResponse:
        """Verify the connection (PS3.7 §9.1.5)."""
        message_id = self.next_message_id()
        self.send_c_echo_request(self.context_for(uids.VERIFICATION_SOP_CLASS), message_id=message_id)
        response, _ = self._exchange.await_only(CEchoResponse, message_id)
        return response

    def c_store(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        dataset: Dataset,
        *,
        priority: int = Priority.MEDIUM,
        move_originator: tuple[str, int] | None = None,
    ) -> CStoreResponse:
        """Send one object and return the peer's verdict (PS3.7 §9.1.1).

        `dataset` is encoded in the context's transfer syntax. `move_originator` is the AE title and the message
        ID of the C-MOVE that this is a sub-operation of.
        """
        instance = OutgoingInstance(context, sop_instance_uid, dataset)
        message_id = invoke_store(
            self._exchange, instance, priority=priority, move_originator=move_originator
        )
        return self._exchange.await_only(CStoreResponse, message_id)[0]

    def c_store_all(
        self,
        instances: Iterable[OutgoingInstance],
        *,
        priority: int = Priority.MEDIUM,
        move_originator: tuple[str, int] | None = None,
    ) -> Generator[tuple[OutgoingInstance, CStoreResponse], None, None]:
        """Send objects one after the other and yield each with the peer's verdict, in the order of the verdicts.

        Where a window was negotiated (PS3.7 §D.3.3.3), the next are sent before the first are answered. Each is
        taken from `instances` when it is about to be sent, and its data set is no longer needed when the one behind
        it is taken. Leaving the iteration early waits for the answers to what was sent.
        """
        return invoke_stores(self._exchange, instances, priority=priority, move_originator=move_originator)

    def c_find(
        self, context: PresentationContext, identifier: Dataset
    ) -> Generator[tuple[CFindResponse, bytes | None], None, None]:
        """Yield each response with its identifier, the final one last (PS3.7 §9.1.2).

        Leaving the iteration early sends C-CANCEL and reads on to the final response.
        """
        message_id = self.next_message_id()
        return invoke(
            self._exchange,
            context,
            message_id,
            CFindResponse,
            lambda: self.send_c_find_request(context, message_id=message_id, identifier=identifier),
        )

    def c_get(
        self, context: PresentationContext, identifier: Dataset
    ) -> Generator[tuple[CGetResponse, bytes | None], None, None]:
        """As `c_find`; the objects arrive at `on_receive_c_store_request` meanwhile (PS3.7 §9.1.3)."""
        message_id = self.next_message_id()
        return invoke(
            self._exchange,
            context,
            message_id,
            CGetResponse,
            lambda: self.send_c_get_request(context, message_id=message_id, identifier=identifier),
        )

    def c_move(
        self, context: PresentationContext, identifier: Dataset, *, move_destination: str
    ) -> Generator[tuple[CMoveResponse, bytes | None], None, None]:
        """As `c_find`; the objects go to the AE named `move_destination` (PS3.7 §9.1.4)."""
        message_id = self.next_message_id()
        return invoke(
            self._exchange,
            context,
            message_id,
            CMoveResponse,
            lambda: self.send_c_move_request(
                context, message_id=message_id, move_destination=move_destination, identifier=identifier
            ),
        )

    # The N-services: the response, and its data set or None.

    def n_event_report(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        event_type_id: int,
        dataset: Dataset | None = None,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NEventReportResponse, bytes | None]:
        """Report an event, as the SCP of the SOP class (PS3.7 §10.1.1)."""
        message_id = self.next_message_id()
        self.send_n_report_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            event_type_id=event_type_id,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._exchange.await_whole(NEventReportResponse, message_id)

    def n_get(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        attribute_identifier_list: tuple[int, ...] = (),
        *,
        sop_class_uid: str = "",
    ) -> tuple[NGetResponse, bytes | None]:
        """Get attributes by their tags, all without any (PS3.7 §10.1.2)."""
        message_id = self.next_message_id()
        self.send_n_get_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            attribute_identifier_list=attribute_identifier_list,
            sop_class_uid=sop_class_uid,
        )
        return self._exchange.await_whole(NGetResponse, message_id)

    def n_set(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        dataset: Dataset,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NSetResponse, bytes | None]:
        """Change attributes to those of `dataset` (PS3.7 §10.1.3)."""
        message_id = self.next_message_id()
        self.send_n_set_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._exchange.await_whole(NSetResponse, message_id)

    def n_action(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        action_type_id: int,
        dataset: Dataset | None = None,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NActionResponse, bytes | None]:
        """Have an action done on an instance (PS3.7 §10.1.4)."""
        message_id = self.next_message_id()
        self.send_n_action_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            action_type_id=action_type_id,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._exchange.await_whole(NActionResponse, message_id)

    def n_create(
        self,
        context: PresentationContext,
        sop_instance_uid: str = "",
        dataset: Dataset | None = None,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NCreateResponse, bytes | None]:
        """Have an instance made; the response names it (PS3.7 §10.1.5)."""
        message_id = self.next_message_id()
        self.send_n_create_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._exchange.await_whole(NCreateResponse, message_id)

    def n_delete(
        self, context: PresentationContext, sop_instance_uid: str, *, sop_class_uid: str = ""
    ) -> NDeleteResponse:
        """Have an instance deleted (PS3.7 §10.1.6)."""
        message_id = self.next_message_id()
        self.send_n_delete_request(
            context, message_id=message_id, sop_instance_uid=sop_instance_uid, sop_class_uid=sop_class_uid
        )
        response, _ = self._exchange.await_only(NDeleteResponse, message_id)
        return response


def _as_request(request: AssociateRequest | DicomAssociate) -> AssociateRequest:
    return request.to_request() if isinstance(request, DicomAssociate) else request
