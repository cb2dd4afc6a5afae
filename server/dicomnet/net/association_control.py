"""An association step by step: its requests, its answers, and `receive` for who works with callbacks alone."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from dicomnet.connection import ConnectionEvent
from dicomnet.errors import AssociationEnded, AssociationRejected, AssociationReleased, LocalProtocolError
from dicomnet.net.authentication import decide_identity
from dicomnet.net.channel import Channel
from dicomnet.net.information import Information
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.associate import DicomAssociate
from dicomnet.upper_layer.negotiation import NegotiatedAssociation, SupportedAbstractSyntax, answer_request
from dicomnet.upper_layer.pdu import (
    AbortSource,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
)
from dicomnet.upper_layer.states import State
from dicomnet.upper_layer.user_identity import IdentityRefused, identity_response

__all__ = ["AssociationSteps"]

_AWAITING_AN_ANSWER: Final = (State.AWAITING_ASSOCIATE_AC_OR_RJ, State.AWAITING_RELEASE_RP)


class AssociationSteps(Information):
    """What is said when an association begins and ends, without waiting, and the turn of the loop that waits."""

    @abstractmethod
    def release(self) -> None:
        """End the association in order and close the connection; see `DicomNet.release`."""

    @abstractmethod
    def _shut(self, error: Exception | None) -> None:
        """Close the connection and say so."""

    def send_associate_request(self, request: AssociateRequest | DicomAssociate) -> None:
        """Ask for an association and don't wait (PS3.8 §9.3.2): `receive` has the answer, or `associate` does both.

        Raises LocalProtocolError for a request that cannot be written; AssociationEnded as all sending.
        """
        if isinstance(request, DicomAssociate):
            request = request.to_request()
        channel = self._open_channel()
        channel.connection.request_association(request)
        channel.connection.transport_connected()
        channel.flush()

    def send_release_request(self) -> None:
        """Ask for the end and don't wait (PS3.8 §9.3.6): `receive` has the answer, or `release` does both."""
        channel = self._open_channel()
        channel.connection.request_release()
        channel.flush()

    # Answers, and the abrupt end.

    def send_associate_accept(self, accept: AssociateAccept | DicomAssociate) -> None:
        """Accept the association (PS3.8 §9.3.3)."""
        if isinstance(accept, DicomAssociate):
            accept = accept.to_accept()
        channel = self._open_channel()
        try:
            channel.connection.accept(accept)
        except LocalProtocolError:
            channel.raise_if_over()
            raise
        channel.flush()
        self._established(channel)

    def accept_association(
        self, request: AssociateRequest, support: Callable[[str], SupportedAbstractSyntax | ContextResult]
    ) -> None:
        """Negotiate each context by what `support` says of its SOP class, and accept.

        `authenticate` is asked first: where it refuses the user, the association is rejected, permanently and by
        the service user without a reason, for Table 9-21 has none for it. `answer_extended_negotiation` is asked
        for each SOP class that is accepted. An answer of theirs that is too long raises LocalProtocolError.
        """
        decision = decide_identity(self, request)
        if isinstance(decision, IdentityRefused):
            self.send_associate_reject(result=1, source=1, reason=1)
            return
        self.send_associate_accept(
            answer_request(
                request,
                support,
                maximum_length=self.configuration.maximum_length,
                maximum_operations=self.configuration.maximum_operations,
                extended=self.answer_extended_negotiation,
                user_identity_response=identity_response(request.user_information.user_identity, decision),
            )
        )

    def send_associate_reject(self, *, result: int, source: int, reason: int) -> None:
        """Reject the association (PS3.8 Table 9-21)."""
        channel = self._open_channel()
        try:
            channel.connection.reject(result=result, source=source, reason=reason)
        except LocalProtocolError:
            channel.raise_if_over()
            raise
        channel.flush()

    def send_release_response(self) -> None:
        """Confirm a release (PS3.8 §9.3.7)."""
        channel = self._open_channel()
        try:
            channel.connection.respond_release()
        except LocalProtocolError:
            channel.raise_if_over()
            raise
        channel.flush()

    def send_abort(self, *, source: int = AbortSource.SERVICE_USER, reason: int = 0) -> None:
        """Abort the association (PS3.8 §9.3.8); without one it does nothing."""
        if self._channel is not None:
            self._channel.abort(source=source, reason=reason)

    # The loop.

    def receive(self, *, timeout: float | None = None) -> bool:
        """Wait for what the peer says next and call its `on_*`; return whether the connection still stands.

        The loop of a requestor without `c_*` and `n_*` calls: `while net.receive(): …`. It waits `timeout` seconds,
        by default as for an answer, and then aborts. However the association ends, `on_close` says why, and
        nothing is raised but what a callback raises. Raises LocalProtocolError where nothing can come, and inside
        the callback of a request.
        """
        if self._performing:
            raise LocalProtocolError("a request is being served; its callback has to end first")
        channel = self._open_channel()
        if timeout is None:
            timeouts = self.configuration.timeouts
            is_step = channel.connection.state in _AWAITING_AN_ANSWER
            timeout = timeouts.association if is_step else timeouts.dimse
        deadline = time.monotonic() + timeout
        try:
            self._take(channel, channel.next_event(deadline=deadline))
            if self.is_connected:
                channel.raise_if_over()
        except AssociationReleased as released:
            self._end(channel, released)
        except AssociationEnded as ended:
            self._shut(ended)
        if channel.connection.should_close or channel.connection.state is State.AWAITING_TRANSPORT_CLOSE:
            self._shut(None)
        return self.is_connected

    def _next_event(self, channel: Channel) -> ConnectionEvent:
        """Wait as an acceptor: for the next request, or not as long for the answer to our own release."""
        if channel.connection.state in _AWAITING_AN_ANSWER:
            return channel.next_event(deadline=time.monotonic() + self.configuration.timeouts.association)
        return channel.next_event(idle=True)

    def _take(self, channel: Channel, event: ConnectionEvent) -> None:
        match event:
            case ul.AssociateAccepted():
                self._accepted(channel, event)
            case ul.AssociateRejected(reject):
                self._rejected(reject)
            case _:
                self._dispatch(event)

    def _end(self, channel: Channel, released: AssociationReleased) -> None:
        """Answer a release that came while an answer was due; one of another association is no end in order."""
        if channel.connection.state is State.DATA_TRANSFER:
            self._shut(released)
        else:
            self.release()

    def _accepted(self, channel: Channel, accepted: ul.AssociateAccepted) -> NegotiatedAssociation:
        association = self._established(channel)
        self.on_receive_associate_accept(accepted.accept)
        return association

    def _established(self, channel: Channel) -> NegotiatedAssociation:
        association = channel.connection.negotiated
        assert association is not None  # noqa: S101 - the state machine has just said so
        self._association = association
        self.on_associated(association)
        return association

    def _rejected(self, reject: AssociateReject) -> AssociationRejected:
        """Close behind a rejection, and return it as the exception that `associate` raises."""
        error = AssociationRejected.by(reject.result, reject.source, reject.reason)
        try:
            self.on_receive_associate_reject(reject.result, reject.source, reject.reason)
        finally:
            self._shut(error)
        return error
