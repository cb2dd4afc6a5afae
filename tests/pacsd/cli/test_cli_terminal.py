"""What somebody at a terminal sees: a table, and a progress bar that goes away."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

from fake_peer import Script
from hypothesis import given
from hypothesis import strategies as st

from pacsd.cli.terminal import printable


def at_a_terminal(*arguments: str | int | Path) -> tuple[int, str]:
    """Run a command with a terminal of 200 columns as its output; return exit status and what it wrote."""
    own, its = os.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "COLUMNS": "200",
        "TERM": "xterm",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-m", "pacsd", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment
    ) as process:
        os.close(its)
        written = b"".join(iter(lambda: _read(own), b""))
        os.close(own)
        return process.wait(timeout=30), written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError as error:
        if error.errno == errno.EIO:  # nobody has the other end open any more
            return b""
        raise


def test_find_draws_a_table(peer: tuple[str, int], script: Script) -> None:
    uid = "1.2.826.0.1.3680043.8.498.64108189007039777171766333999874882472"
    script.matches = lambda _: [{"PatientName": "[bold]Doe^Jane", "StudyInstanceUID": uid}]
    status, written = at_a_terminal("find", *peer, "-k", "PatientName", "-k", "StudyInstanceUID")
    assert status == 0
    assert "[bold]Doe^Jane" in written
    assert uid in written
    assert "│" in written
    assert "1 match" in written


def test_send_shows_its_progress(peer: tuple[str, int], script: Script, folder: Path) -> None:
    status, written = at_a_terminal("send", *peer, folder)
    assert status == 0
    assert "/7 files" in written
    assert "7 sent" in written


@given(st.text())
def test_nothing_printable_can_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown == "" or shown.isprintable()
    assert len(shown) == len(text)
    assert all(after == before for before, after in zip(text, shown, strict=True) if before.isprintable())
