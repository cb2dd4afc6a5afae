"""The listening sockets, which the supervisor opens and the processes of a role share."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from pacsd.errors import PacsdError

if TYPE_CHECKING:
    from pacsd.settings import Settings

__all__ = ["AddressUnavailable", "bind", "open_sockets"]

BACKLOG: Final = 1024
"""Connections that wait while all workers are busy; the kernel cuts it to net.core.somaxconn."""


class AddressUnavailable(PacsdError):
    """A configured address cannot be listened on; the message names it and the setting."""


def open_sockets(settings: Settings) -> dict[str, socket.socket]:
    """Every listening socket that is configured, by its section. Raises AddressUnavailable; then none stays open."""
    dicom, http = settings.dicom, settings.http
    wanted = {
        "dicom": (dicom.enabled, dicom.host, dicom.port),
        "dicom.tls": (dicom.tls.enabled, dicom.host, dicom.tls.port),
        "http": (http.enabled, http.host, http.port),
    }
    with contextlib.ExitStack() as on_error:
        opened = {
            section: on_error.enter_context(bind(host, port, section=section))
            for section, (is_enabled, host, port) in wanted.items()
            if is_enabled
        }
        on_error.pop_all()
    return opened


def bind(host: str, port: int, *, section: str) -> socket.socket:
    """A TCP socket listening on `host`, `port`; `section` of the configuration is for the error message.

    `::` also takes IPv4. Raises AddressUnavailable.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise AddressUnavailable(f"{section}.host: {host} is no address of this machine: {error}") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    with contextlib.ExitStack() as on_error:
        on_error.callback(listening.close)
        try:
            # A restart must not wait until the last connections' TIME_WAIT is over.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            raise AddressUnavailable(_reason(error, host, port, section)) from error
        on_error.pop_all()
    return listening


def _reason(error: OSError, host: str, port: int, section: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{section}.port: port {port} on {host} is in use by another program; stop it or choose another"
        )
    if error.errno == errno.EACCES:
        return f"{section}.port: not allowed to listen on port {port}; ports below 1024 need a privilege"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{section}.host: {host} is no address of this machine"
    return f"{section}.host, port: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
