"""Mutated recordings against every parser of foreign bytes: no crash, no hang, no undocumented exception.

PACSD_TEST_FUZZ_SECONDS is for how long each target is run (3 by default), PACSD_TEST_FUZZ_SEED where the
damage begins. What is found becomes a test beside the code that it was found in.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest

from fuzz.campaign import INPUT_SECONDS, FindingError, TookTooLongError, budgets, fuzz, run_one
from fuzz.targets import TARGETS, Target

SECONDS = float(os.environ.get("PACSD_TEST_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("PACSD_TEST_FUZZ_SEED", "20260101"))


@pytest.mark.timeout(SECONDS * 2 + 60)
@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tried = fuzz(name, SECONDS, SEED)
    with capsys.disabled():
        print(f" {name}: {tried} inputs ", end="")
    assert tried > 100


def test_a_finding_is_reported_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterpart, without which the tests above could not fail."""

    def run(data: bytes) -> None:
        if len(data) % 2:
            raise KeyError("undocumented")

    monkeypatch.setitem(TARGETS, "broken", Target(lambda: nullcontext(run), lambda: [b"ab", b"abcd"]))
    with pytest.raises(FindingError, match="fromhex"):
        fuzz("broken", 10, SEED)


def test_an_endless_input_is_stopped() -> None:
    def run(data: bytes) -> None:
        while True:
            pass

    assert INPUT_SECONDS < 10
    with budgets(), pytest.raises(TookTooLongError):
        run_one(run, b"")


def test_memory_has_an_end() -> None:
    with budgets(), pytest.raises(MemoryError):
        run_one(lambda data: print(len(bytes(1 << 30))), b"")
