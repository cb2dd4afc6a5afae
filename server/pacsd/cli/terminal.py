"""What goes to the terminal: text of peers made harmless, and progress bars where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["note", "printable", "progress_bar", "say"]


def printable(text: str) -> str:
    """Replace what a terminal could take for a command or a line's end: a peer's values are anybody's text."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def say(text: str) -> None:
    """Print one line of the result."""
    typer.echo(printable(text))


def note(text: str) -> None:
    """Print one line that is no result: warnings and reasons."""
    typer.echo(printable(text), err=True)


def progress_bar(columns: Iterable[ProgressColumn]) -> Progress:
    """Return a progress bar on standard error, which is invisible where that is no terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
