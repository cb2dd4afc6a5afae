"""Encapsulated pixel data as native ones, which agree with what is said of them (PS3.3 §C.7.6.3, PS3.5 §8).

Nothing is made up and nothing is cut: what a codestream holds is compared with the Image Pixel module in every respect,
and where they disagree, the image is not converted. So it is with what would take too much. What has passed is decoded
by another process, see `decoder`.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from pacsd.dataset.budgets import DEFAULT_BUDGETS, Budgets
from pacsd.dataset.codestreams import Codestream, begins_codestream, read_codestream
from pacsd.dataset.encapsulation import MAXIMUM_FRAGMENTS, ExtendedOffsetTable, frames_of
from pacsd.dataset.sources import deflate_window_bits
from pacsd.decoder.frames import MOST_FRAMES, Coding, EncodedFrame, Luminance
from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pacsd.dataset.encapsulation import EncapsulatedPixels, Frame

__all__ = [
    "EXTENDED_OFFSETS",
    "IMAGE_PIXEL_TAGS",
    "Decode",
    "NativePixels",
    "decompress",
    "inflate_by_pieces",
]

Tag = tuple[int, int]

SAMPLES_PER_PIXEL: Final = (0x0028, 0x0002)
PHOTOMETRIC_INTERPRETATION: Final = (0x0028, 0x0004)
PLANAR_CONFIGURATION: Final = (0x0028, 0x0006)
NUMBER_OF_FRAMES: Final = (0x0028, 0x0008)
ROWS: Final = (0x0028, 0x0010)
COLUMNS: Final = (0x0028, 0x0011)
BITS_ALLOCATED: Final = (0x0028, 0x0100)
BITS_STORED: Final = (0x0028, 0x0101)
HIGH_BIT: Final = (0x0028, 0x0102)
PIXEL_REPRESENTATION: Final = (0x0028, 0x0103)
EXTENDED_OFFSETS: Final = (0x7FE0, 0x0001)
EXTENDED_LENGTHS: Final = (0x7FE0, 0x0002)
TOTAL_LENGTH: Final = (0x7FE0, 0x0003)

IMAGE_PIXEL_TAGS: Final = frozenset({
    SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, NUMBER_OF_FRAMES, ROWS, COLUMNS,
    BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION, EXTENDED_OFFSETS, EXTENDED_LENGTHS,
})  # fmt: skip
"""What has to be known of pixel data."""

RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"
WITHOUT_CODESTREAM: Final = frozenset({RLE_LOSSLESS, ENCAPSULATED_UNCOMPRESSED, DEFLATED_IMAGE_FRAME})
"""The transfer syntaxes whose frames have no mark at their beginning; all others' show what they are."""

LONGEST_VALUE: Final = 0xFFFFFFFE
"""Bytes; the greatest length that can be said of native pixel data (PS3.5 §8.1.1)."""
RLE_HEADER_LENGTH: Final = 64
LONGEST_NUMBER: Final = 12
"""Characters of a value of VR IS (PS3.5 §6.2)."""
DECODED_AT_ONCE: Final = 1 << 22
"""Bytes of decoded frames that are asked for together, where nothing but the header has to be known of each."""
DEFLATED_PIECE: Final = 1 << 16
INFLATED_PIECE: Final = 1 << 20
"""Bytes that are given, and taken, between two looks whether anybody still waits for them."""
_whole_number = re.compile(rb"\+?([0-9]+)(?:\.0*)?").fullmatch


class Inflater(Protocol):
    """What `zlib.decompressobj` returns."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream has come."""

    @property
    def unconsumed_tail(self) -> bytes:
        """What was not read of the data given last."""

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        """Return the next bytes, `max_length` of them at most."""


class Decode(Protocol):
    """What decodes frames; see `decoder.pool.InstanceDecoding`."""

    def __call__(
        self,
        frame: EncodedFrame,
        fragments: Sequence[memoryview],
        onto: bytearray,
        lengths: Sequence[int] = (),
        /,
    ) -> None:
        """Append the decoded frame, or frames that are alike, each of as many bytes as `lengths` says.

        Raises DatasetInvalid where one cannot be decoded.
        """


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class NativePixels:
    """Pixel data that are yet to be decompressed."""

    vr: str
    length: int
    """Bytes, with padding."""
    append_to: Callable[[bytearray], None]
    """Decompresses frame by frame, and the padding.

    Raises `DatasetInvalid` at the first frame that cannot be decompressed, or disagrees with the header.
    """
    attributes: Mapping[Tag, tuple[str, bytes] | None]
    """What the data set has to say instead of what it says; None for what has to go."""


