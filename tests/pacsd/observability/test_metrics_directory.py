"""One directory for each living server, none for dead ones."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from pacsd.observability.metrics_directory import metrics_directory


def test_it_is_new_and_ends_with_the_server(tmp_path: Path) -> None:
    with metrics_directory(tmp_path) as ours:
        (ours / "counter_0.db").write_bytes(b"x")
        assert ours.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_living_servers_directory_stays(tmp_path: Path) -> None:
    with metrics_directory(tmp_path) as one, metrics_directory(tmp_path) as other:
        assert one != other
        assert one.is_dir()
        assert other.is_dir()


def test_a_killed_servers_directory_goes_when_its_last_process_is_gone(tmp_path: Path) -> None:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        with metrics_directory(tmp_path):
            os.write(tell, b".")
            signal.pause()
    os.read(told, 1)
    (killed,) = tmp_path.iterdir()
    with metrics_directory(tmp_path):
        assert killed.is_dir(), "it lives"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(told)
    os.close(tell)
    assert killed.is_dir()
    with metrics_directory(tmp_path):
        assert not killed.exists()


def test_what_is_not_ours_is_let_alone(tmp_path: Path) -> None:
    (tmp_path / "pacsd-metrics-being-made").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "owner.lock").touch()
    with metrics_directory(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"pacsd-metrics-being-made", "other"}


def test_it_is_in_memory_by_itself() -> None:
    with metrics_directory() as ours:
        in_memory = os.access("/dev/shm", os.W_OK)
        assert ours.parent == Path("/dev/shm" if in_memory else tempfile.gettempdir())
        assert ours.stat().st_mode & 0o077 == 0
