"""The administrator's commands, as programs: what they print and their exit statuses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import pacsd
from pacsd import cli
from pacsd.cli.configuration import as_toml
from pacsd.configuration import load_settings
from pacsd.errors import ArchiveMismatch
from pacsd.index.schema import migrations
from pacsd.settings import IndexSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(__file__).parents[2] / "config" / "pacsd.toml"


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    # Commands that are run in this process set it.
    umask = os.umask(0o022)
    yield
    os.umask(umask)


def _pacsd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pacsd", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_version() -> None:
    done = _pacsd("--version")
    assert (done.returncode, done.stdout) == (0, f"pacsd {pacsd.__version__}\n")


@pytest.mark.parametrize("arguments", [["no-such-command"], ["serve", "--no-such-option"], ["db", "destroy"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    done = _pacsd(*arguments)
    assert done.returncode == 2
    assert "No such" in done.stderr


def _commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, *path, name)


def test_no_help_text_loses_what_looks_like_markup() -> None:
    """As "A [[peer]] of the configuration", of which "A []" was left."""
    commands = list(_commands(get_command(cli.app)))
    assert ("quarantine", "add") in commands
    for command in commands:
        done = CliRunner().invoke(cli.app, [*command, "--help"], env={"COLUMNS": "200"})
        assert done.exit_code == 0
        assert "[]" not in done.stdout, command
        assert ("A [[peer]] of the configuration" in done.stdout) == ("--peer " in done.stdout), command


AT_WORK = (
    "adopt index",
    "adopt store",
    "verify",
    "conflicts",
    "quarantine list",
    "quarantine add 1.2",
    "quarantine restore 20260102T030405-00000000",
    "quarantine purge --older-than 0",
)
"""Commands that work on an archive."""


def _everything_here() -> set[Path]:
    return set(Path().rglob("*"))


@pytest.mark.parametrize("arguments", AT_WORK)
def test_where_no_archive_is_commands_make_none(arguments: str) -> None:
    """As in a wrong folder: a relative path leads to nothing there, and the message says whereto."""
    _refused(arguments, f"(storage.root is {Path('data/store').absolute()}, ")
    _refused(arguments, f"the index is {Path('data/index.db').absolute()})")
    assert _everything_here() == set()


def test_a_refusal_is_status_1() -> None:
    done = _pacsd("verify")
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no archive" in done.stderr


@pytest.mark.parametrize("arguments", AT_WORK[2:])
def test_half_an_archive_is_none(arguments: str) -> None:
    """A database beside no store, an empty file beside one, and a database that was never used beside one."""
    migrations.upgrade("sqlite:///data/index.db")
    before = _everything_here()
    _refused(arguments, "holds no archive")
    assert _everything_here() == before

    store, index = Path("data/store"), Path("data/index.db")
    store.mkdir()
    (store / "archive.json").write_text('{"identity": "A", "generation": 1}')
    if arguments.split()[1:2] not in (["list"], ["purge"]):
        _refused(arguments, "belongs to no archive yet")
    index.write_bytes(b"")
    before = _everything_here()
    _refused(arguments, "missing or empty")
    assert _everything_here() == before
    assert index.read_bytes() == b""


def _refused(arguments: str, why: str) -> None:
    done = CliRunner().invoke(cli.app, arguments.split())
    assert (done.exit_code, done.stdout) == (1, "")
    assert isinstance(done.exception, ArchiveMismatch | SystemExit)
    assert why in f"{done.exception} {done.stderr}"


class TestCheckConfig:
    def test_the_shipped_file_is_right(self) -> None:
        done = _pacsd("check-config", "--config", SHIPPED)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"OK: {SHIPPED}\n", "")

    def test_no_file_at_all(self) -> None:
        assert _pacsd("check-config").stdout == "OK: no file, the defaults hold\n"

    def test_each_problem_is_told_and_the_status_is_2(self) -> None:
        Path("bad.toml").write_text("dicom.prot = 104\ndicom.ae_title = ''\n")
        done = _pacsd("check-config", "--config", "bad.toml")
        assert done.returncode == 2
        assert done.stdout == ""
        assert sorted(line.split(":")[1] for line in done.stderr.splitlines()) == ["1", "2"]

    def test_what_it_shows_is_what_holds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PACSD_DICOM__PORT", "105")
        monkeypatch.setenv("PACSD_STORAGE__ROOT", str(tmp_path / 'with "quotes" and \U0001f600'))
        done = _pacsd("check-config", "--config", SHIPPED, "--show")
        _, _, shown = done.stdout.partition("\n")
        Path("shown.toml").write_text(shown, encoding="utf-8")
        expected = load_settings(SHIPPED)
        monkeypatch.delenv("PACSD_DICOM__PORT")
        monkeypatch.delenv("PACSD_STORAGE__ROOT")
        assert load_settings(Path("shown.toml")) == expected

    def test_the_databases_password_is_not_shown(self) -> None:
        settings = Settings(index=IndexSettings(url="postgresql+psycopg://user:secret@db/pacs"))
        assert tomllib.loads(as_toml(settings))["index"]["url"] == "postgresql+psycopg://user:***@db/pacs"


class TestDb:
    def test_check_before_and_after_upgrade(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = _pacsd("db", "check")
        assert before.returncode == 1
        assert "pacsd db upgrade" in before.stderr
        assert not Path("data").exists(), "checking makes nothing"
        for _ in range(2):
            done = _pacsd("db", "upgrade")
            assert (done.returncode, done.stderr) == (0, "")
        assert Path("data/index.db").is_file()
        after = _pacsd("db", "check")
        assert (after.returncode, after.stderr) == (0, "")

    def test_a_database_that_is_not_there_is_told_without_its_password(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("psycopg")
        monkeypatch.setenv("PACSD_INDEX__URL", "postgresql+psycopg://user:secret@127.0.0.1:1/pacs")
        done = _pacsd("db", "check")
        assert done.returncode == 1
        assert "secret" not in done.stderr
        assert "Traceback" not in done.stderr
        assert "is PostgreSQL running and reachable, and are index.url and its password right?" in done.stderr


class TestServe:
    def test_a_wrong_configuration_is_status_2(self) -> None:
        done = _pacsd("serve", "--config", "nowhere.toml")
        assert done.returncode == 2
        assert "nowhere.toml" in done.stderr

    def test_a_port_in_use_is_status_1_and_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            monkeypatch.setenv("PACSD_DICOM__HOST", "127.0.0.1")
            monkeypatch.setenv("PACSD_DICOM__PORT", str(port))
            done = _pacsd("serve")
        assert done.returncode == 1
        assert done.stderr.startswith(f"dicom.port: port {port} on 127.0.0.1 is in use")
        assert not Path("data").exists(), "nothing is made before the port is ours"
