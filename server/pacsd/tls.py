"""What the configuration says of TLS, as the engine takes it; and what is wrong with the files that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet import TlsConfiguration, TlsConfigurationError
from pacsd.errors import ConfigurationError

if TYPE_CHECKING:
    from pacsd.settings import Settings

__all__ = ["load_tls", "tls_configuration"]


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
        raise ConfigurationError(f"dicom.tls.{error.part}: {error}") from error
    return configuration


def tls_configuration(settings: Settings) -> TlsConfiguration:
    """Return what `[dicom.tls]` says, for both roles; no file is looked at."""
    tls = settings.dicom.tls
    return TlsConfiguration(
        certificate=tls.certificate,
        private_key=tls.private_key,
        ca=tls.ca,
        require_peer_certificate=tls.require_client_certificate,
        check_host_name=tls.check_host_name,
    )
