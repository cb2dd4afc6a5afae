"""A PgBouncer before a PostgreSQL server."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.deadline import wait_until
from support.peers import free_port
from support.postgres import USER, program, start_as_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Postgres


@contextmanager
def pgbouncer(server: Postgres, **settings: str | int) -> Iterator[str]:
    """Run one with these settings, and give the database's URL by way of it."""
    port = free_port()
    users = server.folder / "pgbouncer-users"
    users.write_text(f'"{USER}" ""\n')
    configuration = server.folder / "pgbouncer.ini"
    lines = [
        "[databases]",
        f"postgres = host={server.folder}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = trust",
        f"auth_file = {users}",
        *(f"{name} = {value}" for name, value in settings.items()),
    ]
    configuration.write_text("\n".join(lines) + "\n")
    process = start_as_user(
        [program("pgbouncer", "pgbouncer"), str(configuration)], server.folder / "pgbouncer.log"
    )
    try:
        wait_until(lambda: _answers(port), within=10, what="PgBouncer listens")
        yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
