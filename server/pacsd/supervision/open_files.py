"""How many files the processes may have open: each association is one socket, and more while it works."""

from __future__ import annotations

import resource
from typing import Final

import structlog

__all__ = ["allow_open_files"]

FILES_OF_ONE_ASSOCIATION: Final = 3
"""Its socket, the instance that it receives or sends, and the association of a C-MOVE to its destination."""
OTHER_FILES: Final = 1024
"""Database, logs, pipes, and connections that have not asked for an association yet."""

_log = structlog.get_logger()


def allow_open_files(max_associations: int) -> None:
    """Raise the soft limit of this process, which children inherit, as far as needed and allowed.

    All associations may meet in one worker. The usual soft limit of 1024 is meant for programs that use
    select(); a hard limit that is too low is logged, with what it takes to raise it.
    """
    wanted = max_associations * FILES_OF_ONE_ASSOCIATION + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("open-files-limited", allowed=allowed, wanted=wanted, hint="raise ulimit -Hn (nofile)")
