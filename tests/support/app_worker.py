"""A worker of the app on a thread of the test's process, and associations with it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pacsd import app
from pacsd.observability.metrics import Metrics
from pacsd.settings import Settings
from pacsd.supervision.shared_numbers import AssociationCounter, WorkerTable, shared_numbers
from pacsd.supervision.worker import RETIRE_MESSAGE, SharedState, WorkerContext
from support.archive_server import CLIENT, EXPLICIT, Client, association_request
from support.deadline import wait_until


@dataclass
class Worker:
    """A worker of the app on a thread of this process."""

    settings: Settings
    port: int
    supervisor: socket.socket
    shared: SharedState
    thread: threading.Thread
    exit_status: list[int] = field(default_factory=list)

    def retire(self) -> None:
        self.supervisor.send(RETIRE_MESSAGE)

    def shut_down(self) -> None:
        self.supervisor.close()
        self.thread.join(15)
        assert not self.thread.is_alive()


@contextmanager
def worker(tables: dict[str, Any]) -> Iterator[Worker]:
    """Prepare and run one worker; it has to end with status 0."""
    settings = Settings(**tables)
    begun = app.prepare(settings)
    listening = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    counter = AssociationCounter(shared_numbers(1), 0, settings.dicom.max_associations)
    shared = SharedState(counter, Metrics(), WorkerTable(), begun)
    status: list[int] = []
    with ours, theirs:
        context = WorkerContext(
            index=0, sockets={"dicom": listening}, stop_fd=theirs.fileno(), settings=settings, shared=shared
        )
        complete_index(context)
        thread = threading.Thread(target=lambda: status.append(app.run_worker(context)), daemon=True)
        running = Worker(settings, listening.getsockname()[1], ours, shared, thread, status)
        thread.start()
        try:
            yield running
        finally:
            running.shut_down()
    assert status == [0]


def complete_index(context: WorkerContext) -> None:
    """What the housekeeping process does first; it ends then."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(
            target=app.run_housekeeping, args=(replace(context, stop_fd=theirs.fileno()),), daemon=True
        )
        thread.start()
        wait_until(lambda: context.shared.completeness.is_complete, within=30, what="the index is complete")
        ours.close()
        thread.join(15)
        assert not thread.is_alive()


@contextmanager
def associated(
    running: Worker,
    *sop_classes: str,
    as_scp_of: tuple[str, ...] = (),
    syntaxes: tuple[str, ...] = (EXPLICIT,),
    calling: str = CLIENT,
) -> Iterator[Client]:
    request = association_request(
        [(uid, syntaxes) for uid in (*sop_classes, *as_scp_of)], as_scp_of=as_scp_of, calling=calling
    )
    with Client() as net:
        net.connect("127.0.0.1", running.port)
        net.associate(request)
        yield net
