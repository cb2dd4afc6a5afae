"""One association's state machine (PS3.8 §9.2): events in, effects out; no I/O and no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dicomnet.errors import LocalProtocolError, RemoteProtocolError
from dicomnet.upper_layer import events, pdu
from dicomnet.upper_layer.negotiation import provider_rejection
from dicomnet.upper_layer.states import NEXT_STATE, TRANSITIONS, Action, Event, State

__all__ = ["Association", "Effects", "Stimulus"]

_LOCAL_EVENTS: Final = frozenset(event for event in Event if event.name.startswith("LOCAL_"))


@dataclass(frozen=True, slots=True)
class Effects:
    """What one event makes the shell do; the timer is read off the association afterwards."""

    send: pdu.Pdu | None = None
    indicate: events.Indication | None = None
    open_transport: bool = False
    close_transport: bool = False


Stimulus = pdu.Pdu | pdu.PresentationDataValue | RemoteProtocolError | None
"""What comes with an event: the PDU received or to be sent, one PDV, or what was wrong with the bytes."""

_NOTHING: Final = Effects()


class Association:
    """The protocol state of one connection, for either side."""

    def __init__(self, *, is_requestor: bool) -> None:
        self.is_requestor = is_requestor
        self.state = State.IDLE
        self.artim_running = False
        """ARTIM (PS3.8 §9.1.5) should be running now; the shell measures it and reports `Event.ARTIM_EXPIRED`.
        A restart cannot be told from a running timer: it only happens on the way into the last state."""

    def handle(self, event: Event, stimulus: Stimulus = None) -> Effects:
        """Take one event through the table.

        Raises LocalProtocolError where a local request is not allowed in the present state. Transport and
        timer events that the table leaves blank change nothing.
        """
        action = TRANSITIONS.get((event, self.state))
        if action is None:
            if event in _LOCAL_EVENTS:
                raise LocalProtocolError(f"{event.name} is not possible in state {self.state.name}")
            return _NOTHING
        effects = _ACTIONS[action](self, event, stimulus)
        next_state = NEXT_STATE.get(action)
        if next_state is not None:
            self.state = next_state
        return effects


def _open_transport(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(open_transport=True)


def _send(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(send=_as_pdu(stimulus))


def _send_and_await_close(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    association.artim_running = True
    return Effects(send=_as_pdu(stimulus))


def _await_request(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    association.artim_running = True
    return _NOTHING


def _confirm_accept(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    assert isinstance(stimulus, pdu.AssociateAccept)
    return Effects(indicate=events.AssociateAccepted(stimulus))


def _confirm_reject(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    assert isinstance(stimulus, pdu.AssociateReject)
    return Effects(indicate=events.AssociateRejected(stimulus), close_transport=True)


def _consider_request(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    assert isinstance(stimulus, pdu.AssociateRequest)
    reject = provider_rejection(stimulus)
    if reject is None:
        association.artim_running = False
        association.state = State.AWAITING_LOCAL_ASSOCIATE_RESPONSE
        return Effects(indicate=events.AssociateRequested(stimulus))
    association.artim_running = True
    association.state = State.AWAITING_TRANSPORT_CLOSE
    return Effects(send=reject)


def _indicate_data(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    assert isinstance(stimulus, pdu.PresentationDataValue)
    return Effects(indicate=events.DataReceived(stimulus))


def _indicate_release(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(indicate=events.ReleaseRequested())


def _confirm_release(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(indicate=events.ReleaseConfirmed(), close_transport=True)


def _confirm_release_and_answer(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(indicate=events.ReleaseConfirmed())


def _collide(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    association.state = (
        State.COLLISION_REQUESTOR_AWAITING_LOCAL_RESPONSE
        if association.is_requestor
        else State.COLLISION_ACCEPTOR_AWAITING_RELEASE_RP
    )
    return Effects(indicate=events.ReleaseRequested())


def _stop_timer(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    association.artim_running = False
    return _NOTHING


def _abort_as_user(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    """AA-1; where the cause is the peer's PDU and not our user, tell the user why nothing comes of it."""
    association.artim_running = True
    abort = stimulus if isinstance(stimulus, pdu.Abort) else pdu.Abort(source=pdu.AbortSource.SERVICE_USER)
    if event is Event.LOCAL_ABORT:
        return Effects(send=abort)
    return Effects(send=abort, indicate=events.ProtocolViolated(_violation(association, event, stimulus)))


def _close(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    """AA-2; an abort that comes before any association still is news."""
    association.artim_running = False
    heard = (
        events.AbortReceived(stimulus.source, stimulus.reason) if isinstance(stimulus, pdu.Abort) else None
    )
    if event is Event.LOCAL_ABORT:
        heard = None
    return Effects(indicate=heard, close_transport=True)


def _indicate_abort(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    assert isinstance(stimulus, pdu.Abort)
    return Effects(indicate=events.AbortReceived(stimulus.source, stimulus.reason), close_transport=True)


def _indicate_loss(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(indicate=events.TransportLost())


def _ignore(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return _NOTHING


def _abort_again(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    return Effects(send=_provider_abort(_violation(association, event, stimulus)))


def _abort_as_provider(association: Association, event: Event, stimulus: Stimulus) -> Effects:
    association.artim_running = True
    violation = _violation(association, event, stimulus)
    return Effects(send=_provider_abort(violation), indicate=events.ProtocolViolated(violation))


def _provider_abort(violation: RemoteProtocolError) -> pdu.Abort:
    return pdu.Abort(source=pdu.AbortSource.SERVICE_PROVIDER, reason=violation.reason)


def _violation(association: Association, event: Event, stimulus: Stimulus) -> RemoteProtocolError:
    if isinstance(stimulus, RemoteProtocolError):
        return stimulus
    return RemoteProtocolError(
        f"{event.name} in state {association.state.name}", reason=pdu.AbortReason.UNEXPECTED_PDU
    )


def _as_pdu(stimulus: Stimulus) -> pdu.Pdu | None:
    assert not isinstance(stimulus, pdu.PresentationDataValue | RemoteProtocolError)
    return stimulus


_ACTIONS: Final[Mapping[Action, Callable[[Association, Event, Stimulus], Effects]]] = MappingProxyType(
    {
        Action.AE_1: _open_transport,
        Action.AE_2: _send,
        Action.AE_3: _confirm_accept,
        Action.AE_4: _confirm_reject,
        Action.AE_5: _await_request,
        Action.AE_6: _consider_request,
        Action.AE_7: _send,
        Action.AE_8: _send_and_await_close,
        Action.DT_1: _send,
        Action.DT_2: _indicate_data,
        Action.AR_1: _send,
        Action.AR_2: _indicate_release,
        Action.AR_3: _confirm_release,
        Action.AR_4: _send_and_await_close,
        Action.AR_5: _stop_timer,
        Action.AR_6: _indicate_data,
        Action.AR_7: _send,
        Action.AR_8: _collide,
        Action.AR_9: _send,
        Action.AR_10: _confirm_release_and_answer,
        Action.AA_1: _abort_as_user,
        Action.AA_2: _close,
        Action.AA_3: _indicate_abort,
        Action.AA_4: _indicate_loss,
        Action.AA_5: _stop_timer,
        Action.AA_6: _ignore,
        Action.AA_7: _abort_again,
        Action.AA_8: _abort_as_provider,
    }
)
