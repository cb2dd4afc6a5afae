"""What an HTTP client gets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pacsd.http.server import run_http
from pacsd.index.repository import Index
from pacsd.index.schema import migrations
from pacsd.model import DuplicatePolicy
from pacsd.observability.metrics import CONTENT_TYPE, Metrics
from pacsd.services.archive import begin_generation
from pacsd.settings import IndexSettings, Settings, StorageSettings
from pacsd.storage.filesystem import FileStore
from pacsd.supervision.listeners import bind
from pacsd.supervision.shared_numbers import (
    SLOTS,
    AssociationCounter,
    WorkerState,
    WorkerTable,
    shared_numbers,
)
from pacsd.supervision.worker import SharedState, WorkerContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Client:
    def __init__(self, port: int, context: WorkerContext) -> None:
        self.port = port
        self.workers = context.shared.workers
        self.completeness = context.shared.completeness

    def request(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type", ""), response.read()
        finally:
            connection.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrations.upgrade(url)
    root = tmp_path / "store"
    root.mkdir()
    begun = begin_generation(FileStore(root), Index(url, duplicates=DuplicatePolicy.KEEP_FIRST))
    table = WorkerTable()
    table.wanted = 1
    ours, theirs = socket.socketpair()
    with ours, theirs, bind("127.0.0.1", 0, section="http") as listening:
        context = WorkerContext(
            index=0,
            sockets={"http": listening},
            stop_fd=theirs.fileno(),
            settings=Settings(
                storage=StorageSettings(root=root, min_free_mb=0), index=IndexSettings(url=url, min_free_mb=0)
            ),
            shared=SharedState(AssociationCounter(shared_numbers(SLOTS), 0, 1), Metrics(), table, begun),
        )
        ended: list[int] = []
        thread = threading.Thread(target=lambda: ended.append(run_http(context)))
        thread.start()
        yield Client(listening.getsockname()[1], context)
        ours.close()
        thread.join(timeout=10)
        assert ended == [0]


def test_metrics_are_prometheus_text(client: Client) -> None:
    status, content_type, body = client.request("/metrics")
    assert (status, content_type) == (200, CONTENT_TYPE)
    assert b"# TYPE pacsd_associations_open gauge" in body
    free = next(line for line in body.splitlines() if line.startswith(b"pacsd_storage_free_bytes "))
    assert float(free.split()[1]) > 0


def test_metrics_without_a_store_still_come(client: Client, tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "gone")
    assert client.request("/metrics")[0] == 200


def test_health_follows_the_workers(client: Client) -> None:
    assert client.request("/healthz")[0] == 503
    client.workers.set(0, WorkerState.STARTING)
    assert client.request("/healthz")[0] == 200
    assert client.request("/readyz")[0] == 503
    client.workers.set(0, WorkerState.READY)
    assert client.request("/readyz")[0] == 503
    client.completeness.complete()
    assert client.request("/readyz")[0] == 200


def test_readiness_tells_each_checks_result_and_reason(client: Client, tmp_path: Path) -> None:
    client.workers.set(0, WorkerState.READY)
    (tmp_path / "store").rename(tmp_path / "gone")
    status, content_type, body = client.request("/readyz")
    assert (status, content_type) == (503, "application/json")
    found = json.loads(body)
    assert found["ok"] is False
    assert found["checks"]["workers"] == {"ok": True, "reason": "1 of 1 workers ready"}
    assert found["checks"]["database"] == {"ok": True, "reason": "the database answers"}
    assert found["checks"]["storage"]["ok"] is False


def test_head_has_no_body(client: Client) -> None:
    assert client.request("/metrics", "HEAD")[2] == b""


def test_a_query_string_does_not_matter(client: Client) -> None:
    assert client.request("/metrics?name=x")[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 501)])
def test_anything_else_is_refused(client: Client, method: str, path: str, status: int) -> None:
    assert client.request(path, method)[0] == status


def test_nonsense_ends_in_an_answer_and_the_server_goes_on(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(b"\x01\x00\x00\x00 nonsense\r\n\r\n")
        assert b"400" in connection.recv(1000)
    assert client.request("/metrics")[0] == 200
