"""Stores, replaces and fetches of few instances at once, while workers are killed: each answer fits some order."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from crash.databases import empty_index
from crash.extent import ROUNDS, chance, combinations
from crash.history import NEVER, Operation, faults_of_first, faults_of_last
from crash.intact import assert_intact
from crash.versions import connect, fetch, version
from support import scu
from support.server import SENDER, PacsdServer, Peer
from support.wire import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERIES = 700_000
INSTANCES = range(1, 4)
SENDERS, READERS = 4, 2
ENOUGH = 50
"""Answered stores before each kill, and after the last; where the first version stays, nearly all are refused."""
KILLS = max(2, ROUNDS // 3)
JUDGES = {"replace": faults_of_last, "keep-first": faults_of_first}


@pytest.mark.parametrize(
    ("policy", "database"),
    [
        each
        for each in combinations(("replace", "sqlite"), ("replace", "postgresql"), ("keep-first", "sqlite"))
        if each[0] in JUDGES
    ],
)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_every_answer_fits(policy: str, database: str, tmp_path: Path) -> None:
    with empty_index(database, tmp_path) as index:
        server = PacsdServer(
            tmp_path,
            peers=[SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
            settings={"index": {"url": index.url}, "storage": {"duplicates": policy}},
        )
        server.start()
        try:
            played = Play(server)
            played.run()
            server.stop()
            server.start()
            for number in INSTANCES:
                played.fetch(number)
            assert_intact(server, index.url)
        finally:
            if server.is_running:
                server.stop()
    assert played.failed == [], "a retrieve of what is there has failed"
    for history in played.histories.values():
        assert sum(not each.is_store for each in history) > 1, "nothing was fetched meanwhile"
        assert JUDGES[policy](history) == []


class Play:
    """Senders and readers of the same few instances, and what they saw."""

    def __init__(self, server: PacsdServer) -> None:
        self.histories: dict[int, list[Operation]] = defaultdict(list)
        """By the instance's number."""
        self.failed: list[int] = []
        """The numbers of those whose retrieve failed though the server was there all the time."""
        self._server = server
        self._versions = itertools.count(1)
        self._changed = threading.Condition()
        self._answered = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Let all play, and kill a worker from time to time."""
        victims = chance()
        children = len(self._server.workers())
        with ThreadPoolExecutor(SENDERS + READERS) as threads:
            playing = [threads.submit(self._play, self._send_some) for _ in range(SENDERS)]
            playing += [threads.submit(self._play, self._fetch_some) for _ in range(READERS)]
            try:
                for _ in range(KILLS):
                    self._wait_for_more()
                    os.kill(victims.choice(self._server.storing_workers()), signal.SIGKILL)
                    self._server.wait_for_workers(children)
                self._wait_for_more()
            finally:
                self._ended.set()
            for each in playing:
                each.result(timeout=60)

    def _wait_for_more(self) -> None:
        with self._changed:
            enough = self._answered + ENOUGH
            assert self._changed.wait_for(lambda: self._answered >= enough, timeout=60)

    def _play(self, turn: Callable[[], None]) -> None:
        while not self._ended.is_set():
            turn()

    def _send_some(self) -> None:
        try:
            with connect(self._server) as peer:
                while not self._ended.is_set():
                    number, content = random.choice(INSTANCES), next(self._versions)
                    began = time.monotonic()
                    try:
                        is_stored = peer.store(version(SERIES, number, content)).status == 0x0000
                    except ConnectionLostError:
                        self._note(number, Operation(True, content, began, NEVER))
                        raise
                    self._note(
                        number,
                        Operation(True, content, began, time.monotonic() if is_stored else NEVER),
                        is_answered=True,
                    )
        except ConnectionLostError:
            return

    def _fetch_some(self) -> None:
        self.fetch(random.choice(INSTANCES))

    def fetch(self, number: int) -> None:
        """Fetch an instance and note what came."""
        began = time.monotonic()
        try:
            fetched = fetch(self._server, version(SERIES, number, 1))
        except AssertionError:
            return  # the association ended without an answer: its worker was killed
        if fetched is None:
            self.failed.append(number)
        else:
            self._note(number, Operation(False, fetched, began, time.monotonic()))

    def _note(self, number: int, operation: Operation, *, is_answered: bool = False) -> None:
        with self._changed:
            self.histories[number].append(operation)
            self._answered += is_answered
            self._changed.notify_all()
