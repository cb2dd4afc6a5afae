"""The rows of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pacsd.index.repository import Index

_ALL = 1_000_000


def paths_of(index: Index) -> list[str]:
    """Return the files that rows name, in order."""
    return [stored.path for stored in index.stored_after("", _ALL)]
