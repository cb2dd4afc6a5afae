"""One connection's two ways: the gate that every write goes through, and the pump that every event comes from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from dicomnet.connection import Connection, ConnectionEvent
from dicomnet.dimse.command_set import CommandSet
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.fragments import Buffer, Dataset
from dicomnet.dimse.messages import Message
from dicomnet.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationReleased,
    AssociationTimedOut,
    ConnectionLost,
    LocalProtocolError,
)
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.pace import Pace
from dicomnet.net.transport import Transport, Wait
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.pdu import AbortReason, AbortSource
from dicomnet.upper_layer.states import State

__all__ = ["Channel"]

_LOG: Final = logging.getLogger("dicomnet")
_LINGER_WHEN_CLOSING: Final = 1.0
"""Seconds that a peer has to hear that the server closes; the server's own end waits for it."""
_OVER: Final = (State.IDLE, State.AWAITING_TRANSPORT_CLOSE)

_LINGER_FOR_STRANGERS: Final = 1.0
"""Seconds for a peer that does not speak DICOM at all, TLS or HTTP say, and so will not understand our A-ABORT."""

_PATIENCE: Final = 0.02
"""Seconds that a pause inside a data set may last before it counts as waiting for the peer."""
_WORTH_GATHERING: Final = 4096
"""Bytes up to which a message is copied to be written together with others."""
_GATHERED_AT_MOST: Final = 16384
"""Bytes that wait for others; more in one write gains nothing, and the peer would see them later."""


class _CallingForAttention(Protocol):
    attention_fd: int
    """Readable when it has called; then it is another."""


