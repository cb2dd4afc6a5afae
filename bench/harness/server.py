"""A running server of `servers.toml`, and the destination of C-MOVE."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import entries, processes
from harness.association import HOST, echo
from harness.errors import ServerError, WireError
from harness.sink import Counters

AE_TITLE = "BENCHSCP"
DESTINATION_AE_TITLE = "BENCHDEST"
DESTINATION_START_SECONDS = 10.0


def free_port() -> int:
    """Return a TCP port that nobody listened on a moment ago."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


class Server:
    """A server with a folder of its own; it can be started again on what a former process left behind."""

    def __init__(self, entry: entries.Entry, folder: str | None, destination_port: int = 0) -> None:
        """Make the server's folder within `folder`, or where temporary files are."""
        self.entry, self.name = entry, str(entry["name"])
        self.work_dir = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-", dir=folder))
        self.storage_dir = self.work_dir / "storage"
        self.storage_dir.mkdir()
        self.aet = str(entry.get("aet", AE_TITLE))
        self.port = free_port()
        self._values = entries.everywhere() | {
            "port": self.port,
            "aet": self.aet,
            "storage_dir": self.storage_dir,
            "work_dir": self.work_dir,
            "http_port": free_port(),
            "dest_aet": DESTINATION_AE_TITLE,
            "dest_port": destination_port or free_port(),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self, text: str) -> list[str]:
        return shlex.split(entries.expand(text, self._values))

    def start(self) -> None:
        """Write the files, prepare, start, and return when the server answers a C-ECHO; else raise ServerError."""
        for name, text in self.entry["files"].items():
            (self.work_dir / name).write_text(entries.expand(text, self._values))
        # a setting of whoever runs this would make pacsd's defaults something else
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PACSD_")}
        environment = inherited | entries.environment(self.entry, self._values)
        try:
            for step in self.entry.get("prepare", []):
                subprocess.run(
                    self._command(step),
                    check=True,
                    env=environment,
                    timeout=60,
                    cwd=self.work_dir,
                    stdout=subprocess.DEVNULL,
                )
            with (self.work_dir / "log.txt").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command(self.entry["command"]),
                    cwd=self.work_dir,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise ServerError(f"{self.name} cannot be started: {error}") from error
        self._wait_until_ready(self._process, time.monotonic() + self.entry.get("start_timeout", 30))

    def _wait_until_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        last: Exception | None = None
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerError(f"{self.name} exited with {process.returncode}: {self._log_tail()}")
            try:
                if echo(self.port, self.aet, timeout=5) == 0:
                    return
            except (OSError, WireError) as error:
                last = error
            time.sleep(0.1)
        self.stop()
        raise ServerError(f"{self.name} is not ready: {last}; {self._log_tail()}")

    def _log_tail(self) -> str:
        return (self.work_dir / "log.txt").read_text(errors="replace")[-800:]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's first process."""
        if self._process is None:
            raise ServerError(f"{self.name} has not been started")
        return self._process

    @property
    def pid(self) -> int:
        """Of the first process, which leads the process group."""
        return self.process.pid

    def cpu(self) -> float:
        """Return the seconds of processor time so far."""
        return processes.cpu_seconds(self.pid)

    def kill(self) -> None:
        """Kill the whole process group at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def stop(self) -> None:
        """Stop with SIGTERM, and with SIGKILL what is left of the group after `stop_timeout`."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=self.entry.get("stop_timeout", 15))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=15)

    def remove(self) -> None:
        """Remove the server's folder."""
        shutil.rmtree(self.work_dir, ignore_errors=True)


@contextlib.contextmanager
def running(
    entry: entries.Entry, folder: str | None, *, destination_port: int = 0, keep: bool = False
) -> Iterator[Server]:
    """Run a server with empty storage; its folder is removed afterwards unless it is to be kept."""
    server = Server(entry, folder, destination_port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        if not keep:
            server.remove()


class Destination:
    """Where C-MOVE sends to: the sink, counting in a shared file."""

    def __init__(self, folder: str | None) -> None:
        """Start the sink and return when it answers."""
        self.port = free_port()
        with tempfile.NamedTemporaryFile(prefix="bench-sink-", dir=folder, delete=False) as file:
            self._path = Path(file.name)
        self._counters = Counters(self._path)
        command = [sys.executable, str(entries.BENCH_DIR / "sink.py"), "--port", str(self.port)]
        self._process = subprocess.Popen([*command, "--counters", str(self._path)], start_new_session=True)
        deadline = time.monotonic() + DESTINATION_START_SECONDS
        while True:
            try:
                echo(self.port, DESTINATION_AE_TITLE, timeout=2)
            except (OSError, WireError):
                if time.monotonic() > deadline:
                    self.close()
                    raise
                time.sleep(0.05)
            else:
                return

    def totals(self) -> tuple[int, int]:
        """Return instances and bytes received so far."""
        return self._counters.totals()

    def close(self) -> None:
        """Stop the sink with all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)
        self._path.unlink()
