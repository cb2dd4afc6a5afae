"""Hundreds of peers that misbehave, in a process of their own, each kind from an address of its own.

`python -m support.bad_neighbours HOST PORT` goes on until it is ended, and prints one line, "begun", once all kinds
have begun. One thread, so that it takes as little as it can of the processors that the server needs; how often each
kind begins anew is limited.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.constructed import simple_dataset
from support.wire import (
    IMPLICIT_LITTLE_ENDIAN,
    RELEASE_REQUEST,
    associate_request,
    cancel_request,
    data_transfer,
    find_request,
    store_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
FINDER = "FINDER"
"""The AE title of those that ask; it has to be one that may."""
TICK = 0.05
"""Seconds; what is done slowly is done once in so many."""
FRAGMENT = 400


def _identifier() -> bytes:
    """All images, with the attributes that make an answer long (Implicit VR Little Endian)."""
    keys = [(0x0008, 0x0018, b""), (0x0008, 0x0052, b"IMAGE "), (0x0010, 0x0010, b""), (0x0010, 0x0020, b"")]
    return b"".join(
        group.to_bytes(2, "little") + element.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
        for group, element, value in keys
    )


def _finding() -> list[bytes]:
    context = [(1, STUDY_ROOT_FIND, IMPLICIT_LITTLE_ENDIAN)]
    request = data_transfer(1, 3, find_request(1, STUDY_ROOT_FIND)) + data_transfer(1, 2, _identifier())
    return [associate_request("PACSD", FINDER, context), request]


def _storing(calling: str) -> list[bytes]:
    dataset = simple_dataset(1)
    context = [(1, str(dataset.SOPClassUID), IMPLICIT_LITTLE_ENDIAN)]
    command = store_request(1, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    return [
        associate_request("PACSD", calling, context),
        data_transfer(1, 3, command),
        *(data_transfer(1, 0, bytes(FRAGMENT)) for _ in range(1000)),
    ]


@dataclass(eq=False)
class Kind:
    """Peers that misbehave in one way."""

    name: str
    address: str
    number: int
    """At a time."""
    anew: float
    """Begun in a second at most."""
    script: Callable[[], list[bytes]]
    """What each sends, one part in `pause` seconds, the first at once."""
    pause: float = TICK
    reads: int = 1 << 16
    """Bytes read in a tick at most; 0: it never reads."""
    ends: bool = False
    """Whether it resets the connection after its last part; otherwise it keeps it."""
    open: int = 0
    due: float = 0.0


@dataclass(eq=False)
class Neighbour:
    """One of them."""

    kind: Kind
    socket: socket.socket
    parts: Iterator[bytes]
    next_part: float = 0.0
    rest: bytes = b""
    is_done: bool = False


KINDS = (
    Kind("silent", "127.0.0.2", 300, 200, list),
    Kind(
        "slow to associate",
        "127.0.0.3",
        100,
        50,
        lambda: [bytes([each]) for each in _storing("SLOW")[0]],
        pause=0.5,
    ),
    Kind("slow to send", "127.0.0.4", 60, 30, lambda: _storing("DRIBBLE"), pause=0.5),
    Kind("flooding", "127.0.0.5", 40, 60, lambda: [*_storing("FLOOD")[:1], RELEASE_REQUEST], ends=True),
    Kind(
        "cancelling",
        "127.0.0.6",
        10,
        10,
        lambda: [*_finding(), data_transfer(1, 3, cancel_request(1))],
        ends=True,
    ),
    Kind("slow to read", "127.0.0.7", 40, 20, _finding, reads=20),
    Kind("killed", "127.0.0.8", 20, 30, lambda: _storing("KILLED")[:6], ends=True),
    Kind("noise", "127.0.0.9", 10, 20, lambda: [b"GET / HTTP/1.1\r\n\r\n"], ends=True),
)


class Neighbourhood:
    """All of them, against one server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._neighbours: set[Neighbour] = set()
        self._scripts = {kind.name: kind.script() for kind in KINDS}

    def run(self) -> None:
        """Go on for ever."""
        has_begun = False
        while True:
            now = time.monotonic()
            for kind in KINDS:
                while kind.open < kind.number and kind.due <= now:
                    kind.due = max(kind.due, now - TICK) + 1 / kind.anew
                    self._begin(kind)
            if not has_begun and all(kind.due for kind in KINDS):
                print("begun", flush=True)
                has_begun = True
            for neighbour in list(self._neighbours):
                self._go_on(neighbour, now)
            time.sleep(TICK)

    def _begin(self, kind: Kind) -> None:
        peer = socket.socket()
        peer.setblocking(False)
        if not kind.reads or kind.reads < FRAGMENT:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        peer.bind((kind.address, 0))
        if peer.connect_ex(self._address) not in (0, 115):  # EINPROGRESS
            peer.close()
            return
        kind.open += 1
        self._neighbours.add(Neighbour(kind, peer, iter(self._scripts[kind.name])))

    def _go_on(self, neighbour: Neighbour, now: float) -> None:
        kind = neighbour.kind
        try:
            if kind.reads and neighbour.socket.recv(kind.reads) == b"":
                self._end(neighbour)
                return
        except BlockingIOError:
            pass
        except OSError:
            self._end(neighbour)
            return
        if neighbour.is_done:
            if kind.ends:
                self._end(neighbour)
            return
        if now < neighbour.next_part:
            return
        neighbour.next_part = now + kind.pause
        part = neighbour.rest or next(neighbour.parts, None)
        if part is None:
            neighbour.is_done = True
            return
        try:
            neighbour.rest = part[neighbour.socket.send(part) :]
        except BlockingIOError:
            neighbour.rest = part
        except OSError:
            self._end(neighbour)

    def _end(self, neighbour: Neighbour) -> None:
        if neighbour.kind.ends:
            # A reset, and no orderly end.
            neighbour.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        neighbour.socket.close()
        neighbour.kind.open -= 1
        self._neighbours.discard(neighbour)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Neighbourhood((sys.argv[1], int(sys.argv[2]))).run()
