"""The harness of bench/ measures pacsd itself, and finds what it has sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMPARE = Path(__file__).parents[2] / "bench" / "compare.py"


def test_the_store_part_finds_all_that_was_acknowledged(tmp_path):
    arguments = ["store", "--servers", "pacsd", "--kinds", "small", "--count", "20", "--assoc", "2"]
    arguments += [
        "--ack",
        "quick,nagle",
        "--rounds",
        "1",
        "--warm-gib",
        "0",
        "--max-seconds",
        "60",
        "--lock",
        "",
    ]
    command = [sys.executable, COMPARE, *arguments, "--tmp", tmp_path, "--out", tmp_path / "results"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "results.json").read_text())["sections"]["C-STORE replay"]
    assert [case["case"].rpartition(" ")[2] for case in cases] == ["quick", "nagle"]
    for case in cases:
        (row,) = case["rows"]
        assert (row["acked"], row["refused"], row["missing"], row["failures"]) == (20, 0, 0, [])
        assert row["instances_s"] > 0
    assert (tmp_path / "results.md").read_text() in done.stdout
