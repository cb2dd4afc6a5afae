"""A real server, as the tests of the commands see it."""

from __future__ import annotations

from dataclasses import dataclass

from support.server import PacsdServer


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and the port of its configured peer SINK, where nobody listens until a test does."""

    running: PacsdServer
    sink_port: int

    @property
    def address(self) -> tuple[str, int]:
        return self.running.host, self.running.port
