"""What a service manager is told by systemd's protocol: sd_notify(3), on the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServiceManager"]

_log = structlog.get_logger()

_SIGNS_IN_PERIOD: Final = 3.0
"""How often the watchdog hears of us in the time that it allows."""


class ServiceManager:
    """Tells it of this process; does nothing where there is none that listens."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._said: set[str] = set()
        ours = environment.get("WATCHDOG_PID") in {None, "", str(os.getpid())}
        microseconds = environment.get("WATCHDOG_USEC", "") if self._address and ours else ""
        self._interval = int(microseconds) / 1e6 / _SIGNS_IN_PERIOD if microseconds.isdecimal() else None
        self._next_sign = float("-inf")

    def say_once(self, state: str) -> None:
        """Tell it of a state, such as "READY=1", if it was not told before."""
        if self._address and state not in self._said:
            self._said.add(state)
            self._send(state)

    def feed_watchdog(self, now: float) -> None:
        """Say that all is well, as often as it is needed; `now` is in seconds of a clock that only goes forward."""
        if self._interval is not None and now >= self._next_sign:
            self._next_sign = now + self._interval
            self._send("WATCHDOG=1")

    @property
    def interval(self) -> float | None:
        """Seconds between calls of `feed_watchdog`, at most; None without a watchdog."""
        return self._interval

    def _send(self, state: str) -> None:
        # A name that begins with @ is one in Linux' abstract namespace.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
                told.setblocking(False)
                told.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("service-manager-not-told", state=state, reason=error.strerror)
