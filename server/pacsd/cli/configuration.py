"""`pacsd check-config`."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from pacsd.cli.options import ConfigFile
from pacsd.configuration import configuration_path, load_settings
from pacsd.settings import Settings

__all__ = ["as_toml", "check_config"]


def check_config(
    config: ConfigFile = None,
    *,
    show: Annotated[
        bool,
        typer.Option("--show", help="Also print the effective settings, without passwords."),
    ] = False,
) -> None:
    """Check the configuration file, the environment and the certificates, as `serve` would."""
    # Here and not above: no other command should have to wait for it.
    from pacsd.tls import load_tls  # noqa: PLC0415

    settings = load_settings(config)
    load_tls(settings)
    file = configuration_path(config)
    typer.echo(f"OK: {file}" if file else "OK: no file, the defaults hold")
    if show:
        typer.echo("\n" + as_toml(settings))


def as_toml(settings: Settings) -> str:
    """The effective settings as a configuration file; what has no value stands commented out."""
    # Here and not above: no other command should have to wait for it.
    from sqlalchemy import make_url  # noqa: PLC0415

    tree = settings.model_dump(mode="json")
    tree["index"]["url"] = make_url(settings.index.url).render_as_string(hide_password=True)
    peers = tree.pop("peer")
    lines = [line for name, section in tree.items() for line in _table(name, section)]
    for peer in peers:
        lines += ["[[peer]]", *_values(peer), ""]
    return "\n".join(lines)


def _table(name: str, section: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    yield from _values({key: value for key, value in section.items() if not isinstance(value, dict)})
    yield ""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _table(f"{name}.{key}", value)


def _values(section: Mapping[str, Any]) -> Iterator[str]:
    """JSON's strings, numbers, booleans and lists are TOML's, once no character is escaped as a pair."""
    for key, value in section.items():
        text = json.dumps(value, ensure_ascii=False)
        yield f"# {key} =" if value is None else f"{key} = {text}"
