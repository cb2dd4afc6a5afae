"""`limits.mb_per_second_per_peer`: a peer that sends and gets more waits, and nobody else does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.instance import EXPLICIT_LITTLE_ENDIAN, Instance
from support.server import PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 2.0
LENGTH = 1_000_000
ALLOWANCE = 1.0
"""Seconds whose bytes may come at once in the beginning."""


def large(number: int) -> Instance:
    dataset = simple_dataset(number)
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = f"1.2.8.1.{number}", f"1.2.8.3.{number}"
    dataset.PixelData = bytes(LENGTH)
    return encode(dataset, f"large {number}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path_factory.mktemp("bandwidth"),
        peers=[Peer(ae_title=title, port=104) for title in ("MANY", "FEW", scu.CALLING_AE_TITLE)],
        settings={"limits": {"mb_per_second_per_peer": RATE}},
    )
    running.start()
    yield running
    running.stop()


def seconds_to_store(server: PacsdServer, calling: str, numbers: range) -> float:
    instances = [large(number) for number in numbers]
    context = [(instances[0].sop_class_uid, instances[0].transfer_syntax_uid)]
    with WireAssociation((server.host, server.port), context, calling=calling) as peer:
        began = time.monotonic()
        assert {peer.store(each).status for each in instances} == {0}
        seconds = time.monotonic() - began
        peer.release()
    return seconds


def test_all_associations_of_a_peer_share_what_it_may_have(server: PacsdServer) -> None:
    """In whichever processes they are; and another peer is as quick as ever."""
    took: list[float] = []
    threads = [
        threading.Thread(target=lambda n=n: took.append(seconds_to_store(server, "MANY", range(n, n + 3))))
        for n in (0, 10)
    ]
    for thread in threads:
        thread.start()
    assert seconds_to_store(server, "FEW", range(20, 21)) < ALLOWANCE
    for thread in threads:
        thread.join()
    megabytes = 2 * 3 * LENGTH / 1e6
    assert max(took) > megabytes / RATE - 2 * ALLOWANCE
    assert max(took) < 4 * megabytes / RATE


def test_what_is_sent_counts_too(server: PacsdServer) -> None:
    numbers = range(30, 34)
    seconds_to_store(server, "FEW", numbers)
    keys = scu.keys("STUDY", StudyInstanceUID=[f"1.2.8.1.{number}" for number in numbers])
    began = time.monotonic()
    outcome, inbox = scu.get(server, keys, [(large(0).sop_class_uid, (EXPLICIT_LITTLE_ENDIAN,))])
    seconds = time.monotonic() - began
    assert (outcome.status, len(inbox.received)) == (0, len(numbers))
    assert seconds > len(numbers) * LENGTH / 1e6 / RATE - 1.2 * ALLOWANCE
