"""Each alert fires in a Prometheus when the thing that it is about happens to a server, and not before.

Prometheus is told nothing but what the servers' own pages say. Only durations in the rules are shortened, all those of
a rule by the same factor.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import counted
from support.deadline import wait_until
from support.grafana import deployed_panels
from support.mounts import SmallDisk
from support.prometheus import DEPLOYED, Prometheus, Target, deployed_alerts, program
from support.server import PacsdServer
from support.wire import message, store_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.wire import WireAssociation

ALERTS = [rule["alert"] for rule in deployed_alerts()]
FACTORS = {
    **dict.fromkeys(ALERTS, 300),
    "PacsdStandstill": 1,  # it must come before the silent process is killed
    "PacsdDown": 15,  # four seconds: a machine that is busy for a moment is no server that is away
    "PacsdDiskFullInAWeek": 8640,  # ten seconds of history, a week of 70 s
    "PacsdNothingReceived": 15_120,  # a week of 40 s, whose hour is a quarter of one
    "PacsdScrubOld": 172_800,  # 60 days of 30 s
    "PacsdDecodersReplaced": 60,  # a minute: a decoder takes a second to start
    "PacsdStoresSlow": 1200,  # for half a second, of the last half
}
"""By which the durations of each rule are divided."""
SLOW, SLOW_SECONDS = 20, 5.5
LEFT_BEHIND = 2000
"""Files that a server finds at its start and does not know."""
MB = 1_000_000


@dataclass(slots=True)
class Site:
    """Two servers and who watches them."""

    prometheus: Prometheus
    archive: PacsdServer
    """Found files at its start that it does not know; its housekeeping was stopped before it knew them all."""
    archive_disk: SmallDisk
    branch: PacsdServer
    """On a small disk, with a log that nobody reads; was sent images at the beginning, and none since."""
    branch_disk: SmallDisk
    slow: list[SlowStore]
    """At the branch."""
    opened: ExitStack
    places: ExitStack
    """Associations that stay open."""
    compressed_is_kept: bool = False
    at_first: set[tuple[str, str]] = field(default_factory=set)
    """What had fired before anything was made to happen."""


@dataclass(frozen=True, slots=True)
class SlowStore:
    """A store that is under way."""

    peer: WireAssociation
    rest: bytes
    """What has not been sent yet."""
    begun: float = field(default_factory=time.monotonic)


def address_of(server: PacsdServer) -> str:
    return f"{server.host}:{server.http_port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    program("prometheus")
    with ExitStack() as opened:
        archive_disk = opened.enter_context(
            SmallDisk(folder / "archive-disk", f"size={20_150 * MB},nr_inodes=106000")
        )
        branch_disk = opened.enter_context(SmallDisk(folder / "branch-disk", f"size={2_200 * MB}"))
        archive = PacsdServer(
            folder / "archive",
            peers=counted.PEERS,
            launcher=archive_disk.launcher,
            root=archive_disk.folder / "store",
            settings={**counted.SETTINGS, "integrity": {"queries_while_incomplete": "answer"}},
        )
        branch = _branch(folder / "branch", branch_disk, opened)
        for server in (archive, branch):
            opened.callback(lambda server=server: server.kill() if server.is_running else None)
            server.launch()
        for server in (archive, branch):
            wait_for_page(server, "/readyz")
        leave_files_behind(archive)
        targets = [Target(address_of(archive), 0.5), Target(address_of(branch), 0.1)]
        prometheus = opened.enter_context(Prometheus(folder / "prometheus", targets, FACTORS))
        slow = [
            begin_store(opened.enter_context(counted.associate(branch)), number)
            for number in range(1000, 1000 + SLOW)
        ]
        places = opened.enter_context(ExitStack())
        made = Site(prometheus, archive, archive_disk, branch, branch_disk, slow, opened, places)
        receive_for_a_while(made)
        made.at_first = set(prometheus.fired)
        yield made


def _branch(folder: Path, disk: SmallDisk, opened: ExitStack) -> PacsdServer:
    folder.mkdir()
    pipe = folder / "log"
    os.mkfifo(pipe)
    opened.callback(os.close, os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    return PacsdServer(
        folder,
        peers=counted.PEERS,
        launcher=[*disk.launcher, "sh", "-c", 'exec "$@" 2> "$0"', str(pipe)],
        root=disk.folder / "store",
        settings={
            "index": {"url": f"sqlite:///{disk.folder}/index.db", "min_free_mb": 1},
            "log": {"level": "debug"},
        },
    )


def wait_for_page(server: PacsdServer, path: str) -> None:
    """Until its status is 200."""

    def is_there() -> bool:
        with suppress(OSError):
            return server.get(path).status == 200
        return False

    wait_until(is_there, within=30, what=f"{path} has status 200")


def leave_files_behind(server: PacsdServer) -> None:
    """Kill the server with files that it does not know yet, and stop who looks at them at the next start."""
    assert counted.store(server, counted.instance(1)).status == 0x0000
    (known,) = server.visible_root().rglob("*.dcm")
    series = server.visible_root() / known.relative_to(server.visible_root()).parent
    sample = counted.instance(10_000)
    for number in range(10_000, 10_000 + LEFT_BEHIND):
        uid = f"{sample.series_instance_uid}.{number}"
        dataset = sample.dataset.replace(sample.sop_instance_uid.encode(), uid.encode())
        replace(sample, sop_instance_uid=uid, dataset=dataset).write_file(series / f"{uid}.dcm")
    server.kill()
    server.launch()
    wait_until(lambda: bool(server.processes("housekeeping")), within=30, what="housekeeping has begun")
    os.kill(server.process_of("housekeeping"), signal.SIGSTOP)
    wait_for_page(server, "/healthz")
    assert server.metric("pacsd_index_complete") == 0, "housekeeping was stopped too late"


def begin_store(peer: WireAssociation, number: int) -> SlowStore:
    """Send the first half of a C-STORE."""
    sent = counted.instance(number)
    context_id = peer.context_ids[sent.sop_class_uid, sent.transfer_syntax_uid]
    whole = message(context_id, store_request(1, sent.sop_class_uid, sent.sop_instance_uid), sent.dataset)
    peer.send(whole[: len(whole) // 2])
    return SlowStore(peer, whole[len(whole) // 2 :])


def receive_for_a_while(site: Site) -> None:
    """Store at the branch until Prometheus has seen for two seconds that images come."""
    received = f'pacsd_instances_received_total{{outcome="stored",instance="{address_of(site.branch)}"}}'
    numbers = count(1)

    def has_been_seen() -> bool:
        assert counted.store(site.branch, counted.instance(next(numbers))).status == 0x0000
        return bool(site.prometheus.query(f"{received} offset 2s > 0"))

    wait_until(has_been_seen, within=30, what="images have come for two seconds")


# What happens, by alert, in this order: what takes its time comes last.


def newest_worker(server: PacsdServer) -> int:
    events = [json.loads(line) for line in server.log_text().splitlines() if '"process-started"' in line]
    return [event["child"] for event in events if event["role"] == "worker"][-1]


def kill_worker(site: Site) -> None:
    """The one that was started last, as soon as it is there."""
    newest = newest_worker(site.archive)
    if newest in site.archive.workers():
        os.kill(newest, signal.SIGKILL)


def damage_and_retrieve(site: Site) -> None:
    counted.damage(site.archive, counted.instance(1))
    assert counted.retrieve(site.archive, counted.instance(1)).counts == (0, 1, 0)


def send_again_what_is_damaged(site: Site) -> None:
    """The damaged file goes to quarantine; see `damage_and_retrieve`."""
    sent = counted.instance(2)
    assert counted.store(site.archive, sent).status == 0x0000
    counted.damage(site.archive, sent)
    assert counted.store(site.archive, sent).status == 0x0000


def call_somebody_else(site: Site) -> None:
    with counted.associate(site.archive, called="ELSEWHERE"):
        pass


def occupy_places(site: Site) -> None:
    for _ in range(counted.MOST_ASSOCIATIONS):
        site.places.enter_context(counted.associate(site.archive))


def fill_archive_disk(site: Site) -> None:
    site.archive_disk.fill(leave=19_950 * MB)


def use_up_inodes(site: Site) -> None:
    folder = site.archive_disk.visible_folder / "many"
    folder.mkdir()
    for number in range(os.statvfs(folder).f_favail - 99_900):
        (folder / str(number)).touch()


def finish_a_slow_store(site: Site) -> None:
    """One that was begun when the fixture was made; and wait until Prometheus knows of it."""
    finished = (
        f'pacsd_operation_duration_seconds_count{{service="C-STORE",instance="{address_of(site.branch)}"}}'
    )
    known = site.prometheus.value(finished)
    slow = site.slow.pop()
    wait_until(lambda: time.monotonic() > slow.begun + SLOW_SECONDS, within=SLOW_SECONDS, what="it is slow")
    slow.peer.send(slow.rest)
    assert slow.peer.read_response().status == 0x0000
    wait_until(lambda: site.prometheus.value(finished) > known, within=10, what="it is counted")


def fill_branch_disk(site: Site) -> None:
    site.branch_disk.fill(leave=1_850 * MB)


BIG_CHANGE = """
import sqlite3, sys
index = sqlite3.connect(sys.argv[1], isolation_level=None)
index.execute("PRAGMA cache_size = 100")
index.execute("BEGIN IMMEDIATE")
index.execute("CREATE TABLE ballast (content BLOB)")
index.execute("INSERT INTO ballast VALUES (zeroblob(520000000))")
sys.stdin.read()
"""


def write_much_into_the_index(site: Site) -> None:
    """A program that has the index open, with a change of half a gigabyte under way."""
    command = [
        *site.branch_disk.launcher,
        sys.executable,
        "-c",
        BIG_CHANGE,
        f"{site.branch_disk.folder}/index.db",
    ]
    program = subprocess.Popen(command, stdin=subprocess.PIPE)
    site.opened.callback(program.communicate, timeout=60)


def lose_decoders(site: Site) -> None:
    if not site.compressed_is_kept:
        assert counted.store(site.archive, counted.COMPRESSED).status == 0x0000
        site.compressed_is_kept = True
    counted.lose_decoders(site.archive)


def log_what_nobody_reads(site: Site) -> None:
    site.branch.get(f"/{'x' * 60_000}")


def nothing_more(site: Site) -> None:
    """It has happened already, and goes on for long enough."""


def store_what_contradicts_its_command(site: Site) -> None:
    wrong = replace(counted.instance(20_000), sop_instance_uid="1.2.3")
    assert counted.store(site.branch, wrong).status == 0xA900


def kill_the_branch(site: Site) -> None:
    site.branch.kill()


@dataclass(frozen=True, slots=True)
class Cause:
    """What is made to happen to which of the servers."""

    server: str
    happens: Callable[[Site], None]
    again: bool = False
    """Until the alert has fired."""


CAUSES = {
    "PacsdIndexIncomplete": Cause("archive", nothing_more),
    "PacsdNotReady": Cause("archive", nothing_more),
    "PacsdWorkersRestart": Cause("archive", kill_worker),
    "PacsdRestartsDelayed": Cause("archive", kill_worker, again=True),
    "PacsdDecodersReplaced": Cause("archive", lose_decoders, again=True),
    "PacsdDiskAlmostFull": Cause("archive", fill_archive_disk),
    "PacsdInodesAlmostUsedUp": Cause("archive", use_up_inodes),
    "PacsdInstanceDamaged": Cause("archive", damage_and_retrieve),
    "PacsdQuarantine": Cause("archive", send_again_what_is_damaged),
    "PacsdAssociationsRejected": Cause("archive", call_somebody_else, again=True),
    "PacsdAssociationsAborted": Cause("archive", lambda site: counted.abort(site.archive), again=True),
    "PacsdAssociationLimitNear": Cause("archive", occupy_places),
    "PacsdStoresSlow": Cause("branch", finish_a_slow_store, again=True),
    "PacsdStoresFail": Cause("branch", store_what_contradicts_its_command),
    "PacsdDiskFullInAWeek": Cause("branch", fill_branch_disk),
    "PacsdIndexDiskAlmostFull": Cause("branch", nothing_more),
    "PacsdLogLinesDropped": Cause("branch", log_what_nobody_reads, again=True),
    "PacsdIndexLogLarge": Cause("branch", write_much_into_the_index),
    "PacsdStandstill": Cause("archive", nothing_more),
    "PacsdScrubOld": Cause("branch", nothing_more),
    "PacsdNothingReceived": Cause("branch", nothing_more),
    "PacsdDown": Cause("branch", kill_the_branch),
}


def test_each_alert_is_made_to_fire() -> None:
    assert sorted(CAUSES) == sorted(ALERTS)


def test_nothing_fires_that_has_not_happened(site: Site) -> None:
    expected = {("PacsdNotReady", site.archive), ("PacsdIndexIncomplete", site.archive)}
    # Its disk is as small as that.
    expected.add(("PacsdDiskAlmostFull", site.branch))
    assert site.at_first <= {(name, address_of(server)) for name, server in expected}


@pytest.mark.parametrize("name", [name for name in CAUSES if name != "PacsdDown"])
def test_it_fires_when_it_happens(site: Site, name: str) -> None:
    make_fire(site, name)


def make_fire(site: Site, name: str) -> None:
    cause = CAUSES[name]
    address = address_of(getattr(site, cause.server))
    if cause.happens is not nothing_more:
        assert (name, address) not in site.prometheus.fired, "before anything has happened"
        cause.happens(site)

    def has_fired() -> bool:
        if (name, address) in site.prometheus.fired:
            return True
        if cause.again:
            cause.happens(site)
        return False

    wait_until(has_fired, within=60, what=f"{name} fires")
    fired = site.prometheus.fired[name, address]
    for text in fired["annotations"].values():
        assert not re.search(r"\{\{|<no value>|<error|\( *\)|  ", text), text


@pytest.fixture(scope="module")
def everything_counted(site: Site) -> None:
    """Until Prometheus has seen it twice, which an increase takes."""
    site.places.close()
    counted.count_everything(site.archive)
    seen = "increase(pacsd_limits_exceeded_total[5m])"
    wait_until(lambda: bool(site.prometheus.query(seen)), within=10, what="everything has been seen")


@pytest.mark.usefixtures("everything_counted")
@pytest.mark.parametrize("panel", deployed_panels(), ids=lambda panel: panel["title"])
def test_no_panel_of_the_dashboard_is_empty(site: Site, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        shown = site.prometheus.query(target["expr"])
        assert shown, target["expr"]
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert all(label in series["metric"] for series in shown), label


def test_it_fires_when_the_server_is_gone(site: Site) -> None:
    make_fire(site, "PacsdDown")


@pytest.mark.parametrize(
    "command",
    [["check", "config", DEPLOYED / "prometheus.yml"]]
    + [["test", "rules", file] for file in sorted(DEPLOYED.glob("*_test.yml"))],
    ids=lambda command: f"{command[1]} {command[2].stem}",
)
def test_promtool_finds_nothing_wrong(command: list[str | Path]) -> None:
    done = subprocess.run(
        [program("promtool"), *command], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
