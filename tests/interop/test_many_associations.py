"""A thousand associations that do nothing and two hundred that store, by one peer that may.

The server is asked for a new association and a C-ECHO all the while, and for its memory.
"""

from __future__ import annotations

import resource
import statistics
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.server import PacsdServer
from support.wire import IMPLICIT_LITTLE_ENDIAN, WireAssociation, command_set, element, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.instance import Instance

VERIFICATION = "1.2.840.10008.1.1"
ECHO_CONTEXT = (VERIFICATION, IMPLICIT_LITTLE_ENDIAN)
IDLE, ACTIVE, ROUNDS = 1000, 200, 5
ECHOES = 20
FEW_OPEN_FILES = ("sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh")
"""The server is started under a soft limit that the associations surely pass, and raises it."""
KIBIBYTES_EACH = 100
PATIENCE = 0.25
"""Seconds that a new association and its C-ECHO may take at the median, on a machine that does other things too."""
C_ECHO_RQ = command_set(
    element(0x0002, VERIFICATION), element(0x0100, 0x0030), element(0x0110, 1), element(0x0800, 0x0101)
)


@pytest.fixture(autouse=True)
def open_files() -> Iterator[None]:
    """As many sockets as there are peers, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + ACTIVE + 512
    if hard < wanted:
        pytest.skip(f"no more than {hard} files can be opened here (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def serving(folder: Path, **dicom: int) -> Iterator[PacsdServer]:
    """A server; what is not in `dicom` is its default."""
    server = PacsdServer(
        folder,
        launcher=FEW_OPEN_FILES,
        settings={
            "dicom": dicom,
            "limits": {"associations_per_address": 0, "associations_per_title": 0},
            "log": {"level": "warning"},
        },
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def associate(server: PacsdServer, context: tuple[str, str] = ECHO_CONTEXT) -> WireAssociation:
    """An association that is accepted."""
    peer = WireAssociation((server.host, server.port), [context])
    assert peer.accept_or_reject.type == 2, "no A-ASSOCIATE-AC"
    return peer


def echo(server: PacsdServer) -> float:
    """Seconds for a new association, a C-ECHO and the release."""
    began = time.perf_counter()
    with associate(server) as peer:
        peer.send(message(1, C_ECHO_RQ))
        assert peer.read_response().status == 0
        peer.release()
    return time.perf_counter() - began


def memory_of(server: PacsdServer) -> int:
    """KiB that the workers hold, what they share divided among them."""
    return sum(_proportional_set_size(pid) for pid in server.workers())


def _proportional_set_size(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("the kernel tells no Pss")


def numbered(instance: Instance, number: int) -> Instance:
    """The instance under another UID of the same length."""
    uid = instance.sop_instance_uid[:-6] + f"{number:06}"
    dataset = instance.dataset.replace(instance.sop_instance_uid.encode(), uid.encode())
    return replace(instance, sop_instance_uid=uid, dataset=dataset)


def template() -> Instance:
    """An instance whose UID has room for a number."""
    dataset = simple_dataset(6000)
    dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.1000000"
    return encode(dataset, "active")


def store_on_all(
    server: PacsdServer, active: list[WireAssociation], instance: Instance, first: int
) -> tuple[float, int]:
    """One C-STORE on each at once and an echo before the answers are read: its seconds, and how many succeeded."""
    for number, peer in enumerate(active):
        peer.send_store(numbered(instance, first + number), 1)
    seconds = echo(server)
    return seconds, sum(peer.read_response().status == 0 for peer in active)


@pytest.mark.timeout(180)
def test_idle_and_active_associations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance = template()
    context = (instance.sop_class_uid, instance.transfer_syntax_uid)
    with serving(tmp_path) as server, ExitStack() as peers:
        alone = statistics.median(echo(server) for _ in range(ECHOES))
        before = memory_of(server)
        for _ in range(IDLE):
            peers.enter_context(associate(server))
        each = (memory_of(server) - before) / IDLE
        beside_idle = [echo(server) for _ in range(ECHOES)]
        active = [peers.enter_context(associate(server, context)) for _ in range(ACTIVE)]
        rounds = [store_on_all(server, active, instance, ACTIVE * count) for count in range(ROUNDS)]
        with capsys.disabled():
            print(
                f" idle: {each:.1f} KiB each; echo alone {alone * 1e3:.1f} ms, beside {IDLE} idle"
                f" {statistics.median(beside_idle) * 1e3:.1f} (slowest {max(beside_idle) * 1e3:.1f}), beside"
                f" {ACTIVE} storing {', '.join(f'{seconds * 1e3:.0f}' for seconds, _ in rounds)} ",
                end="",
            )
        assert [stored for _, stored in rounds] == [ACTIVE] * ROUNDS
        assert each < KIBIBYTES_EACH
        assert statistics.median(beside_idle) < PATIENCE
        assert statistics.median(seconds for seconds, _ in rounds) < PATIENCE
        peers.close()
        wait_until(
            lambda: server.metric("pacsd_associations_open") == 0, within=30, what="all places are given back"
        )


def test_over_the_limit_is_rejected_for_now(tmp_path: Path) -> None:
    """A-ASSOCIATE-RJ transient, by the presentation provider, local limit exceeded (PS3.8 Table 9-21)."""
    with serving(tmp_path, max_associations=3) as server, ExitStack() as peers:
        standing = [peers.enter_context(associate(server)) for _ in range(3)]
        with WireAssociation((server.host, server.port), [ECHO_CONTEXT]) as fourth:
            assert fourth.accept_or_reject.type == 3
            assert fourth.accept_or_reject.body == bytes([0, 2, 3, 2])
        standing.pop().release()
        wait_until(lambda: server.metric("pacsd_associations_open") == 2, within=5, what="a place is free")
        with associate(server) as again:
            again.send(message(1, C_ECHO_RQ))
            assert again.read_response().status == 0
