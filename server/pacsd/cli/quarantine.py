"""`pacsd quarantine`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from pacsd.cli.options import ConfigFile, archive_settings
from pacsd.cli.terminal import note, say
from pacsd.errors import ConfigurationError, PacsdError

__all__ = ["commands"]

commands = typer.Typer(
    help="Files that were taken out of service: damaged ones, and those that another file took the place of.",
    no_args_is_help=True,
)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="As `pacsd quarantine list` has them.")
]


@commands.command("list")
def list_files(config: ConfigFile = None) -> None:
    """List what is in quarantine: name, size in bytes, when and why it came, and where it was."""
    from pacsd import app  # noqa: PLC0415

    files = app.quarantined_files(archive_settings(config)).list()
    for each in files:
        say(f"{each.name}  {each.size}  {each.at}  {each.path}: {each.reason}")
    note(f"{len(files)} files are in quarantine.")


@commands.command()
def add(
    sop_instance_uids: Annotated[list[str], typer.Argument(metavar="UID...", help="SOP Instance UIDs.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the note.")] = "by command",
    config: ConfigFile = None,
) -> None:
    """Take instances out of service: they are found no more, and are stored anew when they are sent again.

    The server may run meanwhile.
    """
    from pacsd import app  # noqa: PLC0415

    settings = archive_settings(config)
    for uid in sop_instance_uids:
        taken = app.quarantine(settings, uid, reason)
        if taken.name is None:
            say(f"{uid} is out of service; its file was missing.")
            continue
        say(f"{uid} is in quarantine as {taken.name}.")
        if taken.fault:
            note(f"{taken.name} is not as it was stored and cannot be restored: {taken.fault}.")


@commands.command()
def restore(names: Names = None, config: ConfigFile = None) -> None:
    """Put files back into service. The server may run meanwhile. Exit status 1 if one could not be put back.

    A file that is not as it was stored is not put back: have its instance sent again.
    """
    from pacsd import app  # noqa: PLC0415

    if not names:
        raise ConfigurationError("name the files to put back into service")
    settings = archive_settings(config)
    failed = False
    for name in names:
        try:
            say(f"{name} is back in service as {app.restore(settings, name)}.")
        except PacsdError as error:
            note(f"{name}: {error}")
            failed = True
    if failed:
        raise typer.Exit(1)


@commands.command()
def purge(
    names: Names = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="All that came longer ago than that."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Remove files for good: those named, or those that are older than so many days."""
    from pacsd import app  # noqa: PLC0415

    if not names and older_than is None:
        raise ConfigurationError("name the files to remove for good, or say --older-than DAYS")
    quarantine = app.quarantined_files(archive_settings(config))
    chosen = list(names or [])
    if older_than is not None:
        latest = (datetime.now(UTC) - timedelta(days=older_than)).isoformat()
        chosen += [each.name for each in quarantine.list() if each.at <= latest]
    chosen = list(dict.fromkeys(chosen))
    for name in chosen:
        quarantine.purge(name)
    say(f"{len(chosen)} files are removed for good.")
