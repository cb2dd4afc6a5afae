"""DCMTK's programs as clients and as a C-MOVE destination."""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom import dcmread

from support.deadline import wait_until
from support.peers import dcmtk_tool
from support.scu import CALLING_AE_TITLE
from support.server import AE_TITLE, PacsdServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

DEADLINE = 60


def run(
    tool: str,
    server: PacsdServer,
    *arguments: str | Path,
    called: str = AE_TITLE,
    calling: str = CALLING_AE_TITLE,
    port: int | None = None,
) -> str:
    """Run a client against the server, require exit status 0, return all that it printed."""
    result = run_unchecked(tool, server, *arguments, called=called, calling=calling, port=port)
    assert result.returncode == 0, f"{tool} ended with {result.returncode}:\n{result.stdout}"
    return result.stdout


def run_unchecked(
    tool: str,
    server: PacsdServer,
    *arguments: str | Path,
    called: str = AE_TITLE,
    calling: str = CALLING_AE_TITLE,
    port: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """As `run`, whatever the exit status."""
    command = [dcmtk_tool(tool), "-aec", called, "-aet", calling, server.host, str(port or server.port)]
    return subprocess.run(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=DEADLINE,
        check=False,
    )


def find(server: PacsdServer, folder: Path, model: str, level: str, *keys: str) -> list[Dataset]:
    """C-FIND with findscu; `model` is -P or -S, the keys as `Keyword` or `Keyword=value`."""
    options = [part for key in (f"QueryRetrieveLevel={level}", *keys) for part in ("-k", key)]
    run("findscu", server, model, "-X", "-od", folder, *options)
    return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


@dataclass(frozen=True, slots=True)
class StoreScp:
    """A running storescp that writes what it receives, bit by bit, into `folder`."""

    port: int
    folder: Path


@contextmanager
def storescp(ae_title: str, folder: Path, *options: str, port: int) -> Iterator[StoreScp]:
    """Run DCMTK's storescp; it takes every transfer syntax unless `options` say less."""
    folder.mkdir(parents=True, exist_ok=True)
    command: Sequence[str] = [
        dcmtk_tool("storescp"),
        "--fork",
        "-q",
        "-aet",
        ae_title,
        *(options or ("+xa",)),
    ]
    process = subprocess.Popen([*command, "+B", "-od", str(folder), str(port)], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), within=10, what="storescp listens")
        yield StoreScp(port, folder)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
