"""Whether the server lives (/healthz) and whether it can do its work (/readyz): checks with a reason each."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pacsd.index.archive import state as archive_state
from pacsd.index.engines import asking_engine, database_file, database_url
from pacsd.index.failures import unavailable
from pacsd.index.promises import broken_promises_of
from pacsd.permissions import reason
from pacsd.storage.identity import identity_fault
from pacsd.supervision.shared_numbers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pacsd.model import ArchiveIdentity, IndexState
    from pacsd.settings import Settings
    from pacsd.supervision.shared_numbers import IndexCompleteness, WorkerTable

__all__ = [
    "Check",
    "check_archive",
    "check_database",
    "check_index",
    "check_storage",
    "check_workers_alive",
    "check_workers_ready",
    "readiness",
]

CONNECT_SECONDS = 3
OF_DATABASE = ("database", "durability", "archive")
"""The checks that ask the database."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `reason` says what was found, good or bad."""

    ok: bool
    reason: str


def readiness(
    settings: Settings, workers: WorkerTable, completeness: IndexCompleteness, begun: ArchiveIdentity
) -> Mapping[str, Check]:
    """All that must be well for an instance to be stored and found again; `begun` is the server's generation."""
    of_database = check_database(settings.index.url, settings.index.durability, begun)
    return {
        "workers": check_workers_ready(workers),
        "database": of_database["database"],
        "durability": of_database["durability"],
        "index": check_index(completeness),
        "archive": check_archive(settings.storage.root, begun, of_database["archive"]),
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


def check_archive(root: Path, begun: ArchiveIdentity, of_index: Check) -> Check:
    """The store is there, and it is the one that this server has begun to use; so is the index, by its own check."""
    fault = identity_fault(root, begun)
    return of_index if fault is None else Check(ok=False, reason=fault)


def check_database(url: str, durability: str, begun: ArchiveIdentity) -> Mapping[str, Check]:
    """Ask the database, by one fresh connection: three checks.

    "database": it answers and has a schema of ours. "durability": it keeps what it has committed, or need not, by
    `index.durability`. "archive": its index belongs to this server still, which has begun this generation.
    """
    parsed = database_url(url)
    file = database_file(parsed)
    if file is not None and not file.is_file():
        # Connecting would make an empty one.
        return dict.fromkeys(OF_DATABASE, Check(ok=False, reason="the database file is not there"))
    found: dict[str, Check] = {}
    try:
        with asking_engine(parsed, CONNECT_SECONDS).connect() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version")).fetchall()
            found["database"] = _writable(file)
            found["durability"] = _durability(broken_promises_of(connection), durability)
            found["archive"] = _of_index(archive_state(connection), begun)
    except OperationalError as error:
        failure = Check(ok=False, reason=str(unavailable("read", error)))
    except (SQLAlchemyError, ImportError) as error:
        failure = Check(ok=False, reason=f"the index cannot be read: {_first_line(error)}")
    else:
        return found
    # What it was not asked for any more, it cannot be asked for.
    return dict.fromkeys(OF_DATABASE, failure) | found


def _writable(file: Path | None) -> Check:
    if file is not None:
        try:
            # A disk that has turned read-only lets SQLite read on as if nothing were wrong.
            _write_under(file.parent)
        except OSError as error:
            return Check(ok=False, reason=f"cannot write beside the database file: {reason(error, 'do so')}")
    return Check(ok=True, reason="the database answers")


def _durability(broken: Sequence[str], durability: str) -> Check:
    if broken:
        return Check(ok=durability == "as-configured", reason="; ".join(broken))
    return Check(ok=True, reason="the database keeps what it has committed")


def _of_index(state: IndexState, begun: ArchiveIdentity) -> Check:
    if (begun.identity, begun.generation) != (state.identity, state.generation):
        return Check(
            ok=False, reason="another server has been started on this index, or the index was exchanged"
        )
    return Check(ok=True, reason="store and index belong together")


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
