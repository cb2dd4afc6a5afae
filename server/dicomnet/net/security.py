"""Which security a DicomNet may be asked for by name (PS3.15 Annex B)."""

from __future__ import annotations

from dicomnet.errors import SecurityNotSupported

__all__ = ["refuse_retired_security"]


def refuse_retired_security(security: str | None) -> None:
    """Raise SecurityNotSupported for all but None and "none"."""
    if security is None or security.casefold() == "none":
        return
    if security.casefold() == "iscl":
        raise SecurityNotSupported(
            "ISCL is retired from PS3.15 and rests on broken ciphers; it is not supported, use TLS"
        )
    raise SecurityNotSupported(f"security {security!r} is not known")
