"""C-STORE load: requests encoded beforehand, sent over a number of associations, each a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from threading import BrokenBarrierError
from typing import TYPE_CHECKING

from harness import wire
from harness.association import CALLING, Association, ClientTcp, send_parts
from harness.errors import WireError
from harness.instances import Instance
from harness.processes import Sampler
from harness.report import Row, percentile
from harness.server import Server
from harness.templates import Template, template

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

_FORK = multiprocessing.get_context("fork")
_BARRIER_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """What is sent, and how."""

    kind: str
    syntax: str = "explicit"
    pdu: int = 131072
    tcp: ClientTcp = "quick"
    max_seconds: float = 20.0
    timeout: float = 30.0


@dataclass
class Outcome:
    """What became of one association."""

    started: float = 0.0
    ended: float = 0.0
    pdu: int = 0
    latencies: list[float] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    failure: str = ""


Writes = Sequence[Sequence[bytes | memoryview]]
"""What goes to the socket in one call each, in some buffers."""
Message = tuple[Writes, str]
"""One C-STORE-RQ and its SOP Instance UID."""


def _messages(source: Template, load: Load, limit: int, instances: Sequence[Instance]) -> list[Message]:
    messages: list[Message] = []
    for number, instance in enumerate(instances):
        parts = source.store_message(instance, number % 65535 + 1, 1, limit)
        writes: Writes = wire.pdu_writes(parts) if load.tcp == "nagle" else [parts]
        messages.append((writes, instance.sop))
    return messages


def _send_all(association: Association, messages: Sequence[Message], deadline: float, into: Outcome) -> None:
    """Send each message and check its response; after a refused instance the next one is sent, as clients do."""
    for number, (writes, sop_uid) in enumerate(messages):
        start = time.perf_counter()
        if start > deadline:
            break
        for write in writes:
            send_parts(association.socket, write)
        response = association.reader.command()
        into.latencies.append(time.perf_counter() - start)
        if wire.u16(response[0x0120]) != number % 65535 + 1:
            raise WireError("response to another message")
        if status := wire.u16(response[0x0900]):
            into.refused[status] = into.refused.get(status, 0) + 1
        else:
            into.acknowledged.append(sop_uid)


def _associate(server: Server, load: Load) -> Association:
    source = template(load.kind, load.syntax)
    contexts = [(1, source.kind.sop_class, [source.transfer_syntax])]
    request = wire.associate_rq(server.aet, CALLING, contexts)
    association = Association(server.port, request, load.timeout, load.tcp)
    if 1 not in association.accepted:
        association.abort()
        raise WireError("the storage presentation context is not accepted")
    return association


def _run(
    server: Server, load: Load, instances: Sequence[Instance], barrier: Barrier, answer: Connection
) -> None:
    """Be one association: prepare, wait for the others, send, report."""
    outcome, association, messages = Outcome(), None, []
    try:
        association = _associate(server, load)
        outcome.pdu = association.send_limit(load.pdu)
        messages = _messages(template(load.kind, load.syntax), load, outcome.pdu, instances)
    except (OSError, ValueError, WireError) as error:
        outcome.failure = f"{type(error).__name__}: {error}"
    barrier.wait(_BARRIER_SECONDS)  # the others go on without this one
    outcome.started = time.perf_counter()
    if association is not None and messages:
        try:
            _send_all(association, messages, outcome.started + load.max_seconds, outcome)
        except (OSError, WireError) as error:
            outcome.failure = f"{type(error).__name__}: {error}"
    outcome.ended = time.perf_counter()
    if association is not None:
        association.abort() if outcome.failure else association.release()
    answer.send(outcome)
    answer.close()


class _Senders:
    """The processes of one load, held at a barrier until all have encoded their requests."""

    def __init__(self, server: Server, load: Load, lists: Sequence[Sequence[Instance]]) -> None:
        template(load.kind, load.syntax)  # once, before the processes are forked
        self._barrier = _FORK.Barrier(len(lists) + 1)
        self._running: list[tuple[ForkProcess, Connection]] = []
        for instances in lists:
            here, there = _FORK.Pipe(duplex=False)
            arguments = server, load, instances, self._barrier, there
            process = _FORK.Process(target=_run, args=arguments, daemon=True)
            process.start()
            there.close()
            self._running.append((process, here))

    def release(self) -> None:
        """Let them begin; without those that do not come to the barrier in time."""
        try:
            self._barrier.wait(_BARRIER_SECONDS)
        except BrokenBarrierError:
            self._barrier.abort()

    def outcomes(self, within: float) -> list[Outcome]:
        """Return what they report; a process that is late or has died counts as failed."""
        return [self._outcome(process, here, within) for process, here in self._running]

    @staticmethod
    def _outcome(process: ForkProcess, here: Connection, within: float) -> Outcome:
        try:
            outcome = here.recv() if here.poll(within) else Outcome(failure="the sender timed out")
        except EOFError:
            outcome = Outcome(failure="the sender died")
        process.join(10)
        if process.is_alive():
            process.kill()
        here.close()
        return outcome if isinstance(outcome, Outcome) else Outcome(failure="the sender is not ours")


def replay(
    server: Server,
    load: Load,
    lists: Sequence[Sequence[Instance]],
    on_start: Callable[[], None] | None = None,
) -> tuple[Row, list[list[str]]]:
    """Send each list on an association of its own; return the figures, and what was acknowledged on each."""
    senders = _Senders(server, load, lists)
    sampler = Sampler(server.pid)
    sampler.start()
    try:
        senders.release()
        before = server.cpu()
        if on_start:
            on_start()
        outcomes = senders.outcomes(load.max_seconds + load.timeout + 30)
    finally:
        peaks = sampler.finish()
    time.sleep(0.05)  # what the server does behind the last response counts as well
    row = _figures(load, outcomes, server.cpu() - before)
    row |= {"requested": sum(map(len, lists)), **peaks}
    return row, [each.acknowledged for each in outcomes]


def _figures(load: Load, outcomes: Sequence[Outcome], cpu: float) -> Row:
    started = [each for each in outcomes if each.latencies]
    elapsed = max(e.ended for e in started) - min(e.started for e in started) if started else 0.0
    latencies = [latency for each in outcomes for latency in each.latencies]
    count = sum(len(each.acknowledged) for each in outcomes)
    refused = [status for each in outcomes for status in each.refused]
    failures = {each.failure for each in outcomes if each.failure}
    rate = count / elapsed if elapsed else 0.0
    return {
        "kind": load.kind,
        "syntax": load.syntax,
        "pdu": max(each.pdu for each in outcomes),
        "associations": len(outcomes),
        "ack": load.tcp,
        "acked": count,
        "refused": sum(number for each in outcomes for number in each.refused.values()),
        "seconds": round(elapsed, 4),
        "instances_s": round(rate, 2),
        "mb_s": round(rate * template(load.kind, load.syntax).size / 1e6, 2),
        "p50_ms": round(percentile(latencies, 0.50) * 1e3, 3),
        "p99_ms": round(percentile(latencies, 0.99) * 1e3, 3),
        "max_ms": round(max(latencies, default=0.0) * 1e3, 3),
        "cpu_s_per_1000": round(cpu / count * 1000, 3) if count else None,
        "failures": sorted(failures | {f"status 0x{status:04X}" for status in refused}),
    }
