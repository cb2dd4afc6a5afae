"""kill -9 under load: whatever was acknowledged is found and fetched, and nothing half-stored shows."""

from __future__ import annotations

import os
import random
import signal
import threading
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from crash import load
from crash.extent import ROUNDS, SEED
from crash.kept import assert_files_whole, assert_found, assert_kept
from support import scu
from support.deadline import wait_until
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONGEST_DELAY = 0.05
"""Seconds; a commit takes less, so that a kill meets every step of one."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    """A running server; stopped at the end if it still runs."""
    running = PacsdServer(tmp_path, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)])
    running.start()
    yield running
    if running.is_running:
        running.stop()


def kill_worker(server: PacsdServer, burden: load.Load, chance: random.Random) -> None:
    """The others go on serving; senders that were cut off come back and are served again."""
    victim = chance.choice(server.storing_workers())
    children = len(server.workers())
    os.kill(victim, signal.SIGKILL)
    burden.wait_for(burden.total + 50, within=60)
    server.wait_for_workers(children)
    assert burden.refused == []


def kill_supervisor(server: PacsdServer, burden: load.Load, chance: random.Random) -> None:
    """Its workers notice, finish what they do and end as well."""
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL


def kill_all(server: PacsdServer, burden: load.Load, chance: random.Random) -> None:
    server.kill()


VICTIMS: tuple[Callable[[PacsdServer, load.Load, random.Random], None], ...] = (
    kill_worker,
    kill_supervisor,
    kill_all,
)


def rounds(chance: random.Random) -> Iterator[Callable[[PacsdServer, load.Load, random.Random], None]]:
    """Endlessly all victims in a random order, so that a short run has each as well."""
    while True:
        yield from chance.sample(VICTIMS, len(VICTIMS))


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_killing_loses_nothing_acknowledged(server: PacsdServer, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    burdens: list[load.Load] = []
    for number, kill in enumerate(islice(rounds(chance), ROUNDS)):
        burden = load.Load(server, 100_000 + 100 * number)
        burdens.append(burden)
        with burden.running():
            burden.wait_for(chance.randint(1, 150), within=60)
            # What was waited for is a response; only time leads to all the other moments.
            threading.Event().wait(chance.uniform(0, LONGEST_DELAY))
            kill(server, burden, chance)
        studies = [load.series_uids(burden.series[0])[0]]
        if not server.is_running:
            server.start()
            assert_files_whole(server, studies)
        wait_until(lambda: not server.incoming_files(), within=5, what="nothing is left in incoming/")
        assert_kept(server, burden)
    server.stop()
    server.start()
    kept = assert_all_kept(server, burdens)
    acknowledged = sum(burden.total for burden in burdens)
    with capsys.disabled():
        print(f" seed {SEED}: {ROUNDS} kills, {acknowledged} acknowledged, 0 lost, {kept} kept ", end="")


def assert_all_kept(server: PacsdServer, burdens: list[load.Load]) -> int:
    """Nothing that an earlier round stored was lost in a later one; returns how many are kept."""
    assert server.incoming_files() == set()
    for burden in burdens:
        assert_found(server, burden)
    return assert_files_whole(server, [load.series_uids(burden.series[0])[0] for burden in burdens])
