"""What to do about a file that the server may not use."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["give_to_owner", "keep_private", "let_user", "reason"]


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


def give_to_owner(path: Path, folder: Path) -> None:
    """Let a file that root made belong to the owner of its folder, as the server may not be root; raises OSError."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
