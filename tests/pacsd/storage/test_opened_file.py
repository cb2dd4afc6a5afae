"""A stored file that is read: whole until it is closed, and what the disk cannot give is told."""

from __future__ import annotations

import errno
import os
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pacsd.errors import StorageUnavailable
from pacsd.storage.opened_file import OpenedFile

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "kept"
    path.write_bytes(b"0123456789")
    return path


READS: dict[str, tuple[str, Callable[[OpenedFile], object]]] = {
    "a part": ("pread", lambda file: file.read_at(0, 4)),
    "into buffers": ("preadv", lambda file: file.read_into(0, [memoryview(bytearray(4))])),
    "from the disk itself": ("posix_fadvise", lambda file: file.forget_cached()),
}


@pytest.mark.parametrize(("call", "read"), READS.values(), ids=list(READS))
def test_what_the_disk_cannot_give_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, read: Callable[[OpenedFile], object]
) -> None:
    def failing(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with OpenedFile(str(path)) as file:
        monkeypatch.setattr(os, call, failing)
        with pytest.raises(
            StorageUnavailable, match="cannot read a stored object: Input/output error"
        ) as told:
            read(file)
    assert not told.value.is_missing
    assert not told.value.lacks_resources


def test_the_system_may_give_less_than_it_is_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 2 GiB it always does."""
    read = os.pread
    asked: list[int] = []

    def hesitant(descriptor: int, length: int, position: int) -> bytes:
        asked.append(length)
        return read(descriptor, min(length, 4), position)

    monkeypatch.setattr(os, "pread", hesitant)
    with OpenedFile(str(path)) as file:
        assert file.read_at(1, 9) == b"123456789"
        assert asked == [9, 5, 1]
        assert file.read_at(8, 100) == b"89"
        assert asked[3:] == [2], "where it ends is known"


def test_a_file_that_was_cut_ends_there(path: Path) -> None:
    with OpenedFile(str(path)) as file:
        os.truncate(path, 3)
        assert file.read_at(1, 9) == b"12"
        assert file.size == 10


def test_buffers_are_filled_one_after_the_other(path: Path) -> None:
    one, other = bytearray(3), bytearray(20)
    with OpenedFile(str(path)) as file:
        assert file.read_into(2, [memoryview(one), memoryview(other)]) == 8
    assert (bytes(one), bytes(other[:5])) == (b"234", b"56789")


def test_it_is_the_same_as_long_as_nobody_touches_it(path: Path) -> None:
    def version() -> object:
        with OpenedFile(str(path)) as file:
            return file.version

    before = version()
    assert version() == before
    os.utime(path, (1, 1))
    assert version() != before


def test_it_was_received_when_it_was_written(path: Path) -> None:
    os.utime(path, (86400, 86400))
    with OpenedFile(str(path)) as file:
        assert file.received_at == datetime(1970, 1, 2, tzinfo=UTC)


def test_a_missing_file_is_said_to_be(path: Path) -> None:
    with pytest.raises(StorageUnavailable) as told:
        OpenedFile(f"{path}-not")
    assert told.value.is_missing


def test_a_process_without_room_for_files_says_nothing_of_the_file(path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(StorageUnavailable) as told:
            OpenedFile(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert told.value.lacks_resources


def test_what_is_no_file_leaves_no_descriptor(tmp_path: Path) -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with pytest.raises(StorageUnavailable, match=os.strerror(errno.EISDIR)):
        OpenedFile(str(tmp_path))
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_who_opens_it_may_say_failures_in_words_of_their_own(path: Path) -> None:
    with pytest.raises(KeyError, match="open a stored object"):
        OpenedFile(f"{path}-not", failure=lambda action, error: KeyError(action))
