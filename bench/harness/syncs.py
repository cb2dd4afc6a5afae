"""Which syncs a server makes before it answers a C-STORE, as strace sees them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from harness import store
from harness.instances import plan
from harness.processes import tree
from harness.report import Row
from harness.server import Server

_CALL = re.compile(r"^(\d+)\s+(?:\d+:\d+:\d+\.\d+ )?(\w+)\((?:(\d+)<([^>]*(?:->[^>]*)?)>)?")
_SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync")
_NAMES = ("rename", "renameat", "renameat2", "link", "linkat")
_WRITES = ("write", "writev", "sendto", "sendmsg")
_TRACED = (*_NAMES, *_WRITES, *_SYNCS)


class Trace:
    """What a trace says, line by line: the syncs between two writes to a socket."""

    def __init__(self, storage_dir: str) -> None:
        self._storage_dir = storage_dir
        self._pending: Counter[str] = Counter()
        self._sequence: list[str] = []
        self.before_response: Counter[str] = Counter()
        self.order_of_one: list[str] = []
        """What was done for the last response that anything was done for."""

    def read(self, lines: Iterable[str]) -> None:
        """Take the lines of `strace -f -y`."""
        for line in lines:
            if match := _CALL.match(line):
                self._call(match[2], match[4] or "")

    def _call(self, name: str, path: str) -> None:
        if name in _SYNCS:
            key = f"{name} {category(path, self._storage_dir)}"
            self._pending[key] += 1
            self._sequence.append(key)
        elif name in _NAMES:
            self._sequence.append(name)
        elif name in _WRITES and path.startswith(("socket:", "TCP:")):
            self.before_response += self._pending
            if self._sequence:
                self.order_of_one = [*self._sequence, "response"][-8:]
            self._pending, self._sequence = Counter(), []

    @property
    def after_last_response(self) -> dict[str, int]:
        """The syncs that no response came behind."""
        return dict(self._pending)


def category(path: str, storage_dir: str) -> str:
    """Say what a synced path is: db, db journal, directory, file, or other."""
    name = Path(path).name
    if re.search(r"(-wal|-journal|-shm)$", name):
        return "db journal"
    if re.search(r"\.(db|sqlite3?|dat|mdb|idx)$|^index($|\.dat)|^index-?", name):
        return "db"
    if Path(path).is_dir():
        return "directory"
    return "file" if path.startswith(storage_dir) else "other"


def probe(server: Server, folder: str | None, count: int = 20) -> Row:
    """Store some instances on one association under strace; the server must still be running."""
    strace = shutil.which("strace")
    if strace is None:
        raise FileNotFoundError("strace is not installed")
    with tempfile.NamedTemporaryFile(prefix="bench-strace-", dir=folder) as out:
        options = ["-f", "-y", "-qq", "-s", "0", "-o", out.name, "-e", "trace=" + ",".join(_TRACED)]
        # -f alone follows threads and later children, not the workers that are there already
        everyone = [part for pid in tree(server.pid) for part in ("-p", str(pid))]
        tracing = subprocess.Popen(
            [strace, *options, *everyone], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(1.0)  # until it has attached to every thread
            load = store.Load("ct", max_seconds=60.0, timeout=60.0)
            figures, _ = store.replay(server, load, plan(count, 1, 8001))
            time.sleep(3.0)  # late syncs of background threads
        finally:
            tracing.terminate()
            tracing.wait(timeout=20)
        trace = Trace(str(server.storage_dir))
        with Path(out.name).open(errors="replace") as lines:
            trace.read(lines)
    return _figures(trace, figures)


def _figures(trace: Trace, figures: Row) -> Row:
    # the association's acceptance and release are responses too, without syncs of their own
    before, stored = trace.before_response, max(1, figures["acked"])
    return {
        "stored": figures["acked"],
        "syncs_before_reply_per_instance": {key: round(n / stored, 2) for key, n in before.items()},
        "syncs_after_last_reply": trace.after_last_response,
        "order_of_one": trace.order_of_one,
        "file_synced_before_reply": any(key.endswith(" file") for key in before),
        "index_synced_before_reply": any(" db" in key for key in before),
        "directory_synced": any(key.endswith("directory") for key in before),
        "failures": figures["failures"],
    }
