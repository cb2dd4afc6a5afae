"""Ten good peers beside hundreds of bad ones: what they wait for at the 99th percentile has to hold."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crash import load
from support.bad_neighbours import FINDER, STUDY_ROOT_FIND
from support.peers import free_port
from support.server import PacsdServer, Peer
from support.wire import (
    IMPLICIT_LITTLE_ENDIAN,
    ConnectionLostError,
    WireAssociation,
    command_set,
    element,
    find_request,
    message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.instance import Instance

GOOD, SECONDS = 10, 8.0
OFTEN = 0.05
"""Seconds from one round of a good peer to its next: a busy department, no flood."""
VERIFICATION = "1.2.840.10008.1.1"
PENDING = 0xFF00
ECHO_LIMIT = 0.1
TIMES_QUIET = 5
UNMEASURED = 0.02
"""Seconds; five times less is what any other process may take of a processor at a time."""
TESTS = Path(__file__).parents[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    """The default configuration, with peers that may ask, and 300 instances to be found."""
    running = PacsdServer(
        tmp_path,
        peers=[Peer(ae_title=title, port=free_port()) for title in ("GOOD", FINDER)],
        settings={"log": {"level": "error"}},
    )
    running.start()
    first = load.instance(900_000, 0)
    with WireAssociation((running.host, running.port), [_context(first)], calling="GOOD") as peer:
        for number in range(300):
            assert peer.store(load.instance(900_000, number), number + 1).status == 0
        peer.release()
    yield running
    running.stop()


def _context(instance: Instance) -> tuple[str, str]:
    return instance.sop_class_uid, instance.transfer_syntax_uid


def _echo(peer: WireAssociation, number: int) -> None:
    command = command_set(
        element(0x0002, VERIFICATION),
        element(0x0100, 0x0030),
        element(0x0110, number),
        element(0x0800, 0x0101),
    )
    peer.send(message(peer.context_ids[VERIFICATION, IMPLICIT_LITTLE_ENDIAN], command))
    assert peer.read_response().status == 0


def _find(peer: WireAssociation, number: int) -> None:
    uid = load.series_uids(900_000)[0].encode()
    keys = [(0x0008, 0x0052, b"STUDY "), (0x0020, 0x000D, uid + b"\0" * (len(uid) % 2))]
    identifier = b"".join(
        group.to_bytes(2, "little") + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
        for group, tag, value in keys
    )
    context = peer.context_ids[STUDY_ROOT_FIND, IMPLICIT_LITTLE_ENDIAN]
    peer.send(message(context, find_request(number, STUDY_ROOT_FIND), identifier))
    matches = 0
    while (status := peer.read_response().status) in (PENDING, 0xFF01):
        matches += 1
    assert (status, matches) == (0, 1)


class _GoodPeer:
    """An association that does the three services in turn, and notes how long each takes."""

    def __init__(self, server: PacsdServer, series: int) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failure: BaseException | None = None
        self._server, self._series = server, series
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except (AssertionError, ConnectionLostError) as error:
            self.failure = error

    def _work(self) -> None:
        storage = _context(load.instance(self._series, 0))
        contexts = [storage, *((each, IMPLICIT_LITTLE_ENDIAN) for each in (VERIFICATION, STUDY_ROOT_FIND))]
        number, end = 1, time.monotonic() + SECONDS
        with WireAssociation((self._server.host, self._server.port), contexts, calling="GOOD") as peer:
            while time.monotonic() < end:
                started = time.monotonic()
                instance = load.instance(self._series, number)
                self._timed("C-ECHO", partial(_echo, peer, number))
                self._timed("C-STORE", partial(self._store, peer, instance))
                self._timed("C-FIND", partial(_find, peer, number))
                number += 1
                time.sleep(max(0.0, started + OFTEN - time.monotonic()))  # its pace; it waits for nothing
            peer.release()

    @staticmethod
    def _store(peer: WireAssociation, instance: Instance) -> None:
        response = peer.store(instance)
        assert response.status == 0, response.error_comment

    def _timed(self, service: str, work: Callable[[], None]) -> None:
        started = time.perf_counter()
        work()
        self.seconds[service].append(time.perf_counter() - started)

    def finish(self) -> None:
        self._thread.join()
        if self.failure is not None:
            raise self.failure


def _slowest(server: PacsdServer, series: int) -> dict[str, float]:
    """The 99th percentile in seconds of each service over all good peers."""
    peers = [_GoodPeer(server, series + number) for number in range(GOOD)]
    for peer in peers:
        peer.finish()
    found = {}
    for service in ("C-ECHO", "C-STORE", "C-FIND"):
        seconds = sorted(second for peer in peers for second in peer.seconds[service])
        found[service] = seconds[int(len(seconds) * 0.99)]
    return found


@contextmanager
def _bad_neighbours(server: PacsdServer) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "support.bad_neighbours", server.host, str(server.port)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        yield
        assert process.poll() is None, "the bad neighbours went on all the while"
    finally:
        process.kill()
        process.communicate()


def test_bad_neighbours_do_not_take_the_service_from_good_peers(server: PacsdServer) -> None:
    quiet = _slowest(server, 100_000)
    with _bad_neighbours(server):
        beside = _slowest(server, 200_000)
    figures = {service: f"{quiet[service] * 1e3:.1f} -> {beside[service] * 1e3:.1f} ms" for service in quiet}
    assert beside["C-ECHO"] < ECHO_LIMIT, figures
    for service in ("C-STORE", "C-FIND"):
        assert beside[service] < TIMES_QUIET * max(quiet[service], UNMEASURED), figures
