"""Messages on a standing association: requests are served, answers awaited, cancels noticed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TypeGuard

from dicomnet.connection import ConnectionEvent
from dicomnet.dimse.command_set import CommandSet
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import CCancelRequest, CStoreRequest, Message, Request, Response
from dicomnet.errors import AssociationEnded, AssociationReleased, DatasetTooLong, LocalProtocolError
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.channel import Channel
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.dispatch import dispatch_request, dispatch_response
from dicomnet.net.held import HeldRequests
from dicomnet.net.normalized_requests import NormalizedRequests
from dicomnet.net.postponed import PostponedAnswers
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.negotiation import NegotiatedAssociation, PresentationContext
from dicomnet.upper_layer.pdu import AbortReason
from dicomnet.upper_layer.states import State

__all__ = ["Conversation"]

_LOG: Final = logging.getLogger("dicomnet")

_ACCEPTOR_IN_COLLISION: Final = (
    State.COLLISION_ACCEPTOR_AWAITING_RELEASE_RP,
    State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE,
)


class Conversation(NormalizedRequests):
    """What a DicomNet does between A-ASSOCIATE-AC and the end; `DicomNet` is its only subclass."""

    def __init__(self, configuration: NetConfiguration) -> None:
        self.configuration = configuration
        self._channel: Channel | None = None
        self._association: NegotiatedAssociation | None = None
        self._dataset: ReceivedDataset | None = None
        """The data set that is being received."""
        self._held = HeldRequests(configuration.limits)
        self._postponed = PostponedAnswers()
        self._answering = False
        """Answers that were put off are being given, perhaps in the middle of the next data set."""
        self._cancelled: set[int] = set()
        self._performing = False
        self._message_id = 0
        self._observes_data = type(self).on_receive_data is not Callbacks.on_receive_data

    def _begin_conversation(self) -> None:
        """Forget what an earlier connection has left."""
        self._association = self._dataset = None
        self._held.clear()
        self._cancelled.clear()

    @property
    def association(self) -> NegotiatedAssociation | None:
        """What was agreed on; None before A-ASSOCIATE-AC, kept after the end until the next connection."""
        return self._association

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise LocalProtocolError("not connected")
        return self._channel

    def send_message(
        self, context: PresentationContext, message: Message | CommandSet, dataset: Dataset | None = None
    ) -> None:
        """Write one message; see `Messaging.send_message`. An exception out of `dataset` aborts the association."""
        if self._dataset is not None and not self._answering:
            self._dataset.drain()
        self._open_channel().send(context.context_id, message, dataset)

    def send_data(
        self, context_id: int, command: Message | CommandSet, dataset: Dataset | None = None
    ) -> None:
        """Write a command set of any making, and its data set, on an accepted context (PS3.7 §6.3).

        The low level under all `send_*`; raises as they do, and LocalProtocolError for another context.
        """
        context = self._association.presentation_contexts.get(context_id) if self._association else None
        if context is None:
            raise LocalProtocolError(f"presentation context {context_id} was not accepted")
        self.send_message(context, command, dataset)

    def _dispatch(self, event: ConnectionEvent) -> None:
        if isinstance(event, MessageReceived):
            if not self._note_cancel(event):
                self._perform(event, self._dataset_of(event))
            self._perform_held()
            # What came too late for its operation must not end the next one with that message ID.
            self._cancelled.clear()
        elif isinstance(event, ul.ReleaseRequested):
            self._answer_postponed()
            # In a collision the acceptor answers when it has been answered (PS3.8 §9.2.2, AR-10).
            if self._state not in _ACCEPTOR_IN_COLLISION:
                self.on_receive_release_request()
        elif isinstance(event, ul.ReleaseConfirmed):
            self.on_receive_release_response()
            if self._state is State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE:
                self.on_receive_release_request()
        else:
            raise self._open_channel().violation(f"{type(event).__name__} came unexpectedly")

    @property
    def _state(self) -> State | None:
        return self._channel.connection.state if self._channel else None

    def _perform(self, received: MessageReceived, dataset: ReceivedDataset | None) -> None:
        message = received.message
        if isinstance(message, Response):
            dispatch_response(self, received.context, message, dataset)
        elif isinstance(message, Request):
            if self._postponed.must_precede(message):
                self._answer_postponed()
            outer, self._performing = self._performing, True
            try:
                dispatch_request(self, received.context, message, dataset)
            finally:
                self._performing = outer
                self._cancelled.discard(message.message_id)
        if dataset is not None:
            dataset.drain()
        if len(self._postponed) >= self._operations_at_once:
            self._answer_postponed()

    def be_dismissed(self, reason: str) -> None:
        """Let the association end when nothing is under way any more; see `Accepting.dismiss`, which wakes it too."""
        channel = self._channel  # once: its own thread may take it away meanwhile
        if channel is not None:
            channel.dismissal = reason

    @property
    def _is_dismissed(self) -> bool:
        return self._channel is not None and bool(self._channel.dismissal)

    def _perform_held(self) -> None:
        while self._held and not self._is_dismissed:
            held = self._held.pop()
            received = held.received
            self._perform(received, ReceivedDataset.of(held.data, received.context.transfer_syntax))

    def gathering(self) -> AbstractContextManager[None]:
        """Let small messages that are sent in a block leave together: at its end, or earlier where they are many."""
        return self._open_channel().gathering()

    # Answers that are put off.

    def answer_later(self, request: Request, answer: Callable[[], None]) -> None:
        """Let the handler of `request` return before its operation is finished: `answer` finishes and answers it.

        Of a peer that has negotiated a window (PS3.7 §D.3.3.3) several operations can so be received first and
        finished together. The answers are given on this thread, each once and in order: when as many wait as the
        window has, before a request of another kind, and before the thread waits for the peer; without a window
        at once when the handler has returned. If the association ends before, `answer` is called all the same, and
        what it sends raises AssociationEnded.
        """
        self._postponed.add(request, answer)
        self._open_channel().before_waiting = self._answer_postponed

    @property
    def _operations_at_once(self) -> int:
        granted = self._association.maximum_operations_performed if self._association else 1
        return granted or self.configuration.maximum_operations

    def _answer_postponed(self) -> None:
        if not self._postponed:
            return
        channel = self._open_channel()
        channel.before_waiting = None
        outer, self._answering = self._answering, True
        try:
            with channel.gathering():
                self._postponed.give()
        finally:
            self._answering = outer

    def _finish_postponed(self) -> None:
        """Finish what was received whole on an association that has ended, though nobody will hear of it."""
        try:
            self._answer_postponed()
        except (AssociationEnded, LocalProtocolError) as error:
            _LOG.debug("operations were finished without an answer: %s", error)
        except Exception:
            _LOG.exception("an operation failed unexpectedly, behind the end of its association")

    def _dataset_of(self, received: MessageReceived) -> ReceivedDataset | None:
        if received.has_dataset:
            self._dataset = ReceivedDataset(self._next_fragment, received.context.transfer_syntax)
        dataset = self._dataset
        if self._observes_data:
            self.on_receive_data(received.context.context_id, received.message, dataset)
        return dataset

    def _next_fragment(self) -> DatasetFragment:
        channel = self._open_channel()
        event = channel.next_event()
        if not isinstance(event, DatasetFragment):
            raise channel.violation(f"{type(event).__name__} inside a data set")
        if event.is_last:
            self._dataset = None
        return event

    def is_cancelled(self, request: Request) -> bool:
        """Look, without waiting, whether the peer has cancelled `request` (C-CANCEL, PS3.7 §9.3.2.3).

        To be asked between two steps of a long answer; raises AssociationEnded where the peer is gone.
        """
        channel = self._open_channel()
        while (event := channel.poll_event()) is not None:
            if self._note_cancel(event):
                continue
            if self._can_wait(event):
                self._hold(channel, event)
            else:
                channel.put_back(event)
        return request.message_id in self._cancelled

    @property
    def peer_has_spoken(self) -> bool:
        """Whether something has come that `is_cancelled` would read; may be asked from any thread, and never waits."""
        channel = self._channel
        return channel is not None and channel.has_unread

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
            self.on_receive_data(event.context.context_id, event.message, None)
        self._cancelled.add(event.message.message_id_being_responded_to)
        self.on_receive_c_cancel_request(event.context, event.message)
        return True

    def await_response(self, *message_ids: int) -> tuple[Response, ReceivedDataset | None]:
        """Wait for the next response to our own requests; see `Requests.await_response`."""
        channel = self._open_channel()
        if self._dataset is not None:
            self._dataset.drain()
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
            if self._performing and isinstance(message, Request):
                self._hold(channel, event)
            else:
                self._perform(event, self._dataset_of(event))
                if not self._performing:
                    self._perform_held()

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

    def next_message_id(self) -> int:
        """Return a message ID that no request of ours uses now (PS3.7 §9.1)."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id
