"""A peer's address, as associations that we open need it."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnet import TlsConfiguration

__all__ = ["Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity that can be called."""

    ae_title: str
    host: str
    port: int
    tls: TlsConfiguration | None = None
    """How to speak TLS with it; None: in the clear."""
