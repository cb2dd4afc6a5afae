"""Encapsulated pixel data as native ones, which agree with what is said of them (PS3.3 §C.7.6.3, PS3.5 §8).

Nothing is made up and nothing is cut: what a codestream holds is compared with the Image Pixel module in every respect,
and where they disagree, the image is not converted.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pacsd.errors import DatasetInvalid
from pacsd.storage.codestreams import Codestream, Coding, begins_codestream, read_codestream
from pacsd.storage.encapsulation import ExtendedOffsetTable, frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pacsd.storage.encapsulation import EncapsulatedPixels, Frame

__all__ = ["IMAGE_PIXEL_TAGS", "NativePixels", "decompress"]

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
SAMPLES_AT_ONCE: Final = 1 << 20
"""Of which the colours are converted, so that a large frame takes little memory."""
FILLER: Final = b"\x5a\x33\xc6\xa5" * 16
"""Entropy-coded data to no purpose: a decoder that reads them has not had enough before."""


@dataclass(frozen=True, slots=True)
class NativePixels:
    """Pixel data that are decompressed frame by frame while they are taken."""

    vr: str
    length: int
    """Bytes, with padding."""
    frames: Iterator[bytes | memoryview]
    """Raises `DatasetInvalid` at the first frame that cannot be decompressed, or disagrees with the header."""
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
    values: Mapping[Tag, bytes], pixels: EncapsulatedPixels, transfer_syntax_uid: str, byte_order: str = "<"
) -> NativePixels:
    """Return native pixel data for those that a data set, or an item, has encapsulated.

    `values` are its attributes of `IMAGE_PIXEL_TAGS`. Raises `DatasetInvalid` as far as can be told before any frame
    is decompressed.
    """
    image = _image(values, byte_order)
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
    decoder = _Decoder(image, transfer_syntax_uid, frame_length)
    return NativePixels(
        "OB" if image.bits_allocated <= 8 else "OW",
        length + length % 2,
        decoder.frames(frames, pad=length % 2),
        attributes,
    )


def _image(values: Mapping[Tag, bytes], byte_order: str) -> _Image:
    def number(tag: Tag, default: int | None = None) -> int:
        value = values.get(tag, b"")
        if len(value) >= 2:
            return int(struct.unpack_from(byte_order + "H", value)[0])
        if default is None:
            raise DatasetInvalid(f"the pixels are not described: ({tag[0]:04X},{tag[1]:04X}) is missing")
        return default

    frames = values.get(NUMBER_OF_FRAMES, b"").strip(b" \0").removeprefix(b"+")
    if frames and not frames.isdigit():
        raise DatasetInvalid("Number of Frames is no number")
    stored = number(BITS_STORED)
    image = _Image(
        rows=number(ROWS),
        columns=number(COLUMNS),
        samples=number(SAMPLES_PER_PIXEL, 1),
        photometric_interpretation=values.get(PHOTOMETRIC_INTERPRETATION, b"").decode("latin-1").strip(" \0"),
        number_of_frames=int(frames or 0) or None,
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
    offsets, lengths = (struct.unpack_from(f"{byte_order}{len(each) // 8}Q", each) for each in tables)
    return offsets, lengths


class _Decoder:
    """Decompresses the frames of one image."""

    def __init__(self, image: _Image, transfer_syntax_uid: str, frame_length: int) -> None:
        self._image = image
        self._transfer_syntax_uid = transfer_syntax_uid
        self._frame_length = frame_length

    def frames(self, frames: list[Frame], *, pad: int) -> Iterator[bytes | memoryview]:
        """Yield native frames, and what is missing to an even length."""
        for fragments in frames:
            frame = b"".join(fragments)
            native = self._native_frame(frame)
            if len(native) != self._frame_length:
                raise DatasetInvalid(
                    f"a frame decompresses to {len(native)} bytes instead of {self._frame_length}"
                )
            yield native
        yield bytes(pad)

    def _native_frame(self, frame: bytes) -> bytes | memoryview:
        uid = self._transfer_syntax_uid
        if uid == ENCAPSULATED_UNCOMPRESSED:
            # An odd frame has a byte of padding.
            return frame[:-1] if len(frame) == self._frame_length + 1 and len(frame) % 2 == 0 else frame
        if uid == DEFLATED_IMAGE_FRAME:
            return self._inflated(frame)
        try:
            samples = self._rle(frame) if uid == RLE_LOSSLESS else self._decoded(frame)
        except DatasetInvalid:
            raise
        except Exception as error:
            # Decoders raise whatever they like, and quote values in what they say: only its kind is told.
            raise DatasetInvalid(f"a frame cannot be decoded: {type(error).__name__}") from error
        import numpy as np  # noqa: PLC0415

        return np.ascontiguousarray(samples).data.cast("B")

    def _inflated(self, frame: bytes) -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            native = inflater.decompress(frame, self._frame_length + 1)
        except zlib.error as error:
            raise DatasetInvalid("a frame is no valid deflate stream") from error
        # One byte more is the padding of an odd frame; without its end the stream may be truncated.
        if len(native) == self._frame_length + self._frame_length % 2 and inflater.decompress(b"", 1) == b"":
            native = native[: self._frame_length]
        if not inflater.eof:
            raise DatasetInvalid("a frame's deflate stream is truncated, or inflates to more than the frame")
        return native

    def _rle(self, frame: bytes) -> Any:
        """Return a frame of RLE Lossless (PS3.5 Annex G)."""
        import numpy as np  # noqa: PLC0415 -- takes long to load and most servers never transcode
        from rle.utils import decode_pixel_data  # noqa: PLC0415

        image = self._image
        if len(frame) < RLE_HEADER_LENGTH:
            raise DatasetInvalid("a frame's RLE stream is truncated")
        width = image.bits_allocated // 8
        (segments,) = struct.unpack_from("<I", frame)
        if segments != image.samples * width:
            raise DatasetInvalid(
                f"a frame has {segments} RLE segments instead of {image.samples * width} (PS3.5 G.2)"
            )
        planes = decode_pixel_data(
            frame, version=2, rows=image.rows, columns=image.columns, bits_allocated=image.bits_allocated
        )
        samples = np.frombuffer(planes, f"<u{width}").reshape(image.samples, image.rows, image.columns)
        return self._in_rgb(np.moveaxis(samples, 0, -1), None, image.bits_stored)

    def _decoded(self, frame: bytes) -> Any:
        """Return the samples of a frame that is a codestream, in the container that the header names."""
        stream = read_codestream(frame)
        if stream.coding is Coding.JPEG_XL:
            samples = _decode_jpeg_xl(frame, stream)
            self._check(stream)
        else:
            self._check(stream)
            samples = _DECODERS[stream.coding](frame, stream)
        expected = (self._image.rows, self._image.columns, self._image.samples)
        samples = (
            samples.reshape(expected) if samples.size == expected[0] * expected[1] * expected[2] else samples
        )
        if samples.shape != expected:
            raise DatasetInvalid("a frame decodes to another number of samples than its stream has")
        return self._contained(self._in_rgb(samples, stream, stream.precision), stream)

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

    def _contained(self, samples: Any, stream: Codestream) -> Any:
        """Return samples with as many bytes as are allocated, with the sign that the header speaks of."""
        image = self._image
        allocated, precision = image.bits_allocated, stream.precision
        kind = "i" if stream.signed else "u"
        samples = samples.astype(f"<{kind}{allocated // 8}", copy=False)
        if precision == image.bits_stored == image.high_bit + 1 and precision < allocated:
            # These bits are the whole value. Of a stream that has no sign, or another one, they are put right.
            if image.signed and not stream.signed:
                shift = allocated - precision
                samples = (samples << shift).view(f"<i{allocated // 8}") >> shift
            elif stream.signed and not image.signed:
                samples = samples.view(f"<u{allocated // 8}") & ((1 << precision) - 1)
        return samples

    def _in_rgb(self, samples: Any, stream: Codestream | None, precision: int) -> Any:
        """Return samples of luminance and chrominance as RGB, all others as they are."""
        said = self._image.photometric_interpretation
        partial = said.startswith("YBR_PARTIAL") and not (stream is not None and stream.is_full_range)
        is_ybr = stream.components_are_ybr if stream is not None else None
        if is_ybr is None:
            is_ybr = said.startswith("YBR_") and said not in ("YBR_RCT", "YBR_ICT")
        if stream is not None and stream.coding is Coding.JPEG_XL:
            is_ybr = False  # its decoder returns RGB
        if samples.shape[-1] != 3 or not is_ybr:
            return samples
        return _rgb(samples, precision, partial=partial)


def _rgb(samples: Any, precision: int, *, partial: bool) -> Any:
    """Return YCbCr samples as RGB (PS3.3 §C.7.6.3.1.2); `partial` are those between black at 16 and white at 235.

    A few rows at a time: what is calculated with takes many times the memory of the samples.
    """
    import numpy as np  # noqa: PLC0415

    converted = np.empty(samples.shape, samples.dtype)
    rows = max(1, SAMPLES_AT_ONCE // (samples.shape[1] * samples.shape[2]))
    for start in range(0, len(samples), rows):
        part = slice(start, start + rows)
        converted[part] = _rgb_rows(samples[part], precision, partial=partial)
    return converted


def _rgb_rows(samples: Any, precision: int, *, partial: bool) -> Any:
    import numpy as np  # noqa: PLC0415

    scale = float(1 << precision - 8) if precision >= 8 else 1.0
    half = float(1 << precision - 1)
    values = samples.astype(np.float32)
    luminance, blue, red = values[..., 0].copy(), values[..., 1] - half, values[..., 2] - half
    if partial:
        luminance = (luminance - 16.0 * scale) * (255.0 / 219.0)
        blue, red = blue * (255.0 / 224.0), red * (255.0 / 224.0)
    values[..., 0] = luminance + 1.402 * red
    values[..., 1] = luminance - (0.114 * 1.772 / 0.587) * blue - (0.299 * 1.402 / 0.587) * red
    values[..., 2] = luminance + 1.772 * blue
    np.floor(values + 0.5, out=values)
    return np.clip(values, 0, (1 << precision) - 1).astype(samples.dtype)


def _decode_jpeg(frame: bytes, stream: Codestream) -> Any:
    """Return the components of a JPEG frame as they are, after making sure that none of them is made up.

    The decoder fills in what the entropy-coded data lack, without a word. So the frame is decoded again with other
    data behind its own: they change the picture only where they are needed for it.
    """
    import imagecodecs  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if stream.samples not in (1, 3):
        raise DatasetInvalid(f"JPEG with {stream.samples} samples per pixel cannot be decompressed")
    # Named as RGB on both sides, components are not converted.
    colours = "RGB" if stream.samples == 3 else None
    samples = imagecodecs.jpeg8_decode(frame, colorspace=colours, outcolorspace=colours)
    tail = frame[stream.data_end :]
    probe = imagecodecs.jpeg8_decode(
        b"".join((memoryview(frame)[: stream.data_end], FILLER, tail)),
        colorspace=colours,
        outcolorspace=colours,
    )
    if not np.array_equal(samples, probe):
        raise DatasetInvalid("a frame's codestream is truncated: its data end before its last sample")
    return samples


def _decode_jpeg_ls(frame: bytes, stream: Codestream) -> Any:
    import jpeg_ls  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    buffer, information = jpeg_ls.decode_pixel_data(frame)
    samples = np.frombuffer(buffer, "<u1" if stream.precision <= 8 else "<u2")
    if stream.samples > 1 and information["interleave_mode"] == 0:
        samples = np.moveaxis(samples.reshape(stream.samples, stream.rows, stream.columns), 0, -1)
    return samples


def _decode_jpeg_2000(frame: bytes, stream: Codestream) -> Any:
    import numpy as np  # noqa: PLC0415
    from openjpeg.utils import decode_pixel_data  # noqa: PLC0415

    width = 1 if stream.precision <= 8 else 2 if stream.precision <= 16 else 4
    return np.frombuffer(decode_pixel_data(frame, version=2), f"<{'i' if stream.signed else 'u'}{width}")


def _decode_jpeg_xl(frame: bytes, stream: Codestream) -> Any:
    """Decode, and note in `stream` what came out."""
    import imagecodecs  # noqa: PLC0415

    samples = imagecodecs.jpegxl_decode(frame)
    if samples.ndim not in (2, 3) or samples.dtype.kind != "u":
        raise DatasetInvalid("a frame's JPEG XL stream holds no image of whole numbers")
    stream.rows, stream.columns = samples.shape[:2]
    stream.samples = samples.shape[2] if samples.ndim == 3 else 1
    stream.precision = samples.dtype.itemsize * 8
    return samples


_DECODERS: Final = {
    Coding.JPEG: _decode_jpeg,
    Coding.JPEG_LOSSLESS: _decode_jpeg,
    Coding.JPEG_LS: _decode_jpeg_ls,
    Coding.JPEG_2000: _decode_jpeg_2000,
}
