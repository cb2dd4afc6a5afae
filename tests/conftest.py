"""For all tiers: the environment of whoever runs the tests does not reach the code under test."""

from __future__ import annotations

import os

import pytest

from support import pynetdicom_race

pynetdicom_race.mend()


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away PACSD_* variables; they would override every configuration."""
    for name in os.environ:
        if name.startswith("PACSD_") and not name.startswith("PACSD_TEST_"):
            monkeypatch.delenv(name)
