"""What the configuration says of TLS, as the engine takes it; and what is wrong with the files that it names."""

from __future__ import annotations

from codecs import BOM_UTF8
from functools import partial
from typing import TYPE_CHECKING, Final

from dicomnet import TlsConfiguration, TlsConfigurationError
from pacsd.errors import ConfigurationError
from pacsd.permissions import let_user

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pacsd.settings import Settings, TlsSettings

__all__ = ["load_tls", "read_password", "setting_of", "tls_configuration"]

_LONGEST_PASSWORD: Final = 1024
"""Bytes; OpenSSL takes no longer one."""


def load_tls(settings: Settings) -> TlsConfiguration | None:
    """Read the certificates and keys that `settings` need; None where TLS is spoken with nobody.

    They stay as they are now, whatever becomes of the files. Raises ConfigurationError, naming the key.
    """
    calls_over_tls = any(peer.tls for peer in settings.peer)
    if not (settings.dicom.tls.enabled or calls_over_tls):
        return None
    configuration = tls_configuration(settings)
    try:
        if settings.dicom.tls.enabled:
            _ = configuration.server_context
        if calls_over_tls:
            _ = configuration.client_context
    except TlsConfigurationError as error:
        setting = setting_of(error.part, password_file=settings.dicom.tls.private_key_password_file)
        advice = f"; {let_user('read it')}" if isinstance(error.__cause__, PermissionError) else ""
        raise ConfigurationError(f"{setting}: {error}{advice}") from error
    return configuration


def tls_configuration(settings: Settings) -> TlsConfiguration:
    """Return what `[dicom.tls]` says, for both roles; no file is looked at."""
    tls = settings.dicom.tls
    return TlsConfiguration(
        certificate=tls.certificate,
        private_key=tls.private_key,
        key_password=_password(tls),
        ca=tls.ca,
        crl=tls.crl,
        require_peer_certificate=tls.require_client_certificate,
        check_host_name=tls.check_host_name,
    )


def setting_of(part: str, *, password_file: Path | None = None) -> str:
    """Return the setting that a field of TlsConfiguration comes from; the password's where there is no file for it."""
    if part == "key_password":
        part = "private_key_password" if password_file is None else "private_key_password_file"
    return f"dicom.tls.{part}"


def _password(tls: TlsSettings) -> Callable[[], str | bytes] | None:
    if tls.private_key_password is not None:
        return tls.private_key_password.get_secret_value
    if tls.private_key_password_file is not None:
        return partial(read_password, tls.private_key_password_file)
    return None


def read_password(file: Path) -> bytes:
    """Return the first line of a file; raises TlsConfigurationError."""
    try:
        with file.open("rb") as opened:
            return opened.readline(_LONGEST_PASSWORD).removeprefix(BOM_UTF8).rstrip(b"\r\n")
    except OSError as error:
        raise TlsConfigurationError(f"cannot read {file}: {error.strerror}", part="key_password") from error
