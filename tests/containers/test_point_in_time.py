"""docs/backup.md's commands for PostgreSQL to a point in time, run as they stand there."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from containers.project import ROOT, Project, compose_command, docker, run
from crash import kept, load
from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _commands(heading: str) -> list[str]:
    """The shell commands below a heading."""
    _, _, section = (ROOT / "docs" / "backup.md").read_text().partition(f"\n### {heading}\n")
    assert section, heading
    return re.findall(
        r"^```sh\n(.*?)^```$",
        re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0],
        re.MULTILINE | re.DOTALL,
    )


def _run(project: Project, commands: str) -> str:
    compose = " ".join(compose_command())
    # Where there is only the Compose of older Debian.
    prelude = f'docker() {{ shift; command {compose} "$@"; }}\n' if compose != "docker compose" else ""
    return run(["sh", "-euc", prelude + commands], folder=project.folder, environment=project.environment)


def _ask(project: Project, statement: str) -> str:
    options = ("--username=pacsd", "--tuples-only", "--no-align", f"--command={statement}")
    return docker("exec", project.container("db"), "psql", *options).strip()


def _store(project: Project, first_series: int) -> load.Load:
    burden = load.Load(project, first_series=first_series)
    with burden.running():
        burden.wait_for(20, within=60)
    return burden


def test_what_the_document_says_restores_to_a_point_in_time(
    install: Callable[..., Project], tmp_path: Path
) -> None:
    project = install(database="postgresql")
    project.environment["COMPOSE_FILE"] += os.pathsep + "deploy/compose.postgres-archive.yml"
    archive = tmp_path / "archive"
    archive.mkdir()
    project.environment["POSTGRES_ARCHIVE"] = str(archive)
    set_up, look = _commands("Set up")
    _run(project, set_up)
    project.up()

    base_backup, test_segments = _commands("Every week")
    _run(project, base_backup)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    before = _store(project, 100_000)
    instances, point = _ask(project, "SELECT count(*), clock_timestamp() FROM instances").split("|")
    after = _store(project, 200_000)
    segment = _ask(project, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    _ask(project, "SELECT pg_switch_wal()")
    wait_until(
        lambda: _ask(project, "SELECT last_archived_wal FROM pg_stat_archiver") >= segment,
        within=30,
        what="the WAL is archived",
    )
    _run(project, test_segments)
    assert segment in _run(project, look)

    restore, start = _commands("Restore to a point in time")
    restore = re.sub(r"^BASE=.*$", f"BASE=/archive/base/{day}", restore, flags=re.MULTILINE)
    restore = re.sub(r"^POINT=.*$", f"POINT='{point}'", restore, flags=re.MULTILINE)
    _run(project, restore)
    wait_until(lambda: "archive recovery complete" in _log(project), within=60, what="it is restored")
    assert _ask(project, "SELECT count(*) FROM instances") == instances
    _run(project, start)
    project.up()
    kept.assert_kept(project, before)
    kept.assert_kept(project, after)


def _log(project: Project) -> str:
    """Of the database; Docker passes on what went to standard error as well."""
    return run(["docker", "logs", project.container("db")])
