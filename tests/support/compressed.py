"""Small compressed images, right ones and such as claim to be huge."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from pydicom.encaps import encapsulate

from support.constructed import encode, simple_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.instance import Instance

JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_XL = "1.2.840.10008.1.2.4.110"
RLE = "1.2.840.10008.1.2.5"


def compressed(
    number: int, frames: Sequence[bytes], rows: int, columns: int, syntax: str, *, samples: int = 1
) -> Instance:
    """An image of 8 bits, with what is said to be its frames; `number` as in `simple_dataset`."""
    dataset = simple_dataset(number)
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "YBR_FULL_422"
    if samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, len(frames)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = encapsulate([frame + bytes(len(frame) % 2) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    # All of them are encoded alike, and pydicom does not know all of them.
    return replace(encode(dataset, f"compressed-{number}", JPEG_LS), transfer_syntax_uid=syntax)


def rle(pixels: int) -> bytes:
    """So many black pixels in as few bytes as RLE takes: two for 128."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (pixels // 128)


@cache
def small_images() -> tuple[Instance, ...]:
    """One for each codec, of 32 x 32 pixels and several frames."""
    grey = np.random.default_rng(5).integers(0, 256, (32, 32)).astype(np.uint8)
    colour = np.stack([grey, grey.T, grey[::-1]], -1)
    frames = {
        JPEG_LOSSLESS: bytes(imagecodecs.ljpeg_encode(grey)),
        JPEG_LS: bytes(imagecodecs.jpegls_encode(grey)),
        JPEG_2000: bytes(imagecodecs.jpeg2k_encode(grey, codecformat="J2K", reversible=True, level=0)),
        JPEG_XL: bytes(imagecodecs.jpegxl_encode(grey, lossless=True)),
        RLE: rle(32 * 32),
    }
    images = [
        compressed(800 + place, [frame] * 2, 32, 32, syntax)
        for place, (syntax, frame) in enumerate(frames.items())
    ]
    jpeg = bytes(imagecodecs.jpeg8_encode(colour, level=90))
    return (*images, compressed(810, [jpeg] * 2, 32, 32, JPEG, samples=3))
