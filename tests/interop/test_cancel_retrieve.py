"""C-CANCEL of a C-GET or C-MOVE that is long at work on a single object, or waits for its destination."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.instance import DEFLATED, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Instance
from support.server import PacsdServer, Peer
from support.wire import (
    NO_DATA_SET,
    WireAssociation,
    cancel_request,
    command_set,
    element,
    item,
    message,
)
from support.workstation import Received, Workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dicomnet import CStoreRequest, PresentationContext

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
MESSAGE_ID = 17
AT_ONCE = 0.5
"""Seconds, on a machine that is busy; what is cancelled would take several."""
SPARSE = 40 << 30
"""Bytes of a file that is read for its checksum, and has none on the disk."""
NOISE = 60_000_000
"""Bytes that take seconds to be deflated."""


def stored(number: int, pixels: bytes = bytes(64)) -> Instance:
    dataset = simple_dataset(number)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.7.1.{number}", f"1.2.7.2.{number}"
    dataset.SOPInstanceUID = f"1.2.7.3.{number}"
    dataset.PixelData = pixels
    return encode(dataset, f"cancelled {number}")


SMALL, LARGE, NOISY = stored(1), stored(2), stored(3, os.urandom(NOISE))


@dataclass
class Slow:
    """A destination that stops at something, until it is told to go on."""

    goes_on: threading.Event = field(default_factory=threading.Event)
    at_it: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        self.at_it.set()
        assert self.goes_on.wait(30)


class SlowToRelease(Workstation):
    """One that takes everything and is slow to part."""

    def __init__(self, slow: Slow) -> None:
        super().__init__(Received())
        self._slow = slow

    def on_accept(self, peer_address: tuple[str, int]) -> SlowToRelease:
        return SlowToRelease(self._slow)

    def on_receive_release_request(self) -> None:
        self._slow.wait()
        super().on_receive_release_request()


@dataclass
class Archive:
    server: PacsdServer
    destinations: dict[str, Slow]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    storing, releasing = Slow(), Slow()

    def reply(net: Workstation, context: PresentationContext, request: CStoreRequest) -> int:
        storing.wait()
        return 0

    with ExitStack() as stack:
        nets = {"STORING": Workstation(Received(reply)), "RELEASING": SlowToRelease(releasing)}
        for net in nets.values():
            stack.callback(net.close, timeout=0)
        peers = [Peer(ae_title=title, port=net.listen()[1]) for title, net in nets.items()]
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        peers += [
            Peer(ae_title="SILENT", port=silent.getsockname()[1]),
            Peer(ae_title=scu.CALLING_AE_TITLE, port=104),
        ]
        server = PacsdServer(
            tmp_path_factory.mktemp("cancel"), peers=peers, settings={"server": {"workers": 1}}
        )
        server.start()
        stack.callback(lambda: server.kill() if server.is_running else None)
        for slow in (storing, releasing):
            stack.callback(slow.goes_on.set)
        with WireAssociation(
            (server.host, server.port), [(SMALL.sop_class_uid, SMALL.transfer_syntax_uid)]
        ) as peer:
            assert [peer.store(each).status for each in (SMALL, LARGE, NOISY)] == [0, 0, 0]
            peer.release()
        make_huge(server, LARGE)
        yield Archive(server, {"STORING": storing, "RELEASING": releasing})
        server.stop()


def make_huge(server: PacsdServer, instance: Instance) -> None:
    """Let a stored file be said to be huge, and be so, without what would be written for it."""
    with closing(sqlite3.connect(server.index_path)) as index, index:
        (path,) = index.execute(
            "SELECT path FROM instances WHERE sop_instance_uid = ?", (instance.sop_instance_uid,)
        ).fetchone()
        index.execute(
            "UPDATE instances SET size = ? WHERE sop_instance_uid = ?", (SPARSE, instance.sop_instance_uid)
        )
    os.truncate(server.root / path, SPARSE)


def identifier(instance: Instance) -> bytes:
    """In Implicit VR Little Endian."""
    keys = [(0x0008, 0x0052, "STUDY "), (0x0020, 0x000D, instance.study_instance_uid)]
    parts = []
    for group, number, value in keys:
        padded = value.encode() + b"\0" * (len(value) % 2)
        parts.append(group.to_bytes(2, "little") + number.to_bytes(2, "little"))
        parts.append(len(padded).to_bytes(4, "little") + padded)
    return b"".join(parts)


def request(sop_class_uid: str, code: int, *further: bytes) -> bytes:
    return command_set(
        element(0x0002, sop_class_uid),
        element(0x0100, code),
        element(0x0110, MESSAGE_ID),
        *further,
        element(0x0700, 0),
        element(0x0800, NO_DATA_SET - 1),
    )


def seconds_until_cancelled(
    server: PacsdServer,
    service: tuple[str, bytes],
    instance: Instance,
    syntax: str,
    wait: Callable[[WireAssociation], None],
) -> float:
    """From the C-CANCEL, which is sent when the first pending response has come and `wait` has returned."""
    model, command = service
    uid = instance.sop_class_uid.encode()
    role = item(0x54, len(uid).to_bytes(2, "big") + uid + b"\0\1")
    with WireAssociation(
        (server.host, server.port),
        [(model, IMPLICIT_LITTLE_ENDIAN), (instance.sop_class_uid, syntax)],
        calling=scu.CALLING_AE_TITLE,
        user_items=role,
    ) as peer:
        peer.send(message(1, command, identifier(instance)))
        assert peer.read_response().status == 0xFF00
        wait(peer)
        began = time.monotonic()
        peer.send(message(1, cancel_request(MESSAGE_ID)))
        statuses = [peer.read_response().status]
        while statuses[-1] == 0xFF00:
            statuses.append(peer.read_response().status)
        seconds = time.monotonic() - began
        peer.release()
    assert statuses[-1] in (0xFE00, 0x0000)
    return seconds


GET = STUDY_ROOT_GET, request(STUDY_ROOT_GET, 0x0010)


@pytest.mark.parametrize(
    ("instance", "syntax"),
    [(LARGE, EXPLICIT_LITTLE_ENDIAN), (NOISY, DEFLATED)],
    ids=["while a file is verified", "while a data set is deflated"],
)
def test_work_on_one_object_is_cancelled_at_once(archive: Archive, instance: Instance, syntax: str) -> None:
    def wait_until_at_it(peer: WireAssociation) -> None:
        assert not peer.has_answer(0.4)

    assert seconds_until_cancelled(archive.server, GET, instance, syntax, wait_until_at_it) < AT_ONCE


@pytest.mark.parametrize("destination", ["SILENT", "STORING", "RELEASING"])
def test_waiting_for_a_destination_is_cancelled_at_once(archive: Archive, destination: str) -> None:
    """For its answer to the request of an association, to an object, and to the release."""
    move = STUDY_ROOT_MOVE, request(STUDY_ROOT_MOVE, 0x0021, element(0x0600, destination))

    def wait_until_at_it(peer: WireAssociation) -> None:
        slow = archive.destinations.get(destination)
        assert not peer.has_answer(0.1) if slow is None else slow.at_it.wait(10)

    seconds = seconds_until_cancelled(archive.server, move, SMALL, EXPLICIT_LITTLE_ENDIAN, wait_until_at_it)
    assert seconds < AT_ONCE
