"""One stream socket: blocking reads and gathered writes, each with a deadline, and no memory while idle."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import threading
from collections.abc import Sequence
from enum import Enum
from typing import Final

from dicomnet.errors import AssociationTimedOut, ConnectionLost

__all__ = ["RECEIVE_BUFFERS", "Buffer", "Transport", "Wait", "free_buffers"]

Buffer = bytes | bytearray | memoryview

_BUFFER_LENGTH: Final = 262144
_BUFFERS_KEPT: Final = 32
_TIMEVAL: Final = struct.Struct("@ll")
_INT: Final = struct.Struct("@i")


class Wait(Enum):
    """How waiting for the peer ended."""

    READABLE = "readable"
    WOKEN = "woken"
    TIMED_OUT = "timed out"


class _BufferPool:
    """Receive buffers for those who are receiving just now; an idle connection holds none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        with self._lock:
            if self._free:
                return self._free.pop()
        return bytearray(_BUFFER_LENGTH)

    def give_back(self, buffer: bytearray) -> None:
        with self._lock:
            if len(self._free) < _BUFFERS_KEPT:
                self._free.append(buffer)

    def clear(self) -> None:
        with self._lock:
            self._free.clear()


RECEIVE_BUFFERS: Final = _BufferPool()


def free_buffers() -> None:
    """Free the receive buffers that are kept for connections to come."""
    RECEIVE_BUFFERS.clear()


class Transport:
    """A connected socket as the engine uses it; owned by one thread, except for `interrupt`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.setblocking(True)
        self._buffer: bytearray | None = None
        self._receive_timeout: float | None = None
        self._send_timeout: float | None = None
        self._is_tcp = connected.family in (socket.AF_INET, socket.AF_INET6)
        self.bytes_received = 0
        self.bytes_sent = 0
        if self._is_tcp:
            # A message is one write; waiting to see whether more follows could only delay it.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def receive(self, timeout: float) -> memoryview:
        """Return the next bytes, at most 256 KiB; empty at the end of the stream.

        The view is of a buffer that the next call overwrites. Raises AssociationTimedOut after `timeout`
        seconds of silence, ConnectionLost when the connection broke.
        """
        if timeout != self._receive_timeout:
            self._set_timeout(socket.SO_RCVTIMEO, timeout)
            self._receive_timeout = timeout
        try:
            return self._receive(0)
        except BlockingIOError as error:
            raise AssociationTimedOut(f"the peer sent nothing for {timeout:.0f} s") from error

    def receive_nowait(self) -> memoryview | None:
        """As `receive`, but None where nothing has come."""
        try:
            return self._receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def _receive(self, flags: int) -> memoryview:
        if self._buffer is None:
            self._buffer = RECEIVE_BUFFERS.take()
        try:
            if self._is_tcp:
                # The kernel leaves quick acknowledgement by itself; without it, a peer with Nagle's algorithm
                # on waits some 40 ms before each small piece that ends a message.
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            count = self._socket.recv_into(self._buffer, 0, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConnectionLost(f"the connection broke while receiving: {error.strerror}") from error
        self.bytes_received += count
        return memoryview(self._buffer)[:count]

    def release_buffer(self) -> None:
        """Give the receive buffer back; views of it must not be used any more."""
        if self._buffer is not None:
            RECEIVE_BUFFERS.give_back(self._buffer)
            self._buffer = None

    def wait(self, timeout: float, *wake_fds: int | None) -> Wait:
        """Wait without a buffer until bytes come, one of `wake_fds` becomes readable, or `timeout` seconds pass."""
        poll, own_fd = select.poll(), self._socket.fileno()
        poll.register(own_fd, select.POLLIN)
        for wake_fd in wake_fds:
            if wake_fd is not None:
                poll.register(wake_fd, select.POLLIN)
        try:
            ready = poll.poll(max(0.0, timeout) * 1000)
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error.strerror}") from error
        if not ready:
            return Wait.TIMED_OUT
        # To be woken comes first, or a peer that always sends would never hear that we close.
        return Wait.READABLE if [fd for fd, _ in ready] == [own_fd] else Wait.WOKEN

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        """Write all buffers, in one system call where the kernel takes them.

        Raises AssociationTimedOut when the peer takes nothing for `timeout` seconds, ConnectionLost when the
        connection is broken.
        """
        if timeout != self._send_timeout:
            self._set_timeout(socket.SO_SNDTIMEO, timeout)
            self._send_timeout = timeout
        while buffers:
            try:
                sent = self._socket.sendmsg(buffers)
            except BlockingIOError as error:
                raise AssociationTimedOut(f"the peer took nothing for {timeout:.0f} s") from error
            except OSError as error:
                raise ConnectionLost(f"the connection broke while sending: {error.strerror}") from error
            self.bytes_sent += sent
            buffers = _behind(buffers, sent)

    def _set_timeout(self, option: int, seconds: float) -> None:
        # The kernel's own timeouts leave a read one system call; 0 would mean none at all.
        whole, fraction = divmod(max(seconds, 0.001), 1)
        self._socket.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(int(whole), int(fraction * 1e6)))

    @property
    def unsent_bytes(self) -> int:
        """What the kernel has taken from us and the peer has not yet acknowledged; 0 on a closed socket."""
        try:
            answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        except (OSError, ValueError):
            return 0
        return int(_INT.unpack(answer)[0])

    def finish_writing(self) -> None:
        """Tell the peer that nothing more will come from here."""
        with contextlib.suppress(OSError):  # it may have closed already, which is what we are after
            self._socket.shutdown(socket.SHUT_WR)

    def interrupt(self) -> None:
        """End all reads and writes at once, from any thread; `close` remains the owner's to call."""
        with contextlib.suppress(OSError):  # as above
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket and give the buffer back."""
        self.release_buffer()
        self._socket.close()


def _behind(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """Return what is left of `buffers` behind the first `sent` bytes."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []
