"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile"]

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; without it the file that PACSD_CONFIG names, else config/pacsd.toml.",
    ),
]
