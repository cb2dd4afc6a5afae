"""One stream socket under TLS: what `Transport` does, with a handshake before and encryption in between.

OpenSSL never touches the socket: records go through memory, so deadlines, waking and interrupting are those of the
plain transport.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final

from dicomnet.errors import AssociationEnded, AssociationTimedOut, ConnectionLost, TlsHandshakeFailed
from dicomnet.net.tls import NegotiatedCipher, PeerCertificate, reason_of
from dicomnet.net.transport import RECEIVE_BUFFERS, Buffer, Transport, Wait

__all__ = ["TlsTransport", "client_transport"]

_LOG: Final = logging.getLogger("dicomnet")
_INCOMING_PIECE: Final = 16384
_OUTGOING_PIECE: Final = 32768
"""Bytes given to OpenSSL at a time; its memory buffers keep for good what they have once grown to."""
_LAST_WORD_SECONDS: Final = 1.0
"""For the peer to take, and to read, an alert."""
_TLS_CONTENT_TYPES: Final = (0x15, 0x16)
"""Of a first record: alert or handshake (RFC 8446 §5.1)."""
_ASSOCIATE_REQUEST: Final = 0x01


class TlsTransport(Transport):
    """A connected socket under TLS; `handshake` comes first. `bytes_received` and `bytes_sent` count records."""

    def __init__(
        self, connected: socket.socket, context: ssl.SSLContext, *, is_server: bool, host: str | None = None
    ) -> None:
        """`host` is whom a client calls. Raises ValueError where it can be nobody's name."""
        super().__init__(connected)
        self._is_server = is_server
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=is_server, server_hostname=host
        )
        self._encrypted = memoryview(b"")
        """What was received and not given to OpenSSL yet."""
        self._plain: bytearray | None = None
        self._is_drained = True
        self._has_ended = False

    # The handshake.

    def handshake(self, timeout: float, wake_fd: int | None = None) -> None:
        """Agree on keys and verify certificates (RFC 8446 §2).

        Raises TlsHandshakeFailed with the reason, which the peer has been told, or because `wake_fd` became
        readable; AssociationTimedOut where it took longer than `timeout` seconds in all.
        """
        deadline = time.monotonic() + timeout
        while not self._shake_hands():
            self._flush(timeout)
            if not self._feed():
                if super().wait(deadline - time.monotonic(), wake_fd) is Wait.WOKEN:
                    raise TlsHandshakeFailed("the server is shutting down")
                self._receive_handshake(deadline, timeout)
        self._flush(timeout)
        # The peer's first message may have come along with its last of the handshake.
        self._is_drained = not self._incoming.pending

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._say_last_word()
            raise TlsHandshakeFailed(f"TLS handshake failed: {reason_of(error)}") from error
        return True

    def _receive_handshake(self, deadline: float, timeout: float) -> None:
        is_first = not self.bytes_received
        try:
            data = super().receive(_remaining(deadline))
        except AssociationTimedOut as error:
            raise AssociationTimedOut(f"no TLS handshake within {timeout:g} s") from error
        if not data:
            raise TlsHandshakeFailed("the peer closed the connection during the TLS handshake")
        if is_first and data[0] not in _TLS_CONTENT_TYPES:
            plain = ": it sends an A-ASSOCIATE-RQ in the clear" if data[0] == _ASSOCIATE_REQUEST else ""
            raise TlsHandshakeFailed(f"the peer does not speak TLS{plain}")
        self._encrypted = data

    def _say_last_word(self) -> None:
        """Let the peer read our alert: unread bytes of its own would turn the close into a reset."""
        deadline = time.monotonic() + _LAST_WORD_SECONDS
        try:
            self._flush(_LAST_WORD_SECONDS)
            super().finish_writing()
            while super().receive(_remaining(deadline)):
                pass
        except AssociationEnded as error:
            _LOG.debug("the peer has not heard why: %s", error)

    @property
    def cipher(self) -> NegotiatedCipher | None:
        """What was agreed on; None before the handshake."""
        agreed = self._tls.cipher()
        return agreed and NegotiatedCipher(
            name=agreed[0], protocol=self._tls.version() or agreed[1], secret_bits=agreed[2]
        )

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """What the peer has proved to be; None where it showed no certificate, or nobody verified it."""
        fields, encoded = self._tls.getpeercert(), self._tls.getpeercert(binary_form=True)
        return PeerCertificate.of(fields, encoded) if fields and encoded else None

    # Receiving.

    def receive(self, timeout: float) -> memoryview:
        """As `Transport.receive`; all the silences within one record together count as one."""
        deadline = time.monotonic() + timeout
        while (data := self._decrypt()) is None:
            self._take(super().receive(_remaining(deadline)))
        return data

    def receive_nowait(self) -> memoryview | None:
        """As `receive`, but None where nothing has come, or no whole record."""
        while (data := self._decrypt()) is None:
            encrypted = super().receive_nowait()
            if encrypted is None:
                return None
            self._take(encrypted)
        return data

    def _take(self, encrypted: memoryview) -> None:
        # An end without close_notify is an end: DICOM says itself when an association is complete.
        self._encrypted = encrypted
        self._has_ended = not encrypted

    def _decrypt(self) -> memoryview | None:
        """Return what can be had without receiving; empty at the end of the stream, None where more is needed."""
        if self._plain is None:
            self._plain = RECEIVE_BUFFERS.take()
        view, length = memoryview(self._plain), 0
        while length < len(view) and not self._has_ended:
            count = self._read_record(view[length:])
            if count is None:
                if not self._feed():
                    self._is_drained = True
                    break
                continue
            self._has_ended = count == 0
            length += count
        else:
            self._is_drained = False
        return view[:length] if length or self._has_ended else None

    def _read_record(self, into: memoryview) -> int | None:
        try:
            # With a buffer, the standard library returns a count.
            return self._tls.read(len(into), into)  # type: ignore[return-value]
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return 0  # the peer's close_notify behind our own
        except ssl.SSLError as error:
            raise ConnectionLost(f"the connection broke while receiving: {reason_of(error)}") from error

    def _feed(self) -> bool:
        """Give OpenSSL a piece of what was received; False where there is none."""
        piece = self._encrypted[:_INCOMING_PIECE]
        self._encrypted = self._encrypted[_INCOMING_PIECE:]
        self._incoming.write(piece)
        return bool(piece)

    def release_buffer(self) -> None:
        """As `Transport.release_buffer`, but for records that nobody has read yet."""
        if self._plain is not None:
            RECEIVE_BUFFERS.give_back(self._plain)
            self._plain = None
        if not self._encrypted:
            self._encrypted = memoryview(b"")
            super().release_buffer()

    def wait(self, timeout: float, *wake_fds: int | None) -> Wait:
        """As `Transport.wait`; what was received but not read counts as come."""
        if self._is_drained and not self._encrypted:
            return super().wait(timeout, *wake_fds)
        return Wait.WOKEN if super().wait(0, *wake_fds) is Wait.WOKEN else Wait.READABLE

    # Sending.

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        """As `Transport.send`; `timeout` is for each piece of 32 KiB."""
        # Each write of its own would be a record of its own, however small.
        plain = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        while plain:
            try:
                written = self._tls.write(plain[:_OUTGOING_PIECE])
            except ssl.SSLError as error:
                raise ConnectionLost(f"the connection broke while sending: {reason_of(error)}") from error
            self._flush(timeout)
            plain = plain[written:]

    def _flush(self, timeout: float) -> None:
        if self._outgoing.pending:
            super().send([self._outgoing.read()], timeout)

    # The end.

    def finish_writing(self) -> None:
        """Tell the peer, by close_notify and then by the end of the stream, that nothing more will come from here."""
        self._notify()
        super().finish_writing()

    def _notify(self) -> None:
        try:
            self._tls.unwrap()
        except (
            ssl.SSLError,
            ValueError,
        ) as error:  # it asks for the peer's close_notify, or has ours out already
            _LOG.debug("close_notify: %s", error)
        try:
            self._flush(_LAST_WORD_SECONDS)
        except AssociationEnded as error:
            _LOG.debug("the peer is gone already: %s", error)

    def close(self) -> None:
        """Say close_notify, close the socket and give the buffers back."""
        self._notify()
        self._encrypted = memoryview(b"")
        self.release_buffer()
        super().close()


def client_transport(connected: socket.socket, context: ssl.SSLContext, host: str) -> TlsTransport:
    """Return the transport to `host`, whom its certificate must name; the handshake is still to be done.

    Raises TlsHandshakeFailed where no certificate could.
    """
    try:
        return TlsTransport(connected, context, is_server=False, host=host)
    except ValueError as error:
        raise TlsHandshakeFailed(f"no certificate can name the host {host!r}: {error}") from error


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise AssociationTimedOut("the peer sent no whole TLS record in time")
    return remaining
