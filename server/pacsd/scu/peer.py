"""A peer's address, as associations that we open need it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity that can be called."""

    ae_title: str
    host: str
    port: int
