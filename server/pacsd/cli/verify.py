"""`pacsd verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.cli.options import ConfigFile, archive_settings
from pacsd.cli.terminal import note, progress_bar, say

if TYPE_CHECKING:
    from pacsd.model import WorkProgress
    from pacsd.services.scrub import Fault

__all__ = ["verify"]

_MEGABYTE = 1_000_000


def verify(
    *,
    length: Annotated[
        bool,
        typer.Option(
            "--length", help="Compare lengths only, and read no content: a changed bit goes unnoticed."
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.001, metavar="MB", help="Read so many MB per second at most."),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Begin at the beginning, also where an earlier run was ended half way."),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Compare the index with the stored files, in both directions: length, checksum, and files that no row names.

    The server may run meanwhile. Each fault is one line on standard output. Nothing is changed. A run that is ended
    half way is taken up there by the next one. Exit status 1 if there are faults, those of the run that is taken up
    included.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from pacsd import app  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(columns) as bar:
        task = bar.add_task("instances")

        def report(reached: WorkProgress) -> None:
            bar.update(task, completed=reached.done, total=reached.total)

        def report_fault(fault: Fault) -> None:
            who = f" (SOP Instance UID {fault.sop_instance_uid})" if fault.sop_instance_uid else ""
            say(f"{fault.path}: {fault.reason}{who}")

        def report_begin(begun: WorkProgress) -> None:
            report(begun)
            if begun.done:
                note(
                    f"This goes on where an earlier run was ended, after {begun.done} instances; --anew begins anew."
                )

        done = app.verify(
            archive_settings(config),
            by="length" if length else "checksum",
            anew=anew,
            bytes_per_second=rate * _MEGABYTE if rate else None,
            report_begin=report_begin,
            report=report,
            report_fault=report_fault,
        )
    say(f"Compared {done.done} instances with their files: {done.faults or 'no'} faults.")
    if done.faults:
        raise typer.Exit(1)
