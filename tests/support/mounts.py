"""File systems for a server under test alone: mounted in a namespace of its own, never on this machine itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.peers import missing

if TYPE_CHECKING:
    from types import TracebackType


def namespace_options() -> list[str]:
    """A mount namespace of its own, so that nothing is ever mounted on this machine itself; no root needed."""
    return ["-m"] if os.geteuid() == 0 else ["-r", "-m"]


def mounting_is_possible() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    attempt = [unshare, *namespace_options(), "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


class SmallDisk:
    """A tmpfs at `folder`, which stays while this object is open, whatever becomes of the servers on it."""

    def __init__(self, folder: Path, options: str) -> None:
        """`options` are the mount's, such as "size=4000000"; where nothing can be mounted the test ends here."""
        if not mounting_is_possible():
            missing("no file system can be mounted here, not even in a namespace")
        folder.mkdir()
        self.folder = folder
        script = f'mount -t tmpfs -o {options} none "$0" && echo mounted && read -r _'
        self._holder = subprocess.Popen(
            ["unshare", *namespace_options(), "sh", "-c", script, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n"

    @property
    def launcher(self) -> list[str]:
        """What precedes the command of a server that is to see the disk."""
        enter = ["nsenter", "-t", str(self._holder.pid), "-m"]
        return enter if os.geteuid() == 0 else [*enter, "-U", "--preserve-credentials"]

    @property
    def visible_folder(self) -> Path:
        """The disk as seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root") / self.folder.relative_to("/")

    def remount(self, options: str) -> None:
        """Change the mount's options."""
        subprocess.run(
            [*self.launcher, "mount", "-o", f"remount,{options}", str(self.folder)], check=True, timeout=30
        )

    def fill(self, leave: int = 0) -> Path:
        """Fill it with one file, up to so many bytes; returns that."""
        ballast = self.visible_folder / "ballast"
        status = os.statvfs(self.visible_folder)
        missing_bytes = status.f_bavail * status.f_frsize - leave
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, missing_bytes)
        return ballast

    def free(self) -> int:
        """Bytes that are free."""
        status = os.statvfs(self.visible_folder)
        return status.f_bavail * status.f_frsize

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.communicate(b"\n", timeout=30)
