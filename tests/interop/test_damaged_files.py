"""Files of the store that are not what they were: each costs its own sub-operation, and is told of."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dicomnet import AssociationAborted
from pacsd.dataset.identifier import elements_of, write_identifier
from support import scp, scu
from support.archive_server import EXPLICIT, Client, association_request
from support.constructed import FAMILY_NAME, PATIENT_ID, encode, simple_dataset
from support.injection import injected
from support.server import STOP_DEADLINE, PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from pathlib import Path

    from support.instance import Instance

NUMBER = 7500
THIRD = 2
"""Of five, the one that is damaged."""
GET = "1.2.840.10008.5.1.4.1.2.2.3"
SERIES = itertools.count(1)
MODES = ("checksum", "length")
READS = "preadv,preadv2,pread64,read"


def instances(pixels: int) -> list[Instance]:
    """Five of a new series, each with other pixels."""
    made, series = [], next(SERIES)
    for number in range(1, 6):
        dataset = simple_dataset(NUMBER)
        dataset.SeriesInstanceUID = f"{dataset.StudyInstanceUID}.{series}"
        dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
        dataset.InstanceNumber = number
        dataset.Rows, dataset.Columns = pixels // 1000, 500
        dataset.PixelData = bytes([number, series % 256]) * (pixels // 2)
        made.append(encode(dataset, f"number {number}"))
    return made


@dataclass(frozen=True, slots=True)
class Archive:
    """A server that verifies by `mode`, and a destination that it may send to."""

    server: PacsdServer
    mode: str
    sink: scp.Destination

    def store(self, sent: list[Instance]) -> None:
        """Store instances that are not there yet."""
        contexts = {(each.sop_class_uid, each.transfer_syntax_uid) for each in sent}
        with WireAssociation((self.server.host, self.server.port), sorted(contexts)) as peer:
            assert [peer.store(each).status for each in sent] == [0x0000] * len(sent)
            peer.release()

    def file_of(self, instance: Instance) -> Path:
        """Where the index has an instance."""
        with closing(sqlite3.connect(self.server.index_path)) as database:
            query = "SELECT path FROM instances WHERE sop_instance_uid = ?"
            ((path,),) = database.execute(query, (instance.sop_instance_uid,))
        return self.server.root / path

    def damaged(self) -> float:
        """How often damage was noticed so far."""
        return self.server.metric("pacsd_damaged_instances_total", noticed="retrieve")

    def retrieve(self, service: str, sent: list[Instance]) -> tuple[scu.Outcome, scu.Inbox]:
        """The series by C-GET or C-MOVE, and what came of it."""
        keys = scu.keys(
            "SERIES",
            StudyInstanceUID=sent[0].study_instance_uid,
            SeriesInstanceUID=sent[0].series_instance_uid,
        )
        if service == "get":
            return scu.get(self.server, keys, scu.own_contexts(sent))
        self.sink.reset()
        return scu.move(self.server, keys, self.sink.ae_title), self.sink.inbox


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Archive]]:
    """One for each mode, by its name."""
    with scp.destination("SINK") as sink:
        peers = [
            Peer(ae_title=scu.CALLING_AE_TITLE, port=104),
            Peer(ae_title="SINK", port=sink.port, allow=()),
        ]
        running = {}
        for mode in MODES:
            settings = {"server": {"workers": 1}, "integrity": {"on_retrieve": mode}}
            server = PacsdServer(tmp_path_factory.mktemp(mode), peers=peers, settings=settings)
            server.start()
            running[mode] = Archive(server, mode, sink)
        yield running
        for archive in running.values():
            archive.server.stop()


def flip_a_bit(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)


def put_another_in_place(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def cut_short(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def remove(path: Path, other: Path) -> None:
    path.unlink()


def leave_alone(path: Path, other: Path) -> None:
    """The disk cannot read it; see `unreadable`."""


Damage = Callable[["Path", "Path"], None]
DAMAGES: dict[str, tuple[Damage, str, frozenset[str]]] = {
    "a flipped bit": (flip_a_bit, "content has changed", frozenset({"checksum"})),
    "another instance's file": (put_another_in_place, "content has changed", frozenset({"checksum"})),
    "cut short": (cut_short, "bytes instead of", frozenset(MODES)),
    "grown": (grow, "bytes instead of", frozenset(MODES)),
    "removed": (remove, "missing", frozenset(MODES)),
    "unreadable": (leave_alone, "Input/output error", frozenset(MODES)),
}
"""What is done to a file, what is said of it, and in which modes it is noticed."""


def cases() -> Iterator[tuple[str, str, int]]:
    """Mode, damage and bytes of pixels; what is too large to be held in memory is read in another way."""
    for mode in MODES:
        for name in DAMAGES:
            yield mode, name, 2000
            if not (mode == "length" and name == "unreadable"):  # noticed half way, see below
                yield mode, name, 1_200_000


def unreadable(archive: Archive, path: Path) -> AbstractContextManager[None]:
    return injected(archive.server, READS, "error=EIO", on=path)


@pytest.mark.parametrize("service", ["get", "move"])
@pytest.mark.parametrize(("mode", "name", "pixels"), list(cases()))
def test_a_damaged_file_costs_its_own_sub_operation(
    archives: dict[str, Archive], mode: str, name: str, pixels: int, service: str
) -> None:
    archive = archives[mode]
    damage, reason, noticed_by = DAMAGES[name]
    sent = instances(pixels)
    archive.store(sent)
    third = sent[THIRD]
    path = archive.file_of(third)
    damage(path, archive.file_of(sent[0]))
    counted = archive.damaged()
    mark = archive.server.log_size()
    with unreadable(archive, path) if name == "unreadable" else nullcontext():
        outcome, inbox = archive.retrieve(service, sent)
    received = {uid: one.dataset for uid, one in inbox.received.items()}
    told = [event for event in archive.server.log_events(after=mark) if event["event"] == "instance-damaged"]
    if mode not in noticed_by:
        assert (outcome.status, len(received), told) == (0x0000, 5, [])
        assert archive.damaged() == counted
        return
    assert (outcome.status, outcome.counts) == (0xB000, (4, 1, 0))
    assert outcome.failed_uids == {third.sop_instance_uid}
    assert reason in outcome.error_comment
    assert received == {each.sop_instance_uid: each.dataset for each in sent if each is not third}
    (event,) = told
    assert event["path"] == str(path.relative_to(archive.server.root))
    assert event["sop_instance_uid"] == third.sop_instance_uid
    assert reason in event["reason"]
    assert archive.damaged() == counted + 1
    assert path.exists() == (name != "removed"), "a retrieve takes nothing out of service"
    log = archive.server.log_text()
    assert FAMILY_NAME not in log
    assert PATIENT_ID not in log


@pytest.fixture
def lone_server(tmp_path: Path) -> Iterator[PacsdServer]:
    """One worker, that compares lengths alone and has as long as it likes to end."""
    server = PacsdServer(
        tmp_path,
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        settings={
            "server": {"workers": 1, "shutdown_timeout": STOP_DEADLINE},
            "integrity": {"on_retrieve": "length"},
        },
    )
    server.start()
    yield server
    if server.is_running:
        server.kill()


def assert_stops_at_once(server: PacsdServer) -> None:
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < STOP_DEADLINE / 3


def test_a_large_file_that_cannot_be_read_on_ends_the_association_and_holds_up_no_stop(
    lone_server: PacsdServer,
) -> None:
    """Half of it is out then, and no message can take that back. The client keeps its connection."""
    archive = Archive(lone_server, "length", scp.Destination("NONE", 0, scu.Inbox(), scu.Inbox().keep))
    sent = instances(3_000_000)
    archive.store(sent)
    path = archive.file_of(sent[THIRD])
    storage = (sent[0].sop_class_uid, [sent[0].transfer_syntax_uid])
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": sent[0].study_instance_uid}
    net = Client()
    net.connect(lone_server.host, lone_server.port)
    net.associate(
        association_request([(GET, [EXPLICIT]), storage], calling=scu.CALLING_AE_TITLE, as_scp_of=storage[:1])
    )
    with injected(lone_server, READS, "error=EIO:when=3+", on=path), pytest.raises(AssociationAborted):
        list(net.c_get(net.context_for(GET), write_identifier(elements_of(keys), EXPLICIT)))
    assert list(net.received) == [each.sop_instance_uid for each in sent[:THIRD]]
    assert archive.damaged() == 1
    assert_stops_at_once(lone_server)
    net.close()


def test_a_store_that_the_disk_fails_holds_up_no_stop(lone_server: PacsdServer) -> None:
    """Nor does the sender that keeps its association."""
    (sent, *_) = instances(2000)
    context = (sent.sop_class_uid, sent.transfer_syntax_uid)
    with WireAssociation((lone_server.host, lone_server.port), [context]) as peer:
        with injected(lone_server, "writev,fdatasync", "error=EIO"):
            assert peer.store(sent).status == 0xA700
        assert_stops_at_once(lone_server)
