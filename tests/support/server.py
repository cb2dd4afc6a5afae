"""A `pacsd serve` under test: its configuration, its process group, its log, its HTTP side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.deadline import wait_until
from support.peers import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AE_TITLE = "PACSD"
START_DEADLINE = 30.0
STOP_DEADLINE = 30.0
EVERYTHING = ("echo", "store", "find", "move", "get")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One [[peer]] of the configuration."""

    ae_title: str
    port: int
    host: str = "127.0.0.1"
    allow: Sequence[str] = EVERYTHING
    tls: bool = False
    answers: Mapping[str, Any] = field(default_factory=dict)
    """Its settings for queries."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """What else decides who may do what."""


SENDER = Peer(ae_title="WIRE", port=104, allow=("echo", "store"))
"""What `wire.WireAssociation` calls itself, as a peer that is known: it may correct what it has stored."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the HTTP side said."""

    status: int
    text: str


class PacsdServer:
    """A server with its own data folder; it can be started again on what a former process left behind."""

    def __init__(
        self,
        folder: Path,
        *,
        peers: Sequence[Peer] = (),
        launcher: Sequence[str] = (),
        root: Path | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write the configuration; `launcher` precedes the command, `settings` overrides its tables."""
        self.host = "127.0.0.1"
        self.port = free_port()
        self.http_port = free_port()
        self.root = root or folder / "store"
        self.index_path = folder / "index.db"
        self.log_path = folder / "server.log"
        self.config_path = folder / "pacsd.toml"
        self._launcher = tuple(launcher)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(peers=peers, settings=settings)

    def configure(
        self, *, peers: Sequence[Peer] = (), settings: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Write the configuration; a running server takes it up at `reload`."""
        self.config_path.write_text(self._configuration(peers, settings or {}))

    def reload(self) -> str:
        """SIGHUP; returns what the log says about it."""
        mark = self.log_size()
        os.kill(self.pid, signal.SIGHUP)
        self.wait_for_log('"event": "configuration-re', after=mark)
        return self.log_path.read_bytes()[mark:].decode()

    def _configuration(self, peers: Sequence[Peer], settings: Mapping[str, Mapping[str, Any]]) -> str:
        tables: dict[str, dict[str, Any]] = {
            "dicom": {"ae_title": AE_TITLE, "host": self.host, "port": self.port},
            "storage": {"root": str(self.root), "min_free_mb": 1},
            "index": {"url": f"sqlite:///{self.index_path}"},
            "http": {"host": self.host, "port": self.http_port},
            "server": {"workers": 2},
            "access": {"unknown_peers": ["echo", "store"]},
            "log": {"format": "json", "level": "info"},
        }
        for name, table in settings.items():
            tables.setdefault(name, {}).update(table)
        lines = []
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
        for peer in peers:
            lines += [
                "[[peer]]",
                f'ae_title = "{peer.ae_title}"',
                f'host = "{peer.host}"',
                f"port = {peer.port}",
            ]
            lines += [f"allow = {json.dumps(list(peer.allow))}", f"tls = {json.dumps(peer.tls)}"]
            further = {**peer.answers, **peer.rules}
            lines += [*(f"{key} = {json.dumps(value)}" for key, value in further.items()), ""]
        return "\n".join(lines)

    @property
    def pid(self) -> int:
        """Of the supervisor, which also leads the process group."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def workers(self) -> list[int]:
        """The supervisor's child processes, oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return sorted(int(pid) for pid in children.split())

    def storing_workers(self) -> list[int]:
        """Of the child processes those that take associations."""
        return self.processes("worker")

    def processes(self, role: str) -> list[int]:
        """The child processes of a role, as the log tells them (`log.format` is "json")."""
        events = [json.loads(line) for line in self.log_text().splitlines() if '"process-started"' in line]
        named = {event["child"] for event in events if event["role"] == role}
        return [pid for pid in self.workers() if pid in named]

    def process_of(self, role: str) -> int:
        """The process in this role, of those that run only once."""
        (pid,) = self.processes(role)
        return pid

    def wait_for_workers(self, number: int) -> None:
        """Wait until so many worker processes run; a dead one that is not reaped yet does not count."""
        wait_until(
            lambda: sum(map(_is_alive, self.workers())) == number,
            within=START_DEADLINE,
            what=f"{number} workers run",
        )

    def start(self, *, launcher: Sequence[str] = ()) -> None:
        """Start in a process group of its own and return when /readyz says so; `launcher` is for this time only."""
        self.launch(launcher=launcher)
        try:
            wait_until(self._is_ready, within=START_DEADLINE, what="the server becomes ready")
        except AssertionError:
            self.kill()
            raise

    def launch(self, *, launcher: Sequence[str] = ()) -> None:
        """Start, and do not wait."""
        assert self._process is None, "the server is running already"
        command = [
            *self._launcher,
            *launcher,
            sys.executable,
            "-m",
            "pacsd",
            "serve",
            "--config",
            str(self.config_path),
        ]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PACSD_")}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(
                f"the server ended with {self._process.returncode}:\n{self.log_text()[-4000:]}"
            )
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def run(
        self, *arguments: str, timeout: float = 60.0, launcher: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run another command of pacsd with this server's configuration; `launcher` precedes it."""
        command = [*launcher, sys.executable, "-m", "pacsd", *arguments, "--config", str(self.config_path)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PACSD_")}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, env=environment
        )

    def terminate(self) -> None:
        """Send SIGTERM to the supervisor, and do not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> int:
        """The exit status, once the process has ended by itself; the whole group must be gone then."""
        assert self._process is not None
        group = self.pid
        status = self._process.wait(timeout=STOP_DEADLINE)
        self._process = None
        wait_until(lambda: not _group_exists(group), within=5.0, what="all processes of the server are gone")
        return status

    def forget(self) -> None:
        """Let another process be started while others of this one's group still finish; it has to be dead itself."""
        assert self._process is not None
        self._process.wait(timeout=STOP_DEADLINE)
        self._process = None

    def stop(self) -> None:
        """Stop with SIGTERM; the exit status must be 0 and the log free of tracebacks."""
        self.terminate()
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop:\n{self.log_text()[-4000:]}") from None
        assert status == 0, f"exit status {status}:\n{self.log_text()[-4000:]}"
        self.assert_no_traceback()

    def assert_no_traceback(self) -> None:
        """No exception that nobody expected has reached the log."""
        lines = [line for line in self.log_text().splitlines() if "Traceback" in line]
        assert not lines, "\n".join(lines)

    def kill(self) -> None:
        """SIGKILL the supervisor and all workers at once."""
        assert self._process is not None
        group = self.pid
        if _group_exists(group):
            os.killpg(group, signal.SIGKILL)
        self._process.wait(timeout=STOP_DEADLINE)
        self._process = None
        wait_until(lambda: not _group_exists(group), within=5.0, what="all killed processes are gone")

    @property
    def is_running(self) -> bool:
        """Whether `start` was called and neither `wait` nor `kill` since."""
        return self._process is not None

    def get(self, path: str) -> Answer:
        """GET from the HTTP side; raises OSError where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.http_port}{path}", timeout=5) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of a metric that carry these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(f'{k}="{v}"' in sample for k, v in labels.items()):
                total += float(value)
        return total

    def log_text(self) -> str:
        """Everything that the server's processes have written so far."""
        return self.log_path.read_text(errors="replace")

    def log_events(self, *, after: int = 0) -> list[dict[str, Any]]:
        """The log lines behind byte `after`; a line that is no JSON object fails."""
        lines = self.log_path.read_bytes()[after:].decode().splitlines()
        return [json.loads(line) for line in lines]

    def wait_for_log(self, text: str, *, after: int, within: float = 5.0) -> None:
        """Wait until a line behind byte `after` of the log holds `text`."""

        def is_there() -> bool:
            return text.encode() in self.log_path.read_bytes()[after:]

        wait_until(is_there, within=within, what=f"the log mentions {text!r}")

    def log_size(self) -> int:
        """Length of the log so far, bytes; a mark for `log_events`."""
        return self.log_path.stat().st_size

    def kept_files(self) -> set[Path]:
        """All files in the folders under the storage root, and in `incoming`.

        What lies in the root itself is the server's own bookkeeping.
        """
        root = self.visible_root()
        found = {path for path in root.rglob("*") if path.is_file() and path.parent != root}
        return {path for path in found if not _is_lock(path)} | self.incoming_files()

    def incoming_files(self) -> set[Path]:
        """Files of transfers under way, lock files apart; `incoming` may lie in or beside the root."""
        root = self.visible_root()
        folders = [root / "incoming", root.parent / "incoming"]
        found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
        return {path for path in found if not _is_lock(path)}

    def visible_root(self) -> Path:
        """The storage root as seen from here, also where the server has mounts of its own."""
        return Path(f"/proc/{self.pid}/root") / self.root.relative_to("/") if self._launcher else self.root


def _is_lock(path: Path) -> bool:
    return path.suffix == ".lock" or path.name.startswith(".")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
