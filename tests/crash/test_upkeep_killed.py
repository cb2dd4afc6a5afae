"""What a command, housekeeping or a start leaves that is killed between any two steps, beside workers that live on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from crash.databases import empty_index
from crash.extent import ROUNDS, chance, combinations
from crash.intact import assert_intact, published_files, rows
from crash.kill_points import kill_points, killed_at, killing, recorded, recording
from crash.versions import NOTHING, fetch, send, version
from support import scu
from support.deadline import wait_until
from support.injection import has_ended
from support.server import SENDER, PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from crash.kill_points import KillPoint

SAMPLE = max(1, ROUNDS // 5)
"""So many kills of each kind."""
SERIES = 800_000
FIRST, OTHER = 1, 2


@pytest.fixture(params=combinations(("replace", "sqlite"), ("keep-first", "postgresql")), ids="-".join)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    policy, database = request.param
    with empty_index(database, tmp_path) as index:
        archive = Archive(tmp_path, policy, index.url)
        archive.server.start()
        try:
            yield archive
        finally:
            if archive.server.is_running:
                archive.server.stop()


@pytest.mark.timeout(120 + 20 * SAMPLE)
def test_a_command_that_is_killed_loses_nothing(archive: Archive) -> None:
    """`pacsd quarantine add` and `restore`: either is done or not, can be done again, and a resend is kept."""
    for point in archive.points_of_command(archive.quarantine):
        with named(point):
            number = archive.store_next()
            archive.quarantine(number, launcher=killing(point))
            assert archive.fetch(number) in {NOTHING, FIRST}
            assert archive.send(number, FIRST) == 0x0000
            assert archive.fetch(number) == FIRST
    for point in archive.points_of_command(archive.restore):
        with named(point):
            number = archive.store_next()
            archive.restore(number, launcher=killing(point))
            assert archive.fetch(number) in {NOTHING, FIRST}
            archive.restore_all()
            assert archive.fetch(number) == FIRST
    archive.verify_after_restart()


@pytest.mark.timeout(120 + 20 * SAMPLE)
def test_housekeeping_that_is_killed_is_done_all_the_same(archive: Archive) -> None:
    """The files of a dead worker find their place without a restart, though their sweep is killed, too."""
    archive.lay_out_files()
    with recorded(archive.server.processes("housekeeping"), archive.recording):
        archive.kill_a_worker()
        archive.wait_until_settled()
    for point in archive.sample(kill_points(archive.recording)):
        with named(point):
            archive.lay_out_files()
            (housekeeping,) = archive.server.processes("housekeeping")
            with killed_at(archive.server, point, [housekeeping]):
                archive.kill_a_worker()
                wait_until(
                    lambda pid=housekeeping: has_ended(pid) or not archive.extra_files(),
                    within=30,
                    what="housekeeping comes to the point",
                )
            archive.wait_until_settled()
    archive.verify_after_restart()


@pytest.mark.timeout(120 + 30 * SAMPLE)
def test_a_start_that_is_killed_can_be_repeated(archive: Archive) -> None:
    """Of whatever process of it: what an earlier server left is looked at when a start has succeeded."""
    archive.lay_out_files()
    archive.server.stop()
    archive.server.start(launcher=recording(archive.recording))
    archive.wait_until_settled()
    for point in archive.sample(kill_points(archive.recording)):
        with named(point):
            archive.lay_out_files()
            archive.server.stop()
            try:
                archive.server.start(launcher=killing(point))
            except AssertionError:
                archive.server.start()
            archive.wait_until_settled()
    archive.verify_after_restart()


class named:  # noqa: N801 - it reads as a word
    """Has a failure within the block say where it was killed."""

    def __init__(self, point: KillPoint) -> None:
        self._point = point

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"killed at {self._point}")


class Archive:
    """A server, and the versions that it has to serve."""

    def __init__(self, folder: Path, policy: str, url: str) -> None:
        self.recording = folder / "recording"
        self.server = PacsdServer(
            folder,
            peers=[SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
            settings={
                "index": {"url": url},
                "storage": {"duplicates": policy},
                "server": {"workers": 3},
                "integrity": {"scrub_days": 0},
            },
        )
        self._url = url
        self._last = 0
        self._expected: dict[str, int] = {}
        self._chance = chance()

    def send(self, number: int, content: int) -> int:
        return send(self.server, version(SERIES, number, content))

    def fetch(self, number: int) -> int | None:
        return fetch(self.server, version(SERIES, number, FIRST))

    def store_next(self) -> int:
        """Store another instance; its number."""
        self._last += 1
        assert self.send(self._last, FIRST) == 0x0000
        self._expect(self._last, FIRST)
        return self._last

    def _expect(self, number: int, content: int) -> None:
        self._expected[version(SERIES, number, FIRST).sop_instance_uid] = content

    def quarantine(self, number: int, launcher: Sequence[str] = ()) -> None:
        uid = version(SERIES, number, FIRST).sop_instance_uid
        self.server.run("quarantine", "add", uid, launcher=launcher)

    def restore(self, number: int, launcher: Sequence[str] = ()) -> None:
        """Put an instance into quarantine and back; the latter only with the launcher."""
        before = set(self._names())
        self.quarantine(number)
        (name,) = set(self._names()) - before
        self.server.run("quarantine", "restore", name, launcher=launcher)

    def restore_all(self) -> None:
        """What is in quarantine and in service as well stays where it is."""
        self.server.run("quarantine", "restore", *self._names())

    def _names(self) -> list[str]:
        return [file.stem for file in (self.server.root / "quarantine").glob("*.dcm")]

    def points_of_command(self, command: Callable[..., None]) -> list[KillPoint]:
        number = self.store_next()
        command(number, launcher=recording(self.recording))
        wait_until(
            lambda: self.recording.read_text().rstrip().endswith("+++"), within=5, what="all is recorded"
        )
        points = self.sample(kill_points(self.recording))
        assert self.send(number, FIRST) == 0x0000
        return points

    def sample(self, points: list[KillPoint]) -> list[KillPoint]:
        assert points
        return self._chance.sample(points, min(SAMPLE, len(points)))

    def lay_out_files(self) -> None:
        """Files without a row, of all kinds that a killed worker can leave, and what is to become of them."""
        new = self._last + 1
        same, other, healing = self._last + 2, self._last + 3, self._last + 4
        self._last += 4
        for number in (same, other, healing):
            assert self.send(number, FIRST) == 0x0000
        paths = rows(self._url)
        damaged = self.server.root / paths[version(SERIES, healing, FIRST).sop_instance_uid]
        content = damaged.read_bytes()
        damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        for number, which in ((new, FIRST), (same, FIRST), (other, OTHER), (healing, FIRST)):
            instance = version(SERIES, number, which)
            part = instance.write_file(self.server.root / "incoming" / "laid-out")
            part.rename(damaged.with_name(f"{instance.sop_instance_uid}-7.dcm"))
        # The one with other content does not say that a known peer sent it, so it replaces nothing.
        for number in (new, same, other, healing):
            self._expect(number, FIRST)

    def extra_files(self) -> set[str]:
        """Files without a row."""
        return published_files(self.server.root) - set(rows(self._url).values())

    def wait_until_settled(self, *, within: float = 30) -> None:
        wait_until(lambda: not self.extra_files(), within=within, what="no file is without a row")

    def kill_a_worker(self) -> None:
        os.kill(self.server.storing_workers()[0], signal.SIGKILL)

    def verify_after_restart(self) -> None:
        self.server.stop()
        self.server.start()
        assert assert_intact(self.server, self._url) == self._expected
