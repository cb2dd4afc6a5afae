"""Where a server's processes write their log: nobody who reads it, or no longer does, can hold the server up."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import select
import stat
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LogLines", "LogOutput"]

MOST_WAITING: Final = 1 << 20
"""Bytes of lines that a process keeps while they cannot be written; further lines are dropped and counted."""
PIECE: Final = 4096
"""Bytes that a pipe takes at once, without waiting, when it says that it can be written to (PIPE_BUF)."""
ATTEMPTS_AT_TURN: Final = 20
FLUSH_SECONDS: Final = 2.0
"""That the end of a process waits for its last lines to be read."""


class LogOutput:
    """A descriptor that takes lines from several threads, and from the processes that are forked later.

    A line is written as a whole: the processes take turns, by a lock that ends with its holder. It never waits: what
    the descriptor does not take is kept, up to `MOST_WAITING` bytes, and a thread of a forked process writes it when it
    can. The process that made this object has no such thread, as it has to stay fit for forking: it calls `drain`.
    """

    def __init__(self, descriptor: int) -> None:
        self.observe_dropped: Callable[[int], None] = lambda _: None
        """Told how many lines were just dropped."""
        self.describe_dropped: Callable[[int], bytes] = lambda count: b"%d log lines were dropped\n" % count
        """Makes the line that stands where lines are missing."""
        self._descriptor: Final = descriptor
        self._piece: Final = _length_of_piece(descriptor)
        # POSIX's locks, other than flock's, belong to a process: a fork does not share them.
        self._turn: Final = os.memfd_create("pacsd-log-turn")
        self._torn: Final = mmap.mmap(-1, 1)
        """1 while half a line is written: who comes after a killed process, or a full disk, ends that line first."""
        self._may_start_thread = False
        self._begin()
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._written = 0
        """Of the first waiting line."""
        self._dropped = 0
        """Lines that the log does not know of yet."""
        self._told = (b"", 0)
        """The last line that told of them, and of how many."""
        self._thread: threading.Thread | None = None

    def _begin_in_child(self) -> None:
        # What waits there is the parent's to write.
        self._begin()
        self._may_start_thread = True

    @property
    def is_terminal(self) -> bool:
        """Whether people read it as it comes."""
        return os.isatty(self._descriptor)

    def write(self, line: bytes) -> None:
        """Take one line with its end; never waits, and never raises."""
        with self._lock:
            if self._waiting and self._waiting_bytes + len(line) > MOST_WAITING:
                self._drop()
                return
            self._tell_of_dropped()
            self._append(line)
            self._drain()
            if self._waiting and self._may_start_thread and self._thread is None:
                self._thread = threading.Thread(target=self._keep_draining, name="log-output", daemon=True)
                self._thread.start()

    def drain(self) -> None:
        """Write what waits, as far as that can be done now."""
        with self._lock:
            self._drain_and_tell()

    def flush(self, timeout: float = FLUSH_SECONDS) -> None:
        """Write what waits, for `timeout` seconds at most; what is left then stays."""
        deadline = time.monotonic() + timeout
        while True:
            self.drain()
            if not self._waiting or time.monotonic() >= deadline:
                return
            self._wait(0.05)

    def _append(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)

    def _drop(self) -> None:
        self._dropped += 1
        self.observe_dropped(1)

    def _tell_of_dropped(self) -> None:
        if self._dropped:
            self._told, self._dropped = (self.describe_dropped(self._dropped), self._dropped), 0
            self._append(self._told[0])

    def _keep_draining(self) -> None:
        while True:
            self._wait(1.0)
            with self._lock:
                self._drain_and_tell()
                if not self._waiting:
                    self._thread = None
                    return

    def _drain_and_tell(self) -> None:
        self._drain()
        if not self._waiting:
            self._tell_of_dropped()
            self._drain()

    def _wait(self, seconds: float) -> None:
        """Wait until the descriptor takes more, at most so long; a moment in any case, as others may be writing."""
        self._takes_more(seconds)
        time.sleep(0.01)

    def _takes_more(self, seconds: float = 0.0) -> bool:
        if self._piece is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _drain(self) -> None:
        if not self._waiting or not self._take_turn():
            return
        while self._waiting:
            if self._torn[0] and not self._written:
                self._torn[0] = 0
                self._waiting.appendleft(b"\n")
                self._waiting_bytes += 1
            line = self._waiting[0]
            try:
                if not self._write(line):
                    break
            except BlockingIOError:
                break
            except OSError:
                # The reader is gone for good, or the log's disk is full: who reads the metrics learns of it.
                self._give_up(line)
            self._waiting.popleft()
            self._waiting_bytes -= len(line)
            self._written = 0
        if not self._written:
            # In the middle of a line it stays ours.
            fcntl.lockf(self._turn, fcntl.LOCK_UN)

    def _give_up(self, line: bytes) -> None:
        if line == b"\n":
            self._torn[0] = 1
        elif line is self._told[0]:
            self._dropped += self._told[1]
        else:
            self._drop()

    def _write(self, line: bytes) -> bool:
        """Write a line, or the rest of it; False where the descriptor takes no more."""
        while self._written < len(line):
            if not self._takes_more():
                return False
            end = len(line) if self._piece is None else self._written + self._piece
            if len(line) > end:
                self._torn[0] = 1
            self._written += os.write(self._descriptor, line[self._written : end])
            self._torn[0] = int(self._written < len(line))
        return True

    def _take_turn(self) -> bool:
        for _ in range(ATTEMPTS_AT_TURN):
            try:
                fcntl.lockf(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.sched_yield()
            else:
                return True
        return False


class LogLines(logging.Handler):
    """Hands formatted records to a `LogOutput`."""

    def __init__(self, output: LogOutput) -> None:
        super().__init__()
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what cannot be formatted is told in its place."""
        try:
            text = self.format(record)
        except Exception as error:
            text = f"a line of {record.name} cannot be formatted: {type(error).__name__}"
        self.output.write(f"{text}\n".encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Write what waits, for a moment at most: at the end of a process."""
        self.output.flush()


def _length_of_piece(descriptor: int) -> int | None:
    """Return how much may be written at once where a reader can make us wait; None for a file, which has none."""
    return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else PIECE
