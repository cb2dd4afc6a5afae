"""The README's SCP and SCU, run exactly as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from tests.dicomnet.net.nets import WITHIN

ROOT = Path(__file__).parents[3]
EXAMPLES = re.findall(
    r"`(\w+\.py)`[^`]*?```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
)
"""By file name, as the sentence before each has it."""
LONGEST = 20
"""Lines of an example that are neither empty nor a comment."""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "server")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert [name for name, _ in EXAMPLES] == ["scp.py", "scu.py"]
    for name, text in EXAMPLES:
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@contextmanager
def running(program: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(program), "0"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WITHIN)


def test_scp_prints_what_scu_sends(folder: Path) -> None:
    path = get_testdata_file("CT_small.dcm")
    expected = dcmread(path)
    meta = expected.file_meta
    offset = 144 + meta.FileMetaInformationGroupLength
    with running(folder / "scp.py") as scp:
        assert scp.stdout is not None
        listening, _, port = scp.stdout.readline().strip().rpartition(" ")
        assert listening == "listening on 127.0.0.1"
        scu = subprocess.run(
            [sys.executable, str(folder / "scu.py"), port, str(path)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert (scu.stdout, scu.stderr) == ("status 0000\n", "")
        received = scp.stdout.readline()
    length = Path(path).stat().st_size - offset
    assert received == f"{expected.SOPInstanceUID} {meta.TransferSyntaxUID} {length} bytes\n"


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_examples_stay_short(name: str, text: str) -> None:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= LONGEST, name
