"""`pacsd adopt`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pacsd.cli.options import ConfigFile, archive_settings
from pacsd.cli.terminal import say

__all__ = ["adopt"]


class Half(StrEnum):
    """Which half of the archive is taken for the other one's."""

    INDEX = "index"
    STORE = "store"


def adopt(
    half: Annotated[
        Half,
        typer.Argument(help="The half that is new, was emptied, or belonged to another archive."),
    ],
    config: ConfigFile = None,
) -> None:
    """Make the store and the index one archive, where a start refuses them because they do not belong together.

    "index": the configured index serves the store from now on. An empty one is made anew from all stored files.
    "store": the configured store serves the index from now on. Where it is empty, the instances of the index have no
    files until they are sent again.

    No server may run meanwhile. The next start looks at all files; /readyz says how far it is.
    """
    from pacsd import app  # noqa: PLC0415

    app.adopt(archive_settings(config), half.value)
    say("Store and index are one archive now. The next start looks at all files; /readyz says how far it is.")
