"""The foreign programs that judge us, and what happens where one is missing.

A missing peer skips its tests with the reason. With PACSD_TEST_REQUIRE=all, as CI sets it, it fails them.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_VARIABLE = "PACSD_TEST_REQUIRE"
DCMTK_TOOLS = ("echoscu", "storescu", "dcmsend", "findscu", "getscu", "movescu", "storescp")


def everything_is_required() -> bool:
    """Whether a missing peer fails tests instead of skipping them."""
    return os.environ.get(REQUIRE_VARIABLE) == "all"


def missing(reason: str) -> NoReturn:
    """Skip the running test for `reason`, or fail it where everything is required."""
    if everything_is_required():
        pytest.fail(f"{reason} ({REQUIRE_VARIABLE}=all)", pytrace=False)
    pytest.skip(reason)


def dcmtk_tool(name: str) -> str:
    """Absolute path of one of DCMTK's programs; without it the test ends here (see `missing`).

    pynetdicom puts namesakes beside the interpreter, so that folder is left out of the search.
    """
    beside_interpreter = Path(sys.executable).parent
    folders = (folder for folder in os.get_exec_path() if Path(folder) != beside_interpreter)
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        missing(f"{name} is not installed (Debian package dcmtk)")
    return path


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
