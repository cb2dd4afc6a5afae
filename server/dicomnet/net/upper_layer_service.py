"""The services of the Upper Layer (PS3.8 §7) on the connection that stands: A-ASSOCIATE, A-RELEASE, A-ABORT, P-DATA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from dicomnet.dimse.command_set import CommandSet
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import Message
from dicomnet.errors import LocalProtocolError
from dicomnet.net.channel import Channel
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.upper_layer.negotiation import NegotiatedAssociation, PresentationContext
from dicomnet.upper_layer.pdu import AbortSource, AssociateAccept, AssociateRequest
from dicomnet.upper_layer.states import State

__all__ = ["UpperLayerService"]


class UpperLayerService:
    """What one DicomNet may say to its peer, one connection after the other; no call waits for an answer.

    All raise LocalProtocolError where there is no connection, or its state does not allow them, and AssociationEnded
    where the peer is gone or takes nothing.
    """

    def __init__(self) -> None:
        self.channel: Channel | None = None
        """The present connection; None while there is none."""
        self.association: NegotiatedAssociation | None = None
        """What was agreed on; kept after the end until the next connection."""
        self.dataset: ReceivedDataset | None = None
        """The data set that is being received."""
        self.spares_dataset = False
        """While True, `send` leaves the data set that is being received as it is."""

    # The connection.

    def begin(self, channel: Channel) -> None:
        """Go on with a new connection; what an earlier one has left is forgotten."""
        self.channel = channel
        self.association = self.dataset = None

    def end(self) -> None:
        """Be without a connection from now on."""
        self.channel = None

    def open_channel(self) -> Channel:
        """Return the present connection; raises LocalProtocolError."""
        if self.channel is None:
            raise LocalProtocolError("not connected")
        return self.channel

    @property
    def state(self) -> State | None:
        """The state of PS3.8 §9.2.1; None without a connection."""
        return self.channel.connection.state if self.channel else None

    # A-ASSOCIATE.

    def request_association(self, request: AssociateRequest) -> None:
        """Ask for an association (PS3.8 §9.3.2)."""
        channel = self.open_channel()
        channel.connection.request_association(request)
        channel.connection.transport_connected()
        channel.flush()

    def accept(self, accept: AssociateAccept) -> NegotiatedAssociation:
        """Accept the association (PS3.8 §9.3.3), and return what is agreed on by it."""
        channel = self.open_channel()
        with _ended_by_peer(channel):
            channel.connection.accept(accept)
        channel.flush()
        return self.establish()

    def establish(self) -> NegotiatedAssociation:
        """Take note of what was agreed on, when one side has accepted."""
        self.association = self.open_channel().connection.negotiated
        assert self.association is not None  # noqa: S101 - the state machine has just said so
        return self.association

    def reject(self, *, result: int, source: int, reason: int) -> None:
        """Reject the association (PS3.8 Table 9-21)."""
        channel = self.open_channel()
        with _ended_by_peer(channel):
            channel.connection.reject(result=result, source=source, reason=reason)
        channel.flush()

    # A-RELEASE and A-ABORT.

    def request_release(self) -> None:
        """Ask for the end (PS3.8 §9.3.6)."""
        channel = self.open_channel()
        channel.connection.request_release()
        channel.flush()

    def respond_release(self) -> None:
        """Confirm a release (PS3.8 §9.3.7)."""
        channel = self.open_channel()
        with _ended_by_peer(channel):
            channel.connection.respond_release()
        channel.flush()

    def abort(self, *, source: int = AbortSource.SERVICE_USER, reason: int = 0) -> None:
        """Abort the association (PS3.8 §9.3.8); without one it does nothing."""
        if self.channel is not None:
            self.channel.abort(source=source, reason=reason)

    # P-DATA.

    def context_of(self, context_id: int) -> PresentationContext:
        """Return an accepted presentation context; raises LocalProtocolError."""
        context = self.association.presentation_contexts.get(context_id) if self.association else None
        if context is None:
            raise LocalProtocolError(f"presentation context {context_id} was not accepted")
        return context

    def context_for(self, sop_class_uid: str) -> PresentationContext:
        """Return the first accepted context of a SOP class in which we are SCU; raises LocalProtocolError."""
        contexts = self.association.contexts_of(sop_class_uid) if self.association else []
        if not contexts:
            raise LocalProtocolError(f"no presentation context for {sop_class_uid} was accepted")
        return contexts[0]

    @property
    def operations_invoked(self) -> int:
        """How many operations we may have outstanding with the peer (PS3.7 §D.3.3.3)."""
        granted = self.association.maximum_operations_invoked if self.association else 1
        return granted or self.open_channel().configuration.maximum_operations

    @property
    def operations_performed(self) -> int:
        """How many operations the peer may have outstanding with us (PS3.7 §D.3.3.3)."""
        granted = self.association.maximum_operations_performed if self.association else 1
        return granted or self.open_channel().configuration.maximum_operations

    def send(
        self, context: PresentationContext, message: Message | CommandSet, dataset: Dataset | None = None
    ) -> None:
        """Write one message; what is still unread of a data set being received is dropped first.

        An exception out of `dataset` aborts the association.
        """
        if self.dataset is not None and not self.spares_dataset:
            self.dataset.drain()
        self.open_channel().send(context.context_id, message, dataset)

    def gathering(self) -> AbstractContextManager[None]:
        """Let small messages that are sent in a block leave together."""
        return self.open_channel().gathering()

    def dataset_of(self, received: MessageReceived) -> ReceivedDataset | None:
        """Return the data set of a message that was just received; its fragments are read as they come."""
        if received.has_dataset:
            self.dataset = ReceivedDataset(self._next_fragment, received.context.transfer_syntax)
        return self.dataset

    def _next_fragment(self) -> DatasetFragment:
        channel = self.open_channel()
        event = channel.next_event()
        if not isinstance(event, DatasetFragment):
            raise channel.violation(f"{type(event).__name__} inside a data set")
        if event.is_last:
            self.dataset = None
        return event


@contextmanager
def _ended_by_peer(channel: Channel) -> Iterator[None]:
    """Around an answer: raise the end of the association where that is why the answer is refused."""
    try:
        yield
    except LocalProtocolError:
        channel.raise_if_over()
        raise
