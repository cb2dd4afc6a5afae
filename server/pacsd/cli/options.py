"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.configuration import load_settings
from pacsd.permissions import keep_private

if TYPE_CHECKING:
    from pacsd.settings import Settings

__all__ = ["ConfigFile", "archive_settings"]

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; without it the file that PACSD_CONFIG names, else config/pacsd.toml if it is there, "
        "else the defaults.",
    ),
]


def archive_settings(config: Path | None) -> Settings:
    """Load the settings for a command that works on the archive itself: its files are as private as the server's."""
    settings = load_settings(config)
    keep_private(settings.server.umask)
    return settings
