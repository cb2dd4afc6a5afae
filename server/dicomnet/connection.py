"""One DICOM connection without I/O: bytes in, events out; local requests in, bytes out (PS3.8 §9, PS3.7 §8).

The shell around it moves bytes, keeps deadlines and closes sockets. A typical turn is: `receive_data`, then
`next_event` until it gives None, then write `data_to_send`, then look at `should_close` and `artim_running`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from dicomnet.dimse.assembler import MessageAssembler
from dicomnet.dimse.command_set import CommandSet, write_command_set
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.fragments import Buffer, Dataset, message_pdus
from dicomnet.dimse.messages import Message, to_command_set
from dicomnet.errors import LocalProtocolError, RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.association import Association, Stimulus
from dicomnet.upper_layer.framing import PduFramer
from dicomnet.upper_layer.negotiation import NegotiatedAssociation, negotiated
from dicomnet.upper_layer.states import Event, State
from dicomnet.upper_layer.writer import write_pdu

__all__ = ["Connection", "ConnectionEvent"]

ConnectionEvent = (
    MessageReceived
    | DatasetFragment
    | ul.AssociateRequested
    | ul.AssociateAccepted
    | ul.AssociateRejected
    | ul.ReleaseRequested
    | ul.ReleaseConfirmed
    | ul.AbortReceived
    | ul.ProtocolViolated
    | ul.TransportLost
)

_RECEIVED: Final[Mapping[type[pdu.Pdu], Event]] = MappingProxyType(
    {
        pdu.AssociateRequest: Event.ASSOCIATE_RQ_RECEIVED,
        pdu.AssociateAccept: Event.ASSOCIATE_AC_RECEIVED,
        pdu.AssociateReject: Event.ASSOCIATE_RJ_RECEIVED,
        pdu.ReleaseRequest: Event.RELEASE_RQ_RECEIVED,
        pdu.ReleaseResponse: Event.RELEASE_RP_RECEIVED,
        pdu.Abort: Event.ABORT_RECEIVED,
    }
)
_ASSOCIATED: Final = frozenset(
    state for state in State if State.DATA_TRANSFER <= state < State.AWAITING_TRANSPORT_CLOSE
)
_RECEIVING_DATA: Final = frozenset({State.DATA_TRANSFER, State.AWAITING_RELEASE_RP})
_SENDING_DATA: Final = frozenset({State.DATA_TRANSFER, State.AWAITING_LOCAL_RELEASE_RESPONSE})


class Connection:
    """The protocol side of one transport connection, as association requestor or acceptor.

    Nothing that a peer sends raises here: it ends in events and in an A-ABORT to send. Local requests that
    the state does not allow raise LocalProtocolError and change nothing.
    """

    def __init__(self, *, is_requestor: bool, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._association = Association(is_requestor=is_requestor)
        self._framer = PduFramer(self._limits)
        self._assembler: MessageAssembler | None = None
        self._request: pdu.AssociateRequest | None = None
        self._events: deque[ConnectionEvent] = deque()
        self._outgoing: list[Buffer] = []
        self._last_encoded: tuple[Message | None, bool, bytes] = None, False, b""
        self._deaf = False
        """The peer's bytes make no sense any more: they are read, to let it see our abort, and dropped."""
        self.negotiated: NegotiatedAssociation | None = None
        """What was agreed on, once the association stands; kept when it has ended."""
        self.should_close = False
        """The protocol is done with the transport connection: write what is left, then close it."""

    # What the shell reports.

    def transport_accepted(self) -> None:
        """Report that the peer opened this connection (the acceptor's beginning); ARTIM runs from now."""
        self._handle(Event.TRANSPORT_INDICATION)

    def transport_connected(self) -> None:
        """Report that the connection asked for by `request_association` stands: the request goes out."""
        self._handle(Event.TRANSPORT_CONNECTED, self._request)

    def transport_closed(self) -> None:
        """Report that the connection is closed, whoever closed it."""
        self._handle(Event.TRANSPORT_CLOSED)
        self.should_close = True

    def artim_expired(self) -> None:
        """Report that ARTIM, which `artim_running` asked for, has run out."""
        self._handle(Event.ARTIM_EXPIRED)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the peer. Events may hold views of `data`: take them all before it is reused."""
        if self._deaf:
            return
        try:
            for item in self._framer.receive(data):
                if isinstance(item, pdu.PresentationDataValue):
                    self._receive_value(item)
                else:
                    self._receive_pdu(item)
        except RemoteProtocolError as error:
            self._deaf = True
            self._handle(Event.INVALID_PDU_RECEIVED, error)

    def _receive_value(self, value: pdu.PresentationDataValue) -> None:
        # The one hot path: in data transfer the table has nothing to say but "indicate it" (DT-2, AR-6).
        if self._association.state in _RECEIVING_DATA and self._assembler is not None:
            event = self._assembler.receive(value)
            if event is not None:
                self._events.append(event)
        else:
            self._handle(Event.DATA_TF_RECEIVED, value)

    def _receive_pdu(self, received: pdu.Pdu) -> None:
        if isinstance(received, pdu.AssociateRequest) and self._request is None:
            self._request = received
        self._handle(_RECEIVED[type(received)], received)

    # What the shell asks.

    @property
    def state(self) -> State:
        """The state of PS3.8 §9.2.1."""
        return self._association.state

    @property
    def is_associated(self) -> bool:
        """An association stands (Sta6 to Sta12)."""
        return self._association.state in _ASSOCIATED

    @property
    def artim_running(self) -> bool:
        """ARTIM should be running (PS3.8 §9.1.5)."""
        return self._association.artim_running

    def next_event(self) -> ConnectionEvent | None:
        """Return the oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> list[Buffer]:
        """Return what must be written now, and forget it."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # What the local user may do.

    def request_association(self, request: pdu.AssociateRequest) -> None:
        """Begin as requestor: the shell connects, then calls `transport_connected`."""
        write_pdu(request)  # so that a request that cannot be written fails here and not behind the connect
        self._handle(Event.LOCAL_ASSOCIATE_REQUEST)
        self._request = request

    def accept(self, accept: pdu.AssociateAccept) -> None:
        """Answer `AssociateRequested` with yes."""
        self._handle_writable(Event.LOCAL_ASSOCIATE_ACCEPT, accept)
        self._establish(accept)

    def reject(self, *, result: int, source: int, reason: int) -> None:
        """Answer `AssociateRequested` with no (PS3.8 Table 9-21)."""
        self._handle_writable(
            Event.LOCAL_ASSOCIATE_REJECT, pdu.AssociateReject(result=result, source=source, reason=reason)
        )

    def send_message(
        self, context_id: int, message: Message | CommandSet, dataset: Dataset | None = None
    ) -> Iterator[list[Buffer]]:
        """Return the writes that send one message; each list of buffers is to be written before the next is taken.

        Between two of them the state may change (the peer aborts): the shell looks, and stops.
        """
        if self._association.state not in _SENDING_DATA or self.negotiated is None:
            raise LocalProtocolError(f"no data can be sent in state {self._association.state.name}")
        command = self._encoded(message, has_dataset=dataset is not None)
        return message_pdus(context_id, command, dataset, self.negotiated.maximum_length_to_send)

    def _encoded(self, message: Message | CommandSet, *, has_dataset: bool) -> bytes:
        """Encode a command set; a message that equals the last one, as a C-FIND's many answers do, is done already."""
        if not isinstance(message, Message):
            return write_command_set(message)
        if self._last_encoded[:2] != (message, has_dataset):
            commands = to_command_set(message, has_dataset=has_dataset)
            self._last_encoded = message, has_dataset, write_command_set(commands)
        return self._last_encoded[2]

    def request_release(self) -> None:
        """Ask the peer to end the association in order."""
        self._handle(Event.LOCAL_RELEASE_REQUEST, pdu.ReleaseRequest())

    def respond_release(self) -> None:
        """Answer `ReleaseRequested`."""
        self._handle(Event.LOCAL_RELEASE_RESPONSE, pdu.ReleaseResponse())

    def abort(self, *, source: int = pdu.AbortSource.SERVICE_USER, reason: int = 0) -> None:
        """End the association at once."""
        self._handle_writable(Event.LOCAL_ABORT, pdu.Abort(source=source, reason=reason))

    # Effects of the state machine.

    def _handle_writable(self, event: Event, request: pdu.Pdu) -> None:
        write_pdu(request)  # what has no encoding fails here, before the state changes
        self._handle(event, request)

    def _handle(self, event: Event, stimulus: Stimulus = None) -> None:
        effects = self._association.handle(event, stimulus)
        if effects.send is not None:
            self._outgoing.append(write_pdu(effects.send))
        if effects.close_transport:
            self.should_close = True
        indication = effects.indicate
        if isinstance(indication, ul.AssociateAccepted):
            self._establish(indication.accept)
        if indication is not None and not isinstance(indication, ul.DataReceived):
            self._events.append(indication)

    def _establish(self, accept: pdu.AssociateAccept) -> None:
        assert self._request is not None  # noqa: S101 - no state leads here without one
        self.negotiated = negotiated(self._request, accept, is_requestor=self._association.is_requestor)
        self._assembler = MessageAssembler(self.negotiated.presentation_contexts, self._limits)
