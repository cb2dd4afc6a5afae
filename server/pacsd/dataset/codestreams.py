"""What a compressed frame says of itself, and whether it is complete: JPEG, JPEG-LS, JPEG 2000, of JPEG XL the size.

Decoders make up what a truncated stream lacks. So a stream's structure is walked to its end before it is decoded.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from pacsd.decoder.frames import Coding
from pacsd.errors import DatasetInvalid

__all__ = ["Codestream", "begins_codestream", "read_codestream"]

JPEG_START: Final = b"\xff\xd8\xff"
JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
JP2_START: Final = b"\x00\x00\x00\x0cjP  "
JPEG_XL_STARTS: Final = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")

_EOI, _SOS, _DRI, _SOF_LS = 0xD9, 0xDA, 0xDD, 0xF7
_SOF: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_LOSSLESS_SOF: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Ends entropy-coded data, of which restart markers are a part; other FF come as FF 00 (ISO 10918-1 §B.1)."""
_MARKER_LS: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]", re.DOTALL)
"""The same of JPEG-LS, where a bit is stuffed behind FF (ISO 14495-1 §A.1)."""
_RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])", re.DOTALL)
_RGB_COMPONENTS: Final = (b"RGB", b"rgb")


@dataclass(slots=True)
class Codestream:
    """What a frame's stream says of itself."""

    coding: Coding
    rows: int = 0
    columns: int = 0
    samples: int = 0
    precision: int = 0
    """Bits per sample."""
    signed: bool | None = None
    """None where such a stream cannot say."""
    components_are_ybr: bool | None = None
    """None where the stream does not say, and Photometric Interpretation has to be believed."""
    is_full_range: bool = False
    """Whether luminance goes from 0 to the greatest value for certain, as in JFIF (ISO 10918-5) and Adobe's files."""
    data_end: int = 0
    """Where the last scan's entropy-coded data end; JPEG only."""


def begins_codestream(fragment: memoryview) -> bool:
    """Say whether a fragment is the first of a frame."""
    return bytes(fragment[:12]).startswith((JPEG_START, JPEG_2000_START, JP2_START, *JPEG_XL_STARTS))


def read_codestream(frame: bytes) -> Codestream:
    """Walk the stream; raises `DatasetInvalid` if it is of no known kind, malformed or incomplete.

    Of JPEG XL only the kind and the size are known before it is decoded, and rows and columns may change places.
    """
    try:
        if frame.startswith(JPEG_START):
            return _JpegWalk(frame).walk()
        if frame.startswith((JPEG_2000_START, JP2_START)):
            return _read_jpeg_2000(frame)
        if frame.startswith(JPEG_XL_STARTS):
            return _read_jpeg_xl(frame)
    except (struct.error, IndexError):
        raise DatasetInvalid("a frame's codestream is truncated") from None
    raise DatasetInvalid("a frame holds no codestream that is known here")


@dataclass(frozen=True, slots=True)
class _Component:
    horizontal: int
    vertical: int