@dataclass(frozen=True, slots=True)
class _Image:
    """The Image Pixel module, as far as it is of interest."""

    rows: int
    columns: int
    samples: int
    photometric_interpretation: str
    number_of_frames: int | None
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_length(self) -> int:
        """Bytes of a native frame; that of single bits is only right where whole bytes come out."""
        samples = self.rows * self.columns * self.samples
        return -(-samples * self.bits_allocated // 8)


def decompress(
    values: Mapping[Tag, bytes],
    pixels: EncapsulatedPixels,
    transfer_syntax_uid: str,
    byte_order: str = "<",
    *,
    decode: Decode,
    budgets: Budgets = DEFAULT_BUDGETS,
    look: Callable[[], None] = _nothing,
) -> NativePixels:
    """Return native pixel data for those that a data set, or an item, has encapsulated.

    `values` are its attributes of `IMAGE_PIXEL_TAGS`. Raises `DatasetInvalid` as far as can be told before any frame
    is decompressed, which is for `decode` to do. `look` is called between the steps, and may raise what ends them.
    """
    image = _image(values, byte_order)
    _verify_size(image, budgets)
    coded, is_rle = transfer_syntax_uid not in WITHOUT_CODESTREAM, transfer_syntax_uid == RLE_LOSSLESS
    frames = frames_of(
        pixels,
        image.number_of_frames,
        extended=_extended_offset_table(values, byte_order),
        begins_frame=begins_codestream if coded else _rle_mark(image) if is_rle else None,
    )
    attributes: dict[Tag, tuple[str, bytes] | None] = dict.fromkeys(
        (EXTENDED_OFFSETS, EXTENDED_LENGTHS, TOTAL_LENGTH)
    )
    if NUMBER_OF_FRAMES in values and image.number_of_frames is None:
        attributes[NUMBER_OF_FRAMES] = ("IS", b"1 ")  # what is sent, and not 0
    frame_length, said = image.frame_length, image.photometric_interpretation
    if coded or is_rle:
        if image.bits_allocated not in (8, 16, 32, 64):
            raise DatasetInvalid(f"{image.bits_allocated} bits allocated cannot be decompressed")
        if image.samples > 1:
            attributes[PLANAR_CONFIGURATION] = ("US", struct.pack(byte_order + "H", 0))
        if image.samples == 3 and said.startswith(("YBR_", "XYB")):
            attributes[PHOTOMETRIC_INTERPRETATION] = ("CS", b"RGB ")
        if image.samples != 1 and said.startswith(("MONOCHROME", "PALETTE")):
            raise DatasetInvalid(f"{image.samples} samples per pixel are not {said}")
    else:
        if said in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            frame_length = frame_length * 2 // 3
        if image.rows * image.columns * image.samples * image.bits_allocated % 8 and len(frames) > 1:
            raise DatasetInvalid("frames that end within a byte cannot be put together")
    length = frame_length * len(frames)
    if length > LONGEST_VALUE:
        raise DatasetInvalid(f"{length} bytes of decompressed pixels are more than native pixel data can be")
    decompression = _Decompression(image, transfer_syntax_uid, frame_length, decode, look)
    return NativePixels(
        "OB" if image.bits_allocated <= 8 else "OW",
        length + length % 2,
        lambda output: decompression.append(frames, output, pad=length % 2),
        attributes,
    )


def inflate_by_pieces(
    inflater: Inflater, deflated: memoryview, most: int, look: Callable[[], None]
) -> bytearray:
    """Return what a deflate stream becomes, `most` bytes of it at most; `look` is called between the pieces."""
    inflated = bytearray()
    for start in range(0, len(deflated), DEFLATED_PIECE):
        piece: bytes | memoryview = deflated[start : start + DEFLATED_PIECE]
        is_more = True
        while is_more and len(inflated) < most and not inflater.eof:
            look()
            room = min(INFLATED_PIECE, most - len(inflated))
            came = inflater.decompress(piece, room)
            inflated += came
            piece = inflater.unconsumed_tail
            # It may also keep some of what it has read already.
            is_more = bool(piece) or len(came) == room
    return inflated


def _verify_size(image: _Image, budgets: Budgets) -> None:
    """Compare what the header declares with the budgets, before anything else is done with it."""
    frame_length = image.frame_length
    if frame_length > budgets.frame:
        raise DatasetInvalid(f"a frame of {frame_length} bytes is over the limit of {budgets.frame}")
    if frame_length * (image.number_of_frames or 1) > budgets.instance:
        raise DatasetInvalid(
            f"{image.number_of_frames} frames of {frame_length} bytes are over the limit of {budgets.instance}"
        )


def _image(values: Mapping[Tag, bytes], byte_order: str) -> _Image:
    def number(tag: Tag, default: int | None = None) -> int:
        value = values.get(tag, b"")
        if len(value) >= 2:
            return int(struct.unpack_from(byte_order + "H", value)[0])
        if default is None:
            raise DatasetInvalid(f"the pixels are not described: ({tag[0]:04X},{tag[1]:04X}) is missing")
        return default

    # Some write a decimal; what cannot be read declares nothing.
    declared = _whole_number(values.get(NUMBER_OF_FRAMES, b"").strip(b" \0"))
    if declared and len(declared[1]) > LONGEST_NUMBER:
        raise DatasetInvalid("Number of Frames is no number")
    stored = number(BITS_STORED)
    image = _Image(
        rows=number(ROWS),
        columns=number(COLUMNS),
        samples=number(SAMPLES_PER_PIXEL, 1),
        photometric_interpretation=values.get(PHOTOMETRIC_INTERPRETATION, b"").decode("latin-1").strip(" \0"),
        number_of_frames=int(declared[1]) or None if declared else None,
        bits_allocated=number(BITS_ALLOCATED),
        bits_stored=stored,
        high_bit=number(HIGH_BIT, stored - 1),
        signed=number(PIXEL_REPRESENTATION, 0) == 1,
    )
    if not (image.rows and image.columns and image.samples and image.bits_allocated):
        raise DatasetInvalid("the pixels are not described: an image without size")
    return image


def _rle_mark(image: _Image) -> Callable[[memoryview], bool] | None:
    """Return what recognises the header of a frame's segments (PS3.5 §G.5), which begin right behind it.

    A frame has one fragment (§A.4.2), and DCMTK reads and writes several. None of one image, which has all of them.
    """
    if image.number_of_frames in (None, 1):
        return None
    mark = struct.pack("<2I", image.samples * -(-image.bits_allocated // 8), RLE_HEADER_LENGTH)
    return lambda fragment: fragment[:8] == mark


def _extended_offset_table(values: Mapping[Tag, bytes], byte_order: str) -> ExtendedOffsetTable | None:
    tables = [values.get(tag, b"") for tag in (EXTENDED_OFFSETS, EXTENDED_LENGTHS)]
    if not tables[0]:
        return None
    if max(map(len, tables)) > 8 * MAXIMUM_FRAGMENTS:
        raise DatasetInvalid(f"the Extended Offset Table has more than {MAXIMUM_FRAGMENTS} frames")
    offsets, lengths = (struct.unpack_from(f"{byte_order}{len(each) // 8}Q", each) for each in tables)
    return offsets, lengths


class _Decompression:
    """Decompresses the frames of one image."""

    def __init__(
        self,
        image: _Image,
        transfer_syntax_uid: str,
        frame_length: int,
        decode: Decode,
        look: Callable[[], None],
    ) -> None:
        self._image = image
        self._transfer_syntax_uid = transfer_syntax_uid
        self._frame_length = frame_length
        self._decode = decode
        self._look = look

    def append(self, frames: list[Frame], output: bytearray, *, pad: int) -> None:
        """Append native frames, and what is missing to an even length."""
        is_rle = self._transfer_syntax_uid == RLE_LOSSLESS
        at_once = max(1, min(MOST_FRAMES, DECODED_AT_ONCE // self._frame_length)) if is_rle else 1
        for start in range(0, len(frames), at_once):
            some = frames[start : start + at_once]
            self._look()
            before = len(output)
            if is_rle:
                self._append_rle(some, output)
            else:
                self._append_frame(some[0], output)
            length = (len(output) - before) // len(some)
            if length != self._frame_length:
                raise DatasetInvalid(
                    f"a frame decompresses to {length} bytes instead of {self._frame_length}"
                )
        output += bytes(pad)

    def _append_frame(self, fragments: Frame, output: bytearray) -> None:
        uid = self._transfer_syntax_uid
        if uid == ENCAPSULATED_UNCOMPRESSED:
            length = sum(map(len, fragments))
            if length == self._frame_length + 1 and length % 2 == 0:
                # An odd frame has a byte of padding.
                fragments = [*fragments[:-1], fragments[-1][:-1]]
            for fragment in fragments:
                output += fragment
        elif uid == DEFLATED_IMAGE_FRAME:
            output += self._inflated(b"".join(fragments))
        else:
            frame = bytes(fragments[0]) if len(fragments) == 1 else b"".join(fragments)
            self._decode(self._coded(read_codestream(frame)), [memoryview(frame)], output)

    def _append_rle(self, frames: list[Frame], output: bytearray) -> None:
        """Append several at once: to decode a small one takes less time than to have it decoded."""
        for fragments in frames:
            self._verify_rle(fragments)
        lengths = [sum(map(len, fragments)) for fragments in frames]
        self._decode(
            self._encoded(Codestream(Coding.RLE)), list(chain.from_iterable(frames)), output, lengths
        )

    def _inflated(self, frame: bytes) -> bytearray:
        inflater = zlib.decompressobj(deflate_window_bits(frame))
        try:
            native = inflate_by_pieces(inflater, memoryview(frame), self._frame_length + 1, self._look)
        except zlib.error as error:
            raise DatasetInvalid("a frame is no valid deflate stream") from error
        # One byte more is the padding of an odd frame; without its end the stream may be truncated.
        if len(native) == self._frame_length + self._frame_length % 2 and inflater.decompress(b"", 1) == b"":
            native = native[: self._frame_length]
        if not inflater.eof:
            raise DatasetInvalid("a frame's deflate stream is truncated, or inflates to more than the frame")
        return native

    def _verify_rle(self, fragments: Frame) -> None:
        """Compare a frame of RLE Lossless (PS3.5 Annex G) with the header."""
        image = self._image
        header = b"".join(fragment[:RLE_HEADER_LENGTH] for fragment in fragments)
        if len(header) < RLE_HEADER_LENGTH:
            raise DatasetInvalid("a frame's RLE stream is truncated")
        expected = image.samples * image.bits_allocated // 8
        (segments,) = struct.unpack_from("<I", header)
        if segments != expected:
            raise DatasetInvalid(f"a frame has {segments} RLE segments instead of {expected} (PS3.5 G.2)")

    def _coded(self, stream: Codestream) -> EncodedFrame:
        """Return what is known of a frame that is a codestream."""
        if stream.coding is Coding.JPEG_XL:
            # What it says itself is the size, from before the image is turned; the rest is seen by who decodes it.
            if stream.rows * stream.columns != self._image.rows * self._image.columns:
                raise DatasetInvalid(
                    f"a frame has {stream.rows} x {stream.columns} pixels, the header says "
                    f"{self._image.rows} x {self._image.columns}"
                )
        else:
            self._check(stream)
        if stream.coding in (Coding.JPEG, Coding.JPEG_LOSSLESS) and stream.samples not in (1, 3):
            raise DatasetInvalid(f"JPEG with {stream.samples} samples per pixel cannot be decompressed")
        return self._encoded(stream)

    def _encoded(self, stream: Codestream) -> EncodedFrame:
        image = self._image
        return EncodedFrame(
            coding=stream.coding,
            rows=image.rows,
            columns=image.columns,
            samples=image.samples,
            precision=stream.precision,
            stream_is_signed=bool(stream.signed),
            bits_allocated=image.bits_allocated,
            bits_stored=image.bits_stored,
            high_bit=image.high_bit,
            is_signed=image.signed,
            luminance=self._luminance(stream),
            data_end=stream.data_end,
        )

    def _check(self, stream: Codestream) -> None:
        """Compare a codestream with the header."""
        image = self._image
        for what, found, declared in (
            ("rows", stream.rows, image.rows),
            ("columns", stream.columns, image.columns),
            ("samples per pixel", stream.samples, image.samples),
        ):
            if found != declared:
                raise DatasetInvalid(f"a frame has {found} {what}, the header says {declared}")
        if stream.precision > image.bits_allocated:
            raise DatasetInvalid(
                f"frames of {stream.precision} bits per sample in {image.bits_allocated} allocated"
            )
        if image.high_bit != image.bits_stored - 1:
            # The stream's samples are the allocated words, or they would have to be shifted on somebody's guess.
            if stream.precision <= image.high_bit:
                raise DatasetInvalid(
                    f"{stream.precision} bits per sample do not reach High Bit {image.high_bit}"
                )
        elif stream.precision < image.bits_stored and image.signed != bool(stream.signed):
            raise DatasetInvalid(
                f"{stream.precision} bits per sample of {image.bits_stored} signed ones stored"
            )

    def _luminance(self, stream: Codestream) -> Luminance:
        """Return how samples of luminance and chrominance become RGB; all others stay as they are."""
        if self._image.samples != 3 or stream.coding is Coding.JPEG_XL:
            return Luminance.NONE  # JPEG XL's decoder returns RGB
        said, is_ybr = self._image.photometric_interpretation, stream.components_are_ybr
        if is_ybr is None:
            is_ybr = said.startswith("YBR_") and said not in ("YBR_RCT", "YBR_ICT")
        if not is_ybr:
            return Luminance.NONE
        partial = said.startswith("YBR_PARTIAL") and not stream.is_full_range
        return Luminance.PARTIAL if partial else Luminance.FULL
