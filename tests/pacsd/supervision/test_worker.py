"""The association counter and what a worker is told."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pacsd.model import ArchiveIdentity
from pacsd.observability.metrics import Metrics
from pacsd.settings import DicomSettings, Settings, TlsSettings
from pacsd.supervision.child_process import Child
from pacsd.supervision.places import CallerCounts, PlaceLimits, Places
from pacsd.supervision.shared_numbers import (
    SLOTS,
    AssociationCounter,
    WorkerState,
    WorkerTable,
    shared_numbers,
)
from pacsd.supervision.worker import RETIRE_MESSAGE, SharedState, Stop, WorkerContext, settings_file

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40), st.integers(1, 5))
def test_never_more_than_the_limit_over_all_processes(steps: list[tuple[int, bool]], limit: int) -> None:
    numbers = shared_numbers(3)
    counters = [AssociationCounter(numbers, slot, limit) for slot in range(3)]
    held = [0, 0, 0]
    for slot, enters in steps:
        if enters:
            assert counters[slot].enter() == (sum(held) < limit)
            held[slot] += sum(held) < limit
        elif held[slot]:
            counters[slot].leave()
            held[slot] -= 1
        assert [counter.own for counter in counters] == held
        assert counters[0].total == sum(held)


def test_a_fork_shares_the_count() -> None:
    numbers = shared_numbers(SLOTS)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if AssociationCounter(numbers, SLOTS - 1, 2).enter() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    ours = AssociationCounter(numbers, 0, 2)
    assert ours.total == 1
    assert [ours.enter(), ours.enter()] == [True, False]
    numbers[SLOTS - 1] = 0
    assert ours.enter(), "what a dead process held is given back"


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("AB"), st.sampled_from("XYZ"), st.booleans())),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_callers_have_limits_of_their_own(
    steps: list[tuple[int, str, str, bool]], per_address: int, per_title: int
) -> None:
    numbers, callers = shared_numbers(3), CallerCounts()
    callers.open(2)
    limits = PlaceLimits(per_address=per_address, per_title=per_title)
    places = [Places(AssociationCounter(numbers, slot, 100), callers, slot, limits) for slot in range(3)]
    held: list[tuple[int, str, str]] = []
    for slot, address, title, enters in steps:
        if not enters and (slot, address, title) in held:
            places[slot].leave(address, title)
            held.remove((slot, address, title))
        elif enters:
            of_address = sum(each[1] == address for each in held)
            of_title = sum(each[2] == title for each in held)
            expected = None
            if per_address and of_address >= per_address:
                expected = "associations-per-address"
            elif per_title and of_title >= per_title:
                expected = "associations-per-title"
            assert places[slot].enter(address, title, is_known=False, is_proven=False) == expected
            if expected is None:
                held.append((slot, address, title))
        assert sum(numbers) == len(held)


def test_what_a_dead_process_held_for_a_caller_is_given_back() -> None:
    callers = CallerCounts()
    callers.open(1)
    for slot in range(2):
        callers.add(slot, "one", 2)
    callers.forget(1)
    assert callers.total("one") == 2
    assert callers.total("another") == 0


def test_the_last_places_are_the_peers() -> None:
    places = Places(
        AssociationCounter(shared_numbers(1), 0, 3), CallerCounts(), 0, PlaceLimits(kept_for_peers=2)
    )
    for is_known, is_proven, expected in (
        (False, False, [None, "places-kept-for-peers"]),
        (True, False, [None, "places-kept-for-peers"]),
        (True, True, [None, "max-associations"]),
    ):
        answers = [places.enter("A", "X", is_known=is_known, is_proven=is_proven) for _ in range(2)]
        assert answers == expected
    assert places.enter("A", "X", is_known=False, is_proven=False) == "max-associations"


def test_slots_are_found_until_there_are_no_more() -> None:
    table = WorkerTable()
    for slot in range(SLOTS):
        assert table.free_slot() == slot
        table.set(slot, WorkerState.READY)
    assert table.free_slot() is None
    table.set(5, WorkerState.NONE)
    assert table.free_slot() == 5


@pytest.fixture
def worker() -> Iterator[tuple[WorkerContext, socket.socket]]:
    ours, theirs = socket.socketpair()
    shared = SharedState(
        AssociationCounter(shared_numbers(1), 0, 1), Metrics(), WorkerTable(), ArchiveIdentity("A", 1)
    )
    with ours, theirs:
        yield (
            WorkerContext(index=7, sockets={}, stop_fd=theirs.fileno(), settings=Settings(), shared=shared),
            ours,
        )


def test_nothing_is_told_at_first(worker: tuple[WorkerContext, socket.socket]) -> None:
    assert worker[0].wait_for_stop(0) is None


def test_retire_is_told_once_and_shutdown_may_follow(worker: tuple[WorkerContext, socket.socket]) -> None:
    context, supervisor = worker
    supervisor.send(RETIRE_MESSAGE)
    assert context.wait_for_stop() is Stop.RETIRE
    assert context.wait_for_stop(0) is None
    supervisor.close()
    assert [context.wait_for_stop(), context.wait_for_stop()] == [Stop.SHUTDOWN] * 2


def test_new_settings_come_with_a_retire_and_are_taken_once(
    worker: tuple[WorkerContext, socket.socket],
) -> None:
    """Secrets and all; of several, the last ones count."""
    context, supervisor = worker
    for number in (1, 2):
        settings = Settings(dicom=DicomSettings(port=number, tls=TlsSettings(private_key_password="secret")))
        with settings_file(settings) as file:
            for _ in range(2):  # a file is for many workers, each of which reads it from its beginning
                socket.send_fds(supervisor, [RETIRE_MESSAGE], [file])
    assert [context.wait_for_stop() for _ in range(4)] == [Stop.RETIRE] * 4
    assert context.take_new_settings() == settings
    assert context.take_new_settings() is None
    supervisor.send(RETIRE_MESSAGE)
    assert context.wait_for_stop() is Stop.RETIRE
    assert context.take_new_settings() is None


def test_who_does_not_listen_does_not_hold_up_the_supervisor() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)  # which is as little as the system allows
    with ours, theirs, settings_file(Settings()) as file, capture_logs() as logs:
        child = Child(pid=1, slot=0, role="worker", channel=ours)
        for _ in range(100):
            child.retire(file)
    assert logs[0]["event"] == "process-does-not-listen"


def test_ready_is_told_to_all(worker: tuple[WorkerContext, socket.socket]) -> None:
    worker[0].ready()
    assert worker[0].shared.workers.count(WorkerState.READY) == 1
