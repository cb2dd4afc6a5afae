"""A file store and a migrated index for the services' tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pacsd.index.schema import migrations
from pacsd.model import DuplicatePolicy
from pacsd.storage.filesystem import FileStore
from support.service_parts import OpenIndex, opened_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pacsd.index.repository import Index


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


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """An opened store without files."""
    store = FileStore(tmp_path / "store")
    store.open()
    return store


@pytest.fixture
def index(open_index: OpenIndex) -> Index:
    """The test's index, which keeps the first of two different objects under one UID."""
    return open_index(DuplicatePolicy.KEEP_FIRST)
