"""Whether the server lives (/healthz) and whether it can do its work (/readyz): checks with a reason each."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pacsd.index.database.engines import asking_engine, database_file, database_url
from pacsd.index.database.failures import unavailable
from pacsd.index.maintenance.archive import state as archive_state
from pacsd.index.maintenance.promises import broken_promises_of
from pacsd.permissions import reason
from pacsd.storage.disk import WatchedDisk
from pacsd.storage.identity import identity_fault
from pacsd.supervision.shared_numbers import WorkerState
from pacsd.supervision.signs_of_life import SUPERVISOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pacsd.model import ArchiveIdentity, IndexState
    from pacsd.settings import IndexSettings, Settings, StorageSettings
    from pacsd.supervision.shared_numbers import IndexCompleteness, WorkerTable
    from pacsd.supervision.signs_of_life import SignsOfLife, Stagnation

__all__ = [
    "Check",
    "check_archive",
    "check_database",
    "check_disk",
    "check_index",
    "check_progress",
    "check_workers_alive",
    "check_workers_ready",
    "liveness",
    "readiness",
    "watched_index_disk",
    "watched_storage_disk",
]

CONNECT_SECONDS = 3
OF_DATABASE = ("database", "durability", "archive")
"""The checks that ask the database."""
SILENT_SHARE: Final = 1 / 3
"""Of `server.beat_timeout`, after which a process that does not beat counts as not ready."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `reason` says what was found, good or bad."""

    ok: bool
    reason: str


def readiness(
    settings: Settings,
    workers: WorkerTable,
    completeness: IndexCompleteness,
    begun: ArchiveIdentity,
    signs: SignsOfLife,
    read_only: str = "",
) -> Mapping[str, Check]:
    """All that must be well for an instance to be stored and found again; `begun` is the server's generation."""
    beat_timeout = settings.server.beat_timeout
    index_disk = watched_index_disk(settings.index)
    disks = {"storage": check_disk(watched_storage_disk(settings.storage))}
    if index_disk is not None:
        disks["index_disk"] = check_disk(index_disk)
    processes = {
        "workers": check_workers_ready(workers, signs, beat_timeout),
        "progress": check_progress(signs, beat_timeout),
    }
    if read_only:
        # To ask the database as below, its disk would have to be writable.
        storing = Check(ok=False, reason=f"queries are answered, but {read_only}")
        return {**processes, "storing": storing, "index": check_index(completeness), **disks}
    of_database = check_database(settings.index.url, settings.index.durability, begun)
    return {
        **processes,
        "database": of_database["database"],
        "durability": of_database["durability"],
        "index": check_index(completeness),
        "archive": check_archive(settings.storage.root, begun, of_database["archive"]),
        **disks,
    }


def liveness(workers: WorkerTable, signs: SignsOfLife, beat_timeout: float) -> Mapping[str, Check]:
    """What to start the server anew for: nobody serves, nobody would mend that, or nobody can store."""
    silent = [each for each in _silent(signs, beat_timeout) if each.part == "turn" or each.role == SUPERVISOR]
    return {
        "workers": check_workers_alive(workers, signs, beat_timeout),
        "processes": _no_standstill(silent),
    }


def check_workers_alive(workers: WorkerTable, signs: SignsOfLife, beat_timeout: float) -> Check:
    """At least one worker process is there and shows signs of life, be it starting or draining."""
    alive, silent = _living(
        workers, signs, beat_timeout, WorkerState.STARTING, WorkerState.READY, WorkerState.STOPPING
    )
    return Check(alive > 0, f"{alive} of {workers.wanted} workers alive{silent}")


def check_workers_ready(workers: WorkerTable, signs: SignsOfLife, beat_timeout: float) -> Check:
    """As many workers as configured accept connections and show signs of life."""
    if not workers.wanted:
        return Check(ok=False, reason="the server is stopping")
    ready, silent = _living(workers, signs, beat_timeout, WorkerState.READY)
    return Check(ready >= workers.wanted, f"{ready} of {workers.wanted} workers ready{silent}")


def check_progress(signs: SignsOfLife, beat_timeout: float) -> Check:
    """Every process shows signs of life, and what it is at goes on."""
    return _no_standstill(_silent(signs, beat_timeout))


def _living(
    workers: WorkerTable, signs: SignsOfLife, beat_timeout: float, *states: WorkerState
) -> tuple[int, str]:
    silent = [each for each in _silent(signs, beat_timeout) if each.part == "beat" and each.role == "worker"]
    slots = workers.slots(*states) - {each.slot for each in silent}
    return len(slots), "".join(f"; {_described(each)}" for each in silent)


def _silent(signs: SignsOfLife, beat_timeout: float) -> list[Stagnation]:
    return signs.standing_still(silent_after=beat_timeout * SILENT_SHARE, busy_after=beat_timeout)


def _no_standstill(found: Sequence[Stagnation]) -> Check:
    if found:
        return Check(ok=False, reason="; ".join(map(_described, found)))
    return Check(ok=True, reason="all processes show signs of life")


_STANDSTILL: Final = {
    "beat": "has shown no sign of life",
    "accept": "has taken none of the connections that wait",
    "commit": "has been at one commit",
    "turn": "has held the turn to write to the index",
}


def _described(found: Stagnation) -> str:
    since = datetime.fromtimestamp(time.time() - found.seconds, UTC).isoformat(timespec="seconds")
    return f"{found.role} process {found.pid} {_STANDSTILL[found.part]} since {since} ({found.seconds:.0f} s)"


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


def watched_storage_disk(storage: StorageSettings) -> WatchedDisk:
    """The file system of the files."""
    return WatchedDisk(storage.root, storage.min_free_bytes, "storage.min_free_mb")


def watched_index_disk(index: IndexSettings) -> WatchedDisk | None:
    """The file system of an SQLite index; None for a database server, which minds its own."""
    file = database_file(database_url(index.url))
    return None if file is None else WatchedDisk(file.parent, index.min_free_bytes, "index.min_free_mb")


def check_disk(disk: WatchedDisk) -> Check:
    """A file can be written in the folder, and space and inodes are left above what is to be kept free."""
    try:
        _write_under(disk.folder)
        free = disk.free()
    except OSError as error:
        place = "storage.root" if disk.setting.startswith("storage.") else "the index's folder"
        return Check(ok=False, reason=f"cannot write under {place}: {os.strerror(error.errno or 0)}")
    if shortage := disk.shortage(free):
        return Check(ok=False, reason=shortage)
    return Check(ok=True, reason=f"{free.space} bytes free")


def _write_under(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")


def _first_line(error: Exception) -> str:
    """Enough to know what is wrong: the driver's own words, without SQL."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}"
