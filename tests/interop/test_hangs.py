"""Processes that stand still, and a log that nobody reads: what the server says of it, and does."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.injection import strace
from support.server import PacsdServer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

BEAT_TIMEOUT = 3
ASSOCIATE_RJ = 3


def instance(number: int) -> Instance:
    dataset = simple_dataset(7300)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    return encode(dataset, f"number {number}")


def connect(server: PacsdServer) -> WireAssociation:
    sample = instance(1)
    return WireAssociation((server.host, server.port), [(sample.sop_class_uid, sample.transfer_syntax_uid)])


def store(server: PacsdServer, sent: Instance) -> int:
    with connect(server) as peer:
        status = peer.store(sent).status
        peer.release()
    return status


def silence(server: PacsdServer) -> int:
    """For how many seconds a worker has shown no sign of life."""
    told = re.search(r"no sign of life since \S+ \((\d+) s\)", server.get("/readyz").text)
    return int(told[1]) if told else 0


@pytest.fixture
def service_manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


@pytest.fixture
def server(tmp_path: Path, service_manager: socket.socket) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path,
        launcher=["env", f"NOTIFY_SOCKET={service_manager.getsockname()}", "WATCHDOG_USEC=3000000"],
        settings={"server": {"workers": 2, "beat_timeout": BEAT_TIMEOUT}},
    )
    running.start()
    yield running
    if running.is_running:
        running.stop()


def test_a_service_manager_is_told_that_it_serves_lives_and_stops(
    server: PacsdServer, service_manager: socket.socket
) -> None:
    """And no more that it lives, while all workers stand still."""
    heard: list[tuple[bytes, float]] = []

    def hear() -> None:
        while not heard or heard[-1][0] != b"STOPPING=1":
            heard.append((service_manager.recv(100), time.monotonic()))

    listening = threading.Thread(target=hear)
    listening.start()
    wait_until(lambda: b"READY=1" in dict(heard), within=10, what="it says that it serves")
    for pid in server.storing_workers():
        os.kill(pid, signal.SIGSTOP)
    server.wait_for_log("process-killed", after=0, within=30)
    killed = time.monotonic()
    wait_until(lambda: heard[-1][1] > killed, within=10, what="it says again that it lives")
    server.terminate()
    listening.join(30)
    assert server.wait() == 0
    assert [state for state, _ in heard if state != b"WATCHDOG=1"] == [b"READY=1", b"STOPPING=1"]
    signs = [moment for state, moment in heard if state == b"WATCHDOG=1"]
    longest = max(later - earlier for earlier, later in pairwise(signs))
    assert longest > BEAT_TIMEOUT - 1, "a look each second, and one between what is too long and what is not"


def test_workers_that_are_stopped_are_told_of_and_replaced(server: PacsdServer) -> None:
    assert store(server, instance(1)) == 0x0000
    stopped = server.storing_workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    for path in ("/healthz", "/readyz"):
        wait_until(lambda path=path: server.get(path).status == 503, within=10, what=f"{path} fails")  # type: ignore[misc]
    told = json.loads(server.get("/readyz").text)["checks"]["workers"]["reason"]
    for pid in stopped:
        assert f"worker process {pid} has shown no sign of life since " in told
    wait_until(
        lambda: not set(stopped) & set(server.storing_workers()) and server.get("/readyz").status == 200,
        within=30,
        what="others have taken their places",
    )
    assert store(server, instance(2)) == 0x0000
    events = server.log_events()
    for event in ("process-silent", "process-killed", "process-died"):
        assert {each["child"] for each in events if each["event"] == event} == set(stopped)
    assert server.metric("pacsd_worker_restarts_total") == len(stopped)


def test_one_that_is_stopped_with_the_indexs_turn(server: PacsdServer) -> None:
    """Nobody can store until it is killed; and it is not, as long as a debugger has it."""
    assert store(server, instance(1)) == 0x0000
    workers = server.storing_workers()
    log = server.index_path.with_name(f"{server.index_path.name}-wal")
    stop = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=SIGSTOP:when=1", "-P", str(log)]
    command = [strace(), "-f", *stop, "-o", "/dev/null", *(f"-p{pid}" for pid in workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer, connect(server) as peer:
        assert tracer.stderr is not None
        attached = ""
        while not all(f"Process {pid} attached" in attached for pid in workers):
            attached += tracer.stderr.readline()
        peer.send_store(instance(2), 1)
        wait_until(
            lambda: silence(server) > 2 * BEAT_TIMEOUT + 2, within=30, what="it is overdue to be killed"
        )
        holder = int(server.log_events()[-1]["child"])
        assert holder in server.storing_workers(), "a debugger may let a process stand still"
        for path in ("/healthz", "/readyz"):
            answer = server.get(path)
            assert answer.status == 503
            assert f"worker process {holder} has held the turn to write to the index since " in answer.text
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
        wait_until(lambda: holder not in server.workers(), within=10, what="it is killed")
    wait_until(lambda: server.get("/readyz").status == 200, within=30, what="the server is ready again")
    assert store(server, instance(2)) == 0x0000


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[tuple[PacsdServer, int]]:
    """A server whose log goes into a pipe, and the pipe's other end."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    running = PacsdServer(tmp_path, launcher=["sh", "-c", 'exec "$@" 2> "$0"', str(pipe)])
    running.start()
    yield running, reader
    if running.is_running:
        running.kill()
    os.close(reader)


def test_a_log_that_nobody_reads_holds_nobody_up_and_loses_nothing(unread: tuple[PacsdServer, int]) -> None:
    """A pipe takes 64 KiB, some 130 associations; each process keeps another megabyte."""
    server, reader = unread
    for number in range(1, 301):
        assert store(server, instance(number)) == 0x0000
    server.terminate()
    text = b""
    while select.select([reader], [], [], 30)[0] and (piece := os.read(reader, 1 << 16)):
        text += piece
    assert server.wait() == 0
    events = [json.loads(line) for line in text.decode().splitlines()]
    names = [event["event"] for event in events]
    assert names.count("association-accepted") == names.count("association-released") == 300
    for pid in {event["process"] for event in events}:
        of_one = [event["timestamp"] for event in events if event["process"] == pid]
        assert of_one == sorted(of_one)
    assert "log-lines-dropped" not in names


def test_a_rejection_that_repeats_is_told_ten_times_and_then_counted(server: PacsdServer) -> None:
    mark = server.log_size()
    for _ in range(60):
        with connect_as_stranger(server) as peer:
            assert peer.accept_or_reject.type == ASSOCIATE_RJ
    server.stop()
    told = [each for each in server.log_events(after=mark) if each["event"] == "association-rejected"]
    in_full = [each for each in told if "repeated" not in each]
    counted = [each for each in told if "repeated" in each]
    assert len(in_full) <= 20, "ten of each worker"
    assert len(in_full) + sum(each["repeated"] for each in counted) == 60
    assert all(each["reason"] == in_full[0]["reason"] for each in counted)


def connect_as_stranger(server: PacsdServer) -> WireAssociation:
    sample = instance(1)
    return WireAssociation(
        (server.host, server.port), [(sample.sop_class_uid, sample.transfer_syntax_uid)], called="ELSEWHERE"
    )
