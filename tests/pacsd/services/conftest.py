"""A migrated index for the services' tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pacsd.index import migrations
from support.service_parts import OpenIndex, opened_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("services-index") / "index.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def open_index(migrated_file: Path, tmp_path: Path) -> Iterator[OpenIndex]:
    """Opens the test's own index with any duplicates policy; closes it at the end."""
    file = tmp_path / "index.db"
    shutil.copy(migrated_file, file)
    with opened_indexes(file) as open_one:
        yield open_one
