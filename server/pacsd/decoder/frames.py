"""What a worker and its decoder process say to each other: fixed structures, each way one for some frames.

The frames are alike; they and their decoded samples are in memory that both have mapped. The decoder is not
trusted: nothing of its answer but a status and a length is looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "HELLO",
    "KEPT_MAP",
    "MOST_FRAMES",
    "RESPONSE",
    "Coding",
    "EncodedFrame",
    "Failure",
    "Luminance",
    "Missing",
]

HELLO: Final = struct.Struct("<IQ")
"""The decoder's first message: what it could not be confined by (`Missing`), and its address space, bytes."""
RESPONSE: Final = struct.Struct("<BQ")
"""A `Failure`, and how many bytes were decoded."""
KEPT_MAP: Final = 16 << 20
"""Bytes: larger shared memory is given back after the frame that needed it."""

MOST_FRAMES: Final = 64
"""That are decoded for one request."""

_REQUEST: Final = struct.Struct("<BIIHBBBiiBBIQ")


class Coding(Enum):
    """How a frame is compressed, which its codestream itself shows."""

    JPEG = "JPEG"
    JPEG_LOSSLESS = "lossless JPEG"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    JPEG_XL = "JPEG XL"
    RLE = "RLE"
    """Which alone shows nothing, and is known by the transfer syntax."""


class Missing(IntFlag):
    """What the kernel, or a container's rules, did not let a decoder give up."""

    PRIVILEGES = 1
    FILES = 2
    SYSTEM_CALLS = 4
    NETWORK = 8


class Luminance(Enum):
    """Whether three samples are luminance and chrominance, to be made RGB (PS3.3 §C.7.6.3.1.2)."""

    NONE = 0
    FULL = 1
    PARTIAL = 2


class Failure(IntEnum):
    """Why a frame was not decoded; NONE where it was."""

    NONE = 0
    DECODER = 1
    """The decoder refuses it."""
    TRUNCATED = 2
    """Its data end before the last sample."""
    SHAPE = 3
    """It decodes to another number of samples, or other ones, than it should."""
    MEMORY = 4
    """It takes more memory than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFrame:
    """What has to be known to decode a frame; all of it has been compared with the header."""

    coding: Coding
    rows: int
    columns: int
    samples: int
    precision: int
    """Bits per sample in the codestream; 0 where only its decoding shows."""
    stream_is_signed: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    luminance: Luminance
    data_end: int
    """As `Codestream.data_end`."""

    @property
    def decoded_length(self) -> int:
        """Bytes of the samples in words of `bits_allocated`."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    def to_bytes(self, lengths: Sequence[int], map_length: int) -> bytes:
        """Return the request to decode frames that are all like this one, in shared memory of `map_length` bytes.

        They stand there one after the other; `lengths` has the bytes of each.
        """
        return _REQUEST.pack(
            _CODES[self.coding],
            self.rows,
            self.columns,
            self.samples,
            self.precision,
            self.stream_is_signed,
            self.bits_allocated,
            self.bits_stored,
            self.high_bit,
            self.is_signed,
            self.luminance.value,
            self.data_end,
            map_length,
        ) + struct.pack(f"<{len(lengths)}Q", *lengths)

    @classmethod
    def from_bytes(cls, request: bytes) -> tuple[EncodedFrame, tuple[int, ...], int]:
        """Return what `to_bytes` was given."""
        code, rows, columns, samples, precision, stream_is_signed, *rest = _REQUEST.unpack_from(request)
        allocated, stored, high_bit, is_signed, luminance, data_end, map_length = rest
        lengths = struct.unpack_from(f"<{(len(request) - _REQUEST.size) // 8}Q", request, _REQUEST.size)
        frame = cls(
            coding=_CODINGS[code],
            rows=rows,
            columns=columns,
            samples=samples,
            precision=precision,
            stream_is_signed=bool(stream_is_signed),
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=high_bit,
            is_signed=bool(is_signed),
            luminance=Luminance(luminance),
            data_end=data_end,
        )
        return frame, lengths, map_length


_CODINGS: Final = dict(enumerate(Coding))
_CODES: Final = {coding: code for code, coding in _CODINGS.items()}
