"""The database's failures in the archive's words, without statements' values, which are patient data."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

from pacsd.errors import IndexUnavailable

__all__ = ["unavailable"]


def unavailable(done: str, error: Exception) -> IndexUnavailable:
    """What to raise, from `error`, when the index cannot be `done` ("read" or "written")."""
    # An operational error tells of locks, disks and connections; what others say may quote a value.
    cause = str(error.orig).strip() if isinstance(error, OperationalError) else type(error).__name__
    return IndexUnavailable(f"the index cannot be {done}: {cause}")
