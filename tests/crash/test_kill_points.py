"""A worker that is killed between any two steps of a C-STORE, while others live on.

One store is recorded. Then a worker is killed on its way into one of the calls by which it changes something: for a
sample of these calls, and in `make crash` for each. At once another worker is asked for the instance, and is sent it
again; after a restart, everything is looked at from inside.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from crash.databases import empty_index
from crash.extent import DATABASES, IS_WHOLE, ROUNDS, chance
from crash.intact import assert_intact, rows
from crash.kill_points import KillPoint, answered_by, kill_points, killed_at, recorded
from crash.versions import NOTHING, connect, fetch, send, version, version_of
from support import scu
from support.deadline import wait_until
from support.injection import has_ended
from support.server import SENDER, PacsdServer, Peer
from support.wire import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.instance import Instance

SAMPLE = None if IS_WHOLE else max(1, ROUNDS // 6)
"""So many kills of each case; None for all."""
WORKERS = 10
DUPLICATE_SOP_INSTANCE = 0x0111
FIRST, OTHER = 1, 2
"""Versions: the one that was acknowledged before, and one with other content."""


def lose(file: Path) -> None:
    file.unlink()


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 0x10
    file.write_bytes(content)


@dataclass(frozen=True, slots=True)
class Case:
    """A C-STORE, what was there before, and what must be served afterwards."""

    name: str
    sent: int
    before: int = NOTHING
    damage: Callable[[Path], None] | None = None
    in_new_study: bool = False

    def allowed_meanwhile(self, policy: str) -> set[int]:
        """What may be fetched after the kill."""
        if self.before == NOTHING:
            return {NOTHING, self.sent}
        return {self.before, self.sent} if policy == "replace" else {self.before}

    def kept(self, policy: str) -> int:
        """What must be fetched when another worker has answered the same store."""
        is_first = self.before == NOTHING or self.damage is not None
        return self.sent if is_first or policy == "replace" else self.before

    def status(self, policy: str) -> int:
        """That other worker's answer."""
        is_refused = policy != "replace" and self.kept(policy) != self.sent
        return DUPLICATE_SOP_INSTANCE if is_refused else 0x0000

    def instance(self, place: int, number: int, content: int) -> Instance:
        """The instance of a round; `place` is the case's among all."""
        if self.in_new_study:
            return version(100_000 * (place + 1) + 100 * number, 1, content)
        return version(100_000 * (place + 1), number, content)


NEW_STUDY = Case("an instance of a new study", FIRST, in_new_study=True)
NEW = Case("another instance of a series", FIRST)
IDENTICAL = Case("the same again", FIRST, before=FIRST)
DIFFERENT = Case("other content", OTHER, before=FIRST)
LOST = Case("the same again, whose file is lost", FIRST, before=FIRST, damage=lose)
SHORT = Case("other content, where the kept file is cut short", OTHER, before=FIRST, damage=cut_short)
FLIPPED = Case("the same again, whose file has a wrong bit", FIRST, before=FIRST, damage=flip_a_bit)
CASES = {
    "keep-first": [NEW_STUDY, NEW, IDENTICAL, DIFFERENT, LOST, FLIPPED],
    "replace": [NEW, DIFFERENT, LOST, SHORT, FLIPPED],
    "reject": [IDENTICAL, DIFFERENT, SHORT, FLIPPED],
}


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("policy", CASES)
@pytest.mark.timeout(180 if SAMPLE else 3600)
def test_killed_between_two_steps_of_a_store(
    policy: str, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with empty_index(database, tmp_path) as index:
        trial = Trial(tmp_path, policy, index.url)
        try:
            for place, case in enumerate(CASES[policy]):
                trial.run(case, place)
            trial.verify_after_restart()
        finally:
            trial.close()
    with capsys.disabled():
        print(f" {trial.kills} kills ", end="")
    assert trial.kills >= trial.rounds // 2, "most points were not reached: the recording does not fit"


class Trial:
    """One archive, and what it has to serve."""

    def __init__(self, folder: Path, policy: str, url: str) -> None:
        self.kills = self.rounds = 0
        self._policy = policy
        self._url = url
        self._recording = folder / "recording"
        self._server = PacsdServer(
            folder,
            peers=[SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
            settings={
                "index": {"url": url},
                "storage": {"duplicates": policy},
                "server": {"workers": WORKERS},
                "integrity": {"scrub_days": 0},
            },
        )
        self._server.start()
        self._survivor, *self._victims = self._server.storing_workers()
        self._expected: dict[str, int] = {}
        self._chance = chance()

    def close(self) -> None:
        if self._server.is_running:
            self._server.stop()

    def run(self, case: Case, place: int) -> None:
        """Record the case, then kill at its points."""
        victim = self._next_victim()
        if not case.in_new_study:
            self._send(self._survivor, case.instance(place, 9999, FIRST), 0x0000)
        self._prepare(case, place, [1])
        with answered_by(self._server, victim):
            peer = connect(self._server)
        with peer, recorded([victim], self._recording):
            assert peer.store(case.instance(place, 1, case.sent)).status == case.status(self._policy)
        self._expected[case.instance(place, 1, 0).sop_instance_uid] = case.kept(self._policy)
        points = kill_points(self._recording)
        if SAMPLE is not None:
            points = self._chance.sample(points, min(SAMPLE, len(points)))
        numbers = range(2, 2 + len(points))
        self._prepare(case, place, numbers)
        for number, point in zip(numbers, points, strict=True):
            try:
                self._round(case, place, number, point)
            except AssertionError as error:
                error.add_note(f"{case.name}, {self._policy}, killed at {point}")
                raise

    def _prepare(self, case: Case, place: int, numbers: Sequence[int]) -> None:
        """Have there been acknowledged, and damaged, what the case wants."""
        if case.before == NOTHING:
            return
        before = [case.instance(place, number, case.before) for number in numbers]
        for instance in before:
            self._send(self._survivor, instance, 0x0000)
        if case.damage is not None:
            paths = rows(self._url)
            for instance in before:
                case.damage(self._server.root / paths[instance.sop_instance_uid])

    def _round(self, case: Case, place: int, number: int, point: KillPoint) -> None:
        victim = self._next_victim()
        sent = case.instance(place, number, case.sent)
        self.rounds += 1
        with answered_by(self._server, victim):
            peer = connect(self._server)
        with peer, killed_at(self._server, point, [victim]):
            try:
                assert peer.store(sent).status == case.status(self._policy)
                peer.release()
            except ConnectionLostError:
                wait_until(lambda: has_ended(victim), within=5, what="the worker is dead")
                self.kills += 1
        with answered_by(self._server, self._survivor):
            if case.damage is None:
                assert fetch(self._server, sent) in case.allowed_meanwhile(self._policy)
            assert send(self._server, sent) == case.status(self._policy)
            kept = case.kept(self._policy)
            assert fetch(self._server, sent) == kept
        self._expected[sent.sop_instance_uid] = kept

    def _send(self, worker: int, instance: Instance, status: int) -> None:
        with answered_by(self._server, worker):
            assert send(self._server, instance) == status
        self._expected[instance.sop_instance_uid] = version_of(instance.sop_instance_uid, instance.dataset)

    def _next_victim(self) -> int:
        """A worker that has done nothing yet, as the recorded one."""
        if not self._victims:
            self._restart()
        return self._victims.pop()

    def _restart(self) -> None:
        self._server.stop()
        self._server.start()
        self._survivor, *self._victims = self._server.storing_workers()

    def verify_after_restart(self) -> None:
        self._restart()
        assert assert_intact(self._server, self._url) == self._expected
