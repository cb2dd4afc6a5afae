"""A trivial storage SCP: acknowledges every C-STORE, and writes it on request.

The destination of C-MOVE, and as a server of its own the limit of the machine: the loader's, or the disk's. One forked
process for each connection.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from harness import wire
from harness.association import HOST, Reader
from harness.errors import WireError
from harness.part10 import part10_header

_SLOTS = 4096


class Counters:
    """Instances and bytes of each connection, in a file that processes share."""

    def __init__(self, path: Path) -> None:
        """Open the file, made empty where it is new."""
        with path.open("r+b") as file:
            if not path.stat().st_size:
                file.truncate(_SLOTS * 16)
            self._map = mmap.mmap(file.fileno(), _SLOTS * 16)

    def totals(self) -> tuple[int, int]:
        """Return the sums over all connections."""
        values = struct.unpack(f"<{_SLOTS * 2}Q", self._map[:])
        return sum(values[0::2]), sum(values[1::2])

    def put(self, slot: int, instances: int, received: int) -> None:
        """Set the figures of one connection."""
        struct.pack_into("<QQ", self._map, slot * 16, instances, received)


class _Connection:
    """One association from its request to its end."""

    def __init__(self, connected: socket.socket, slot: int, options: argparse.Namespace) -> None:
        self._socket, self._slot, self._options = connected, slot, options
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader(connected, quickack=not options.no_quickack)
        self._counters = Counters(options.counters) if options.counters else None
        self._instances = self._received = 0

    def serve(self) -> None:
        """Answer until the peer releases or hangs up."""
        kind, start, end = self._reader.pdu()
        if kind != 1:
            return
        self._accept(bytes(self._reader.view[start:end]))
        try:
            self._answer_messages()
        except WireError:  # a release, an abort, or the end
            self._socket.sendall(wire.RELEASE_RP)

    def _accept(self, request: bytes) -> None:
        called, calling, contexts, roles = wire.parse_associate_rq(request)
        preferred = (wire.EXPLICIT_LE, wire.IMPLICIT_LE)
        self._accepted = {
            context_id: next((each for each in preferred if each in syntaxes), syntaxes[0])
            for context_id, syntaxes in contexts
        }
        answer = wire.associate_ac(called, calling, self._accepted.items(), self._options.max_pdu, roles)
        self._socket.sendall(answer)

    def _answer_messages(self) -> None:
        keep = self._options.write is not None
        chunks: list[bytes] = []
        request: wire.Command = {}
        for context_id, command, last, fragment in self._reader.messages():
            if command is not None:
                request, chunks = command, []
                if wire.u16(command[0x0100]) == wire.C_ECHO_RQ:
                    self._socket.sendall(wire.echo_rsp(context_id, command))
                continue
            self._received += len(fragment)
            if keep:
                chunks.append(bytes(fragment))
            if last:
                self._finish(context_id, request, chunks)

    def _finish(self, context_id: int, request: wire.Command, chunks: Sequence[bytes]) -> None:
        sop_class, sop_uid = request[0x0002].rstrip(b"\0"), request[0x1000].rstrip(b"\0")
        if self._options.write is not None:
            header = part10_header(sop_class, sop_uid, self._accepted[context_id])
            self._write(self._options.write / sop_uid.decode(), b"".join([header, *chunks]))
        self._socket.sendall(wire.store_rsp(context_id, wire.u16(request[0x0110]), sop_class, sop_uid))
        self._instances += 1
        if self._counters is not None:
            self._counters.put(self._slot, self._instances, self._received)

    def _write(self, path: Path, content: bytes) -> None:
        part = path.with_name(path.name + ".part")
        with part.open("wb", buffering=0) as file:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            if self._options.fsync:
                os.fsync(file.fileno())
        part.rename(path)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-pdu", type=int, default=131072)
    parser.add_argument("--counters", type=Path, help="file of counters shared with the harness")
    parser.add_argument("--write", type=Path, help="folder to write received instances to")
    parser.add_argument("--fsync", action="store_true", help="sync each file before the reply")
    parser.add_argument("--no-quickack", action="store_true", help="leave acknowledgements to the kernel")
    return parser.parse_args(arguments)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    options = _parse(arguments)
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGCHLD, _reap)
    slot = 0
    with socket.create_server((HOST, options.port), backlog=512) as listener:
        while True:
            connected, _ = listener.accept()
            slot = (slot + 1) % _SLOTS
            if os.fork() == 0:
                _serve_and_exit(listener, connected, slot, options)
            connected.close()


def _serve_and_exit(
    listener: socket.socket, connected: socket.socket, slot: int, options: argparse.Namespace
) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listener.close()
    try:
        with contextlib.suppress(WireError, OSError):
            _Connection(connected, slot, options).serve()
    finally:
        os._exit(0)
