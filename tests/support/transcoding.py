"""The conversion of stored instances as a server does it, with one decoder process for all tests of a process."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

from pacsd.dataset.budgets import DEFAULT_BUDGETS, Budgets
from pacsd.dataset.transcode import Transcoder
from pacsd.decoder.pool import DecoderPool

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import BinaryIO


@cache
def decoders() -> DecoderPool:
    """A pool of one process, which ends with the tests."""
    pool = DecoderPool(processes=1, seconds=30)
    atexit.register(pool.close)
    return pool


def transcode(
    file: Path | BinaryIO, acceptable: Collection[str], budgets: Budgets = DEFAULT_BUDGETS
) -> tuple[str, bytes | bytearray]:
    """Convert; see `dataset.transcode.Transcoder`."""
    return Transcoder(decoders(), budgets)(file, acceptable)
