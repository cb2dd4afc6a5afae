"""A server with a worker of a few lines, to be run as a program: the supervisor needs a process of its own.

Each connection gets one line, "index pid ae_title", once it has sent one; "crash" ends the worker with status 3,
"hang" keeps it from ever ending by itself. Under the AE title "BROKEN" it cannot start.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from pacsd import app
from pacsd.configuration import load_settings
from pacsd.errors import PacsdError, StorageUnavailable
from pacsd.http.server import run_http
from pacsd.settings import Settings
from pacsd.supervision.process_role import ProcessRole
from pacsd.supervision.supervisor import serve
from pacsd.supervision.worker import WorkerContext


def run_worker(context: WorkerContext) -> int:
    if context.settings.dicom.ae_title == "BROKEN":
        return 4
    listening = context.sockets["dicom"]
    listening.setblocking(False)
    context.ready()
    while True:
        readable, _, _ = select.select([listening, context.stop_fd], [], [])
        if context.stop_fd in readable:
            listening.close()
            return 0
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            continue
        connection.setblocking(True)
        with connection:
            answer(connection.recv(100), connection.sendall, context)


def answer(asked: bytes, send: object, context: WorkerContext) -> None:
    if asked == b"crash":
        os._exit(3)
    counter = context.shared.associations
    assert counter.enter()
    context.shared.metrics.association_accepted("CT1")
    if asked == b"keep":
        send(b"kept")  # type: ignore[operator]
        return
    text = f"{context.index} {os.getpid()} {context.settings.dicom.ae_title} {counter.total}"
    # Before the answer, after which the test looks at the numbers.
    context.shared.metrics.association_released("CT1")
    counter.leave()
    send(text.encode())  # type: ignore[operator]
    while asked == b"hang":
        signal.pause()


def clear_up(settings: Settings, pid: int) -> None:
    (settings.storage.root / f"cleared-{pid}").touch(exist_ok=False)
    raise StorageUnavailable("it is told, and the server goes on")


def main() -> int:
    config = Path(sys.argv[1])
    try:
        return serve(
            load_settings(config),
            roles=(
                ProcessRole(
                    "worker",
                    run_worker,
                    sockets=("dicom",),
                    count=lambda settings: settings.server.worker_count,
                    serves_associations=True,
                ),
                ProcessRole("http", run_http, sockets=("http",), ends_last=True),
            ),
            prepare=app.prepare,
            clear_up=clear_up,
            reload=lambda: load_settings(config),
        )
    except PacsdError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
