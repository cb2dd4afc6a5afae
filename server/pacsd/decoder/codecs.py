"""Frames into samples, by native decoders, with the bits and the colours that the header speaks of (PS3.5 §8).

Runs in the decoder process only. All that is ever needed is loaded with this module: once the process is confined, no
file can be opened any more.
"""

from __future__ import annotations

from typing import Any, Final

import imagecodecs
import jpeg_ls
import numpy as np
from openjpeg.utils import decode_pixel_data as decode_openjpeg
from rle.utils import decode_pixel_data as decode_rle

from pacsd.decoder.frames import Coding, EncodedFrame, Failure, Luminance

__all__ = ["UndecodableError", "decode"]

FILLER: Final = b"\x5a\x33\xc6\xa5" * 16
"""Entropy-coded data to no purpose: a decoder that reads them has not had enough before."""
SAMPLES_AT_ONCE: Final = 1 << 20
"""Of which the colours are converted, so that a large frame takes little memory."""

# Attributes of imagecodecs are loaded when they are first asked for.
_jpeg_decode, _jpeg_xl_decode = imagecodecs.jpeg8_decode, imagecodecs.jpegxl_decode


class UndecodableError(Exception):
    """A frame cannot be decoded; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


def decode(frame: EncodedFrame, data: bytes) -> Any:
    """Return the frame's samples, of `frame.decoded_length` bytes.

    Raises `UndecodableError`, MemoryError, and whatever else decoders raise.
    """
    samples, precision = _DECODERS[frame.coding](frame, data)
    shape = (frame.rows, frame.columns, frame.samples)
    if samples.size != frame.rows * frame.columns * frame.samples:
        raise UndecodableError(Failure.SHAPE)
    samples = samples.reshape(shape)
    if frame.luminance is not Luminance.NONE:
        samples = _rgb(samples, precision, partial=frame.luminance is Luminance.PARTIAL)
    return samples if frame.coding is Coding.RLE else _contained(frame, samples, precision)


def _contained(frame: EncodedFrame, samples: Any, precision: int) -> Any:
    """Return samples with as many bytes as are allocated, with the sign that the header speaks of."""
    allocated, stored = frame.bits_allocated, frame.bits_stored
    samples = samples.astype(f"<{'i' if frame.stream_is_signed else 'u'}{allocated // 8}", copy=False)
    if precision == stored == frame.high_bit + 1 and precision < allocated:
        # These bits are the whole value. Of a stream that has no sign, or another one, they are put right.
        if frame.is_signed and not frame.stream_is_signed:
            shift = allocated - precision
            samples = (samples << shift).view(f"<i{allocated // 8}") >> shift
        elif frame.stream_is_signed and not frame.is_signed:
            samples = samples.view(f"<u{allocated // 8}") & ((1 << precision) - 1)
    return samples


def _rgb(samples: Any, precision: int, *, partial: bool) -> Any:
    """Return YCbCr samples as RGB (PS3.3 §C.7.6.3.1.2); `partial` are those between black at 16 and white at 235.

    A few rows at a time: what is calculated with takes many times the memory of the samples.
    """
    converted = np.empty(samples.shape, samples.dtype)
    rows = max(1, SAMPLES_AT_ONCE // (samples.shape[1] * samples.shape[2]))
    for start in range(0, len(samples), rows):
        part = slice(start, start + rows)
        converted[part] = _rgb_rows(samples[part], precision, partial=partial)
    return converted


def _rgb_rows(samples: Any, precision: int, *, partial: bool) -> Any:
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


def _decode_rle(frame: EncodedFrame, data: bytes) -> tuple[Any, int]:
    """Decode RLE Lossless (PS3.5 Annex G)."""
    allocated = frame.bits_allocated
    planes = decode_rle(data, version=2, rows=frame.rows, columns=frame.columns, bits_allocated=allocated)
    samples = np.frombuffer(planes, f"<u{allocated // 8}").reshape(frame.samples, frame.rows, frame.columns)
    return np.moveaxis(samples, 0, -1), frame.bits_stored


def _decode_jpeg(frame: EncodedFrame, data: bytes) -> tuple[Any, int]:
    """Return the components of a JPEG frame as they are, after making sure that none of them is made up.

    The decoder fills in what the entropy-coded data lack, without a word. So the frame is decoded again with other
    data behind its own: they change the picture only where they are needed for it.
    """
    # Named as RGB on both sides, components are not converted.
    colours = "RGB" if frame.samples == 3 else None
    samples = _jpeg_decode(data, colorspace=colours, outcolorspace=colours)
    own, tail = memoryview(data)[: frame.data_end], data[frame.data_end :]
    probe = _jpeg_decode(b"".join((own, FILLER, tail)), colorspace=colours, outcolorspace=colours)
    if not np.array_equal(samples, probe):
        raise UndecodableError(Failure.TRUNCATED)
    return samples, frame.precision


def _decode_jpeg_ls(frame: EncodedFrame, data: bytes) -> tuple[Any, int]:
    buffer, information = jpeg_ls.decode_pixel_data(data)
    samples = np.frombuffer(buffer, "<u1" if frame.precision <= 8 else "<u2")
    if frame.samples > 1 and information["interleave_mode"] == 0:
        samples = np.moveaxis(samples.reshape(frame.samples, frame.rows, frame.columns), 0, -1)
    return samples, frame.precision


def _decode_jpeg_2000(frame: EncodedFrame, data: bytes) -> tuple[Any, int]:
    width = 1 if frame.precision <= 8 else 2 if frame.precision <= 16 else 4
    decoded = decode_openjpeg(data, version=2)
    return np.frombuffer(decoded, f"<{'i' if frame.stream_is_signed else 'u'}{width}"), frame.precision


def _decode_jpeg_xl(frame: EncodedFrame, data: bytes) -> tuple[Any, int]:
    """Decode, and compare with the header what only the decoded image shows."""
    samples = _jpeg_xl_decode(data, numthreads=1)
    precision = samples.dtype.itemsize * 8
    shape = samples.shape if samples.ndim == 3 else (*samples.shape, 1)
    fits = (
        samples.dtype.kind == "u"
        and shape == (frame.rows, frame.columns, frame.samples)
        and precision <= frame.bits_allocated
        and (precision > frame.high_bit if frame.high_bit != frame.bits_stored - 1 else True)
        and (precision >= frame.bits_stored or not frame.is_signed)
    )
    if not fits:
        raise UndecodableError(Failure.SHAPE)
    return samples, precision


_DECODERS: Final = {
    Coding.RLE: _decode_rle,
    Coding.JPEG: _decode_jpeg,
    Coding.JPEG_LOSSLESS: _decode_jpeg,
    Coding.JPEG_LS: _decode_jpeg_ls,
    Coding.JPEG_2000: _decode_jpeg_2000,
    Coding.JPEG_XL: _decode_jpeg_xl,
}
