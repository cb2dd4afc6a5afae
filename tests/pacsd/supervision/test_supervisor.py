"""The supervisor with real processes: start, replacement of the dead, reload, shutdown."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pacsd.model import ArchiveIdentity
from pacsd.settings import DicomSettings, HttpSettings, Settings, TlsSettings
from pacsd.supervision.backoff import Backoff
from pacsd.supervision.configuration_reload import keep_what_needs_a_restart
from pacsd.supervision.listeners import AddressUnavailable, bind
from pacsd.supervision.process_role import ProcessRole
from pacsd.supervision.processes import Processes
from pacsd.supervision.shared_numbers import SLOTS, WorkerState
from support.deadline import wait_until
from support.peers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("supervised_server.py")
DEADLINE = 20.0
ROLE = ProcessRole("worker", lambda _: 0, serves_associations=True)


class Server:
    """A running supervisor whose worker is `supervised_server`'s."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.http_port = free_port(), free_port()
        self.config = folder / "pacsd.toml"
        self.log_file = folder / "log"
        self.configure()

    def configure(
        self,
        *,
        ae_title: str = "FIRST",
        more: str = "",
        http: str = "[http]",
        workers: int = 2,
        port: int = 0,
    ) -> None:
        self.config.write_text(
            f"""
{more}
[dicom]
ae_title = "{ae_title}"
host = "127.0.0.1"
port = {port or self.port}
{http and f"{http}{chr(10)}port = {self.http_port}"}
[server]
workers = {workers}
shutdown_timeout = 0.5
[storage]
root = "{self.folder}/store"
min_free_mb = 1
[index]
url = "sqlite:///{self.folder}/index.db"
[log]
format = "json"
[[peer]]
ae_title = "CT1"
host = "127.0.0.1"
port = 11113
"""
        )

    def start(self) -> None:
        self.launch()
        self.until(lambda: self.get("/readyz")[0] == 200, "ready")

    def launch(self) -> None:
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )

    def until(self, condition: object, what: str) -> None:
        try:
            wait_until(condition, within=DEADLINE, what=what)  # type: ignore[arg-type]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_file.read_text()}") from error

    def ask(self, what: str = "who") -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(what.encode())
            return connection.recv(100).decode()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    def workers(self) -> list[int]:
        living = {event["child"] for event in self.events("process-started") if event["role"] == "worker"}
        for name in ("process-died", "process-ended"):
            living -= {event["child"] for event in self.events(name)}
        return sorted(living)

    def end(self, *signals: signal.Signals) -> int:
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(timeout=DEADLINE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        server.start()
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGTERM, signal.SIGTERM)
    assert "Traceback" not in server.log_file.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(server: Server, number: signal.Signals) -> None:
    assert server.ask().split()[2] == "FIRST"
    children = server.workers()
    assert len(children) == 2
    assert server.end(number) == 0
    assert server.workers() == []
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(ConnectionRefusedError):
        server.ask()


def test_a_killed_worker_is_replaced_and_what_it_held_is_given_back(server: Server) -> None:
    assert server.ask("keep") == "kept"
    assert server.metric("pacsd_associations_open") == 1
    _, pid, _, total = server.ask().split()
    assert total == "2", "the kept one and this one"
    for victim in server.workers():
        os.kill(victim, signal.SIGKILL)
    server.until(lambda: len(server.events("process-died")) == 2, "both deaths are seen")
    server.until(lambda: server.get("/readyz")[0] == 200, "both are replaced")
    died = server.events("process-died")
    assert {event["signal"] for event in died} == {"SIGKILL"}
    assert died[0]["replaced_in_seconds"] == 0
    _, successor, _, total = server.ask().split()
    assert successor != pid
    assert total == "1"
    assert server.metric("pacsd_associations_open") == 0
    assert server.metric("pacsd_worker_restarts_total") == 2
    assert server.metric("pacsd_associations_accepted_total") == 3, "counted on where the dead ones ended"


def test_a_worker_that_ends_by_itself_is_replaced_and_its_status_is_told(server: Server) -> None:
    assert server.ask("crash") == ""
    server.until(lambda: server.events("process-died") != [], "the death is seen")
    assert server.events("process-died")[0]["exit_code"] == 3
    server.until(lambda: len(server.workers()) == 2, "it is replaced")
    pid = server.events("process-died")[0]["child"]
    assert [path.name for path in (server.folder / "store").glob("cleared-*")] == [f"cleared-{pid}"]
    assert server.events("not-cleared-up")[0]["child"] == pid


