"""Options for calling a peer over TLS, that echo, send, find, get and move share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dicomnet import TlsConfiguration

__all__ = ["Authorities", "Certificate", "CheckName", "PasswordFile", "PrivateKey", "Security", "Tls"]

Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Call over TLS. A --peer with `tls = true` is in any case, with the configuration's files.",
    ),
]
Authorities = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", help="Whose certificates we believe, in PEM; without it the system's choice."
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", help="Our certificate with its chain, in PEM."),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option(
        "--private-key", metavar="FILE", help="Its key, in PEM; without it the file of --cert has it."
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--private-key-password-file",
        metavar="FILE",
        help="Whose first line is the password of an encrypted key; there is no option for the password itself, as"
        " all users of the machine could read it.",
    ),
]
CheckName = Annotated[
    bool,
    typer.Option("--check-name/--no-check-name", help="Whether the peer's certificate must name its host."),
]

_OPTIONS = {
    "ca": "--ca",
    "certificate": "--cert",
    "private_key": "--private-key",
    "key_password": "--private-key-password-file",
}


@dataclass(frozen=True, slots=True)
class Security:
    """What the options say."""

    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    check_name: bool = True
    password_file: Path | None = None

    def over(self, configured: TlsConfiguration | None) -> TlsConfiguration | None:
        """Return how to call: the options over what is configured for the peer; None is in the clear.

        Raises typer.BadParameter where options contradict each other or a file cannot be used.
        """
        from dicomnet import TlsConfiguration, TlsConfigurationError  # noqa: PLC0415
        from pacsd.tls import read_password  # noqa: PLC0415

        if not self.tls and configured is None:
            if self != Security():
                raise typer.BadParameter("certificates are of use with --tls only")
            return None
        if self.private_key is not None and self.certificate is None:
            raise typer.BadParameter("--private-key needs --cert")
        if self.password_file is not None and self.certificate is None:
            raise typer.BadParameter("--private-key-password-file needs --cert")
        tls = configured or TlsConfiguration()
        if self.ca is not None:
            tls = replace(tls, ca=self.ca, crl=None)  # which is of the configured authorities
        if self.certificate is not None:
            password = partial(read_password, self.password_file) if self.password_file else None
            tls = replace(
                tls, certificate=self.certificate, private_key=self.private_key, key_password=password
            )
        tls = replace(tls, check_host_name=tls.check_host_name and self.check_name)
        try:
            _ = tls.client_context
        except TlsConfigurationError as error:
            raise typer.BadParameter(f"{self._name_of(error.part)}: {error}") from error
        return tls

    def _name_of(self, part: str) -> str:
        """Return where a file was named: in an option, or else in the configuration."""
        from pacsd.tls import setting_of  # noqa: PLC0415

        is_ours = self.ca is not None if part == "ca" else self.certificate is not None
        return _OPTIONS.get(part, part) if is_ours else setting_of(part)
