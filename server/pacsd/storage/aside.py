"""Converted data sets on their way to peers, however slowly these take them: in memory up to a limit, else in files."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Protocol

from pacsd.errors import TranscodingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from pacsd.dataset.part10 import DicomFile

__all__ = ["Aside", "Kept"]


class _Convert(Protocol):
    """What converts stored instances; see `dataset.transcode.Transcoder`."""

    def __call__(
        self, file: DicomFile, acceptable: Collection[str], /, *, is_cancelled: Callable[[], bool]
    ) -> tuple[str, bytes | bytearray]:
        """Return the transfer syntax chosen of the acceptable ones, and the file's data set in it."""


class Kept:
    """A data set until it is sent, in memory or in a file."""

    def __init__(
        self, content: bytes | bytearray | io.FileIO, length: int, give_back: Callable[[int], None]
    ) -> None:
        self._content = content
        self._length = length
        self._give_back = give_back

    def __len__(self) -> int:
        return self._length

    @property
    def in_memory(self) -> bytes | bytearray | None:
        """All of it, None where it is in a file."""
        return None if isinstance(self._content, io.FileIO) else self._content

    def read_into(self, position: int, buffers: Sequence[memoryview]) -> int:
        """Fill buffers from the file; return how many bytes. Raises TranscodingFailed, ValueError if it has none."""
        if not isinstance(self._content, io.FileIO):
            raise ValueError("the data set is in memory")  # noqa: TRY004  a wrong call, not a wrong type
        try:
            return os.preadv(self._content.fileno(), buffers, position)
        except OSError as error:
            # No StorageUnavailable: that would say that the stored instance is damaged.
            raise TranscodingFailed(f"what was put aside cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Let it be gone; to be called once."""
        if isinstance(self._content, io.FileIO):
            self._content.close()
        self._content = b""
        self._give_back(self._length)


class _Room:
    """So many bytes that all who are sent to have together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.taken = 0

    def take(self, count: int) -> bool:
        with self._lock:
            if self.taken + count > self._most:
                return False
            self.taken += count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self.taken -= count


class Aside:
    """Converts as a Transcoder does, for all associations of a process, and keeps the results until they are sent."""

    def __init__(self, convert: _Convert, folder: Path | None, *, in_memory: int, in_files: int) -> None:
        """`in_memory` and `in_files` are bytes of all data sets together.

        The files have no names, and are in `folder` (None: the system's for temporary files).
        """
        self._convert = convert
        self._folder = folder
        self.memory = _Room(in_memory)
        self.files = _Room(in_files)

    def __call__(
        self, file: DicomFile, acceptable: Collection[str], *, is_cancelled: Callable[[], bool]
    ) -> tuple[str, Kept]:
        """Return the transfer syntax and the data set; raises as the Transcoder, and where there is no room at all."""
        syntax, dataset = self._convert(file, acceptable, is_cancelled=is_cancelled)
        length = len(dataset)
        if self.memory.take(length):
            return syntax, Kept(dataset, length, self.memory.give_back)
        if not self.files.take(length):
            raise TranscodingFailed("not sent now: too much else waits to be taken by peers")
        try:
            return syntax, Kept(self._in_file(dataset), length, self.files.give_back)
        except BaseException:
            self.files.give_back(length)
            raise

    def _in_file(self, dataset: bytes | bytearray) -> io.FileIO:
        try:
            file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  it is sent from later
            try:
                rest = memoryview(dataset)
                while rest:
                    rest = rest[file.write(rest) :]
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise TranscodingFailed(f"not sent now: it cannot be put aside: {error.strerror}") from error
        return file
