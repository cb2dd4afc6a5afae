"""Where converted data sets are until their peers have taken them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import TranscodingFailed
from pacsd.storage.aside import Aside

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path
    from typing import BinaryIO

    from pacsd.storage.aside import Kept

LENGTH = 100_000


def convert(
    file: BinaryIO, acceptable: Collection[str], *, is_cancelled: Callable[[], bool]
) -> tuple[str, bytes]:
    del file, acceptable, is_cancelled
    return "1.2", b"x" * LENGTH


def kept_by(aside: Aside) -> Kept:
    syntax, kept = aside(io.BytesIO(), ("1.2",), is_cancelled=lambda: False)
    assert syntax == "1.2"
    assert len(kept) == LENGTH
    return kept


def test_what_does_not_fit_into_memory_waits_in_files_without_names(tmp_path: Path) -> None:
    aside = Aside(convert, tmp_path, in_memory=LENGTH, in_files=LENGTH)
    with kept_by(aside) as in_memory, kept_by(aside) as in_file:
        assert in_memory == b"x" * LENGTH
        assert isinstance(in_file, io.FileIO)
        assert os.pread(in_file.fileno(), LENGTH + 1, 0) == b"x" * LENGTH
        assert not list(tmp_path.iterdir())
        with pytest.raises(TranscodingFailed, match="too much else waits"):
            kept_by(aside)
    assert in_file.closed
    assert aside.memory.taken == aside.files.taken == 0
    with kept_by(aside) as again:
        assert again == in_memory


def test_a_folder_that_takes_nothing_costs_one_sub_operation(tmp_path: Path) -> None:
    aside = Aside(convert, tmp_path / "gone", in_memory=0, in_files=LENGTH)
    with pytest.raises(TranscodingFailed, match="cannot be put aside: No such file"):
        kept_by(aside)
    assert aside.files.taken == 0