@dataclass(slots=True)
class _JpegWalk:
    """One pass over the markers of a JPEG or JPEG-LS stream (ISO 10918-1 Annex B, ISO 14495-1 Annex C)."""

    data: bytes
    stream: Codestream = field(default_factory=lambda: Codestream(Coding.JPEG))
    components: dict[int, _Component] = field(default_factory=dict)
    scanned: set[int] = field(default_factory=set)
    restart_interval: int = 0
    is_jfif: bool = False
    adobe_transform: int | None = None

    def walk(self) -> Codestream:
        position = 2
        while True:
            if self.data[position] != 0xFF:
                raise DatasetInvalid("a frame's JPEG stream is malformed: no marker where one is due")
            while self.data[position] == 0xFF:
                position += 1
            marker = self.data[position]
            position += 1
            if marker == _EOI:
                break
            (length,) = struct.unpack_from(">H", self.data, position)
            segment = self.data[position + 2 : position + length]
            if length < 2 or len(segment) < length - 2:
                raise DatasetInvalid("a frame's codestream is truncated")
            position += length
            if marker == _SOS:
                position = self._scan(segment, position)
            else:
                self._segment(marker, segment)
        return self._finished(position)

    def _segment(self, marker: int, segment: bytes) -> None:
        if marker in _SOF or marker == _SOF_LS:
            if marker == _SOF_LS:
                self.stream.coding = Coding.JPEG_LS
            elif marker in _LOSSLESS_SOF:
                self.stream.coding = Coding.JPEG_LOSSLESS
            if self.components:
                raise DatasetInvalid("a frame's JPEG stream is malformed: it says twice what it holds")
            precision, rows, columns, count = struct.unpack_from(">BHHB", segment)
            self.stream.precision, self.stream.rows, self.stream.columns = precision, rows, columns
            self.stream.samples = count
            for number in range(count):
                identifier, sampling, _ = struct.unpack_from("3B", segment, 6 + 3 * number)
                self.components[identifier] = _Component(sampling >> 4 or 1, sampling & 15 or 1)
        elif marker == _DRI:
            self.restart_interval = int.from_bytes(segment[:4], "big")
        elif marker == 0xE0 and segment.startswith(b"JFIF"):
            self.is_jfif = True
        elif marker == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12:
            self.adobe_transform = segment[11]

    def _scan(self, header: bytes, position: int) -> int:
        """Go past a scan's entropy-coded data."""
        in_scan = [header[1 + 2 * number] for number in range(header[0])]
        if not self.components or not self.components.keys() >= set(in_scan):
            raise DatasetInvalid("a frame's JPEG stream is malformed: a scan of unknown components")
        pattern = _MARKER_LS if self.stream.coding is Coding.JPEG_LS else _MARKER
        marker = pattern.search(self.data, position)
        if marker is None:
            raise DatasetInvalid("a frame's codestream is truncated: it has no end (EOI)")
        end = marker.start()
        while self.data[end - 1] == 0xFF:
            end -= 1  # fill bytes before the marker
        if self.restart_interval and self.stream.coding is not Coding.JPEG_LS:
            self._check_restarts(in_scan, self.data[position:end])
        self.scanned.update(in_scan)
        self.stream.data_end = end
        return end

    def _check_restarts(self, in_scan: list[int], entropy_coded: bytes) -> None:
        """Make sure that no interval between restart markers is missing."""
        unit = 1 if self.stream.coding is Coding.JPEG_LOSSLESS else 8
        widest = max(component.horizontal for component in self.components.values())
        tallest = max(component.vertical for component in self.components.values())
        across, down = widest * unit, tallest * unit
        columns, rows = self.stream.columns, self.stream.rows
        if len(in_scan) == 1:
            only = self.components[in_scan[0]]
            columns, rows = -(-columns * only.horizontal // widest), -(-rows * only.vertical // tallest)
            across = down = unit
        units = -(-columns // across) * -(-rows // down)
        found = [marker[0] & 7 for marker in _RESTART.findall(entropy_coded)]
        expected = -(-units // self.restart_interval) - 1
        if len(found) != expected or any(number != place % 8 for place, number in enumerate(found)):
            raise DatasetInvalid(
                f"a frame's JPEG stream has {len(found)} restart markers instead of {expected}"
            )

    def _finished(self, end: int) -> Codestream:
        if not self.scanned or self.scanned != self.components.keys():
            raise DatasetInvalid("a frame's codestream is truncated: a component has no scan")
        if self.data.startswith(JPEG_START, end):
            raise DatasetInvalid("a frame has more than one codestream")
        self.stream.is_full_range = self.is_jfif or self.adobe_transform == 1
        if self.stream.coding is not Coding.JPEG_LS and self.adobe_transform == 1:
            self.stream.components_are_ybr = True
        elif bytes(self.components) in _RGB_COMPONENTS:
            self.stream.components_are_ybr = False
        elif self.is_jfif or len({*self.components.values()}) > 1:
            # Only chrominance is sampled more coarsely than the rest.
            self.stream.components_are_ybr = True
        return self.stream


def _read_jpeg_2000(frame: bytes) -> Codestream:
    """Read the image size, and go from tile-part to tile-part to the end (ISO 15444-1 Annex A)."""
    start = frame.find(JPEG_2000_START)
    if start < 0:
        raise DatasetInvalid("a frame's JP2 file has no codestream")
    size = struct.unpack_from(">8I", frame, start + 8)
    (count,) = struct.unpack_from(">H", frame, start + 40)
    components = {struct.unpack_from("B", frame, start + 42 + 3 * number)[0] for number in range(count)}
    if len(components) != 1:
        raise DatasetInvalid("a frame's components differ in precision")
    (depth,) = components
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = size
    if not (tile_width and tile_height):
        raise DatasetInvalid("a frame's JPEG 2000 stream is malformed: tiles without a size")
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    _check_tiles(frame, start + 2, tiles)
    return Codestream(
        Coding.JPEG_2000,
        rows=bottom - top,
        columns=right - left,
        samples=count,
        precision=(depth & 0x7F) + 1,
        signed=depth >= 0x80,
    )


def _check_tiles(frame: bytes, position: int, tiles: int) -> None:
    seen: set[int] = set()
    while True:
        (marker,) = struct.unpack_from(">H", frame, position)
        if marker == 0xFFD9:
            break
        if marker != 0xFF90:
            if seen:
                raise DatasetInvalid(
                    "a frame's codestream is truncated: no tile-part or end (EOC) where one is due"
                )
            position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
            continue
        tile, length = struct.unpack_from(">HI", frame, position + 4)
        seen.add(tile)
        if length == 0:
            # The last one, which goes on to the end.
            if not frame.rstrip(b"\0").endswith(b"\xff\xd9"):
                raise DatasetInvalid("a frame's codestream is truncated: it has no end (EOC)")
            break
        if length < 12 or position + length > len(frame):
            raise DatasetInvalid("a frame's codestream is truncated: it ends within a tile")
        position += length
    if len(seen) < tiles:
        raise DatasetInvalid(f"a frame's codestream is truncated: it has {len(seen)} of {tiles} tiles")


def _read_jpeg_xl(frame: bytes) -> Codestream:
    """Read the image size from the beginning of the codestream (ISO 18181-1 §D.2)."""
    bits = int.from_bytes(_jpeg_xl_start(frame), "little") >> 16

    def take(count: int) -> int:
        nonlocal bits
        value = bits & (1 << count) - 1
        bits >>= count
        return value

    is_small = take(1)

    def length() -> int:
        return 8 * (take(5) + 1) if is_small else take(_JPEG_XL_BITS[take(2)]) + 1

    rows = length()
    ratio = take(3)
    columns = rows * _JPEG_XL_RATIOS[ratio][0] // _JPEG_XL_RATIOS[ratio][1] if ratio else length()
    return Codestream(Coding.JPEG_XL, rows=rows, columns=columns)


_JPEG_XL_BITS: Final = (9, 13, 18, 30)
_JPEG_XL_RATIOS: Final = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JPEG_XL_SIZE_LENGTH: Final = 16
"""Bytes from the beginning of a codestream on, in which its size stands."""


def _jpeg_xl_start(frame: bytes) -> bytes:
    """Return the first bytes of the codestream, which may be in boxes (ISO 18181-2)."""
    position = 0
    while not frame.startswith(JPEG_XL_STARTS[0], position):
        length, kind = struct.unpack_from(">I4s", frame, position)
        content = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", frame, content)
            content += 8
        if kind in (b"jxlc", b"jxlp"):
            position = content + (4 if kind == b"jxlp" else 0)
            if not frame.startswith(JPEG_XL_STARTS[0], position):
                raise DatasetInvalid("a frame's JPEG XL file has no codestream")
            break
        if length < 8:
            raise DatasetInvalid("a frame's JPEG XL file has no codestream")
        position += length
    return frame[position : position + _JPEG_XL_SIZE_LENGTH]
