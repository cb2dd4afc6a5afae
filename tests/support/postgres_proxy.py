"""A proxy before a PostgreSQL server that holds a COMMIT or its answer, and cuts connections."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Postgres

COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
"""As psycopg sends it: a simple query, alone."""
ADDS_INSTANCES = b"INSERT INTO instances"
DEADLINE = 30.0


class Hold(Enum):
    """What of a commit is kept back."""

    MESSAGE = "message"
    ANSWER = "answer"


class PostgresProxy:
    """Passes bytes on between clients and a server; `hold_next` arms it for one commit."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.takes_clients = True
        """Whether a new connection is passed on; otherwise it ends at once."""
        self.sent = 0
        """How often clients have sent something."""
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._armed: Hold | None = None
        self._to_cut: bytes | None = None
        self._is_held = threading.Event()
        self._is_cut = threading.Event()
        self._is_released = threading.Event()
        self._is_through = threading.Event()

    def url(self, *options: str) -> str:
        """The database's URL by way of the proxy, with settings for sessions as libpq's `options`."""
        settings = "%20".join(f"-c%20{option.replace('=', '%3D')}" for option in options)
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres?options={settings}"

    def hold_next(self, what: Hold) -> None:
        """Keep back the next COMMIT of new instances that comes, or the answer to it."""
        for event in (self._is_held, self._is_cut, self._is_released, self._is_through):
            event.clear()
        with self._lock:
            self._armed = what

    def wait_until_held(self) -> None:
        """Return when it is kept back: an answer is there then, so the commit has taken effect."""
        assert self._is_held.wait(DEADLINE), "no COMMIT came"

    def cut_next(self, sent: bytes) -> None:
        """Cut the next connection on which this is sent to the server, which is not passed on."""
        self._to_cut = sent

    @property
    def is_to_cut(self) -> bool:
        """Whether that has not come yet."""
        return self._to_cut is not None

    def cut(self) -> None:
        """Cut the connection of the client whose commit is held; the server does not notice."""
        self._is_cut.set()

    def cut_all(self) -> None:
        """Cut all clients' connections."""
        with self._lock:
            for client in self._clients:
                client.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Let the server have the COMMIT that was held, and return when it has answered."""
        self._is_released.set()
        assert self._is_through.wait(DEADLINE), "the server did not answer the COMMIT"

    def run(self) -> None:
        """Serve until `close`."""
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            thread.start()

    def close(self) -> None:
        """Take no more clients; those that are there go on."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(ConnectionError):
            if not self.takes_clients:
                return
            with self._counted(client):
                self._pass_on(client, server)

    @contextmanager
    def _counted(self, client: socket.socket) -> Iterator[None]:
        with self._lock:
            self._clients.add(client)
        try:
            yield
        finally:
            with self._lock:
                self._clients.remove(client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        server.connect(str(self._server.socket))
        adds_instances = False
        while True:
            for readable in select.select([client, server], [], [])[0]:
                received = readable.recv(65536)
                if not received:
                    return
                self.sent += readable is client
                if readable is client:
                    if self._to_cut is not None and self._to_cut in received:
                        self._to_cut = None
                        return
                    adds_instances = adds_instances or ADDS_INSTANCES in received
                    if received.endswith(COMMIT):
                        if adds_instances and (hold := self._taken()):
                            self._hold(hold, received, client, server)
                            return
                        adds_instances = False
                (server if readable is client else client).sendall(received)

    def _taken(self) -> Hold | None:
        with self._lock:
            armed, self._armed = self._armed, None
        return armed

    def _hold(self, hold: Hold, commit: bytes, client: socket.socket, server: socket.socket) -> None:
        if hold is Hold.ANSWER:
            server.sendall(commit)
            server.recv(65536)
        self._is_held.set()
        assert self._is_cut.wait(DEADLINE)
        client.close()
        if hold is Hold.MESSAGE:
            assert self._is_released.wait(DEADLINE)
            server.sendall(commit)
            server.recv(65536)
            self._is_through.set()


@contextmanager
def postgres_proxy(server: Postgres) -> Iterator[PostgresProxy]:
    """Run a proxy before a server."""
    proxy = PostgresProxy(server)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(DEADLINE)
