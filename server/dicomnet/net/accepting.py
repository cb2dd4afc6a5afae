"""The listening half: where connections come from, and who serves each: `on_accept` is asked, `accept` answers."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from dicomnet.errors import LocalProtocolError
from dicomnet.net.association_control import AssociationSteps
from dicomnet.net.listener import Listener, listening_socket

if TYPE_CHECKING:
    from dicomnet.net.dicom_net import DicomNet

__all__ = ["Accepting"]


class Accepting(AssociationSteps):
    """Listening sockets, and who serves what comes on them."""

    def listen(
        self,
        host: str = "",
        port: int = 0,
        *,
        backlog: int = 128,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> tuple[str, int]:
        """Open a listening socket and serve it from a thread; return its address.

        `host` "" is the local host alone, "*" all interfaces; port 0 is any free one. Raises OSError, and
        TlsConfigurationError where `configuration.tls` cannot be used.
        """
        self._check_tls()
        listening = listening_socket(host, port, backlog=backlog, family=family)
        bound = listening.getsockname()
        self.listen_on([listening])
        return bound[0], bound[1]

    def listen_on(self, sockets: list[socket.socket], *, plain: Sequence[socket.socket] = ()) -> None:
        """Serve sockets that listen already (inherited from a parent process); they become ours to close.

        On `plain`, no TLS is spoken whatever the configuration says. Raises TlsConfigurationError.
        """
        self._check_tls()
        net = cast("DicomNet", self)  # which is the only subclass
        self._listener = Listener(net, [*sockets, *plain], plain=plain)
        self._listener.start()

    def _check_tls(self) -> None:
        if self.configuration.tls is not None:
            _ = self.configuration.tls.server_context  # its errors are the server's, not the first client's

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections that stand go on to their own end."""
        if self._listener is not None:
            self._listener.stop_accepting()

    def dismiss(self, clients: Mapping[DicomNet, str]) -> None:
        """Have connections of this listener end by A-ABORT, each for its reason; from any thread.

        What runs on one is finished and answered first, and nothing further is served. `interrupt` is for those that
        take too long.
        """
        for client, reason in clients.items():
            client.be_dismissed(reason)
        if clients and self._listener is not None:
            self._listener.call_for_attention()

    @property
    def attention_fd(self) -> int | None:
        """Of a listener: a file descriptor that becomes readable when a client may be dismissed; then it is another."""
        return self._listener.attention_fd if self._listener else None

    @property
    def closing_fd(self) -> int | None:
        """Of a listener: a file descriptor that becomes readable when it begins to close."""
        return self._listener.closing_fd if self._listener else None

    @abstractmethod
    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        """Return the object that shall serve a new connection, or None to close it at once."""

    def on_connection_dropped(self, peer_address: tuple[str, int], limit: str) -> None:
        """Hear that a connection was closed because of a limit; on the listener's own thread.

        `limit` is "connections", "connections-without-association" or "connections-without-association-per-address".
        """

    def accept(self, client: DicomNet) -> DicomNet:
        """Give the connection that `on_accept` is asked about to `client`, and return it.

        Returning an object from `on_accept` does the same. Raises LocalProtocolError at any other time, for a
        second object, and for one in use.
        """
        if self._listener is None:
            raise LocalProtocolError("no connection waits to be accepted")
        self._listener.accept(client)
        return client
