"""Whom a command calls and how: the options that echo, send, find, get and move share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pacsd.cli.options import ConfigFile
from pacsd.cli.security import (
    Authorities,
    Certificate,
    CheckName,
    PasswordFile,
    PrivateKey,
    Security,
    Tls,
)

if TYPE_CHECKING:
    from dicomnet import NetConfiguration
    from pacsd.scu.peer import Peer

__all__ = ["Call", "Connection", "ae_title", "calls_a_peer"]

DEFAULT_AE_TITLE = "PACSD"


def ae_title(value: str | None) -> str | None:
    """Check an AE title as the configuration does; raises typer.BadParameter."""
    if value is None:
        return None
    # Here and not above: no command should have to wait for what another needs.
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    from pacsd.settings import AeTitle  # noqa: PLC0415

    try:
        return str(TypeAdapter(AeTitle).validate_python(value))
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def port_number(value: str) -> int:
    """Read a TCP port; raises typer.BadParameter."""
    if value.isdecimal() and value.isascii() and 1 <= int(value) <= 65535:
        return int(value)
    raise typer.BadParameter(f"{value!r} is no port; write a number from 1 to 65535")


Host = Annotated[
    str | None, typer.Argument(metavar="HOST", help="Host name or address, unless --peer is given.")
]
Port = Annotated[str | None, typer.Argument(metavar="PORT", help="TCP port, unless --peer is given.")]
Calling = Annotated[
    str | None,
    typer.Option(
        "--calling",
        "--aet",
        metavar="AE",
        callback=ae_title,
        help=f"Our AE title; without it {DEFAULT_AE_TITLE}, or with --peer the configuration's dicom.ae_title.",
    ),
]
Called = Annotated[
    str | None,
    typer.Option(
        "--called",
        metavar="AE",
        callback=ae_title,
        help=f"The peer's AE title; without it {DEFAULT_AE_TITLE}, or the name that --peer gives.",
    ),
]
PeerName = Annotated[
    str | None,
    typer.Option(
        "--peer",
        metavar="AE",
        # Escaped, as help texts are markup.
        help=r"A [\[peer]] of the configuration, instead of HOST and PORT.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.001,
        help="How long the peer may take to answer a request; without it 60, or the configuration's with --peer.",
    ),
]


@dataclass(frozen=True, slots=True)
class Call:
    """A peer, what we are called there, and how we call it."""

    peer: Peer
    calling_ae_title: str
    configuration: NetConfiguration


@dataclass(frozen=True, slots=True)
class Connection:
    """What the options say of whom to call, and how."""

    host: str | None
    port: str | None
    peer: str | None
    calling: str | None
    called: str | None
    timeout: float | None
    security: Security
    config: Path | None

    def call(self) -> Call:
        """Put the options together; raises typer.BadParameter, and ConfigurationError where --peer needs the file.

        The configuration is read for --peer alone, so that a wrong one stands in nobody else's way.
        """
        host, port = self.host, self.port
        from dataclasses import replace  # noqa: PLC0415

        from dicomnet import NetConfiguration  # noqa: PLC0415
        from pacsd.scu.peer import Peer  # noqa: PLC0415

        if self.peer is not None:
            if host is not None:
                raise typer.BadParameter("give either HOST and PORT or --peer, not both")
            call = _configured(self.peer, self.called, self.calling, self.config, self.security)
        elif host is None or port is None:
            raise typer.BadParameter(
                "give HOST and PORT, or --peer with the AE title of a configured [[peer]]"
            )
        else:
            address = Peer(self.called or DEFAULT_AE_TITLE, host, port_number(port), self.security.over(None))
            call = Call(address, self.calling or DEFAULT_AE_TITLE, NetConfiguration())
        if self.timeout is None:
            return call
        timeouts = replace(call.configuration.timeouts, dimse=self.timeout)
        return replace(call, configuration=replace(call.configuration, timeouts=timeouts))


def _connection(
    host: Host = None,
    port: Port = None,
    *,
    calling: Calling = None,
    called: Called = None,
    peer: PeerName = None,
    timeout: Timeout = None,
    tls: Tls = False,
    ca: Authorities = None,
    cert: Certificate = None,
    private_key: PrivateKey = None,
    private_key_password_file: PasswordFile = None,
    check_name: CheckName = True,
    config: ConfigFile = None,
) -> Connection:
    security = Security(tls, ca, cert, private_key, check_name, private_key_password_file)
    return Connection(host, port, peer, calling, called, timeout, security, config)


_OPTIONS: Final = inspect.signature(_connection, eval_str=True).parameters
_ADDRESS: Final = frozenset(("host", "port"))


def calls_a_peer(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for calling a peer, which it gets together as its argument `connection`.

    A command with an argument of its own says HOST and PORT in that, and they are None in the connection.
    """
    own = [
        each
        for each in inspect.signature(command, eval_str=True).parameters.values()
        if each.name != "connection"
    ]
    has_arguments = any(each.kind is each.POSITIONAL_OR_KEYWORD for each in own)
    shared = [each for each in _OPTIONS.values() if not (has_arguments and each.name in _ADDRESS)]

    def with_connection(**values: Any) -> None:
        options = {each.name: values.pop(each.name) for each in shared}
        command(connection=_connection(**options), **values)

    parameters = sorted([*own, *shared], key=lambda each: each.kind)
    if not has_arguments:
        parameters = [*shared[: len(_ADDRESS)], *own, *shared[len(_ADDRESS) :]]
    with_connection.__name__ = command.__name__
    with_connection.__doc__ = command.__doc__
    with_connection.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_connection.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_connection


def _configured(
    name: str, called: str | None, calling: str | None, config: Path | None, security: Security
) -> Call:
    from dicomnet import NetConfiguration, Timeouts  # noqa: PLC0415
    from pacsd.configuration import load_settings  # noqa: PLC0415
    from pacsd.errors import ConfigurationError  # noqa: PLC0415
    from pacsd.scu.peer import Peer  # noqa: PLC0415
    from pacsd.tls import tls_configuration  # noqa: PLC0415

    settings = load_settings(config)
    known = settings.find_peer(name.strip(" "))
    if known is None:
        titles = ", ".join(entry.ae_title for entry in settings.peer) or "none"
        raise ConfigurationError(f"no [[peer]] has the AE title {name}; configured: {titles}")
    configured = tls_configuration(settings) if known.tls or security.tls else None
    return Call(
        Peer(called or known.ae_title, known.host, known.port, security.over(configured)),
        calling or settings.dicom.ae_title,
        NetConfiguration(
            maximum_length=settings.dicom.max_pdu_length,
            timeouts=Timeouts(**settings.dicom.timeouts.model_dump()),
        ),
    )
