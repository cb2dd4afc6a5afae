"""Messages on a standing association: the peer's requests are served, our answers awaited, cancels noticed."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

from dicomnet.connection import ConnectionEvent
from dicomnet.dimse.events import MessageReceived
from dicomnet.dimse.messages import CCancelRequest, CStoreRequest, Request, Response
from dicomnet.errors import AssociationReleased, DatasetTooLong, RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.channel import Channel
from dicomnet.net.dispatch import dispatch_request, dispatch_response
from dicomnet.net.held import HeldRequests
from dicomnet.net.postponed import PostponedAnswers
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.net.upper_layer_service import UpperLayerService
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.pdu import AbortReason

__all__ = ["Exchange", "SomeResponse"]

SomeResponse = TypeVar("SomeResponse", bound=Response)


class Exchange:
    """The requests that one DicomNet and its peer send each other, with their answers; callbacks serve what arrives.

    What needs the peer raises LocalProtocolError where there is no connection, AssociationEnded where it is gone.
    """

    def __init__(self, callbacks: Callbacks, upper_layer: UpperLayerService) -> None:
        self._callbacks = callbacks
        self._observes_data = type(callbacks).on_receive_data is not Callbacks.on_receive_data
        self.upper_layer = upper_layer
        self.postponed = PostponedAnswers(upper_layer)
        """The answers that handlers have put off."""
        self._limits = Limits()
        self._held = HeldRequests(self._limits)
        self._cancelled: set[int] = set()
        self.is_performing = False
        """A request of the peer's is being served."""
        self._message_id = 0

    def begin(self, limits: Limits) -> None:
        """Begin with a new connection; what an earlier one has left is forgotten."""
        self._limits = limits
        self._held = HeldRequests(limits)
        self._cancelled.clear()

    def finish(self) -> None:
        """Finish the operations whose answers were put off, and drop the requests that wait."""
        self.postponed.finish()
        self._held.clear()

    # The peer's requests.

    def serve(self, received: MessageReceived) -> None:
        """Have the callbacks serve a message, and then those that had to wait for it."""
        if not self._note_cancel(received):
            self._perform(received, self._dataset_of(received))
        if self._held:
            self._perform_held()
        # What came too late for its operation must not end the next one with that message ID.
        self._cancelled.clear()

    def _perform(self, received: MessageReceived, dataset: ReceivedDataset | None) -> None:
        message = received.message
        if isinstance(message, Response):
            dispatch_response(self._callbacks, received.context, message, dataset)
        elif isinstance(message, Request):
            if self.postponed.must_precede(message):
                self.postponed.give()
            outer, self.is_performing = self.is_performing, True
            try:
                dispatch_request(self._callbacks, received.context, message, dataset)
            finally:
                self.is_performing = outer
                self._cancelled.discard(message.message_id)
        if dataset is not None:
            dataset.drain()
        waiting = len(self.postponed)
        if waiting and waiting >= self.upper_layer.operations_performed:
            self.postponed.give()

    def _perform_held(self) -> None:
        while self._held and not self._is_dismissed:
            held = self._held.pop()
            received = held.received
            self._perform(received, ReceivedDataset.of(held.data, received.context.transfer_syntax))

    @property
    def _is_dismissed(self) -> bool:
        channel = self.upper_layer.channel
        return channel is not None and bool(channel.dismissal)

    def _dataset_of(self, received: MessageReceived) -> ReceivedDataset | None:
        dataset = self.upper_layer.dataset_of(received)
        if self._observes_data:
            self._callbacks.on_receive_data(received.context.context_id, received.message, dataset)
        return dataset

    # C-CANCEL, and what comes ahead of its turn.

    def is_cancelled(self, request: Request) -> bool:
        """Look, without waiting, whether the peer has cancelled `request`."""
        channel = self.upper_layer.open_channel()
        while (event := channel.poll_event()) is not None:
            if self._note_cancel(event):
                continue
            if self._can_wait(event):
                self._hold(channel, event)
            else:
                channel.put_back(event)
        return request.message_id in self._cancelled

    def _can_wait(self, event: ConnectionEvent) -> TypeGuard[MessageReceived]:
        """Say whether an event is a request to be served later, so that a C-CANCEL behind it is seen in time.

        What would be too much to hold stays where it is, and all that is behind it.
        """
        return (
            isinstance(event, MessageReceived)
            and isinstance(event.message, Request)
            and not isinstance(event.message, CStoreRequest)
            and self._held.reserve()
        )

    def _note_cancel(self, event: ConnectionEvent) -> bool:
        if not (isinstance(event, MessageReceived) and isinstance(event.message, CCancelRequest)):
            return False
        if self._observes_data:
            self._callbacks.on_receive_data(event.context.context_id, event.message, None)
        self._cancelled.add(event.message.message_id_being_responded_to)
        self._callbacks.on_receive_c_cancel_request(event.context, event.message)
        return True

    def _hold(self, channel: Channel, received: MessageReceived) -> None:
        """Keep a request that came while we serve another, by its window or in spite of it."""
        self._held.reserve()
        longest = self._held.longest
        if not longest:
            raise channel.violation(
                f"too much ahead of its turn, behind {len(self._held)} requests", AbortReason.NOT_SPECIFIED
            )
        dataset = self._dataset_of(received)
        try:
            data = dataset.read(longest) if dataset else b""
        except DatasetTooLong as error:
            raise channel.violation(f"ahead of its turn, {error}", AbortReason.NOT_SPECIFIED) from error
        self._held.add(received, data)

    # Our own requests.

    def next_message_id(self) -> int:
        """Return a message ID that no request of ours uses now (PS3.7 §9.1)."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def await_response(self, *message_ids: int) -> tuple[Response, ReceivedDataset | None]:
        """Wait for the next response to any of our requests; see `DicomNet.await_response`."""
        channel = self.upper_layer.open_channel()
        if self.upper_layer.dataset is not None:
            self.upper_layer.dataset.drain()
        while True:
            event = channel.next_event()
            if isinstance(event, ul.ReleaseRequested):
                channel.put_back(event)
                raise AssociationReleased("the peer released the association instead of answering")
            if not isinstance(event, MessageReceived):
                raise channel.violation(f"{type(event).__name__} came unexpectedly")
            message = event.message
            if isinstance(message, Response) and message.message_id_being_responded_to in message_ids:
                return message, self._dataset_of(event)
            if self._note_cancel(event):
                continue
            if self.is_performing and isinstance(message, Request):
                self._hold(channel, event)
            else:
                self._perform(event, self._dataset_of(event))
                if not self.is_performing:
                    self._perform_held()

    def await_only(
        self, response_type: type[SomeResponse], *message_ids: int
    ) -> tuple[SomeResponse, ReceivedDataset | None]:
        """As `await_response`; abort and raise RemoteProtocolError where the response is of another type."""
        response, dataset = self.await_response(*message_ids)
        if not isinstance(response, response_type):
            self.upper_layer.abort()
            raise RemoteProtocolError(
                f"{type(response).__name__} where {response_type.__name__} was due",
                reason=AbortReason.UNEXPECTED_PDU_PARAMETER,
            )
        return response, dataset

    def await_whole(
        self, response_type: type[SomeResponse], message_id: int
    ) -> tuple[SomeResponse, bytes | None]:
        """As `await_only`, with all of the data set, an identifier or attributes; raises DatasetTooLong."""
        response, dataset = self.await_only(response_type, message_id)
        return response, dataset.read(self._limits.identifier_length) if dataset else None
