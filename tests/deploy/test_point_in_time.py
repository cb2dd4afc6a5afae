"""A base backup and the archived WAL bring PostgreSQL back to a point in time, and pacsd goes on from there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sqlalchemy import create_engine, text

from interop.test_failing_disk import assert_kept_exactly, instance, store
from pacsd.index.schema import migrations
from support.deadline import wait_until
from support.postgres import DURABLE, Postgres, postgres_server
from support.scu import CALLING_AE_TITLE
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "archive-wal.sh"


def _archive_command() -> str:
    """As the compose file gives it to PostgreSQL."""
    composed = yaml.safe_load((ROOT / "deploy" / "compose.postgres-archive.yml").read_text())
    (found,) = [each for each in composed["services"]["db"]["command"] if each.startswith("archive_command=")]
    return found.removeprefix("archive_command=")


def _restore_command() -> str:
    """As docs/backup.md gives it to PostgreSQL."""
    (found,) = re.findall(
        r"^restore_command = '(.+)'$", (ROOT / "docs" / "backup.md").read_text(), re.MULTILINE
    )
    return found


class Archived:
    """A PostgreSQL server whose WAL is archived; `folder` is /archive in a container."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.folder = postgres.folder / "archive"
        self.data = postgres.folder / "data"
        shutil.copy(SCRIPT, postgres.folder)
        postgres.run("mkdir", "-p", str(self.folder / "wal"))
        command = _archive_command().replace("/usr/local/lib/", f"{postgres.folder}/")
        self.configure(archive_mode="on", archive_command=self._here(command))
        postgres.stop()
        postgres.start()

    def _here(self, command: str) -> str:
        assert "/archive/wal" in command
        return command.replace("/archive/wal", str(self.folder / "wal"))

    def configure(self, **settings: str) -> None:
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def ask(self, statement: str) -> Any:
        """The one value that a statement gives."""
        engine = create_engine(self.postgres.url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                return connection.execute(text(statement)).scalar_one()
        finally:
            engine.dispose()

    def base_backup(self) -> None:
        base = str(self.folder / "base")
        where = ("--host", str(self.postgres.folder), "--username", "postgres")
        self.postgres.run("pg_basebackup", *where, f"--pgdata={base}", "--checkpoint=fast")
        self.postgres.run("pg_verifybackup", base)

    def archive_all(self) -> None:
        """Return when the WAL of all that was committed is archived; archive_timeout does it within a minute."""
        segment = self.ask("SELECT pg_walfile_name(pg_current_wal_lsn())")
        self.ask("SELECT pg_switch_wal()")
        wait_until(
            lambda: (self.ask("SELECT last_archived_wal FROM pg_stat_archiver") or "") >= segment,
            within=15,
            what="the WAL is archived",
        )

    def restore(self, to: str) -> None:
        """After the loss of the whole cluster."""
        shutil.rmtree(self.data)
        self.postgres.run("cp", "-a", str(self.folder / "base"), str(self.data))
        self.configure(
            restore_command=self._here(_restore_command()).replace("$BEFORE", str(self.folder / "none")),
            recovery_target_time=to,
            recovery_target_action="promote",
        )
        self.postgres.run("touch", str(self.data / "recovery.signal"))
        self.postgres.start()
        wait_until(lambda: not self.ask("SELECT pg_is_in_recovery()"), within=15, what="it is restored")


@pytest.fixture
def archived() -> Iterator[Archived]:
    with postgres_server(DURABLE) as running:
        migrations.upgrade(running.url)
        yield Archived(running)


def test_the_index_comes_back_as_it_was_and_what_came_later_is_indexed_again(
    archived: Archived, tmp_path: Path
) -> None:
    archived.base_backup()
    peers = [Peer(ae_title=CALLING_AE_TITLE, port=104)]
    server = PacsdServer(
        tmp_path, peers=peers, settings={"server": {"workers": 1}, "index": {"url": archived.postgres.url}}
    )
    server.start()
    try:
        for number in (1, 2):
            assert store(server, instance(number)).status == 0x0000
        point = archived.ask("SELECT clock_timestamp()::text")
        assert store(server, instance(3)).status == 0x0000
        archived.archive_all()
        server.kill()
        archived.postgres.stop()

        archived.restore(to=point)
        assert archived.ask("SELECT count(*) FROM instances") == 2
        server.start()
        assert_kept_exactly(server, [instance(number) for number in (1, 2, 3)])
        # The new timeline is archived as well.
        archived.archive_all()
    finally:
        if server.is_running:
            server.stop()


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "0000000100000000000000AB"
    path.write_bytes(b"wal" + bytes(1 << 20))
    return path


def _archive(segment: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", SCRIPT, segment, segment.name, folder]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_segment_is_archived_once_and_never_overwritten(segment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    for _ in range(2):
        assert _archive(segment, folder).returncode == 0
    (archived,) = folder.iterdir()
    assert (archived.name, archived.stat().st_mode & 0o777) == (f"{segment.name}.gz", 0o600)
    assert (
        subprocess.run(["gzip", "-dc", archived], capture_output=True, check=True).stdout
        == segment.read_bytes()
    )

    before = archived.read_bytes()
    segment.write_bytes(b"other" + bytes(1 << 20))
    refused = _archive(segment, folder)
    assert refused.returncode == 1
    assert f"{archived} is there and is another file or damaged" in refused.stderr
    assert archived.read_bytes() == before


def test_half_of_a_segment_is_archived_again(segment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    (folder / f"{segment.name}.gz.part").write_bytes(b"half")
    assert _archive(segment, folder).returncode == 0
    assert [path.name for path in folder.iterdir()] == [f"{segment.name}.gz"]


def test_a_disk_that_is_not_mounted_is_no_archive(segment: Path, tmp_path: Path) -> None:
    refused = _archive(segment, tmp_path / "wal")
    assert refused.returncode == 1
    assert "there is no folder" in refused.stderr
    assert not (tmp_path / "wal").exists()
