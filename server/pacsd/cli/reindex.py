"""`pacsd reindex`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.cli.options import ConfigFile, archive_settings
from pacsd.cli.terminal import note, progress_bar, say

if TYPE_CHECKING:
    from pacsd.model import ExtraKeysBuild
    from pacsd.services.reindex import Reread
    from pacsd.settings import Settings

__all__ = ["reindex"]


def reindex(
    *,
    files: Annotated[
        bool,
        typer.Option(
            "--files",
            help="Read the headers of all stored files again, too: for attributes that an older version did not keep.",
        ),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Build the indexes of index.extra_keys for what is stored already.

    The server may run meanwhile. What was done stays done, so a run that was ended is taken up where it was. Exit
    status 1 if a file could not be read.
    """
    settings = archive_settings(config)
    _build_extra_keys(settings)
    if files:
        _reread_files(settings)


def _build_extra_keys(settings: Settings) -> None:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from pacsd import app  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with progress_bar(columns) as bar:
        tasks = {}

        def report(build: ExtraKeysBuild) -> None:
            if build.keywords not in tasks:
                tasks[build.keywords] = bar.add_task(", ".join(build.keywords), total=build.last)
            bar.update(tasks[build.keywords], completed=build.position)

        done = app.reindex(settings, report)
    if done.keywords:
        say(f"Built: {', '.join(done.keywords)}.")
    if done.removed:
        say(f"Removed {done.removed} values of keys that are no longer configured.")
    if not (done.keywords or done.removed):
        say("Nothing to do: every configured key is built.")


def _reread_files(settings: Settings) -> None:
    from rich.progress import TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from pacsd import app  # noqa: PLC0415

    with progress_bar((TextColumn("{task.completed} files"), TimeElapsedColumn())) as bar:
        task = bar.add_task("")

        def report(done: Reread) -> None:
            bar.update(task, completed=done.earlier + done.read + done.unreadable)

        def report_unreadable(path: str, reason: str) -> None:
            note(f"{path}: {reason}")

        done = app.reread_files(settings, report, report_unreadable)
    if done.earlier:
        note(f"This went on where an earlier run was ended, after {done.earlier} files.")
    say(f"Read {done.read} files again; {done.changed} rows of the index changed.")
    if done.unreadable:
        note(f"{done.unreadable} files could not be read; the index says of them what it said.")
        raise typer.Exit(1)