def kill_worker(server: Server, pid: int) -> float:
    """In how many seconds it is replaced."""
    deaths = len(server.events("process-died"))
    os.kill(pid, signal.SIGKILL)
    server.until(lambda: len(server.events("process-died")) > deaths, "its death is told")
    return float(server.events("process-died")[-1]["replaced_in_seconds"])


def test_one_that_dies_again_and_again_keeps_no_other_one_from_being_replaced(server: Server) -> None:
    steady, dying = server.workers()
    delays = []
    for _ in range(4):
        delays.append(kill_worker(server, dying))
        server.until(lambda: server.get("/readyz")[0] == 200, "its successor is ready")
        (dying,) = set(server.workers()) - {steady}
    delays.append(kill_worker(server, dying))
    assert delays == [0, 0.5, 1, 2, 4]
    assert server.metric("pacsd_restart_delay_seconds") == 4
    assert kill_worker(server, steady) == 0


def test_the_last_worker_that_serves_is_replaced_soon(server: Server) -> None:
    server.configure(workers=1)
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: len(server.workers()) == 1, "there is one")
    delays = []
    for _ in range(5):
        (worker,) = server.workers()
        delays.append(kill_worker(server, worker))
        server.until(lambda: server.get("/readyz")[0] == 200, "its successor is ready")
    assert delays == [0, 0.5, 1, 1, 1]


def test_the_http_process_is_replaced_too(server: Server) -> None:
    (http,) = [event["child"] for event in server.events("process-started") if event["role"] == "http"]
    os.kill(http, signal.SIGKILL)
    server.until(lambda: server.get("/healthz")[0] == 200, "it answers again")


@pytest.mark.parametrize("hurry", [False, True])
def test_a_hanging_worker_is_killed_at_the_deadline_and_the_exit_status_is_0(
    server: Server, hurry: bool
) -> None:
    server.ask("hang")
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.events("server-stopping") != [], "the first signal is obeyed")
    assert server.end(*[signal.SIGTERM] * hurry) == 0
    assert [event["role"] for event in server.events("process-killed")] == ["worker"]
    assert len(server.events("server-hurries")) == hurry


def test_not_ready_while_stopping(server: Server) -> None:
    server.ask("hang")
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.get("/readyz")[0] == 503, "/readyz says so")
    _, text = server.get("/readyz")
    assert json.loads(text)["checks"]["workers"] == {"ok": False, "reason": "the server is stopping"}
    assert server.get("/healthz")[0] == 200


def test_reload_starts_new_workers_with_the_new_rules(server: Server) -> None:
    before = server.workers()
    server.configure(ae_title="SECOND", workers=3)
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: len(server.events("process-ended")) == 3, "the old ones and the HTTP process end")
    assert server.ask().split()[2] == "SECOND"
    assert len(server.workers()) == 3
    assert not set(before) & set(server.workers())
    server.until(lambda: server.get("/readyz")[0] == 200, "ready with three")
    assert "3 of 3 workers ready" in server.get("/readyz")[1]
    assert server.events("process-died") == []


def test_a_reload_whose_workers_cannot_start_takes_nobody_out(server: Server) -> None:
    first, second = server.workers()
    server.configure(ae_title="BROKEN")
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: len(server.events("process-died")) >= 3, "they die again and again")
    assert {first, second} <= set(server.workers())
    assert server.ask().split()[2] == "FIRST"
    assert "2 of 2 workers ready" in server.get("/readyz")[1]
    os.kill(first, signal.SIGKILL)
    server.until(lambda: first not in server.workers(), "its death is seen")
    assert server.ask().split()[1:3] == [str(second), "FIRST"]
    assert server.events("configuration-reloaded") == []

    server.configure(ae_title="SECOND")
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.events("configuration-reloaded") != [], "this one succeeds")
    server.until(lambda: second not in server.workers(), "the last old one ends")
    assert server.ask().split()[2] == "SECOND"
    assert len(server.workers()) == 2
    server.until(lambda: server.get("/readyz")[0] == 200, "/readyz is answered by the new process")


