"""kill -9 under load: whatever was acknowledged is found and fetched, and nothing half-stored shows."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from crash import load
from support import scp, scu
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = int(os.environ.get("PACSD_TEST_CRASH_ROUNDS", "3"))
"""How often each way to die is tried; set the variable for a longer run."""
SEED = 20240229


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    """A running server; stopped at the end if it still runs."""
    running = PacsdServer(tmp_path, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)])
    running.start()
    yield running
    if running.is_running:
        running.stop()


@pytest.mark.timeout(60 + 60 * ROUNDS)
def test_killing_all_processes_loses_nothing_acknowledged(server: PacsdServer) -> None:
    chance = random.Random(SEED)
    for number in range(ROUNDS):
        burden = load.Load(server, 100_000 + 100 * number)
        with burden.running():
            burden.wait_for(chance.randint(20, 200), within=60)
            server.kill()
        server.start()
        assert server.incoming_files() == set()
        assert_kept(server, burden)


@pytest.mark.timeout(60 + 60 * ROUNDS)
def test_killing_a_worker_loses_nothing_acknowledged_and_it_is_replaced(server: PacsdServer) -> None:
    """The others go on serving; senders that were cut off come back and are served again."""
    chance = random.Random(SEED)
    for number in range(ROUNDS):
        before = server.workers()
        burden = load.Load(server, 200_000 + 100 * number)
        with burden.running():
            burden.wait_for(chance.randint(20, 200), within=60)
            os.kill(chance.choice(before), signal.SIGKILL)
            burden.wait_for(burden.total + 100, within=60)
            server.wait_for_workers(len(before))
        assert burden.refused == []
        assert_kept(server, burden)
    server.stop()
    server.start()
    assert server.incoming_files() == set()


def assert_kept(server: PacsdServer, burden: load.Load) -> None:
    """Found are all acknowledged instances, perhaps some more, and each found one is whole."""
    sample = load.instance(burden.series[0], 1)
    for series in burden.series:
        study_uid, series_uid = load.series_uids(series)
        query = scu.keys(
            "IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=None
        )
        found = {str(match.SOPInstanceUID) for match in scu.find(server, query).matches}
        acknowledged = {sent.sop_instance_uid for sent in burden.acknowledged[series]}
        assert acknowledged <= found, f"lost: {sorted(acknowledged - found)}"
        outcome, inbox = scu.get(
            server, scu.keys("STUDY", StudyInstanceUID=study_uid), [(sample.sop_class_uid, scp.NARROW[:1])]
        )
        assert (outcome.status, set(inbox.received)) == (0x0000, found)
        for uid, received in inbox.received.items():
            number = int(uid.rpartition(".")[2]) - 10_000_000
            assert received.dataset == load.instance(series, number).dataset, uid