class Channel:
    """A protocol connection bound to its transport, with deadlines; owned by one thread."""

    def __init__(self, connection: Connection, transport: Transport, configuration: NetConfiguration) -> None:
        self.connection = connection
        self.transport = transport
        self.configuration = configuration
        self._timeouts = configuration.timeouts
        self._while_waiting = configuration.while_waiting
        self._next: ConnectionEvent | None = None
        """An event that was looked at and put back."""
        self.wake_fd: int | None = None
        """Readable when an idle association, or a connection that has not asked for one yet, shall end."""
        self.listener: _CallingForAttention | None = None
        """Calls where an idle association has to look at `dismissal`."""
        self.dismissal = ""
        """Why the association is to end as soon as nothing is under way; another thread may write it."""
        self._linger_seconds = configuration.timeouts.artim
        self.note_sent: Callable[[Sequence[Buffer], Exception | None], None] | None = None
        """Told of whole PDUs that were written, or with an error were not, or not wholly."""
        self.note_received: Callable[[memoryview], None] | None = None
        """Told of all that comes."""
        self.before_waiting: Callable[[], None] | None = None
        """To be done before the peer is waited for next, once."""
        self._gathered: bytearray | None = None
        """Written messages that leave together; None: each leaves by itself."""
        self.messages_under_way = 0
        """How many messages are being written: one, or none."""
        slowest = configuration.limits.slowest_bytes_per_second
        self._in_dataset = False
        self._receiving = Pace(slowest, self._timeouts.dimse)
        self._sending = Pace(slowest, self._timeouts.write)

    # The gate for writing.

    def send(self, context_id: int, message: Message | CommandSet, dataset: Dataset | None) -> None:
        """Write one message. An exception out of `dataset` leaves half of it on the wire, so it aborts."""
        try:
            writes = self.connection.send_message(context_id, message, dataset)
        except LocalProtocolError as error:
            self.raise_if_over()
            if self.connection.state in _OVER:  # by our own abort, out of a message before: no mistake either
                raise AssociationReleased("the association is over") from error
            raise
        self.messages_under_way += 1
        try:
            for buffers in writes:
                self._write(buffers)
        except Exception:
            self.abort()
            raise
        finally:
            self.messages_under_way -= 1

    def flush(self) -> None:
        """Write what the protocol has to say by itself."""
        outgoing = self.connection.data_to_send()
        if outgoing:
            self._write(outgoing)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Hold small messages back until the end of the block, until there are many, or until the peer is waited for.

        They leave in one write. A block inside another adds to it.
        """
        if self._gathered is not None:
            yield
            return
        self._gathered = bytearray()
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            if gathered:
                self._write_out([gathered])

    def _write(self, buffers: list[Buffer]) -> None:
        if self._gathered is None:
            self._write_out(buffers)
        elif sum(map(len, buffers)) > _WORTH_GATHERING:
            self._write_gathered(buffers)
        else:
            for buffer in buffers:
                self._gathered += buffer  # copied, as a view's content may be another when it is written
            if len(self._gathered) >= _GATHERED_AT_MOST:
                self._write_gathered([])

    def _write_gathered(self, buffers: list[Buffer]) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        self._write_out([gathered, *buffers] if gathered else buffers)

    def _write_out(self, buffers: list[Buffer]) -> None:
        try:
            with self._while_waiting:
                began = time.monotonic()
                self.transport.send(buffers, self._timeouts.write)
                seconds = time.monotonic() - began
        except AssociationEnded as error:
            # A PDU may be half out, and whatever followed it would be read as its rest.
            self.connection.transport_closed()
            if self.note_sent is not None:
                self.note_sent(buffers, error)
            raise
        if self.note_sent is not None:
            self.note_sent(buffers, None)
        if not self._sending.keeps_up(sum(map(len, buffers)), seconds):
            self.connection.transport_closed()  # its buffers are full: it would hear of an abort too late
            raise AssociationTimedOut("the peer takes what is sent too slowly")

    def abort(
        self, *, source: int = AbortSource.SERVICE_PROVIDER, reason: int = AbortReason.NOT_SPECIFIED
    ) -> None:
        """Send A-ABORT if there is an association, and anybody who could hear it."""
        try:
            self.connection.abort(source=source, reason=reason)
            self.flush()
        except (LocalProtocolError, AssociationEnded) as error:
            _LOG.debug("nothing to abort: %s", error)

    def violation(self, message: str, reason: int = AbortReason.UNEXPECTED_PDU) -> AssociationAborted:
        """Abort because of what the peer did, and return the exception to raise."""
        self.abort(reason=reason)
        return AssociationAborted(message, source=AbortSource.SERVICE_PROVIDER, reason=reason)

    def raise_if_over(self) -> None:
        """Raise the AssociationEnded by which the peer has ended the association, if it has.

        The end may have come in the bytes behind those that are being answered: a local request that is refused
        then is no mistake of the caller's.
        """
        while self.connection.state in _OVER and self._take() is not None:
            pass  # nobody will serve what came before the end

    # The pump for reading.

    def next_event(self, *, idle: bool = False, deadline: float | None = None) -> ConnectionEvent:
        """Return the next event, reading as needed; raise the AssociationEnded that an ending event means.

        Each read waits as long as an idle association, or an operation under way, may take; with a `deadline`
        (of `time.monotonic`) all of them together until then. An idle association ends by its `dismissal`, whatever
        the peer has asked for meanwhile.
        """
        if idle and self.dismissal:
            raise self._dismissed()
        if self._next is not None:
            event, self._next = self._next, None
            return event
        while (taken := self._take()) is None:
            if self.connection.should_close or self.connection.state is State.AWAITING_TRANSPORT_CLOSE:
                raise AssociationReleased("the association is over")
            if self.before_waiting is not None and not self._more_is_coming():
                before_waiting, self.before_waiting = self.before_waiting, None
                before_waiting()
            if self._gathered:
                self._write_gathered([])
            self._read(idle=idle, deadline=deadline)
        return taken

    def _more_is_coming(self) -> bool:
        """Look whether bytes are there, or will be at once as they belong to a data set under way."""
        return self.transport.wait(_PATIENCE if self._in_dataset else 0.0) is Wait.READABLE

    def poll_event(self) -> ConnectionEvent | None:
        """Return the next event if it has come already; never waits. Nothing is read past an event put back."""
        while self._next is None:
            event = self._take()
            if event is not None:
                return event
            data = self.transport.receive_nowait()
            if data is None:
                break
            self._feed(data)
        return None

    @property
    def has_unread(self) -> bool:
        """Whether `poll_event` would find something new."""
        return self._next is None and self.transport.wait(0.0) is Wait.READABLE

    def put_back(self, event: ConnectionEvent) -> None:
        """Leave an event for the next `next_event`; until then nothing more is read, and the peer waits."""
        self._next = event

    def _take(self) -> ConnectionEvent | None:
        event = self.connection.next_event()
        match event:
            case DatasetFragment():
                self._in_dataset = not event.is_last
            case MessageReceived():
                self._in_dataset = event.has_dataset
                self._receiving.restart()
            case ul.AbortReceived(source, reason):
                raise AssociationAborted(
                    f"the peer aborted (source {source}, reason {reason})",
                    source=source,
                    reason=reason,
                    by_peer=True,
                )
            case ul.ProtocolViolated(error):
                if error.reason == AbortReason.UNRECOGNIZED_PDU:
                    self._linger_seconds = min(self._linger_seconds, _LINGER_FOR_STRANGERS)
                raise AssociationAborted(
                    f"the peer broke the protocol: {error}",
                    source=AbortSource.SERVICE_PROVIDER,
                    reason=error.reason,
                ) from error
            case ul.TransportLost():
                raise ConnectionLost("the peer closed the connection without release or abort")
        return event

    def _dismissed(self) -> AssociationAborted:
        # Nothing is sent yet: answers that were put off come before the abort.
        return AssociationAborted(
            self.dismissal, source=AbortSource.SERVICE_PROVIDER, reason=AbortReason.NOT_SPECIFIED
        )

    def _read(self, *, idle: bool, deadline: float | None) -> None:
        try:
            if idle:  # nothing is under way that others could do meanwhile
                data = self._receive(idle=True, deadline=deadline)
            else:
                with self._while_waiting:
                    data = self._receive(idle=False, deadline=deadline)
        except AssociationTimedOut:
            self.abort()
            raise
        except ConnectionLost:
            self.connection.transport_closed()
            raise
        if data is not None:
            self._feed(data)

    def _receive(self, *, idle: bool, deadline: float | None) -> memoryview | None:
        """Return what comes next; None where something has to be looked at first."""
        timeout = self._timeouts.idle if idle else self._timeouts.dimse
        if deadline is not None:
            timeout = deadline - time.monotonic()
        if idle or deadline is not None:
            wakes = idle or self.connection.state is State.AWAITING_ASSOCIATE_RQ
            listener = self.listener if idle else None
            attention = listener.attention_fd if listener is not None else None
            if idle and self.dismissal:
                # Only now: who dismisses writes why, and then exchanges the descriptor.
                raise self._dismissed()
            if self._wait(timeout, self.wake_fd if wakes else None, attention) is Wait.WOKEN:
                if listener is not None and attention != listener.attention_fd:
                    return None  # to wait again, where another connection is dismissed
                raise self.violation("the server is shutting down", AbortReason.NOT_SPECIFIED)
        if not self._in_dataset:
            # Who takes long to answer or to ask is not slow by that.
            return self.transport.receive(timeout)
        began = time.monotonic()
        data = self.transport.receive(timeout)
        # A data set holds a file.
        if not self._receiving.keeps_up(len(data), time.monotonic() - began):
            raise AssociationTimedOut("the peer sends a data set too slowly")
        return data

    def _wait(self, timeout: float, *wake_fds: int | None) -> Wait:
        """Wait for the peer or, if that comes first, for one of `wake_fds`."""
        self.transport.release_buffer()
        waited = self.transport.wait(timeout, *wake_fds)
        if waited is Wait.TIMED_OUT:
            raise AssociationTimedOut(f"the peer sent nothing for {timeout:.0f} s")
        return waited

    def _feed(self, data: memoryview) -> None:
        if data:
            if self.note_received is not None:
                self.note_received(data)
            self.connection.receive_data(data)
        else:
            self.connection.transport_closed()
        self.flush()

    # The end.

    def close(self) -> None:
        """Say the protocol's last word, let the peer hear it, and close the socket."""
        if self.connection.is_associated:
            self.abort()
        if self.connection.state is State.AWAITING_TRANSPORT_CLOSE:
            self._linger()
        self.connection.transport_closed()
        self.transport.close()

    def _linger(self) -> None:
        """Let the peer read our last PDU and close first, but not for longer than ARTIM (PS3.8 §9.1.5)."""
        self.transport.finish_writing()
        deadline, wake_fd = time.monotonic() + self._linger_seconds, self.wake_fd
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                if self._wait(remaining, wake_fd) is Wait.WOKEN:
                    deadline, wake_fd = min(deadline, time.monotonic() + _LINGER_WHEN_CLOSING), None
                elif not self.transport.receive(remaining):
                    return
        except AssociationTimedOut:
            self.connection.artim_expired()
        except ConnectionLost as error:
            _LOG.debug("the connection ended: %s", error)
