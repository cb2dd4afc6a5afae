"""The addresses of hosts that the configuration names, looked up ahead of need: no association waits for DNS."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

__all__ = ["HostAddresses", "RememberedAddresses", "as_ipv4", "resolve_host"]

_log = structlog.get_logger()

_REFRESH_SECONDS: Final = 60.0
"""Between two looks at a name, in one process."""
_RETRY_SECONDS: Final = 5.0
"""Where one of the names could not be resolved."""
_THREADS: Final = 8
"""That resolve at once: a name whose server is silent keeps one of them for as long as the system's resolver waits."""

Resolve = Callable[[str], frozenset[str]]


class RememberedAddresses:
    """What names were last resolved to, in files: a new process starts with what those before it knew.

    Files, as they need no lock: a process that stops while it holds one would keep the others from starting.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is this server's alone, and gone with it."""
        self._folder = folder

    def get(self, host: str) -> frozenset[str] | None:
        """Return the addresses of a name; None where nobody has resolved it."""
        try:
            return frozenset(json.loads(self._file(host).read_text("ascii")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("host-addresses-not-remembered", host=host, reason=str(error))
            return None

    def put(self, host: str, addresses: frozenset[str]) -> None:
        """Keep the addresses of a name, in place of others."""
        file = self._file(host)
        new = file.with_suffix(f".{os.getpid()}-{threading.get_native_id()}")
        try:
            new.write_text(json.dumps(sorted(addresses)), "ascii")
            new.replace(file)
        except OSError as error:
            _log.warning("host-addresses-not-remembered", host=host, reason=str(error))

    def _file(self, host: str) -> Path:
        return self._folder / f"{hashlib.sha256(host.encode()).hexdigest()}.addresses"


class HostAddresses:
    """Knows the addresses of some hosts. `start` has names resolved by threads of its own until `stop`.

    A name that cannot be resolved any more keeps the addresses that it had. `resolve` raises OSError where it cannot.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        remembered: RememberedAddresses | None = None,
        resolve: Resolve | None = None,
        refresh_seconds: float = _REFRESH_SECONDS,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._resolve = resolve or resolve_host
        self._remembered = remembered
        self._refresh_seconds = refresh_seconds
        self._retry_seconds = retry_seconds
        self._known: dict[str, frozenset[str]] = {}
        self._untried: set[str] = set()
        self._tried = threading.Condition()
        self._stopped = threading.Event()
        for host in hosts:
            literal = _literal(host)
            if literal is not None:
                self._known[host] = literal
                continue
            self._untried.add(host)
            before = remembered.get(host) if remembered is not None else None
            if before is not None:
                self._known[host] = before
        self._names = sorted(self._untried)

    def of(self, host: str) -> frozenset[str] | None:
        """Return the addresses of a host; None while they are not known. It never waits."""
        return self._known.get(host)

    def start(self) -> None:
        """Begin to resolve names, and to do so again in time."""
        for number in range(min(len(self._names), _THREADS)):
            names = self._names[number::_THREADS]
            # A daemon: it may be in the middle of the system's resolver when the process ends.
            threading.Thread(
                target=self._keep, args=(names,), name=f"addresses-{number}", daemon=True
            ).start()

    def stop(self) -> None:
        """End the threads, those in the system's resolver as soon as it returns; what is known stays as it is."""
        self._stopped.set()

    def wait_until_tried(self, timeout: float) -> None:
        """Wait until each name has been looked up once, successfully or not; for `timeout` seconds at most."""
        with self._tried:
            self._tried.wait_for(lambda: not self._untried, timeout)

    def _keep(self, names: list[str]) -> None:
        failing: set[str] = set()
        while not self._stopped.is_set():
            for name in names:
                self._look_up(name, failing)
            self._stopped.wait(self._retry_seconds if failing else self._refresh_seconds)

    def _look_up(self, name: str, failing: set[str]) -> None:
        try:
            addresses = self._resolve(name)
        except (OSError, UnicodeError) as error:
            if name not in failing and not self._stopped.is_set():
                failing.add(name)
                kept = sorted(self._known.get(name, ()))
                _log.warning("host-not-resolved", host=name, reason=str(error), last_known=kept)
        else:
            if name in failing:
                failing.discard(name)
                _log.info("host-resolved-again", host=name)
            self._known[name] = addresses
            if self._remembered is not None:
                self._remembered.put(name, addresses)
        with self._tried:
            self._untried.discard(name)
            self._tried.notify_all()


def resolve_host(host: str) -> frozenset[str]:
    """Ask the system for the addresses of a host, for as long as that takes; raises OSError."""
    return frozenset(as_ipv4(str(entry[4][0])) for entry in socket.getaddrinfo(host, None))


def _literal(host: str) -> frozenset[str] | None:
    """Return the address that a host is written as; None for a name. Nobody is asked."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return frozenset(as_ipv4(str(entry[4][0])) for entry in found)


def as_ipv4(address: str) -> str:
    """Return the IPv4 address of a peer that came over IPv4 to a socket for both."""
    return address.removeprefix("::ffff:") if "." in address else address
