"""`pacsd serve`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from pacsd.cli.options import ConfigFile
from pacsd.configuration import configuration_path, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from pacsd.settings import Settings

__all__ = ["serve"]


def serve(config: ConfigFile = None) -> None:
    """Run the server, until SIGTERM or SIGINT; SIGHUP makes it read its configuration again."""
    file = configuration_path(config)
    settings = _checked_settings(file)

    # Here and not above: no other command needs the daemon's parts.
    from pacsd import app  # noqa: PLC0415
    from pacsd.supervision import supervisor  # noqa: PLC0415

    status = supervisor.serve(
        settings,
        roles=app.ROLES,
        prepare=app.prepare,
        prepare_to_read=app.prepare_to_read,
        why_read_only=app.why_read_only,
        clear_up=app.clear_up,
        # The file of the start, also where meanwhile another one would be found.
        reload=lambda: _checked_settings(file),
    )
    if status == supervisor.START_ANEW:
        # The same process, as a service manager sees it, and nothing left of what it knew.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    raise typer.Exit(status)


def _checked_settings(file: Path | None) -> Settings:
    from pacsd.tls import load_tls  # noqa: PLC0415

    settings = load_settings(file)
    load_tls(settings)
    return settings
