"""A PostgreSQL server of the tests' own: in a folder of its own, on a socket there and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.peers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "postgres"


def _programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        missing("PostgreSQL's server is not installed (Debian package postgresql)")
    return Path(found).resolve().parent


def _run(*command: str) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; `url` is that of its empty maintenance database."""

    programs: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        self._control("-o", options, "-l", f"{self.folder / 'log'}", "start")

    def stop(self) -> None:
        """Stop it at once, whatever its clients are doing."""
        self._control("-m", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, or another, as the server's user; it must succeed."""
        own = self.programs / program
        _run(str(own) if own.exists() else program, *arguments)

    def _control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-D", f"{self.folder / 'data'}", "-w", *arguments)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Run a server, which must be running at the end as well."""
    programs = _programs()
    # Not pytest's own folder: only its owner may enter that one. And a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pacsd-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data = str(folder / "data")
        _run(
            str(programs / "initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
        )
        server = Postgres(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
