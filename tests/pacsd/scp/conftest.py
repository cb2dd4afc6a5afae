"""A server of the archive's SCP for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.archive_server import ArchiveServer, archive_server


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """Serves everybody, and knows no C-MOVE destination."""
    with archive_server() as running:
        yield running
