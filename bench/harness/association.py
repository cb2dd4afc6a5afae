"""A socket, a reader of PDUs, and an association on both."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Literal

from harness import wire
from harness.errors import WireError

HOST = "127.0.0.1"
CALLING = "BENCH"

ClientTcp = Literal["quick", "delayed", "nagle"]
"""How the client treats TCP: acknowledges at once; as the kernel does; so and with Nagle on, each PDU in two writes."""


class Reader:
    """Reads PDUs from a blocking socket through one buffer; views of it hold until the next PDU."""

    def __init__(self, connected: socket.socket, size: int = 1 << 20, *, quickack: bool = False) -> None:
        self.socket, self.quickack = connected, quickack
        self.buffer = bytearray(size)
        self.view = memoryview(self.buffer)
        self._read = self._written = 0

    def _make_room(self, need: int) -> None:
        left = bytes(self.view[self._read : self._written])
        if self._read + need > len(self.buffer):
            if need > len(self.buffer):
                self.buffer = bytearray(need + (1 << 16))
                self.view = memoryview(self.buffer)
            self.view[: len(left)] = left
            self._read, self._written = 0, len(left)
        elif not left:
            self._read = self._written = 0

    def _fill(self, need: int) -> None:
        self._make_room(need)
        while self._written - self._read < need:
            if self.quickack:  # again each time: the kernel drops it by itself
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            try:
                count = self.socket.recv_into(self.view[self._written :])
            except BlockingIOError:
                raise WireError("timeout waiting for the peer") from None
            except OSError as error:
                raise WireError(f"connection error: {error}") from None
            if not count:
                raise WireError("connection closed by the peer")
            self._written += count

    def pdu(self) -> tuple[int, int, int]:
        """Return type, start and end of the next PDU's body within `view`."""
        if self._written - self._read < 6:
            self._fill(6)
        kind, _, length = struct.unpack_from(">BBI", self.buffer, self._read)
        if self._written - self._read < 6 + length:
            self._fill(6 + length)
        start = self._read + 6
        self._read = start + length
        return kind, start, self._read

    def pdvs(self) -> Iterator[tuple[int, int, memoryview]]:
        """Yield context ID, message control header and fragment; any PDU but P-DATA-TF raises WireError."""
        while True:
            kind, at, end = self.pdu()
            if kind != 4:
                raise WireError(f"unexpected PDU type {kind}: {bytes(self.view[at:end][:8]).hex()}")
            while at < end:
                length, context_id, control = struct.unpack_from(">IBB", self.buffer, at)
                yield context_id, control, self.view[at + 6 : at + 4 + length]
                at += 4 + length

    def command(self) -> wire.Command:
        """Return the next message, which must be a command without a data set."""
        pending = b""
        for _context_id, control, fragment in self.pdvs():
            if not control & 1:
                raise WireError("data set in a response that has none")
            pending += fragment
            if control & 2:
                break
        return wire.parse_command(pending)

    def messages(self) -> Iterator[tuple[int, wire.Command | None, bool, memoryview]]:
        """Yield (context ID, command, False, its end) for a whole command set or (context ID, None, last, data)."""
        pending = b""
        for context_id, control, fragment in self.pdvs():
            if not control & 1:
                yield context_id, None, bool(control & 2), fragment
                continue
            pending += fragment
            if control & 2:
                yield context_id, wire.parse_command(pending), False, fragment
                pending = b""


def connect(port: int, timeout: float, *, nodelay: bool = True) -> socket.socket:
    """Return a blocking socket whose kernel timeouts bound every send and receive."""
    connected = socket.create_connection((HOST, port), timeout=timeout)
    connected.settimeout(None)
    if nodelay:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    interval = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
    return connected


def send_parts(connected: socket.socket, parts: Sequence[bytes | memoryview]) -> None:
    """Send several buffers with one sendmsg, and go on after partial sends."""
    left = [memoryview(part) for part in parts]
    try:
        while left:
            sent = connected.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]
    except BlockingIOError:
        raise WireError("timeout sending to the peer") from None
    except OSError as error:
        raise WireError(f"connection error: {error}") from None


class Association:
    """An established association; what it sends is up to the caller."""

    def __init__(self, port: int, request: bytes, timeout: float = 30.0, tcp: ClientTcp = "quick") -> None:
        """Connect and associate; raises WireError where the peer does not accept."""
        self.socket = connect(port, timeout, nodelay=tcp != "nagle")
        self.reader = Reader(self.socket, quickack=tcp == "quick")
        try:
            self.socket.sendall(request)
            self.max_pdu, self.accepted = self._acceptance()
        except BaseException:
            self.socket.close()
            raise

    def _acceptance(self) -> tuple[int, dict[int, str]]:
        kind, start, end = self.reader.pdu()
        body = bytes(self.reader.view[start:end])
        if kind == 3:
            raise WireError(f"association rejected, result/source/reason {body[1]}/{body[2]}/{body[3]}")
        if kind != 2:
            raise WireError(f"association not accepted, PDU type {kind}")
        return wire.parse_associate_ac(body)

    def send_limit(self, wanted: int) -> int:
        """Return the length of PDUs to send: what is wanted, or less if the peer takes less."""
        return min(wanted, self.max_pdu) if self.max_pdu else wanted

    def release(self) -> None:
        """Release and close; a peer that has gone already is closed only."""
        with self.socket, contextlib.suppress(OSError, WireError):
            self.socket.sendall(wire.RELEASE_RQ)
            for _ in range(100):
                if self.reader.pdu()[0] in (6, 7):
                    break

    def abort(self) -> None:
        """Abort and close."""
        with self.socket, contextlib.suppress(OSError):
            self.socket.sendall(wire.ABORT)


def echo(port: int, called: str, timeout: float = 10.0) -> int:
    """Return the status of one C-ECHO on an association of its own."""
    contexts = [(1, wire.VERIFICATION, [wire.IMPLICIT_LE])]
    association = Association(port, wire.associate_rq(called, CALLING, contexts), timeout)
    try:
        association.socket.sendall(wire.echo_rq(1))
        return wire.u16(association.reader.command()[0x0900])
    finally:
        association.release()
