"""The systemd unit, as systemd reads it; where systemd-analyze is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.peers import missing

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "pacsd.service"
MAXIMUM_EXPOSURE = 20
"""Tenths: systemd calls up to 2.0 the best of its five grades."""


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("systemd-analyze is not installed (Debian package systemd)")
    return subprocess.run(
        [program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    text = UNIT.read_text()
    assert "ExecStart=/opt/pacsd/bin/pacsd serve\n" in text
    copy = tmp_path / "pacsd.service"
    copy.write_text(text.replace("/opt/pacsd/bin/pacsd", "/bin/true"))
    return copy


def test_systemd_understands_all_of_it(unit: Path) -> None:
    result = _analyze("verify", "--man=no", str(unit))
    assert (result.returncode, result.stdout) == (0, "")


def test_what_it_may_do_is_little(unit: Path) -> None:
    result = _analyze("security", "--offline=true", f"--threshold={MAXIMUM_EXPOSURE}", str(unit))
    assert result.returncode == 0, result.stdout
