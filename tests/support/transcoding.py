"""The conversion of stored instances as a server does it, with one decoder process for all tests of a process."""

from __future__ import annotations

import atexit
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pacsd.dataset.budgets import DEFAULT_BUDGETS, Budgets
from pacsd.dataset.transcode import Transcoder
from pacsd.decoder.pool import DecoderPool
from support.memory_store import MemoryObject

if TYPE_CHECKING:
    from collections.abc import Collection

    from pacsd.dataset.part10 import DicomFile


@cache
def decoders() -> DecoderPool:
    """A pool of one process, which ends with the tests."""
    pool = DecoderPool(processes=1, seconds=30)
    atexit.register(pool.close)
    return pool


def transcode(
    file: Path | io.BytesIO | DicomFile, acceptable: Collection[str], budgets: Budgets = DEFAULT_BUDGETS
) -> tuple[str, bytes | bytearray]:
    """Convert; see `dataset.transcode.Transcoder`."""
    if isinstance(file, Path):
        file = MemoryObject(file.read_bytes())
    elif isinstance(file, io.BytesIO):
        file = MemoryObject(file.getvalue())
    return Transcoder(decoders(), budgets)(file, acceptable)
