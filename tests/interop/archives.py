"""Archives with a past: files of a month ago, and what their index and their server say of them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, make_url, text

from crash import load
from pacsd.storage.layout import instance_path
from support import scu
from support.deadline import wait_until
from support.instance import part10_header
from support.server import SENDER, PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from support.instance import Instance
    from support.postgres import Postgres
    from support.wire import Response

A_MONTH_AGO = datetime.now(UTC) - timedelta(days=31)
PEERS = [SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104), Peer(ae_title="SINK", port=104, allow=())]
SERIES = 200_100


@contextmanager
def serving(folder: Path, **settings: dict[str, Any]) -> Iterator[PacsdServer]:
    """A server with one worker, not started yet; whatever runs of it at the end must stop cleanly."""
    server = PacsdServer(folder, peers=PEERS, settings={"server": {"workers": 1}, **settings})
    try:
        yield server
    except BaseException:
        if server.is_running:
            server.kill()
        raise
    if server.is_running:
        server.stop()


def instances(count: int, *, first: int = 1, series: int = SERIES) -> list[Instance]:
    """So many small instances of a series."""
    numbers = [number for number in range(first, first + 2 * count) if number % load.LARGE_EVERY]
    return [load.instance(series, number) for number in numbers[:count]]


def put_files(server: PacsdServer, past: Sequence[Instance], *, days: int) -> None:
    """Files as a server has stored them, on so many days from a month ago on, each under its own name."""
    for number, instance in enumerate(past):
        received = A_MONTH_AGO + timedelta(days=number * days // len(past))
        path = server.root / instance_path(
            received, instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            part10_header(instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid)
            + instance.dataset
        )


def store(server: PacsdServer, sent: Iterable[Instance]) -> list[int]:
    """C-STORE on one association; the statuses."""
    return [response.status for response in responses(server, list(sent))]


def responses(server: PacsdServer, sent: Sequence[Instance]) -> list[Response]:
    context = (sent[0].sop_class_uid, sent[0].transfer_syntax_uid)
    with WireAssociation((server.host, server.port), [context]) as peer:
        answers = [peer.store(instance, number) for number, instance in enumerate(sent, start=1)]
        peer.release()
    return answers


def found(server: PacsdServer, series: int = SERIES) -> set[str]:
    """The SOP Instance UIDs of a series that C-FIND finds."""
    study_uid, series_uid = load.series_uids(series)
    query = scu.keys("IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=None)
    outcome = scu.find(server, query)
    assert outcome.status == 0x0000, outcome.error_comment
    return {str(match.SOPInstanceUID) for match in outcome.matches}


def got(server: PacsdServer, instance: Instance) -> bytes | None:
    """The data set that C-GET brings, None where it does not."""
    outcome, inbox = scu.get(
        server, scu.image_keys(instance), [(instance.sop_class_uid, [instance.transfer_syntax_uid])]
    )
    received = inbox.received.get(instance.sop_instance_uid)
    assert (outcome.status == 0x0000) == (received is not None)
    return None if received is None else received.dataset


def stored_path(server: PacsdServer, instance: Instance) -> Path:
    """Where an instance's file is, as the index says."""
    with closing(sqlite3.connect(server.index_path)) as database:
        ((path,),) = database.execute(
            "SELECT path FROM instances WHERE sop_instance_uid = ?", (instance.sop_instance_uid,)
        ).fetchall()
    return server.root / str(path)


def refusal(server: PacsdServer) -> str:
    """What a start says that is refused; it has to end by itself."""
    mark = server.log_size() if server.log_path.exists() else 0
    server.launch()
    assert server.wait() == 1
    return server.log_path.read_bytes()[mark:].decode()


def readiness(server: PacsdServer) -> tuple[int, dict[str, Any]]:
    """/readyz: status and checks; 0 while nobody answers."""
    try:
        answer = server.get("/readyz")
    except OSError:
        return 0, {}
    return answer.status, json.loads(answer.text)["checks"]


def wait_for_ready(server: PacsdServer) -> None:
    wait_until(lambda: readiness(server)[0] == 200, within=60, what="the server is ready")


def events(server: PacsdServer, name: str, *, after: int = 0) -> list[dict[str, Any]]:
    """The log lines of one kind; a refused start has said why in other lines."""
    lines = server.log_path.read_bytes()[after:].decode().splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    return [event for event in logged if event["event"] == name]


def quarantined(server: PacsdServer) -> dict[str, str]:
    """What `pacsd quarantine list` prints: lines by name."""
    listed = server.run("quarantine", "list")
    assert listed.returncode == 0, listed.stderr
    return {line.split()[0]: line for line in listed.stdout.splitlines()}


@dataclass
class SqliteIndex:
    """The index of a server, and what may become of it while that is stopped."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def lose(self, server: PacsdServer) -> None:
        for file in server.index_path.parent.glob("index.db*"):
            file.unlink()

    def save(self, server: PacsdServer) -> None:
        shutil.copy2(server.index_path, self.folder / "saved.db")

    def put_back(self, server: PacsdServer) -> None:
        self.lose(server)
        shutil.copy2(self.folder / "saved.db", server.index_path)


@dataclass
class PostgresIndex:
    """As `SqliteIndex`, in a database of its own."""

    postgres: Postgres
    name: str
    saves: int = 0

    def __post_init__(self) -> None:
        self._administer(f"CREATE DATABASE {self.name}")

    @property
    def settings(self) -> dict[str, Any]:
        url = make_url(self.postgres.url).set(database=self.name).render_as_string(hide_password=False)
        # The tests' server syncs nothing, for speed.
        return {"index": {"url": url, "durability": "as-configured"}}

    def _administer(self, *statements: str) -> None:
        engine = create_engine(self.postgres.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def lose(self, server: PacsdServer) -> None:
        self._administer(f"DROP DATABASE {self.name}", f"CREATE DATABASE {self.name}")
        assert server.run("db", "upgrade").returncode == 0

    def save(self, server: PacsdServer) -> None:
        self._administer(f"CREATE DATABASE {self.name}_saved TEMPLATE {self.name}")

    def put_back(self, server: PacsdServer) -> None:
        self._administer(
            f"DROP DATABASE {self.name}", f"CREATE DATABASE {self.name} TEMPLATE {self.name}_saved"
        )
