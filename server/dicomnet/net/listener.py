"""Accepting connections: a thread that listens, one DicomNet and one thread for each connection."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dicomnet.net.dicom_net import DicomNet
    from dicomnet.net.tls import TlsConfiguration

__all__ = ["Listener"]

_LOG: Final = logging.getLogger("dicomnet")
_PAUSE_AFTER_FAILURE: Final = 0.5
"""Seconds without accepting when the process has run out of file descriptors or threads."""


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
        client = None if self._is_full() else self._ask_for(peer_address)
        if client is None:
            connected.close()
            return
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

    def _ask_for(self, peer_address: tuple[str, int]) -> DicomNet | None:
        try:
            return self._net.admit(peer_address)
        except Exception:
            # One connection is lost by it; without this thread it would be all that are to come.
            _LOG.exception("on_accept failed unexpectedly; a connection is refused")
            return None

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
                    del self._workers[worker]
                    self._changed.notify_all()

        worker = threading.Thread(
            target=serve, name=f"dicomnet-{peer_address[0]}:{peer_address[1]}", daemon=True
        )
        with self._changed:
            self._workers[worker] = client
        try:
            worker.start()
        except RuntimeError:
            with self._changed:
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
