"""For all tiers: the environment of whoever runs the tests does not reach the code under test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support import pynetdicom_race

if TYPE_CHECKING:
    from collections.abc import Iterator

pynetdicom_race.mend()


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away PACSD_* variables; they would override every configuration."""
    for name in os.environ:
        if name.startswith("PACSD_") and not name.startswith("PACSD_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def kept_umask() -> Iterator[None]:
    """Put back what a program that was run in this process has made of it: others' files must be readable."""
    before = os.umask(0o022)
    yield
    os.umask(before)
