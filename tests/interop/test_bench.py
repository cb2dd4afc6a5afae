"""The benches measure pacsd itself, and find what was put into it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMPARE = Path(__file__).parents[2] / "bench" / "compare.py"
INDEX = COMPARE.with_name("index.py")


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


def test_a_generated_index_answers_what_it_must(tmp_path):
    arguments = ["--studies", "240", "--databases", "sqlite", "--rounds", "1", "--query-seconds", "0.05"]
    command = [sys.executable, INDEX, *arguments, "--folder", tmp_path, "--out", tmp_path / "results"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "results.json").read_text())["cases"]
    assert len(cases) == 10
    for case in cases:
        (row,) = case["rows"]
        assert (row["match_count"], row["failures"], row["studies"]) == ("ok", [], 240), case["case"]
        assert row["qps"] > 0
    assert (tmp_path / "index-240.db").is_file()
