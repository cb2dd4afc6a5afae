"""Marks of the tier."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
LEAKED_BY_PYNETDICOM = "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
"""Sockets whose peer was killed while pynetdicom called it: it leaves them to the collector."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.crash)
            item.add_marker(pytest.mark.filterwarnings(LEAKED_BY_PYNETDICOM))


@pytest.fixture(autouse=True)
def nothing_leaks_into_the_next_test() -> Iterator[None]:
    """Have what a test's clients left to the collector be collected with it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
