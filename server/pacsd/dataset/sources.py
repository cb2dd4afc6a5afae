"""Where a walk over a data set takes its bytes from: memory, a file read piecewise, or a deflated stream.

A source is asked for windows at ascending positions only, so that it never holds more than one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Protocol

from pacsd.errors import DatasetInvalid

__all__ = [
    "MAXIMUM_INFLATED",
    "DeflatedSource",
    "HeaderIncomplete",
    "InflatesTooFar",
    "PrefixSource",
    "ReadAt",
    "Source",
    "StoredSource",
    "deflate_window_bits",
]

ReadAt = Callable[[int, int], bytes]
"""Returns so many bytes from a position of the data set on, less only where it ends."""

MINIMUM_WINDOW: Final = 8192
"""Bytes; more than the header and the value of most elements whose value is looked at."""
LONGEST_HEADER: Final = 12
"""Bytes of an element's header before its value (PS3.5 Table 7.1-1)."""
READ_LENGTH: Final = 16384
"""Bytes read at once behind the prefix: few, as the walk jumps over most of what follows."""
INFLATED_LENGTH: Final = 65536
"""Bytes inflated at once."""
MAXIMUM_INFLATED: Final = 1 << 33
"""Bytes. Deflate reaches 1:1000, and a small object must not keep a process inflating for hours."""


class InflatesTooFar(DatasetInvalid):
    """A deflated data set is longer, inflated, than what may be inflated of it: `at_least` so many bytes."""

    def __init__(self, maximum: int, at_least: int) -> None:
        super().__init__(f"the deflated data set grows beyond {maximum} bytes")
        self.at_least = at_least


class HeaderIncomplete(Exception):
    """The bytes at hand end before the stop tag: scan again with more of the data set."""


class Source(Protocol):
    """The bytes of one data set, encoded as its transfer syntax says after any inflating."""

    def window(self, position: int, at_least: int = MINIMUM_WINDOW) -> bytes:
        """Return the bytes from `position` on, both `at_least` and `MINIMUM_WINDOW` unless the data set ends sooner.

        Empty exactly at its end. Raises what `ended` returns when `position` lies behind the end.
        """
        ...

    def ended(self) -> Exception:
        """Return what to raise where an element goes on behind the last byte."""
        ...


def _truncated(size: int) -> DatasetInvalid:
    return DatasetInvalid(
        f"the data set is truncated or malformed: an element goes on behind its last byte ({size})"
    )


class PrefixSource:
    """The first bytes of a data set whose rest is not at hand; running out of them is `HeaderIncomplete`."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix

    def window(self, position: int, at_least: int = MINIMUM_WINDOW) -> bytes:  # noqa: ARG002 - there is no more
        """See `Source`; shorter than promised where the prefix ends, but never shorter than a header."""
        if len(self._prefix) - position < LONGEST_HEADER:
            raise self.ended()
        return self._prefix[position:] if position else self._prefix

    def ended(self) -> Exception:
        """See `Source`."""
        return HeaderIncomplete(f"the header goes on behind the first {len(self._prefix)} bytes")


class StoredSource:
    """A complete data set: a prefix in memory (perhaps all of it) and a function that reads the rest."""

    def __init__(self, prefix: bytes, size: int, read_at: ReadAt) -> None:
        self._prefix = prefix
        self._size = size
        self._read_at = read_at

    def window(self, position: int, at_least: int = MINIMUM_WINDOW) -> bytes:
        """See `Source`."""
        if position == 0 and (
            len(self._prefix) >= max(MINIMUM_WINDOW, at_least) or len(self._prefix) == self._size
        ):
            return self._prefix
        if position > self._size:
            raise self.ended()
        if position == self._size:
            return b""
        wanted = min(max(READ_LENGTH, at_least), self._size - position)
        data = self._prefix[position : position + wanted]
        if len(data) < wanted:
            data = self._read_at(position, wanted)
            if len(data) < wanted:
                raise _truncated(position + len(data))
        return data

    def ended(self) -> Exception:
        """See `Source`."""
        return _truncated(self._size)


def deflate_window_bits(start: bytes | bytearray) -> int:
    """Return what `zlib` has to be told to inflate a data set that begins with `start`, of which 5 bytes are enough.

    PS3.5 §A.5 wants raw deflate, but there are writers that put zlib's header (RFC 1950) before it. Raw deflate can
    begin with the same two bytes only in a stored block, whose length follows twice, the second time inverted.
    """
    if len(start) < 5 or start[0] & 0x8F != zlib.DEFLATED or int.from_bytes(start[:2], "big") % 31:
        return -zlib.MAX_WBITS
    length, inverted = int.from_bytes(start[1:3], "little"), int.from_bytes(start[3:5], "little")
    return -zlib.MAX_WBITS if length ^ inverted == 0xFFFF else zlib.MAX_WBITS


class DeflatedSource:
    """The inflated bytes of another source (PS3.5 §A.5: raw deflate, perhaps one byte of padding behind it).

    Holds one window, whatever the stream inflates to; more than `maximum` bytes are `InflatesTooFar`, before anything
    is inflated where an element says that it is so long.
    """

    def __init__(self, compressed: Source, *, maximum: int = MAXIMUM_INFLATED) -> None:
        self._compressed = compressed
        self._maximum = maximum
        self._consumed = 0
        self._inflater = zlib.decompressobj(deflate_window_bits(compressed.window(0)))
        self._chunk = b""
        self._base = 0

    def window(self, position: int, at_least: int = MINIMUM_WINDOW) -> bytes:
        """See `Source`."""
        if position > self._maximum:
            raise InflatesTooFar(self._maximum, position)
        while True:
            if position >= self._base + len(self._chunk):
                self._base += len(self._chunk)
                self._chunk = b""
            else:
                self._chunk = self._chunk[position - self._base :]
                self._base = position
                if len(self._chunk) >= max(MINIMUM_WINDOW, at_least):
                    return self._chunk
            if self._inflater.eof:
                if position > self._base:
                    raise self.ended()
                return self._chunk
            self._chunk += self._inflate()

    def _inflate(self) -> bytes:
        try:
            # The inflater may have more to give even when it has taken all of its input.
            inflated = self._inflater.decompress(self._inflater.unconsumed_tail, INFLATED_LENGTH)
            if not inflated and not self._inflater.eof:
                inflated = self._inflater.decompress(self._more(), INFLATED_LENGTH)
        except zlib.error as error:
            raise DatasetInvalid("the data set is no valid deflate stream (PS3.5 A.5)") from error
        if self._base + len(self._chunk) + len(inflated) > self._maximum:
            raise InflatesTooFar(self._maximum, self._base + len(self._chunk) + len(inflated))
        return inflated

    def _more(self) -> bytes:
        compressed = self._compressed.window(self._consumed)
        if not compressed:
            raise self._compressed.ended()
        self._consumed += len(compressed)
        return compressed

    def ended(self) -> Exception:
        """See `Source`."""
        return _truncated(self._base + len(self._chunk))
