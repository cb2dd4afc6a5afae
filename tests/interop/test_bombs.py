"""Small objects of strangers that claim to be huge: each fails by itself, at once, and nobody else notices."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest

from support import scu
from support.compressed import JPEG_LS, RLE, compressed, rle
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.instance import DEFLATED, EXPLICIT_LITTLE_ENDIAN, Instance
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIZE = 40_000
MEBIBYTE = 1 << 20


def jpeg_ls(rows: int, columns: int) -> bytes:
    """A small picture whose header claims that it is a large one."""
    small = bytes(imagecodecs.jpegls_encode(np.zeros((16, 16), np.uint8)))
    place = small.index(b"\xff\xf7") + 5
    return small[:place] + struct.pack(">HH", rows, columns) + small[place + 4 :]


def deflate_bomb(number: int, megabytes: int, *, tag: int = 0x7FE00010) -> Instance:
    """A data set whose last value is so many zeros."""
    plain = encode(simple_dataset(number), f"bomb-{number}")
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = plain.dataset.partition(b"\xe0\x7f\x10\0")[0]
    head += struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"OB", 0, megabytes << 20)
    start = compressor.compress(head) + compressor.flush(zlib.Z_FULL_FLUSH)
    megabyte = compressor.compress(bytes(MEBIBYTE)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return replace(
        plain, dataset=start + megabyte * megabytes + compressor.flush(), transfer_syntax_uid=DEFLATED
    )


def good(number: int, size: int = 64) -> Instance:
    picture = np.full((size, size), number % 256, np.uint8)
    return compressed(number, [bytes(imagecodecs.jpegls_encode(picture))], size, size, JPEG_LS)


BOMBS = {
    "JPEG-LS of 40,000 x 40,000": compressed(901, [jpeg_ls(SIZE, SIZE)], SIZE, SIZE, JPEG_LS),
    "only its frame says so": compressed(902, [jpeg_ls(SIZE, SIZE)], 64, 64, JPEG_LS),
    "just under the limit, without data": compressed(903, [jpeg_ls(9_000, 9_000)], 9_000, 9_000, JPEG_LS),
    "RLE": compressed(904, [rle(SIZE * SIZE // 10)], SIZE, SIZE, RLE),
    "many frames": compressed(905, [rle(1000)] * 100, 15_000, 15_000, RLE),
    "deflate": deflate_bomb(906, 3000),
}
GOOD = [good(910), good(911)]
LARGE = good(912, 1500)
HEADER_BOMB = deflate_bomb(907, 3000, tag=0x00291010)
"""So many zeros before anything that a header is needed for."""
DEADLINE = 3
"""Seconds that the server lets a decoder have for a small frame."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    folder = tmp_path_factory.mktemp("bombs")
    settings = {"server": {"workers": 1}, "decompression": {"processes": 1, "timeout": DEADLINE}}
    running = PacsdServer(folder, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)], settings=settings)
    running.start()
    try:
        statuses = scu.send_all(running, [*BOMBS.values(), LARGE, *GOOD], folder)
        assert statuses == dict.fromkeys(statuses, 0)
        yield running
        running.stop()
    finally:
        if running.is_running:
            running.kill()


