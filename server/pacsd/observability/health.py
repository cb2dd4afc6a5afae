"""Whether the server lives (/healthz) and whether it can do its work (/readyz): checks with a reason each."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pacsd.errors import PacsdError
from pacsd.index.archive import state as archive_state
from pacsd.index.engines import asking_engine, database_file, database_url
from pacsd.index.failures import unavailable
from pacsd.index.promises import broken_promises
from pacsd.permissions import reason
from pacsd.storage.identity import identity_fault
from pacsd.supervision.shared_numbers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pacsd.model import ArchiveIdentity
    from pacsd.settings import Settings
    from pacsd.supervision.shared_numbers import IndexCompleteness, WorkerTable

__all__ = [
    "Check",
    "check_archive",
    "check_database",
    "check_durability",
    "check_index",
    "check_storage",
    "check_workers_alive",
    "check_workers_ready",
    "readiness",
]

CONNECT_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `reason` says what was found, good or bad."""

    ok: bool
    reason: str


def readiness(
    settings: Settings, workers: WorkerTable, completeness: IndexCompleteness, begun: ArchiveIdentity
) -> Mapping[str, Check]:
    """All that must be well for an instance to be stored and found again; `begun` is the server's generation."""
    return {
        "workers": check_workers_ready(workers),
        "database": check_database(settings.index.url),
        "durability": check_durability(settings.index.url, settings.index.durability),
        "index": check_index(completeness),
        "archive": check_archive(settings.index.url, settings.storage.root, begun),
        "storage": check_storage(settings.storage.root, settings.storage.min_free_bytes),
    }


def check_workers_alive(workers: WorkerTable) -> Check:
    """At least one worker process is there, be it starting or draining."""
    alive = workers.count(WorkerState.STARTING, WorkerState.READY, WorkerState.STOPPING)
    return Check(alive > 0, f"{alive} of {workers.wanted} workers alive")


def check_workers_ready(workers: WorkerTable) -> Check:
    """As many workers as configured accept connections."""
    if not workers.wanted:
        return Check(ok=False, reason="the server is stopping")
    ready = workers.count(WorkerState.READY)
    return Check(ready >= workers.wanted, f"{ready} of {workers.wanted} workers ready")


def check_index(completeness: IndexCompleteness) -> Check:
    """The index knows all stored files."""
    if completeness.is_complete:
        return Check(ok=True, reason="the index knows all stored files")
    done, total = completeness.looked_at
    return Check(ok=False, reason=f"rebuilding the index: {done} of {total} files have been looked at")


def check_archive(url: str, root: Path, begun: ArchiveIdentity) -> Check:
    """The store is there, and the index belongs to it and to this server still, which has begun this generation."""
    fault = identity_fault(root, begun)
    if fault is not None:
        return Check(ok=False, reason=fault)
    file = database_file(database_url(url))
    if file is not None and not file.is_file():
        return Check(ok=False, reason="the database file is not there")
    try:
        with asking_engine(database_url(url), CONNECT_SECONDS).connect() as connection:
            state = archive_state(connection)
    except (PacsdError, SQLAlchemyError, ImportError) as error:
        return Check(ok=False, reason=f"store and index cannot be compared: {_first_line(error)}")
    if (begun.identity, begun.generation) != (state.identity, state.generation):
        return Check(
            ok=False, reason="another server has been started on this index, or the index was exchanged"
        )
    return Check(ok=True, reason="store and index belong together")


def check_database(url: str) -> Check:
    """The database answers and has a schema of ours; a fresh connection each time."""
    parsed = database_url(url)
    file = database_file(parsed)
    if file is not None and not file.is_file():
        # Connecting would make an empty one.
        return Check(ok=False, reason="the database file is not there")
    try:
        engine = asking_engine(parsed, CONNECT_SECONDS)
        with engine.connect() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version")).fetchall()
    except OperationalError as error:
        return Check(ok=False, reason=str(unavailable("read", error)))
    except (SQLAlchemyError, ImportError) as error:
        return Check(ok=False, reason=f"the index cannot be read: {_first_line(error)}")
    if file is not None:
        try:
            # A disk that has turned read-only lets SQLite read on as if nothing were wrong.
            _write_under(file.parent)
        except OSError as error:
            return Check(ok=False, reason=f"cannot write beside the database file: {reason(error, 'do so')}")
    return Check(ok=True, reason="the database answers")


def check_durability(url: str, durability: str) -> Check:
    """The database keeps what it has committed, or need not, by `index.durability`."""
    file = database_file(database_url(url))
    if file is not None and not file.is_file():
        return Check(ok=False, reason="the database file is not there")
    try:
        broken = broken_promises(url, timeout=CONNECT_SECONDS)
    except (PacsdError, SQLAlchemyError, ImportError) as error:
        return Check(ok=False, reason=f"the database cannot be asked: {_first_line(error)}")
    if broken:
        return Check(ok=durability == "as-configured", reason="; ".join(broken))
    return Check(ok=True, reason="the database keeps what it has committed")


def check_storage(root: Path, min_free_bytes: int) -> Check:
    """A file can be written under `root`, and there is room above the watermark."""
    try:
        _write_under(root)
        free = shutil.disk_usage(root).free
    except OSError as error:
        return Check(ok=False, reason=f"cannot write under storage.root: {os.strerror(error.errno or 0)}")
    if free < min_free_bytes:
        return Check(ok=False, reason=f"{free} bytes free, storage.min_free_mb asks for {min_free_bytes}")
    return Check(ok=True, reason=f"{free} bytes free")


def _write_under(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")


def _first_line(error: Exception) -> str:
    """Enough to know what is wrong: the driver's own words, without SQL."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}"
