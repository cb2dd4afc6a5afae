"""Archives of others, run beside the server under test to be asked the same."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.deadline import wait_until
from support.peers import dcmtk_tool, free_port
from support.server import AE_TITLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["ForeignArchive", "dcmqrscp", "orthanc", "orthanc_version"]


@dataclass(frozen=True, slots=True)
class ForeignArchive:
    """A running archive that anybody may send to and ask; its AE title is that of the server under test."""

    name: str
    port: int
    host: str = "127.0.0.1"


@contextmanager
def dcmqrscp(folder: Path) -> Iterator[ForeignArchive]:
    """Run DCMTK's archive; it can hold some hundred studies."""
    archive = ForeignArchive("dcmqrscp", free_port())
    store, configuration = folder / "store", folder / "dcmqrscp.cfg"
    store.mkdir(parents=True)
    tables = [
        f"NetworkTCPPort = {archive.port}\nMaxPDUSize = 16384\nMaxAssociations = 16",
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END",
        f"AETable BEGIN\n{AE_TITLE} {store} RW (400, 1024mb) ANY\nAETable END\n",
    ]
    configuration.write_text("\n".join(tables))
    with _running([dcmtk_tool("dcmqrscp"), "-c", str(configuration)], folder, archive):
        yield archive


def orthanc_version() -> str | None:
    """The version of the Orthanc that is installed, None if there is none."""
    path = _orthanc()
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    return said.splitlines()[0].split()[-1]


@contextmanager
def orthanc(folder: Path) -> Iterator[ForeignArchive]:
    """Run Orthanc with its defaults, but open to all."""
    archive, path = ForeignArchive("Orthanc", free_port()), _orthanc()
    assert path is not None, "Orthanc is not installed"
    store, configuration = folder / "store", folder / "orthanc.json"
    store.mkdir(parents=True)
    settings = {
        "StorageDirectory": str(store),
        "IndexDirectory": str(store),
        "Plugins": [],
        "HttpServerEnabled": False,
        "DicomAet": AE_TITLE,
        "DicomPort": archive.port,
        "DicomAlwaysAllowFind": True,
        "SyncStorageArea": False,
    }
    configuration.write_text(json.dumps(settings))
    with _running([path, str(configuration)], folder, archive):
        yield archive


def _orthanc() -> str | None:
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


@contextmanager
def _running(command: Sequence[str], folder: Path, archive: ForeignArchive) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        # Without it, DCMTK's servers wait within a response until its beginning is acknowledged.
        environment = {**os.environ, "TCP_NODELAY": "1"}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: _listens(archive), within=20, what=f"{archive.name} listens")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _listens(archive: ForeignArchive) -> bool:
    try:
        socket.create_connection((archive.host, archive.port), timeout=1).close()
    except OSError:
        return False
    return True
