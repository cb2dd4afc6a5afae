"""Peers that stall: each ends at its deadline and leaves neither a thread, nor a place, nor a file behind."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.peers import free_port
from support.server import AE_TITLE, PacsdServer, Peer
from support.wire import (
    IMPLICIT_LITTLE_ENDIAN,
    WireAssociation,
    associate_request,
    command_set,
    data_transfer,
    element,
    item,
    message,
    store_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 0.5
WITHIN = 15.0
LARGE = 30 << 20
"""Bytes of an instance that no buffers between us and a peer can hold."""
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    """A server with one worker and near deadlines.

    It has stored something: the day's first directories are synced by threads that stay.
    """
    timeouts = dict.fromkeys(("artim", "dimse", "write"), SOON)
    running = PacsdServer(
        tmp_path_factory.mktemp("slow"),
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())],
        settings={
            "dicom": {"max_associations": 4},
            "limits": {"kept_for_peers": 0},
            "dicom.timeouts": timeouts,
            "server": {"workers": 1},
            "log": {"format": "console"},
        },
    )
    running.start()
    first = encode(simple_dataset(5200), "first")
    contexts = [(first.sop_class_uid, first.transfer_syntax_uid)]
    with WireAssociation((running.host, running.port), contexts) as peer:
        assert peer.store(first).status == 0x0000
        peer.release()
    wait_until(
        lambda: running.metric("pacsd_associations_open") == 0, within=WITHIN, what="its thread is free"
    )
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _nothing_is_left(server: PacsdServer) -> Iterator[None]:
    """As many threads, places and incoming files afterwards as before."""
    before = threads(server)
    yield
    wait_until(lambda: threads(server) <= before, within=WITHIN, what="the threads are free")
    wait_until(
        lambda: server.metric("pacsd_associations_open") == 0, within=WITHIN, what="the places are free"
    )
    assert server.incoming_files() == set()


def threads(server: PacsdServer) -> int:
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in server.workers())


def wait_for_end(connected: socket.socket) -> None:
    """The server hangs up, after whatever else it has to say."""
    connected.settimeout(WITHIN)
    try:
        while connected.recv(1 << 16):
            pass
    except ConnectionError:
        return


@pytest.mark.parametrize("length", [0, 1, 5, 6, 50, 100])
def test_half_an_association_request(server: PacsdServer, length: int) -> None:
    request = associate_request(AE_TITLE, "SLOW", [(1, VERIFICATION, IMPLICIT_LITTLE_ENDIAN)])
    with socket.create_connection((server.host, server.port)) as connected:
        connected.sendall(request[:length])
        wait_for_end(connected)


def test_an_association_request_byte_by_byte(server: PacsdServer) -> None:
    request = associate_request(AE_TITLE, "SLOW", [(1, VERIFICATION, IMPLICIT_LITTLE_ENDIAN)])
    with socket.create_connection((server.host, server.port)) as connected:
        left = list(request)
        while left and not select.select([connected], [], [], SOON / 20)[0]:
            connected.sendall(bytes([left.pop(0)]))
        assert len(left) > 10
        wait_for_end(connected)


def stalled_store(server: PacsdServer) -> WireAssociation:
    """An association in the middle of a data set, which is in incoming/ already."""
    instance = encode(simple_dataset(5000), "stalled")
    peer = WireAssociation(
        (server.host, server.port), [(instance.sop_class_uid, instance.transfer_syntax_uid)], calling="SLOW"
    )
    command = store_request(1, instance.sop_class_uid, instance.sop_instance_uid)
    peer.send(message(1, command) + data_transfer(1, 0, instance.dataset[:300]))
    wait_until(lambda: bool(server.incoming_files()), within=WITHIN, what="the data set is being received")
    return peer


def test_a_stalled_data_set(server: PacsdServer) -> None:
    with stalled_store(server) as peer:
        assert peer.read_pdu().type == 7, "no A-ABORT"


def test_a_data_set_byte_by_byte(server: PacsdServer) -> None:
    """Of which something comes before every deadline, but too little."""
    with stalled_store(server) as peer:
        left = 50
        while left and not select.select([peer._socket], [], [], SOON / 2.5)[0]:
            peer.send(data_transfer(1, 0, b"\0"))
            left -= 1
        assert left
        assert peer.read_pdu().type == 7, "no A-ABORT"


def test_all_places_taken_by_stalled_peers_become_free(server: PacsdServer) -> None:
    peers = [stalled_store(server) for _ in range(4)]
    for peer in peers:
        assert peer.read_pdu().type == 7, "no A-ABORT"
        peer.close()
    wait_until(lambda: server.metric("pacsd_associations_open") == 0, within=WITHIN, what="places are free")
    with scu.association(server, [(VERIFICATION, [IMPLICIT_LITTLE_ENDIAN])]) as association:
        assert association.send_c_echo().Status == 0x0000


def get_request(context: tuple[str, str]) -> bytes:
    """An A-ASSOCIATE-RQ for C-GET and, as SCP, for the instances that it brings."""
    request = associate_request(
        AE_TITLE, scu.CALLING_AE_TITLE, [(1, STUDY_ROOT_GET, IMPLICIT_LITTLE_ENDIAN), (3, *context)]
    )
    uid = context[0].encode()
    role = item(0x54, len(uid).to_bytes(2, "big") + uid + b"\1\1")
    user = request.rindex(b"\x50\0")
    length = int.from_bytes(request[user + 2 : user + 4], "big") + len(role)
    body = request[6:user] + b"\x50\0" + length.to_bytes(2, "big") + request[user + 4 :] + role
    return b"\1\0" + len(body).to_bytes(4, "big") + body


def test_a_reader_that_never_reads_what_it_gets(server: PacsdServer, tmp_path: Path) -> None:
    dataset = simple_dataset(5100)
    dataset.PixelData = bytes(LARGE)
    instance = encode(dataset, "large")
    assert scu.send_all(server, [instance], tmp_path) == {"large": 0}
    identifier = scu.keys("STUDY", StudyInstanceUID=instance.study_instance_uid)
    encoded = b"".join(_implicit(each.tag, str(each.value)) for each in identifier)
    command = command_set(
        element(0x0002, STUDY_ROOT_GET), element(0x0100, 0x0010), element(0x0110, 1), element(0x0800, 1)
    )
    mark = server.log_size()
    with socket.create_connection((server.host, server.port), timeout=WITHIN) as connected:
        connected.sendall(get_request((instance.sop_class_uid, instance.transfer_syntax_uid)))
        assert connected.recv(1) == b"\2", "no A-ASSOCIATE-AC"
        connected.sendall(message(1, command, encoded))
        server.wait_for_log("the peer took nothing", after=mark, within=WITHIN)


def _implicit(tag: int, value: str) -> bytes:
    encoded = value.encode() + b" " * (len(value) % 2)
    halves = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return halves + len(encoded).to_bytes(4, "little") + encoded


@pytest.mark.parametrize("title", ["A\nB forged=line", "A\x1b[2J\x1b[31m", "A\x7f\x9b31mB", "A\rB"])
def test_log_injection_by_an_ae_title(server: PacsdServer, title: str) -> None:
    """Whatever a peer calls itself, a line of the log stays one, and a terminal has nothing to obey."""
    request = associate_request("NOBODY", "-" * 16, [(1, VERIFICATION, IMPLICIT_LITTLE_ENDIAN)])
    request = request.replace(b"-" * 16, title.encode("latin-1").ljust(16))
    mark = server.log_size()
    with socket.create_connection((server.host, server.port)) as connected:
        connected.sendall(request)
        wait_for_end(connected)
    server.wait_for_log("association-rejected", after=mark)
    written = server.log_path.read_bytes()[mark:].decode()
    assert all(line.isprintable() for line in written.splitlines())
    assert not any(line.startswith(("B", "\x9b")) for line in written.splitlines())
