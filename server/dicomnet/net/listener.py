"""Listening: a thread that accepts connections, one DicomNet and one thread for each of them."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomnet.errors import LocalProtocolError

if TYPE_CHECKING:
    from dicomnet.net.configuration import NetConfiguration
    from dicomnet.net.dicom_net import DicomNet
    from dicomnet.net.tls import TlsConfiguration

__all__ = ["Listener", "listening_socket"]

_LOG: Final = logging.getLogger("dicomnet")
_PAUSE_AFTER_FAILURE: Final = 0.5
"""Seconds without accepting when the process has run out of file descriptors or threads."""


def listening_socket(host: str, port: int, *, backlog: int, family: socket.AddressFamily) -> socket.socket:
    """Open a socket that listens; `host` "" is the local host alone, "*" all interfaces. Raises OSError."""
    local = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    address = {"": local, "*": ""}.get(host, host)
    return socket.create_server((address, port), backlog=backlog, family=family)


class _Connected(NamedTuple):
    socket: socket.socket
    peer_address: tuple[str, int]


class _Unassociated:
    """The connections without an association, the oldest first; the listener's lock is held around each call."""

    def __init__(self, configuration: NetConfiguration) -> None:
        self._maximum = configuration.maximum_unassociated
        self._maximum_per_address = configuration.maximum_unassociated_per_address
        self._all: dict[DicomNet, _Connected] = {}
        """Whether they have an association or not."""
        self._waiting: dict[DicomNet, None] = {}
        self._by_address: dict[str, dict[DicomNet, None]] = {}

    def add(self, client: DicomNet, connected: socket.socket, peer_address: tuple[str, int]) -> None:
        self._all[client] = _Connected(connected, peer_address)
        self.add_again(client)

    def add_again(self, client: DicomNet) -> None:
        connected = self._all.get(client)
        if connected is not None:  # else it is served by somebody else's thread
            self._waiting[client] = None
            self._by_address.setdefault(connected.peer_address[0], {})[client] = None

    def discard(self, client: DicomNet) -> None:
        if client not in self._waiting:
            return
        del self._waiting[client]
        address = self._all[client].peer_address[0]
        del self._by_address[address][client]
        if not self._by_address[address]:
            del self._by_address[address]

    def forget(self, client: DicomNet) -> None:
        self.discard(client)
        del self._all[client]

    def take_one_too_many(self, address: str) -> tuple[str, _Connected | None]:
        """Take one away, where one more from this address would be too many; with the limit's name."""
        of_address = self._by_address.get(address, {})
        if 0 < self._maximum_per_address <= len(of_address):
            limit, candidates = "connections-without-association-per-address", of_address
        elif 0 < self._maximum <= len(self._waiting):
            limit, candidates = "connections-without-association", self._waiting
        else:
            return "", None
        # What has come and was not read yet may be a good peer's request: it waits for us, not we for it.
        client = next(filter(self._is_silent, candidates), None) or next(iter(candidates))
        self.discard(client)
        return limit, self._all[client]

    def _is_silent(self, client: DicomNet) -> bool:
        poll = select.poll()
        try:
            poll.register(self._all[client].socket, select.POLLIN)
        except ValueError:  # it is just being closed
            return False
        return not poll.poll(0)


