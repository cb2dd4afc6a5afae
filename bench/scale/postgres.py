"""A PostgreSQL server of the bench's own, as its package configures it, on a socket and nowhere else."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ServerError

_USER = "postgres"


def _programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise ServerError("PostgreSQL's server is not installed (Debian package postgresql)")
    return Path(found).resolve().parent


def _run(*command: str) -> None:
    # PostgreSQL refuses to run as root, and wants to be where it may read.
    prefix = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *command], capture_output=True, text=True, check=False, timeout=300, cwd="/"
    )
    if done.returncode:
        raise ServerError(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr)[-800:]}")


@contextlib.contextmanager
def running(data: Path) -> Iterator[str]:
    """Run a server on a folder, made if there is none, and yield what its URLs need behind the database's name."""
    programs = _programs()
    # Its path must be short.
    sockets = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    control = (str(programs / "pg_ctl"), "-w", "-t", "240", "-D", str(data))
    try:
        if os.geteuid() == 0:
            shutil.chown(sockets, _USER)
        if not (data / "PG_VERSION").exists():
            data.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(data, _USER)
            initdb = ("-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
            _run(str(programs / "initdb"), "-D", str(data), *initdb)
        options = f"-k {sockets} -c listen_addresses= -c max_wal_size=8GB"
        _run(*control, "-o", options, "-l", str(sockets / "log"), "start")
        try:
            yield f"host={sockets}"
        finally:
            _run(*control, "-m", "fast", "stop")
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def database_url(name: str, where: str) -> str:
    """Return the URL of a database of the server that `running` runs."""
    return f"postgresql+psycopg://{_USER}@/{name}?{where}"
