#!/usr/bin/env python3
"""Copy an archive of pacsd, while it runs, into a folder from which it can be started: deploy/backup.py --help."""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = 3
"""Files may give way to others (storage.duplicates = "replace") between their copy and the index's."""
NOT_KEPT = "incoming"
"""What was being received belongs to nobody yet."""


def main() -> None:
    """Run from the command line; exit status 1, with the reason, where the copy is not complete."""
    parser = argparse.ArgumentParser(
        description="Copy the files and the SQLite index of an archive, while the server runs. Files are never "
        "changed, so only those that the backup does not have yet are copied: give the same folder each time. "
        "Without --index, only the files are copied: run pg_dump between two such copies."
    )
    parser.add_argument("--store", type=Path, required=True, help="storage.root")
    parser.add_argument("--index", type=Path, help="the file of index.url")
    parser.add_argument("target", type=Path, help="an existing folder on another disk")
    arguments = parser.parse_args()
    try:
        print(back_up(arguments.store, arguments.index, arguments.target))
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"The backup is not complete: {error}")


def back_up(store: Path, index: Path | None, target: Path) -> str:
    """Return what was done; raises OSError and sqlite3.Error, upon which `target` is to be made good by another run."""
    copied = copy_files(store, target / "store")
    if index is None:
        return f"{copied} files copied."
    for _ in range(ATTEMPTS):
        copy_index(index, target / "index.db")
        copied += copy_files(store, target / "store")
        instances, lacking = check(target)
        if not lacking:
            return f"{copied} files copied; the backup has {instances} instances, each with its file."
    raise OSError(f"{lacking} of {instances} instances have no file; is --store the right folder?")


def copy_files(source: Path, target: Path) -> int:
    """Copy the files that `target` lacks, each under its name only when it is whole; returns how many.

    The note of the last sweep stays the first one that was copied: a restored server then looks at more files than it
    must, and never at fewer.
    """
    count = 0
    for path in _files(source):
        copy = target / path
        if not copy.exists() and _copy(source / path, copy):
            count += 1
    return count


def _files(folder: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(folder, onerror=_fail):
        if Path(directory) == folder:
            names[:] = [name for name in names if name != NOT_KEPT]
        names.sort()
        for name in files:
            yield (Path(directory) / name).relative_to(folder)


def _fail(error: OSError) -> None:
    raise error


def _copy(source: Path, target: Path) -> bool:
    """Return False if the file is not there any more."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        shutil.copy2(source, part)
    except FileNotFoundError:
        return False
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)
    return True


def copy_index(source: Path, target: Path) -> None:
    """Copy an SQLite database as it is at one moment, whoever writes to it."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    # Not created where it is missing: an empty index would look like a backup.
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as live,
        closing(sqlite3.connect(part)) as copy,
    ):
        live.backup(copy)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)


def check(backup: Path) -> tuple[int, int]:
    """Return how many instances the backup's index has, and how many of them lack their file."""
    with closing(sqlite3.connect(backup / "index.db")) as database:
        paths = [path for (path,) in database.execute("SELECT path FROM instances")]
    return len(paths), sum(not (backup / "store" / path).is_file() for path in paths)


if __name__ == "__main__":
    main()
