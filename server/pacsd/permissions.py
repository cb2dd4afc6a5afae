"""What to do about a file that the server may not use."""

from __future__ import annotations

import os

__all__ = ["keep_private", "let_user", "reason"]


def keep_private(umask: str) -> None:
    """Let new files and directories of this process be without the permissions that `server.umask` names."""
    os.umask(int(umask, 8))


def let_user(do: str) -> str:
    """Return what an administrator has to do; by number, as a container's user has no name outside."""
    return f"let the server's user (id {os.geteuid()}) {do}"


def reason(error: OSError, do: str) -> str:
    """Return why a file cannot be used, and where that is for want of permission, what to do about it."""
    advice = f"; {let_user(do)}" if isinstance(error, PermissionError) else ""
    return f"{error.strerror}{advice}"
