"""Idle associations: how many a server holds, and what they cost."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator, Sequence

from harness import wire
from harness.association import CALLING, HOST, echo
from harness.errors import WireError
from harness.processes import memory, status_number, tree
from harness.report import Row
from harness.server import Server

_OUTCOMES = ("accepted", "rejected", "refused", "closed", "no_answer")
_WINDOW = 16
"""Associations that are being opened at a time."""


def _usage(server: Server) -> Row:
    pids = list(tree(server.pid))
    rss, pss = memory(pids)
    return {
        "pss_mb": round(pss / 1e6, 1),
        "rss_sum_mb": round(rss / 1e6, 1),
        "processes": len(pids),
        "threads": sum(status_number(pid, "Threads") for pid in pids),
    }


class _Opening:
    """Opens a number of associations without waiting for one before the next is begun."""

    def __init__(self, server: Server, held: list[socket.socket]) -> None:
        contexts = [(1, wire.VERIFICATION, [wire.IMPLICIT_LE])]
        self._port, self._request = server.port, wire.associate_rq(server.aet, CALLING, contexts)
        self._held, self._selector = held, selectors.DefaultSelector()
        self.outcomes = dict.fromkeys(_OUTCOMES, 0)
        self.reasons: set[str] = set()
        self.answered_at = time.perf_counter()

    def run(self, count: int, wait: float) -> None:
        """Open so many; those that have no answer after `wait` seconds are counted and held as well."""
        started, deadline = 0, time.perf_counter() + wait
        while time.perf_counter() < deadline and (started < count or self._selector.get_map()):
            while started < count and len(self._selector.get_map()) < _WINDOW:
                self._start()
                started += 1
            for key, mask in self._selector.select(timeout=0.2):
                if isinstance(key.fileobj, socket.socket):
                    self._go_on(key.fileobj, mask)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                self._finish(key.fileobj, "no_answer", keep=True)
        self.outcomes["no_answer"] += count - started
        self._selector.close()

    def _start(self) -> None:
        connecting = socket.socket()
        connecting.setblocking(False)
        connecting.connect_ex((HOST, self._port))
        self._selector.register(connecting, selectors.EVENT_WRITE)

    def _go_on(self, connected: socket.socket, mask: int) -> None:
        answer = b""
        with contextlib.suppress(OSError):
            if mask & selectors.EVENT_WRITE:
                if connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._finish(connected, "refused")
                    return
                connected.sendall(self._request)
                self._selector.modify(connected, selectors.EVENT_READ)
                return
            answer = connected.recv(4096)
        if answer[:1] == b"\x02":
            self._finish(connected, "accepted", keep=True)
        elif answer[:1] == b"\x03":
            self.reasons.add("/".join(map(str, answer[7:10])))
            self._finish(connected, "rejected")
        else:
            self._finish(connected, "closed")

    def _finish(self, connected: socket.socket, outcome: str, *, keep: bool = False) -> None:
        self._selector.unregister(connected)
        self.outcomes[outcome] += 1
        self.answered_at = time.perf_counter()
        if keep:
            self._held.append(connected)
        else:
            connected.close()


@contextlib.contextmanager
def _holding() -> Iterator[list[socket.socket]]:
    held: list[socket.socket] = []
    try:
        yield held
    finally:
        for connected in held:
            with connected, contextlib.suppress(OSError):
                connected.setblocking(True)
                connected.settimeout(1)
                connected.sendall(wire.ABORT)


def _echo_ms(server: Server) -> float | str:
    start = time.perf_counter()
    try:
        status = echo(server.port, server.aet, timeout=5)
    except (OSError, WireError) as error:
        return f"failed: {error}"[:60]
    return f"status 0x{status:04X}" if status else round((time.perf_counter() - start) * 1e3, 1)


def measure(server: Server, steps: Sequence[int], wait: float = 20.0) -> list[Row]:
    """Open associations up to each step, leave them idle, and return a row for each step."""
    base, rows, tried, accepted = _usage(server)["pss_mb"], [], 0, 0
    with _holding() as held:
        for target in steps:
            cpu, start = server.cpu(), time.perf_counter()
            opening = _Opening(server, held)
            opening.run(target - tried, wait)
            accepted += opening.outcomes["accepted"]
            usage = _usage(server)
            row: Row = {"target": target, "tried": target - tried, **opening.outcomes, **usage}
            row |= {
                "accepted_total": accepted,
                "answer": _others(opening),
                "open_s": round(opening.answered_at - start, 3),
                "cpu_s": round(server.cpu() - cpu, 3),
                "pss_growth_mb": round(usage["pss_mb"] - base, 1),
                "echo_while_open_ms": _echo_ms(server),
                "idle_cpu_percent": _idle_cpu(server),
                "failures": [],
            }
            rows.append(row)
            tried = target
    return rows


def _others(opening: _Opening) -> str:
    words = [f"{name} {count}" for name, count in opening.outcomes.items() if count and name != "accepted"]
    words += [f"reject {reason}" for reason in sorted(opening.reasons)]
    return ", ".join(words) or "all accepted"


def _idle_cpu(server: Server) -> float:
    cpu, start = server.cpu(), time.perf_counter()
    time.sleep(1.0)
    return round((server.cpu() - cpu) * 100 / (time.perf_counter() - start), 1)
