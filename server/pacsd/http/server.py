"""/metrics, /healthz and /readyz over HTTP.

In a process of its own: the server needs threads, and the supervisor, which forks, must not have any.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import threading
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

import structlog

import pacsd
from pacsd.errors import PacsdError
from pacsd.http.health import (
    Check,
    liveness,
    readiness,
    watched_index_disk,
    watched_storage_disk,
)
from pacsd.index.database.engines import wal_bytes
from pacsd.observability.metrics import CONTENT_TYPE
from pacsd.storage.quarantine import Quarantine

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from pacsd.supervision.worker import WorkerContext

__all__ = ["ObservabilityServer", "run_http"]

REQUEST_SECONDS = 3
"""How long a client may keep a connection without saying anything."""

READINESS_SECONDS: Final = 3.0
"""That /metrics waits for the checks of /readyz."""

_log = structlog.get_logger()


class ObservabilityServer(ThreadingHTTPServer):
    """Answers GET and HEAD on a socket that is listening already."""

    # A request under way is answered before the process ends.
    daemon_threads = False

    def __init__(self, listening: socket.socket, context: WorkerContext) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        # While a reload replaces this process, two wait for the same connections, and only one gets each.
        listening.setblocking(False)
        self.socket = listening
        self.context = context
        self._readiness_lock = threading.Lock()
        self._checking: threading.Thread | None = None
        self._last_readiness: Mapping[str, Check] = {}

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes] | None:
        """Status, content type and body for `path`, None where there is nothing."""
        shared = self.context.shared
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics()
        if path == "/healthz":
            beat_timeout = self.context.settings.server.beat_timeout
            return _report(liveness(shared.workers, shared.signs, beat_timeout))
        if path == "/readyz":
            return _report(self._readiness())
        return None

    def _readiness(self) -> Mapping[str, Check]:
        shared = self.context.shared
        return readiness(
            self.context.settings,
            shared.workers,
            shared.completeness,
            shared.identity,
            shared.signs,
            self.context.read_only,
        )

    def _metrics(self) -> bytes:
        metrics = self.context.shared.metrics
        metrics.associations_limit(self.context.settings.dicom.max_associations)
        self._measure_disks()
        self._measure_standstill()
        self._note_readiness()
        metrics.index_complete(is_complete=self.context.shared.completeness.is_complete)
        try:
            metrics.quarantined(Quarantine(self.context.settings.storage.root).count())
        except PacsdError as error:
            _log.warning("quarantine-unknown", reason=str(error))
        return metrics.render()

    def _measure_disks(self) -> None:
        metrics, settings = self.context.shared.metrics, self.context.settings
        try:
            free = watched_storage_disk(settings.storage).free()
            metrics.storage_free(free.space)
            metrics.storage_free_inodes(free.inodes)
            index_disk = watched_index_disk(settings.index)
            if index_disk is None:
                metrics.index_free(math.inf, math.inf)
                return
            free = index_disk.free()
            metrics.index_free(free.space, free.inodes)
            metrics.index_wal(wal_bytes(settings.index.url))
        except OSError as error:
            # The other numbers are worth more now than ever.
            _log.warning("disk-free-unknown", reason=os.strerror(error.errno or 0))

    def _measure_standstill(self) -> None:
        signs = self.context.shared.signs
        longest = dict.fromkeys(
            ((role, part) for role, parts in signs.parts_of.items() for part in parts), 0.0
        )
        for each in signs.all():
            key = each.role, each.part
            longest[key] = max(longest.get(key, 0.0), each.seconds)
        for (role, part), seconds in longest.items():
            self.context.shared.metrics.standstill(role, part, seconds)

    def _note_readiness(self) -> None:
        """Count what the checks find, but let a database that does not answer not keep the other numbers back."""

        def check() -> None:
            found = self._readiness()
            with self._readiness_lock:
                self._last_readiness = found

        with self._readiness_lock:
            if self._checking is None or not self._checking.is_alive():
                self._checking = threading.Thread(target=check, name="readiness", daemon=True)
                self._checking.start()
            checking = self._checking
        checking.join(READINESS_SECONDS)
        with self._readiness_lock:
            found = self._last_readiness
        for name, each in found.items():
            self.context.shared.metrics.ready(name, is_passed=each.ok)
        self.context.shared.metrics.ready("answer", is_passed=not checking.is_alive())

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with a request, instead of writing it to standard error."""
        del request, client_address
        _log.warning("http-request-failed", reason=type(sys.exception()).__name__)


def run_http(context: WorkerContext) -> int:
    """Serve until told to stop, in a process forked for it, on the listening socket `http`."""
    server = ObservabilityServer(context.sockets["http"], context)
    # Not serve_forever: it looks twice a second whether it shall end.
    server.timeout = 0
    while True:
        readable, _, _ = select.select([server.fileno(), context.stop_fd], [], [])
        if context.stop_fd in readable:
            break
        server.handle_request()
    server.server_close()
    return 0


def _report(checks: Mapping[str, Check]) -> tuple[HTTPStatus, str, bytes]:
    ok = all(check.ok for check in checks.values())
    body = {"ok": ok, "checks": {name: asdict(check) for name, check in checks.items()}}
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(body).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    server: ObservabilityServer
    server_version = f"pacsd/{pacsd.__version__}"
    sys_version = ""
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        found = self.server.answer(self.path.partition("?")[0])
        if found is None:
            found = HTTPStatus.NOT_FOUND, "text/plain", b"There are /metrics, /healthz and /readyz.\n"
        status, content_type, body = found
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  the base class's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        _log.debug("http-request", client=self.client_address[0], message=format % args)
