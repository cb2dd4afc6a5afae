"""A PostgreSQL cluster of the tests' own: Patroni's nodes, with etcd to agree by, all on 127.0.0.1."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.deadline import wait_until
from support.peers import free_port
from support.postgres import USER, postgres_folder, postgres_programs, program, start_as_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_DEADLINE = 60.0
TTL, LOOP_WAIT, RETRY_TIMEOUT = 6, 1, 2
"""Seconds: how long a leader that is not heard of stays it, and how often the nodes look."""


@dataclass(slots=True, eq=False)
class Node:
    """One PostgreSQL and the Patroni that runs it."""

    name: str
    folder: Path
    configuration: Path
    postgres_port: int
    rest_port: int
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self, program: str) -> None:
        """Start Patroni, which starts PostgreSQL."""
        self._process = start_as_user([program, str(self.configuration)], self.folder / "patroni.log")

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Patroni's answer, also where it says so with an error's status; raises OSError where it is gone."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest_port}{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
        return json.loads(text) if text.startswith("{") else text

    def kill(self) -> None:
        """SIGKILL Patroni and all of PostgreSQL at the same moment."""
        assert self._process is not None
        postmaster = int((self.folder / "data/postmaster.pid").read_text().split("\n", 1)[0])
        children = [
            int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        ]
        for pid in (self._process.pid, postmaster, *children):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def terminate(self) -> None:
        """Have Patroni stop PostgreSQL and end, and do not wait."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Return when it has ended."""
        if self._process is not None:
            self._process.wait(timeout=60)


class Cluster:
    """Running nodes; `url` names all of them."""

    def __init__(self, nodes: Sequence[Node], program: str) -> None:
        self.nodes = tuple(nodes)
        self._program = program

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.postgres_port}" for node in self.nodes)
        return f"postgresql+psycopg://{USER}@{hosts}/postgres"

    def members(self) -> list[dict[str, Any]]:
        """What the nodes say of one another; of the first one that answers."""
        for node in self.nodes:
            try:
                answer = node.ask("/cluster")
            except OSError:
                continue
            if isinstance(answer, dict):
                return list(answer.get("members", []))
        return []

    def leader(self) -> Node | None:
        """The node that takes writes, if there is one now."""
        names = [
            each["name"] for each in self.members() if each["role"] == "leader" and each["state"] == "running"
        ]
        return next((node for node in self.nodes if [node.name] == names), None)

    def wait_until_in_sync(self) -> None:
        """Return when there is a leader whose commits wait for a standby."""

        def is_in_sync() -> bool:
            roles = [each["role"] for each in self.members() if each["state"] in {"running", "streaming"}]
            return "leader" in roles and "sync_standby" in roles

        wait_until(
            is_in_sync, within=START_DEADLINE, what="the cluster has a leader and a synchronous standby"
        )

    def switch_over(self) -> str:
        """Have another node lead, as for maintenance, and return what Patroni says at the end."""
        leader = self.leader()
        assert leader is not None
        return str(leader.ask("/switchover", {"leader": leader.name}))

    def start(self, node: Node) -> None:
        """Start a node that was killed."""
        node.start(self._program)


@contextmanager
def patroni_cluster(size: int) -> Iterator[Cluster]:
    """Run a cluster with synchronous replication."""
    patroni = program("patroni", "patroni")
    with postgres_folder() as folder, _etcd(folder) as etcd_port, ExitStack() as running:
        nodes = [_node(folder, f"node{number}", etcd_port) for number in range(size)]
        cluster = Cluster(nodes, patroni)
        for node in nodes:
            running.callback(node.wait)
        for node in nodes:
            cluster.start(node)
            running.callback(node.terminate)
        cluster.wait_until_in_sync()
        yield cluster


@contextmanager
def _etcd(folder: Path) -> Iterator[int]:
    clients, peers = free_port(), free_port()
    here = f"http://127.0.0.1:{clients}"
    among_peers = f"http://127.0.0.1:{peers}"
    options = {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": here,
        "advertise-client-urls": here,
        "listen-peer-urls": among_peers,
        "initial-advertise-peer-urls": among_peers,
        "initial-cluster": f"default={among_peers}",
        "unsafe-no-fsync": "true",
    }
    command = [program("etcd", "etcd-server"), *(f"--{name}={value}" for name, value in options.items())]
    process = start_as_user(command, folder / "etcd.log")
    try:
        yield clients
    finally:
        process.terminate()
        process.wait(timeout=30)


def _node(folder: Path, name: str, etcd_port: int) -> Node:
    home = folder / name
    home.mkdir()
    if os.geteuid() == 0:
        shutil.chown(home, USER)
    node = Node(name, home, home / "patroni.json", free_port(), free_port())
    trusted = [
        "local all all trust",
        "host all all 127.0.0.1/32 trust",
        "host replication all 127.0.0.1/32 trust",
    ]
    rest, postgres = f"127.0.0.1:{node.rest_port}", f"127.0.0.1:{node.postgres_port}"
    configuration = {
        "scope": "pacsd",
        "name": name,
        "restapi": {"listen": rest, "connect_address": rest},
        "etcd3": {"host": f"127.0.0.1:{etcd_port}"},
        "bootstrap": {
            "dcs": {
                "ttl": TTL,
                "loop_wait": LOOP_WAIT,
                "retry_timeout": RETRY_TIMEOUT,
                "synchronous_mode": True,
                "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 60}},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
        },
        "postgresql": {
            "listen": postgres,
            "connect_address": postgres,
            "data_dir": str(home / "data"),
            "bin_dir": str(postgres_programs()),
            "pgpass": str(home / "pgpass"),
            "pg_hba": trusted,
            "authentication": {"superuser": {"username": USER}, "replication": {"username": USER}},
            "parameters": {"unix_socket_directories": str(home)},
        },
    }
    # JSON is YAML.
    node.configuration.write_text(json.dumps(configuration))
    return node
