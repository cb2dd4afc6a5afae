"""The command line: each command in a module of its own, registered here.

A command returns for exit status 0 and raises `PacsdError` for 1, of which `ConfigurationError` for 2; wrong usage is 2
as well. Only the message goes to the terminal.
"""

import sys
from typing import Annotated, NoReturn

import typer

import pacsd
from pacsd.cli import database, quarantine
from pacsd.cli.adopt import adopt
from pacsd.cli.configuration import check_config
from pacsd.cli.conflicts import conflicts
from pacsd.cli.echo import echo
from pacsd.cli.find import find
from pacsd.cli.get import get
from pacsd.cli.move import move
from pacsd.cli.reindex import reindex
from pacsd.cli.send import send
from pacsd.cli.serve import serve
from pacsd.cli.terminal import note
from pacsd.cli.verify import verify
from pacsd.errors import ConfigurationError, PacsdError

__all__ = ["app", "main"]

FAILURE = 1
USAGE = 2

app = typer.Typer(
    name="pacsd",
    help="A PACS storage and query server.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, data sets among them.
    pretty_exceptions_enable=False,
)
app.command("serve")(serve)
app.command("check-config")(check_config)
app.add_typer(database.commands, name="db")
app.command("adopt")(adopt)
app.command("verify")(verify)
app.command("conflicts")(conflicts)
app.add_typer(quarantine.commands, name="quarantine")
app.command("reindex")(reindex)
app.command("echo")(echo)
app.command("send")(send)
app.command("find")(find)
app.command("get")(get)
app.command("move")(move)


def main() -> NoReturn:
    """Run the command that the arguments name, and end the process with its exit status."""
    try:
        app()
    except ConfigurationError as error:
        _fail(error, USAGE)
    except PacsdError as error:
        _fail(error, FAILURE)
    sys.exit(0)


def _fail(error: PacsdError, status: int) -> NoReturn:
    for line in str(error).split("\n"):
        note(line)
    sys.exit(status)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer's signature
    if wanted:
        typer.echo(f"pacsd {pacsd.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del version
