"""`pacsd db`: the schema's version.

The migrations are imported when they are run: no other command should have to wait for them.
"""

import typer

from pacsd.cli.options import ConfigFile, archive_settings

__all__ = ["commands"]

commands = typer.Typer(help="The index database's schema.", no_args_is_help=True)


@commands.command()
def upgrade(config: ConfigFile = None) -> None:
    """Bring the database to the schema that this version needs, making it where there is none."""
    from pacsd import app  # noqa: PLC0415
    from pacsd.index.schema import migrations  # noqa: PLC0415

    settings = archive_settings(config)
    app.upgrade_database(settings)
    typer.echo(f"The database has revision {migrations.current(settings.index.url)}.")


@commands.command()
def check(config: ConfigFile = None) -> None:
    """Say whether the database has the schema that this version needs; exit status 1 if not."""
    from pacsd.index.schema import migrations  # noqa: PLC0415

    migrations.check(archive_settings(config).index.url)
    typer.echo(f"The database has revision {migrations.latest()}, as this version needs.")
