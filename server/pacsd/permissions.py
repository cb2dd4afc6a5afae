"""What to do about a file that the server may not use."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

__all__ = ["MOUNT_READ_WRITE", "give_to_owner", "keep_private", "let_user", "reason"]

MOUNT_READ_WRITE: Final = "mount the file system read-write"


def keep_private(umask: str) -> None:
    """Let new files and directories of this process be without the permissions that `server.umask` names."""
    os.umask(int(umask, 8))


def let_user(do: str) -> str:
    """Return what an administrator has to do; by number, as a container's user has no name outside."""
    return f"let the server's user (id {os.geteuid()}) {do}"


def reason(error: OSError, do: str) -> str:
    """Return why a file cannot be used, and what to do about it where that is known, as for want of permission."""
    advice = ""
    if isinstance(error, PermissionError):
        advice = f"; {let_user(do)}"
    elif error.errno == errno.EROFS:
        advice = f"; {MOUNT_READ_WRITE}"
    return f"{error.strerror}{advice}"


def give_to_owner(path: Path, folder: Path) -> None:
    """Let a file that root made belong to the owner of its folder, as the server may not be root; raises OSError."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
