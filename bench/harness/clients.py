"""C-STORE load by stock clients, which read files and decide themselves how they write to a socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.association import HOST
from harness.processes import Sampler
from harness.report import Row
from harness.server import Server
from harness.templates import template

CLIENTS = {
    "dcmsend": ("-q", "-nuc"),
    "storescu": ("-q",),
}
"""DCMTK's programs, each with the options that only it needs."""


def dcmtk_program(name: str) -> str:
    """Return the path of one of DCMTK's programs; pynetdicom puts namesakes beside the interpreter."""
    beside = Path(sys.executable).parent
    folders = [each for each in os.get_exec_path() if Path(each) != beside]
    if path := shutil.which(name, path=os.pathsep.join(folders)):
        return path
    raise FileNotFoundError(f"{name} is not installed (Debian package dcmtk)")


def send_folders(
    server: Server, client: str, kind: str, folders: Sequence[Path], count: int, max_seconds: float = 120.0
) -> Row:
    """Run a copy of the client for each folder; start-up and reading count."""
    common = ["-aec", server.aet, "-pdu", "131072", "--max-send-pdu", "131072", "+sd", HOST, str(server.port)]
    command = [dcmtk_program(client), *CLIENTS[client], *common]
    sampler = Sampler(server.pid)
    sampler.start()
    before, start = server.cpu(), time.perf_counter()
    running = [
        subprocess.Popen(
            [*command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for folder in folders
    ]
    deadline = start + max_seconds
    failures = sorted({failure for each in running if (failure := _failure(each, deadline))})
    elapsed = time.perf_counter() - start
    peaks = sampler.finish()
    return {
        "acked": None if failures else count,
        "seconds": round(elapsed, 4),
        "instances_s": round(count / elapsed, 2),
        "mb_s": round(count * template(kind).size / elapsed / 1e6, 2),
        "cpu_s_per_1000": round((server.cpu() - before) / count * 1000, 3),
        "failures": failures,
        **peaks,
    }


def _failure(process: subprocess.Popen[str], deadline: float) -> str:
    try:
        _, errors = process.communicate(timeout=max(1.0, deadline - time.perf_counter()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "timed out"
    return f"exit {process.returncode}: {errors.strip()[:200]}" if process.returncode else ""
