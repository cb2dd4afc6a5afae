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
    from collections.abc import Iterator, Mapping, Sequence

USER = "postgres"


def postgres_programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        missing("PostgreSQL's server is not installed (Debian package postgresql)")
    return Path(found).resolve().parent


def start_as_user(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that refuses to run as root."""
    user = USER if os.geteuid() == 0 else None
    with log.open("ab") as output:
        if user is not None:
            shutil.chown(log, user)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=log.parent,
            env={**os.environ, "HOME": str(log.parent), "LC_ALL": "C.UTF-8"},
        )


def program(name: str, package: str) -> str:
    """Absolute path of a program that a Debian package brings; without it the test ends here."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        missing(f"{name} is not installed (Debian package {package})")
    return path


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
    settings: Mapping[str, str | int]

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / ".s.PGSQL.5432"

    def start(self) -> None:
        """Start it, and return when it answers."""
        settings = {"listen_addresses": "", **self.settings}
        options = [f"-k {self.folder}", *(f"-c {name}={value}" for name, value in settings.items())]
        self._control("-o", " ".join(options), "-l", f"{self.folder / 'log'}", "start")

    def stop(self) -> None:
        """Stop it at once, whatever its clients are doing."""
        self._control("-m", "immediate", "stop")

    def execute(self, statement: str) -> None:
        """Execute an administrator's statement, in a transaction of its own."""
        _run(str(self.programs / "psql"), "-h", str(self.folder), "-U", USER, "-c", statement, "postgres")

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, or another, as the server's user; it must succeed."""
        own = self.programs / program
        _run(str(own) if own.exists() else program, *arguments)

    def _control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-D", f"{self.folder / 'data'}", "-w", *arguments)


QUICK = {"fsync": "off", "max_connections": 60}
"""For an index alone: a server refuses to run on it."""
DURABLE = {"max_connections": 60}


@contextmanager
def postgres_server(settings: Mapping[str, str | int] = QUICK) -> Iterator[Postgres]:
    """Run a server, which must be running at the end as well."""
    programs = postgres_programs()
    with postgres_folder() as folder:
        data = str(folder / "data")
        _run(
            str(programs / "initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
        )
        with _running(Postgres(programs, folder, settings)) as server:
            yield server


@contextmanager
def postgres_standby(primary: Postgres) -> Iterator[Postgres]:
    """Run a standby of a running server; it must be running at the end as well."""
    with postgres_folder() as folder:
        source = f"host={primary.folder} user={USER} application_name=standby"
        backup = str(primary.programs / "pg_basebackup")
        _run(backup, "-D", str(folder / "data"), "-d", source, "-R", "-X", "stream", "-c", "fast")
        with _running(Postgres(primary.programs, folder, primary.settings)) as server:
            yield server


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """Make a folder that a server may use."""
    # Not pytest's own folder: only its owner may enter that one. And a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pacsd-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(server: Postgres) -> Iterator[Postgres]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