def test_reload_of_an_invalid_file_is_refused_and_changes_nothing(server: Server) -> None:
    before = server.workers()
    server.configure(ae_title="SECOND", more='[access]\nunknown_peers = ["delete"]')
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.events("configuration-refused") != [], "the refusal is logged")
    assert "access.unknown_peers[0]" in server.events("configuration-refused")[0]["reason"]
    assert server.ask().split()[2] == "FIRST"
    assert server.workers() == before


def test_reload_says_what_needs_a_restart_and_keeps_the_sockets(server: Server) -> None:
    server.configure(ae_title="SECOND", port=free_port())
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.events("configuration-reloaded") != [], "reloaded")
    assert server.events("configuration-needs-restart")[0]["unchanged"] == ["dicom.port"]
    server.until(lambda: len(server.events("process-ended")) == 3, "the old ones end")
    assert server.ask().split()[2] == "SECOND"


def test_processes_end_when_the_supervisor_is_killed(server: Server) -> None:
    children = [event["child"] for event in server.events("process-started")]
    server.process.kill()
    server.process.wait()
    server.until(lambda: not any(_is_running(pid) for pid in children), "no process is left")


def _is_running(pid: int) -> bool:
    """Not so a zombie, which nobody may collect when process 1 is no real one."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_worker_that_is_told_directly_ends_in_order(server: Server) -> None:
    os.kill(server.workers()[0], signal.SIGTERM)
    server.until(lambda: server.events("process-died") != [], "it ends")
    assert server.events("process-died")[0]["exit_code"] == 0
    server.until(lambda: len(server.workers()) == 2, "it is replaced: the server was not told to stop")


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with socket.create_server(("127.0.0.1", server.port)):
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(server.config)],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"dicom.port: port {server.port} on 127.0.0.1 is in use")


def test_without_http_it_serves_all_the_same(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.configure(more="http.enabled = false", http="")
    server.launch()
    try:
        server.until(lambda: server.events("server-started") != [], "started")
        assert server.ask().split()[2] == "FIRST"
        assert {event["role"] for event in server.events("process-started")} == {"worker"}
    finally:
        assert server.end(signal.SIGTERM) == 0


def test_no_room_for_a_process_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    processes = Processes([ROLE], ArchiveIdentity("A", 1), sockets={})
    files, room = len(list(Path("/proc/self/fd").iterdir())), processes.room
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(BlockingIOError):
        processes.start(ROLE, Settings())
    assert (len(processes), processes.room) == (0, room)
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_no_more_processes_than_slots() -> None:
    processes = Processes([ROLE], ArchiveIdentity("A", 1), sockets={})
    for slot in range(SLOTS):
        processes.workers.set(slot, WorkerState.STOPPING)
    with pytest.raises(BlockingIOError, match="still drain"):
        processes.start(ROLE, Settings())


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "x" * 300])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(AddressUnavailable, match=r"^dicom\.host: .* is no address of this machine"):
        bind(host, 0, section="dicom")


def test_ipv6_wildcard_takes_ipv4_too() -> None:
    with (
        bind("::", 0, section="dicom") as listening,
        socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=5) as connection,
    ):
        assert connection.getpeername()[0] == "127.0.0.1"


def test_backoff_doubles_up_to_its_limit_and_ends_with_a_healthy_life() -> None:
    backoff = Backoff(first=0.5, longest=4.0, healthy_after=60.0)
    assert [backoff.delay(1.0) for _ in range(7)] == [0, 0.5, 1, 2, 4, 4, 4]
    assert [backoff.delay(60.0), backoff.delay(1.0)] == [0, 0.5]


def test_backoff_never_overflows() -> None:
    backoff = Backoff()
    assert {backoff.delay(0.0) for _ in range(2000)} == {0, 0.5, 1, 2, 4, 8, 16, 30}


def test_what_needs_a_restart_is_kept() -> None:
    old = Settings()
    dicom = DicomSettings(enabled=False, port=104, ae_title="NEW", tls=TlsSettings(enabled=True))
    new = Settings(dicom=dicom, http=HttpSettings(enabled=False))
    kept, keys = keep_what_needs_a_restart(old, new)
    assert keys == ["dicom.enabled", "dicom.port", "dicom.tls.enabled", "http"]
    assert (kept.dicom.enabled, kept.dicom.port, kept.dicom.ae_title) == (True, 11112, "NEW")
    assert (kept.dicom.tls.enabled, kept.http) == (False, old.http)
