"""Where converted data sets are until their peers have taken them."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import TranscodingFailed
from pacsd.storage.aside import Aside
from support.memory_store import MemoryObject

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from pacsd.dataset.part10 import DicomFile
    from pacsd.storage.aside import Kept

LENGTH = 100_000


def convert(
    file: DicomFile, acceptable: Collection[str], *, is_cancelled: Callable[[], bool]
) -> tuple[str, bytes]:
    del file, acceptable, is_cancelled
    return "1.2", b"x" * LENGTH


def kept_by(aside: Aside) -> Kept:
    syntax, kept = aside(MemoryObject(b""), ("1.2",), is_cancelled=lambda: False)
    assert syntax == "1.2"
    assert len(kept) == LENGTH
    return kept


def test_what_does_not_fit_into_memory_waits_in_files_without_names(tmp_path: Path) -> None:
    aside = Aside(convert, tmp_path, in_memory=LENGTH, in_files=LENGTH)
    with closing(kept_by(aside)) as in_memory, closing(kept_by(aside)) as in_file:
        assert in_memory.in_memory == b"x" * LENGTH
        assert in_file.in_memory is None
        buffers = [memoryview(bytearray(length)) for length in (LENGTH - 1, 5)]
        assert in_file.read_into(0, buffers) == LENGTH
        assert bytes(buffers[0]) + bytes(buffers[1][:1]) == b"x" * LENGTH
        with pytest.raises(ValueError, match="in memory"):
            in_memory.read_into(0, buffers)
        assert not list(tmp_path.iterdir())
        with pytest.raises(TranscodingFailed, match="too much else waits"):
            kept_by(aside)
    assert aside.memory.taken == aside.files.taken == 0
    with closing(kept_by(aside)) as again:
        assert again.in_memory == b"x" * LENGTH


def test_a_folder_that_takes_nothing_costs_one_sub_operation(tmp_path: Path) -> None:
    aside = Aside(convert, tmp_path / "gone", in_memory=0, in_files=LENGTH)
    with pytest.raises(TranscodingFailed, match="cannot be put aside: No such file"):
        kept_by(aside)
    assert aside.files.taken == 0


def test_what_cannot_be_read_back_says_nothing_of_the_stored_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = Aside(convert, tmp_path, in_memory=0, in_files=LENGTH)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with closing(kept_by(aside)) as in_file:
        monkeypatch.setattr("os.preadv", fail)
        with pytest.raises(TranscodingFailed, match="cannot be read: Input/output error"):
            in_file.read_into(0, [memoryview(bytearray(1))])


def test_without_a_folder_it_is_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    aside = Aside(convert, None, in_memory=0, in_files=LENGTH)
    with pytest.raises(TranscodingFailed, match="cannot be put aside: No such file"):
        kept_by(aside)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with closing(kept_by(aside)) as in_file:
        assert in_file.in_memory is None
