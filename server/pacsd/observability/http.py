"""/metrics, /healthz and /readyz over HTTP.

In a process of its own: the server needs threads, and the supervisor, which forks, must not have any.
"""

from __future__ import annotations

import json
import os
import select
import shutil
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import structlog

import pacsd
from pacsd.errors import PacsdError
from pacsd.observability.health import Check, check_workers_alive, readiness
from pacsd.observability.metrics import CONTENT_TYPE
from pacsd.storage.quarantine import Quarantine

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from pacsd.supervision.worker import WorkerContext

__all__ = ["ObservabilityServer", "run_http"]

REQUEST_SECONDS = 3
"""How long a client may keep a connection without saying anything."""

log = structlog.get_logger()


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

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes] | None:
        """Status, content type and body for `path`, None where there is nothing."""
        workers = self.context.shared.workers
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics()
        if path == "/healthz":
            return _report({"workers": check_workers_alive(workers)})
        if path == "/readyz":
            shared = self.context.shared
            return _report(readiness(self.context.settings, workers, shared.completeness, shared.identity))
        return None

    def _metrics(self) -> bytes:
        metrics = self.context.shared.metrics
        metrics.associations_limit(self.context.settings.dicom.max_associations)
        try:
            metrics.storage_free(shutil.disk_usage(self.context.settings.storage.root).free)
        except OSError as error:
            # The other numbers are worth more now than ever.
            log.warning("disk-free-unknown", reason=os.strerror(error.errno or 0))
        metrics.index_complete(is_complete=self.context.shared.completeness.is_complete)
        try:
            metrics.quarantined(Quarantine(self.context.settings.storage.root).count())
        except PacsdError as error:
            log.warning("quarantine-unknown", reason=str(error))
        return metrics.render()


def run_http(context: WorkerContext) -> int:
    """Serve until told to stop, in a process forked for it; `context.sockets` is the one HTTP socket."""
    server = ObservabilityServer(context.sockets[0], context)
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
        log.debug("http-request", client=self.client_address[0], message=format % args)
