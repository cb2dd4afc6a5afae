"""Forking a process, with a channel that tells it to stop and that ends when the supervisor does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from pacsd.observability.logging import end_logs
from pacsd.supervision.backoff import Backoff
from pacsd.supervision.worker import RETIRE_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from pacsd.supervision.process_role import ProcessRole

__all__ = ["SUPERVISED_SIGNALS", "Child", "describe_exit", "fork"]

SUPERVISED_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_log = structlog.get_logger()


@dataclass(slots=True)
class Child:
    """A living process of ours."""

    pid: int
    slot: int
    role: ProcessRole
    channel: socket.socket
    """The supervisor's end; closing it tells the child to shut down."""
    started: float = field(default_factory=time.monotonic)
    backoff: Backoff = field(default_factory=Backoff)
    """Of those whose place it has taken, and its own."""
    has_served: bool = False
    """Whether it was ready when it ended; of workers."""
    expected_to_end: bool = False
    reload: int = 0
    """The number of the reload whose configuration it goes by; 0: that of the start."""
    reported: set[str] = field(default_factory=set)
    """Which of its parts stand still, as the log has been told; see `signs_of_life.PARTS`."""
    is_killed: bool = False

    def retire(self, settings_fd: int | None = None) -> None:
        """Tell it to end when its running associations have; see `worker.Stop.RETIRE`.

        `settings_fd` is a `worker.settings_file` for one that has to know by which rules its successors serve.
        """
        self.expected_to_end = True
        files = array("i", [] if settings_fd is None else [settings_fd])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)] if files else []
        try:
            # Python 3.11's socket.send_fds does not pass flags on.
            self.channel.sendmsg([RETIRE_MESSAGE], rights, socket.MSG_DONTWAIT)
        except BlockingIOError:
            # It has not read hundreds of them.
            _log.error("process-does-not-listen", pid=self.pid)
        except OSError as error:
            # It died a moment ago: SIGCHLD is on its way.
            _log.debug("process-gone", pid=self.pid, reason=str(error))

    def shut_down(self) -> None:
        """Tell it to end within `server.shutdown_timeout`."""
        self.expected_to_end = True
        self.channel.close()

    def kill(self) -> None:
        """End it at once. It is still ours, reaped or not: the supervisor reaps in the same thread."""
        self.is_killed = True
        os.kill(self.pid, signal.SIGKILL)

    @property
    def is_traced(self) -> bool:
        """Whether a debugger has it, which may let it stand still for as long as it likes."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        except OSError:
            return False
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())


def fork(
    slot: int, role: ProcessRole, main: Callable[[int], int], *, inherited: Iterable[socket.socket]
) -> Child:
    """Run `main(stop_fd)` in a new process; it returns the exit status. The caller must have one thread only.

    `inherited` are the supervisor's own sockets, which the child has no use for: an open copy of a sibling's
    channel would hide the supervisor's death from that sibling. Raises OSError when the system has no room for
    another process.
    """
    with contextlib.ExitStack() as on_error:
        ours, theirs = (on_error.enter_context(end) for end in socket.socketpair())
        pid = _fork_with(ours, theirs, main, inherited)
        on_error.pop_all()
    theirs.close()
    return Child(pid=pid, slot=slot, role=role, channel=ours)


def describe_exit(status: int) -> dict[str, object]:
    """A `waitpid` status as facts for the log: the exit code or the signal's name."""
    code = os.waitstatus_to_exitcode(status)
    return {"signal": signal.Signals(-code).name} if code < 0 else {"exit_code": code}


def _fork_with(
    ours: socket.socket, theirs: socket.socket, main: Callable[[int], int], inherited: Iterable[socket.socket]
) -> int:
    # A signal between the fork and the child's own handlers would run the supervisor's in the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            ours.close()
            for other in inherited:
                other.close()
            _be_child(theirs, main, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _be_child(channel: socket.socket, main: Callable[[int], int], mask: Iterable[int]) -> None:
    """Never returns: what the supervisor would clean up at its end is not the child's to clean up."""
    status = 1
    try:
        _install_child_signals(channel)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = main(channel.fileno())
    except BaseException:
        _log.exception("process-failed")
    finally:
        end_logs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _install_child_signals(channel: socket.socket) -> None:
    def stop(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        # As if the supervisor had closed its end: a service manager may signal all processes at once.
        channel.shutdown(socket.SHUT_RD)

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, stop)
    # Ctrl-C reaches the whole group; the supervisor alone decides what it means. So with SIGHUP.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
