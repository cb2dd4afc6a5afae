"""What a reload can change, and what only a restart can."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pacsd.settings import Settings, TlsSettings

__all__ = ["keep_what_needs_a_restart"]


def keep_what_needs_a_restart(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """`new` with the sockets, store, index and umask of `old`, and the keys where it asked for others.

    `config/pacsd.toml` marks these settings "(restart)". Store and index stay because the workers that still drain
    use them, and because another one must first be prepared as at a start. Certificates and keys are read anew, even
    under the same names.
    """
    tls = _same_sockets(old.dicom.tls, new.dicom.tls)
    dicom = new.dicom.model_copy(
        update={"enabled": old.dicom.enabled, "host": old.dicom.host, "port": old.dicom.port, "tls": tls}
    )
    storage = new.storage.model_copy(update={"root": old.storage.root})
    server = new.server.model_copy(update={"umask": old.server.umask})
    kept = new.model_copy(
        update={"dicom": dicom, "storage": storage, "http": old.http, "index": old.index, "server": server}
    )
    changed = {
        "dicom.enabled": old.dicom.enabled != new.dicom.enabled,
        "dicom.host": old.dicom.host != new.dicom.host,
        "dicom.port": old.dicom.port != new.dicom.port,
        "dicom.tls.enabled": old.dicom.tls.enabled != new.dicom.tls.enabled,
        "dicom.tls.port": tls.enabled and old.dicom.tls.port != new.dicom.tls.port,
        "storage.root": old.storage.root != new.storage.root,
        "index": old.index != new.index,
        "http": old.http != new.http,
        "server.umask": old.server.umask != new.server.umask,
    }
    return kept, [key for key, is_changed in changed.items() if is_changed]


def _same_sockets(old: TlsSettings, new: TlsSettings) -> TlsSettings:
    if old.enabled and not new.enabled:
        return old  # the new ones may lack what the socket that stays open needs
    return new.model_copy(update={"enabled": old.enabled, "port": old.port})