def peak_memory(pid: int) -> int:
    """The most that a process ever had, bytes."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def get(server: PacsdServer, instances: Iterable[Instance]) -> tuple[scu.Outcome, scu.Inbox]:
    """One C-GET of several studies, uncompressed."""
    wanted = list(instances)
    keys = scu.keys("STUDY", StudyInstanceUID=[each.study_instance_uid for each in wanted])
    contexts = [(uid, (EXPLICIT_LITTLE_ENDIAN,)) for uid in sorted({each.sop_class_uid for each in wanted})]
    return scu.get(server, keys, contexts)


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # it has ended since
            found += map(int, (thread / "children").read_text().split())
    return found


def warm_decoder(server: PacsdServer) -> int:
    """The process that waits for the next frame."""
    assert get(server, GOOD)[0].status == 0
    (worker,) = server.storing_workers()
    (decoder,) = children(worker)
    return decoder


def waits_for_a_decoder(server: PacsdServer) -> bool:
    """Whether the worker has just handed `LARGE` over, for which it needs more shared memory: it is open until then."""
    (worker,) = server.storing_workers()
    links = Path(f"/proc/{worker}/fd").iterdir()
    return sum(os.path.realpath(link).startswith("/memfd:frame") for link in links) == 2


def test_each_fails_alone_and_at_once(server: PacsdServer) -> None:
    (worker,) = server.storing_workers()
    warm_decoder(server)
    begin = time.monotonic()
    outcome, inbox = get(server, [*BOMBS.values(), *GOOD])
    assert time.monotonic() - begin < 10
    assert outcome.failed_uids == {bomb.sop_instance_uid for bomb in BOMBS.values()}
    assert inbox.received.keys() == {each.sop_instance_uid for each in GOOD}
    assert server.storing_workers() == [worker]
    assert peak_memory(worker) < 300 * MEBIBYTE


def test_a_deflate_bomb_is_stored_unread_or_refused_at_once(server: PacsdServer, tmp_path: Path) -> None:
    bomb = BOMBS["deflate"]
    assert any(
        line["event"] == "deflated-data-set-not-read-to-its-end"
        and line["sop_instance_uid"] == bomb.sop_instance_uid
        for line in server.log_events()
    )
    with scu.association(server, scu.own_contexts([HEADER_BOMB])) as peer:
        path = HEADER_BOMB.write_file(tmp_path / "bomb.dcm")
        begin = time.monotonic()
        answer = peer.send_c_store(path)
        assert time.monotonic() - begin < 3  # to read all of it takes twice as long on an idle machine
    assert answer.Status == 0xC000
    assert "grows beyond" in answer.ErrorComment


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "hanging"])
def test_a_lost_decoder_costs_one_sub_operation(server: PacsdServer, *, killed: bool) -> None:
    decoder = warm_decoder(server)
    os.kill(decoder, signal.SIGSTOP)
    outcomes: list[scu.Outcome] = []
    mark = server.log_size()
    thread = threading.Thread(target=lambda: outcomes.append(get(server, [LARGE, *GOOD])[0]))
    thread.start()
    if killed:
        wait_until(lambda: waits_for_a_decoder(server), within=10, what="a frame was handed over")
        os.kill(decoder, signal.SIGKILL)
    thread.join(DEADLINE + 10)
    (outcome,) = outcomes
    assert outcome.counts == (2, 1, 0)
    reason = "was ended by SIGKILL" if killed else "takes too long"
    server.wait_for_log(reason, after=mark)
    assert warm_decoder(server) != decoder


def test_a_cancel_is_seen_while_a_decoder_hangs(server: PacsdServer) -> None:
    decoder = warm_decoder(server)
    os.kill(decoder, signal.SIGSTOP)
    model = scu.STUDY_ROOT["get"]
    keys = scu.keys("STUDY", StudyInstanceUID=[LARGE.study_instance_uid, GOOD[0].study_instance_uid])
    contexts = [(model, (EXPLICIT_LITTLE_ENDIAN,)), (GOOD[0].sop_class_uid, (EXPLICIT_LITTLE_ENDIAN,))]
    with scu.association(server, contexts, on_store=scu.Inbox().keep) as peer:
        responses = peer.send_c_get(keys, model, msg_id=7)
        wait_until(lambda: waits_for_a_decoder(server), within=10, what="a frame was handed over")
        begin = time.monotonic()
        peer.send_c_cancel(7, query_model=model)
        outcome = scu.collect(responses)
        assert time.monotonic() - begin < DEADLINE
    assert outcome.status == 0xFE00
    assert outcome.counts == (0, 0, 0)
    assert warm_decoder(server) != decoder
