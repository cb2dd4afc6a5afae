"""bench/engine.py, for moments only: it must go on working, how fast the engine is, is not for a test to say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
RATE = re.compile(r"([\d,]+)/s, [\d,]+ MB/s")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "bench" / "engine.py"), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT / "server")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_case_is_measured() -> None:
    done = run("--seconds", "0.2", "--rounds", "1", "--receiver", "dicomnet")
    assert done.returncode == 0, done.stderr
    _, _, *lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    cases = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [case[:3] for case in cases] == [
        [size, pdu, associations]
        for size in ("10 KB", "526 KB")
        for pdu in ("16 KiB", "128 KiB")
        for associations in ("1", "8")
    ]
    for *_, told in cases:
        found = RATE.fullmatch(told)
        assert found, told
        assert int(found[1].replace(",", "")) > 0


def test_receiver_that_is_not_there_is_named() -> None:
    done = run("--receiver", "dicomnet", "--receiver", "nobody")
    assert (done.returncode, "not here: nobody; there are dicomnet" in done.stderr) == (2, True)