class Listener:
    """The listening half of a DicomNet.

    Several processes may listen on the same sockets: each accept is non-blocking, and who comes too late waits
    on.
    """

    def __init__(
        self, net: DicomNet, sockets: list[socket.socket], *, plain: Sequence[socket.socket] = ()
    ) -> None:
        """`plain` are those of `sockets` on which no TLS is spoken, whatever the configuration says."""
        self._net = net
        self._offered: list[DicomNet] | None = None
        """Whom the connection that waits is given to; None while none waits."""
        self._sockets = {listening.fileno(): listening for listening in sockets}
        self._plain = frozenset(listening.fileno() for listening in plain)
        for listening in sockets:
            listening.setblocking(False)
        self.closing_fd: int = os.eventfd(0)
        """Readable from the moment that closing begins, for all who wait."""
        self.attention_fd: int = os.eventfd(0)
        """Readable when clients shall look whether they are dismissed; then another one takes its place."""
        self._spent_fds: list[int] = []
        """Those before it: a client may be about to wait for one, so they are closed with everything else."""
        self._stop_accepting_fd = os.eventfd(0)
        self._thread = threading.Thread(
            target=self._accept_connections, name="dicomnet-listener", daemon=True
        )
        self._changed = threading.Condition()
        self._workers: dict[threading.Thread, DicomNet] = {}
        self._unassociated = _Unassociated(net.configuration)
        self._was_full = False

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    @property
    def clients(self) -> list[DicomNet]:
        """The DicomNet of each open connection."""
        with self._changed:
            return list(self._workers.values())

    def _accept_connections(self) -> None:
        poll = select.poll()
        for fd in (*self._sockets, self._stop_accepting_fd):
            poll.register(fd, select.POLLIN)
        while self._stop_accepting_fd not in (ready := [fd for fd, _ in poll.poll()]):
            for fd in ready:
                self._accept_one(self._sockets[fd])
        for listening in self._sockets.values():
            listening.close()

    def _accept_one(self, listening: socket.socket) -> None:
        try:
            connected, address = listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # another process took it, or the peer is gone again
        except OSError as error:
            _LOG.error("cannot accept a connection: %s", error.strerror)
            self._pause()
            return
        peer_address = (str(address[0]), int(address[1])) if address else ("local", 0)
        if self._is_full():
            connected.close()
            self._net.on_connection_dropped(peer_address, "connections")
            return
        client = self._ask_for(peer_address)
        if client is None:
            connected.close()
            return
        self._make_room(peer_address)
        try:
            tls = None if listening.fileno() in self._plain else self._net.configuration.tls
            self._start_worker(client, connected, peer_address, tls)
        except RuntimeError as error:
            _LOG.error("cannot serve a connection: %s", error)
            connected.close()
            self._pause()

    def _is_full(self) -> bool:
        """Whether a thread more would be too many, whoever it is for; a peer need not even speak to take one."""
        maximum = self._net.configuration.maximum_connections
        with self._changed:
            full = 0 < maximum <= len(self._workers)
        if full and not self._was_full:
            _LOG.warning("%d connections are open; further ones are closed unheard", maximum)
        self._was_full = full
        return full

    def _make_room(self, peer_address: tuple[str, int]) -> None:
        """Close the oldest silent connection where one more without an association would be too many."""
        with self._changed:
            limit, dropped = self._unassociated.take_one_too_many(peer_address[0])
        if dropped is not None:
            with suppress(OSError):  # it may just have ended by itself
                dropped.socket.shutdown(socket.SHUT_RDWR)
            self._net.on_connection_dropped(dropped.peer_address, limit)

    def note_request(self, client: DicomNet) -> None:
        """An association is asked for on a connection: it is no silent one any more."""
        with self._changed:
            self._unassociated.discard(client)

    def note_end_of_association(self, client: DicomNet) -> None:
        """None stands any more, or was accepted, and the peer has yet to close the connection."""
        with self._changed:
            self._unassociated.add_again(client)

    def _ask_for(self, peer_address: tuple[str, int]) -> DicomNet | None:
        accepted: list[DicomNet] = []
        self._offered = accepted
        try:
            client = self._net.on_accept(peer_address)
        except Exception:
            # One connection is lost by it; without this thread it would be all that are to come.
            _LOG.exception("on_accept failed unexpectedly; a connection is refused")
            return None
        finally:
            self._offered = None
        return client or next(iter(accepted), None)

    def accept(self, client: DicomNet) -> None:
        """Give the connection that `on_accept` is asked about to `client`; see `DicomNet.accept`."""
        if self._offered is None:
            raise LocalProtocolError("no connection waits to be accepted")
        if self._offered or client.is_activated:
            raise LocalProtocolError("one unused object serves a connection")
        self._offered.append(client)

    def _start_worker(
        self,
        client: DicomNet,
        connected: socket.socket,
        peer_address: tuple[str, int],
        tls: TlsConfiguration | None,
    ) -> None:
        def serve() -> None:
            try:
                client.serve(connected, peer_address, self._net, tls)
            finally:
                with self._changed:
                    self._unassociated.forget(client)
                    del self._workers[worker]
                    self._changed.notify_all()

        worker = threading.Thread(
            target=serve, name=f"dicomnet-{peer_address[0]}:{peer_address[1]}", daemon=True
        )
        with self._changed:
            self._workers[worker] = client
            self._unassociated.add(client, connected, peer_address)
        try:
            worker.start()
        except RuntimeError:
            with self._changed:
                self._unassociated.forget(client)
                del self._workers[worker]
            raise

    def _pause(self) -> None:
        select.select([self._stop_accepting_fd], [], [], _PAUSE_AFTER_FAILURE)

    def call_for_attention(self) -> None:
        """Wake all clients that wait for a request, once."""
        called, self.attention_fd = self.attention_fd, os.eventfd(0)
        self._spent_fds.append(called)
        os.eventfd_write(called, 1)

    def stop_accepting(self) -> None:
        """Close the listening sockets and leave the connections alone; repeating it is no error."""
        os.eventfd_write(self._stop_accepting_fd, 1)
        self._thread.join()

    def close(self, timeout: float) -> None:
        """Stop accepting, let running operations end until `timeout` seconds, then break what is left."""
        self.stop_accepting()
        os.eventfd_write(self.closing_fd, 1)
        deadline = time.monotonic() + timeout
        with self._changed:
            self._changed.wait_for(lambda: not self._workers, max(0.0, deadline - time.monotonic()))
            left = dict(self._workers)
        for client in left.values():
            client.interrupt()
        for worker in left:
            worker.join()
        for fd in (self.closing_fd, self._stop_accepting_fd, self.attention_fd, *self._spent_fds):
            os.close(fd)
