"""`kill -9` of a whole server under load, and what is left of what it had acknowledged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from harness import query, retrieve, store
from harness.errors import ServerError, WireError
from harness.instances import Instance, plan
from harness.report import Row
from harness.server import Server
from harness.templates import template

_KILL_SECONDS = (0.5, 2.0)
_CHECK_SECONDS = 120.0


@dataclass
class Survivors:
    """The sums over all kills."""

    trials: int = 0
    acked: int = 0
    not_queryable: int = 0
    not_retrievable: int = 0
    damaged: int = 0
    half_there: int = 0
    """Not acknowledged and found by a query, but not whole."""
    restart_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def probe(server: Server, kind: str, associations: int, kills: int, count: int = 4000) -> Row:
    """Start, load, kill and check a server so many times; the caller stops it in the end."""
    moments, total = random.Random(11), Survivors()
    for trial in range(kills):
        lists = plan(count, associations, 9000 + trial, first_study=trial * 1000)
        try:
            server.start()
            acknowledged = _load_and_kill(server, kind, lists, moments.uniform(*_KILL_SECONDS))
            begun = time.perf_counter()
            server.start()
        except ServerError as error:
            total.failures.append(f"kill {trial + 1}: {error}"[:200])
            break
        total.restart_s.append(round(time.perf_counter() - begun, 2))
        total.trials += 1
        try:
            _check(server, kind, lists, acknowledged, total)
        except (OSError, WireError) as error:
            total.failures.append(f"check failed: {error}"[:200])
        server.stop()
    return asdict(total)


def _load_and_kill(
    server: Server, kind: str, lists: Sequence[Sequence[Instance]], after: float
) -> list[list[str]]:
    timer = threading.Timer(after, server.kill)
    load = store.Load(kind, max_seconds=30.0, timeout=15.0)
    _, acknowledged = store.replay(server, load, lists, on_start=timer.start)
    timer.join(timeout=after + 30)
    return acknowledged


def _check(
    server: Server,
    kind: str,
    lists: Sequence[Sequence[Instance]],
    acknowledged: Sequence[Sequence[str]],
    total: Survivors,
) -> None:
    deadline = time.perf_counter() + _CHECK_SECONDS
    checker = _Checker(server, kind, total)
    try:
        for instances, uids in zip(lists, map(set, acknowledged), strict=True):
            last = max((number for number, each in enumerate(instances) if each.sop in uids), default=-1)
            # the one behind the last acknowledged may have been under way
            for number, instance in enumerate(instances[: last + 2]):
                if time.perf_counter() > deadline:
                    total.failures.append("the check was stopped at its time limit")
                    return
                checker.check(instance, number, confirmed=instance.sop in uids)
    finally:
        checker.close()


class _Checker:
    """Asks for instances with C-FIND and C-GET."""

    def __init__(self, server: Server, kind: str, total: Survivors) -> None:
        self._template, self._total = template(kind), total
        self._find, self._get = query.open_find(server), retrieve.open_get(server)

    def check(self, instance: Instance, number: int, *, confirmed: bool) -> None:
        """Add what became of one instance."""
        found = query.is_found(self._find, instance)
        if not confirmed and not found:
            return
        _, raw = retrieve.get_one(self._get, instance, number % 60000 + 1)
        whole = raw.endswith(self._template.tail(instance)) and instance.sop.encode() in raw[:8192]
        if confirmed:
            self._total.acked += 1
            self._total.not_queryable += not found
            self._total.not_retrievable += not raw
            self._total.damaged += bool(raw) and not whole
        else:
            self._total.half_there += not whole

    def close(self) -> None:
        """Give up both associations."""
        self._find.abort()
        self._get.abort()
