"""Decoder processes that go wrong: `python odd_decoder.py KIND CHANNEL PARENT`; all but "ends" are confined as ever."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pacsd.decoder import __main__ as process
from pacsd.decoder import codecs
from pacsd.decoder.frames import RESPONSE, EncodedFrame


def hang(frame: EncodedFrame, data: bytes) -> Any:
    while True:
        pass


def take_all_memory(frame: EncodedFrame, data: bytes) -> Any:
    taken = []
    while True:
        taken.append(bytearray(16 << 20))


def reach_out(frame: EncodedFrame, data: bytes) -> Any:
    """Succeeds where nothing can be reached."""
    attempts: list[Callable[[], object]] = [
        lambda: Path(__file__).read_bytes(),
        lambda: Path("/tmp/of-a-decoder").write_bytes(b"x"),
        lambda: list(Path("/").iterdir()),
        socket.socket,
        lambda: socket.socket(socket.AF_UNIX),
        os.fork,
        lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
        lambda: os.kill(os.getppid(), 0),
    ]
    for attempt in attempts:
        try:
            attempt()
        except OSError:
            continue
        raise AssertionError("something can be reached")
    return np.zeros((frame.rows, frame.columns, frame.samples), "<u1")


class Liar:
    """Answers what it has not decoded."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def pack(self, *_: object) -> bytes:
        return self.answer


DECODERS: dict[str, Callable[[EncodedFrame, bytes], Any]] = {
    "hangs": hang,
    "takes all memory": take_all_memory,
    "reaches out": reach_out,
    "ends": lambda *_: os._exit(3),
}
ANSWERS = {
    "says another length": RESPONSE.pack(0, 1 << 40),
    "says no known failure": RESPONSE.pack(77, 0),
    "says too much": bytes(1000),
    "says nothing": b"",
}

if __name__ == "__main__":
    kind = sys.argv.pop(1)
    codecs.decode = DECODERS.get(kind, codecs.decode)
    if kind in ANSWERS:
        process.RESPONSE = Liar(ANSWERS[kind])  # type: ignore[assignment]
    sys.exit(process.main())
