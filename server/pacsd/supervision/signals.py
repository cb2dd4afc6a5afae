"""Signals as a queue that a single thread waits on."""

from __future__ import annotations

import select
import signal
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType

__all__ = ["SignalQueue"]


class SignalQueue:
    """Collects `numbers` while it is entered, in the main thread; then the handlers from before come back."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._pending: list[signal.Signals] = []
        # Written by the interpreter at each signal: one that comes just before the sleep ends it, too.
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """To be closed in a forked process."""
        return self._receiver, self._sender

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._note) for number in self._numbers}
        self._wakeup_before = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._receiver.close()
        self._sender.close()

    def wait(self, timeout: float | None) -> list[signal.Signals]:
        """Sleep until a signal, `timeout` seconds at most; the signals since the last call, in order."""
        if not self._pending and select.select([self._receiver], [], [], timeout)[0]:
            self._receiver.recv(4096)
        pending, self._pending = self._pending, []
        return pending

    def _note(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self._pending.append(signal.Signals(signum))
