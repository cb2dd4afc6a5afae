"""`pacsd reindex`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pacsd.cli.options import ConfigFile
from pacsd.cli.terminal import progress_bar, say
from pacsd.configuration import load_settings

if TYPE_CHECKING:
    from pacsd.model import ExtraKeysBuild

__all__ = ["reindex"]


def reindex(config: ConfigFile = None) -> None:
    """Build the indexes of index.extra_keys for what is stored already.

    The server may run meanwhile. What was done stays done, so a run that was ended is taken up where it was.
    """
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from pacsd import app  # noqa: PLC0415

    settings = load_settings(config)
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
