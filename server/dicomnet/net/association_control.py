"""Association control (PS3.8 §7.1 to §7.4): an association from its beginning to its end, with all waiting for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dicomnet.connection import Connection, ConnectionEvent
from dicomnet.dimse.events import MessageReceived
from dicomnet.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    AssociationReleased,
    LocalProtocolError,
)
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.channel import Channel
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.exchange import Exchange
from dicomnet.net.observation import Observation
from dicomnet.net.transport import Transport
from dicomnet.net.upper_layer_service import UpperLayerService
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.negotiation import NegotiatedAssociation
from dicomnet.upper_layer.pdu import AssociateReject, AssociateRequest
from dicomnet.upper_layer.states import State

__all__ = ["AssociationControl"]

_LOG: Final = logging.getLogger("dicomnet")

_AWAITING_AN_ANSWER: Final = (State.AWAITING_ASSOCIATE_AC_OR_RJ, State.AWAITING_RELEASE_RP)
_AWAITING_COLLISION_RESPONSE: Final = (
    State.COLLISION_REQUESTOR_AWAITING_LOCAL_RESPONSE,
    State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE,
)
_ACCEPTOR_IN_COLLISION: Final = (
    State.COLLISION_ACCEPTOR_AWAITING_RELEASE_RP,
    State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE,
)


class AssociationControl:
    """Begins, watches over and ends the connections of one DicomNet, one after the other, and tells its callbacks."""

    def __init__(self, callbacks: Callbacks, upper_layer: UpperLayerService, exchange: Exchange) -> None:
        self._callbacks = callbacks
        self._upper_layer = upper_layer
        self._exchange = exchange
        self.before_lingering: Callable[[], None] | None = None
        """Called when an association is over, before the peer is given time to close the connection."""
        self._is_closing = False

    def open(self, transport: Transport, configuration: NetConfiguration, *, is_requestor: bool) -> Channel:
        """Take over a transport connection that stands."""
        connection = Connection(is_requestor=is_requestor, limits=configuration.limits)
        channel = Channel(connection, transport, configuration)
        observation = Observation.of(self._callbacks, configuration.limits.associate_pdu_length)
        if observation is not None:
            channel.note_sent, channel.note_received = observation.sent, observation.received
        self._upper_layer.begin(channel)
        self._exchange.begin(configuration.limits)
        return channel

    # The beginning.

    def request(self, request: AssociateRequest) -> NegotiatedAssociation:
        """Ask for an association and wait for the answer; see `DicomNet.associate`."""
        channel = self._upper_layer.open_channel()
        try:
            self._upper_layer.request_association(request)
            event = channel.next_event(deadline=time.monotonic() + channel.configuration.timeouts.association)
        except AssociationEnded as error:
            self.shut(error)
            raise
        if isinstance(event, ul.AssociateRejected):
            raise self._rejected(event.reject)
        assert isinstance(event, ul.AssociateAccepted)  # noqa: S101 - no state leads to another event here
        return self._accepted(event)

    def _accepted(self, accepted: ul.AssociateAccepted) -> NegotiatedAssociation:
        association = self._upper_layer.establish()
        self._callbacks.on_associated(association)
        self._callbacks.on_receive_associate_accept(accepted.accept)
        return association

    def _rejected(self, reject: AssociateReject) -> AssociationRejected:
        """Close the connection after a rejection, and return the exception that `request` raises."""
        error = AssociationRejected.by(reject.result, reject.source, reject.reason)
        try:
            self._callbacks.on_receive_associate_reject(reject.result, reject.source, reject.reason)
        finally:
            self.shut(error)
        return error

    def await_request(self) -> AssociateRequest | None:
        """Wait for the request that begins an association, until ARTIM expires; None where it was refused already."""
        channel = self._upper_layer.open_channel()
        event = channel.next_event(deadline=time.monotonic() + channel.configuration.timeouts.artim)
        return event.request if isinstance(event, ul.AssociateRequested) else None

    # What comes on it.

    def serve(self) -> None:
        """Serve an accepted association, if one stands, for as long as it does."""
        channel = self._upper_layer.open_channel()
        while channel.connection.is_associated:
            # For the next request, or not as long for the answer to our own release.
            if channel.connection.state in _AWAITING_AN_ANSWER:
                timeout = channel.configuration.timeouts.association
                event = channel.next_event(deadline=time.monotonic() + timeout)
            else:
                event = channel.next_event(idle=True)
            self._take(channel, event)

    def receive(self, timeout: float | None) -> bool:
        """Wait for what comes next, and return whether the connection still stands; see `DicomNet.receive`."""
        if self._exchange.is_performing:
            raise LocalProtocolError("a request is being served; its callback has to end first")
        channel = self._upper_layer.open_channel()
        if timeout is None:
            timeouts = channel.configuration.timeouts
            is_step = channel.connection.state in _AWAITING_AN_ANSWER
            timeout = timeouts.association if is_step else timeouts.dimse
        deadline = time.monotonic() + timeout
        try:
            self._take(channel, channel.next_event(deadline=deadline))
            if self._upper_layer.channel is not None:
                channel.raise_if_over()
        except AssociationReleased as released:
            # It came while an answer was due; one of another association is no end in order.
            if channel.connection.state is State.DATA_TRANSFER:
                self.shut(released)
            else:
                self.release()
        except AssociationEnded as ended:
            self.shut(ended)
        if channel.connection.should_close or channel.connection.state is State.AWAITING_TRANSPORT_CLOSE:
            self.shut(None)
        return self._upper_layer.channel is not None

    def _take(self, channel: Channel, event: ConnectionEvent) -> None:
        match event:
            case MessageReceived():
                self._exchange.serve(event)
            case ul.AssociateAccepted():
                self._accepted(event)
            case ul.AssociateRejected(reject):
                self._rejected(reject)
            case ul.ReleaseRequested():
                self._exchange.postponed.give()
                # In a collision the acceptor answers when it has been answered (PS3.8 §9.2.2, AR-10).
                if self._upper_layer.state not in _ACCEPTOR_IN_COLLISION:
                    self._callbacks.on_receive_release_request()
            case ul.ReleaseConfirmed():
                self._callbacks.on_receive_release_response()
                if self._upper_layer.state is State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE:
                    self._callbacks.on_receive_release_request()
            case _:
                raise channel.violation(f"{type(event).__name__} came unexpectedly")

    # The end.

    def release(self) -> None:
        """End the association in order and close the connection; see `DicomNet.release`."""
        error: AssociationEnded | None = None
        channel = self._upper_layer.channel
        try:
            if channel is not None and channel.connection.state is State.DATA_TRANSFER:
                self._upper_layer.request_release()
                self._await_release_response(channel)
            else:
                self._answer_release(State.AWAITING_LOCAL_RELEASE_RESPONSE)
        except AssociationEnded as ended:
            error = ended
        self.shut(error)

    def _await_release_response(self, channel: Channel) -> None:
        deadline = time.monotonic() + channel.configuration.timeouts.association
        while not isinstance(channel.next_event(deadline=deadline), ul.ReleaseConfirmed):
            self._answer_release(*_AWAITING_COLLISION_RESPONSE)
        self._callbacks.on_receive_release_response()
        self._answer_release(*_AWAITING_COLLISION_RESPONSE)

    def _answer_release(self, *states: State) -> None:
        if self._upper_layer.state in states:
            self._callbacks.send_release_response()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the connection when the block that serves it ends. What is raised in the block ends there."""
        channel = self._upper_layer.open_channel()
        error: Exception | None = None
        try:
            yield
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
            self.shut(error)

    def shut(self, error: Exception | None) -> None:
        """Close the connection and call `on_close`, exactly once, even where another callback raises."""
        channel = self._upper_layer.channel
        if channel is None or self._is_closing:
            return
        self._is_closing = True
        self._exchange.finish()
        try:
            self._end_association(channel, error)
            if isinstance(error, AssociationAborted) and error.by_peer:
                self._callbacks.on_receive_abort(error.source, error.reason)
        finally:
            try:
                self._callbacks.on_close(error)
            finally:
                self._upper_layer.end()
                self._is_closing = False

    def _end_association(self, channel: Channel, error: Exception | None) -> None:
        """Say that the association is over before the peer is waited for, which may take long to close."""
        try:
            if channel.connection.is_associated:
                channel.abort()
            if self._upper_layer.association is not None:
                self._callbacks.on_disassociated(error)
        finally:
            if self.before_lingering is not None:
                self.before_lingering()
            channel.close()
