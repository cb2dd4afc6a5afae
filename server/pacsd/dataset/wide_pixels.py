"""Big endian pixels of 32 and 64 bits in OW, which writers put down in two ways: the pixels show in which."""

from __future__ import annotations

from typing import Any, Final

from pacsd.errors import DatasetInvalid

__all__ = ["swapped_wide_pixels"]

_CLEARLY: Final = 16
"""So many times rougher the other picture has to be. Where the halves of numbers change places it is by thousands."""
_LOOKED_AT: Final = 1 << 20
"""Pixels that are enough to tell, from the first one on that is not zero."""


def swapped_wide_pixels(value: bytes | bytearray | memoryview, bits_allocated: int) -> bytes | memoryview:
    """Return big endian pixels as little endian ones.

    OW is words of 16 bits, of which only the bytes change places (PS3.5 §7.3), the least significant word being first:
    so DCMTK has it. pydicom, GDCM and others turn each pixel around as a whole. Of the two pictures the right one is
    smooth; in the other the noise of the low words stands in the high ones. Raises `DatasetInvalid` where the two
    differ, and neither is much smoother than the other.
    """
    import numpy as np  # noqa: PLC0415 -- takes long to load, and most servers never see such pixels

    width = bits_allocated // 8
    length = len(value) - len(value) % width
    numbers, words = np.frombuffer(value[:length], f">u{width}"), np.frombuffer(value[:length], ">u2")
    first = int((numbers != 0).argmax()) if length else 0
    part = slice(first, first + _LOOKED_AT)
    roughness = _roughness(np, numbers[part].astype(f"<u{width}"))
    roughness_by_words = _roughness(np, words.reshape(-1, width // 2)[part].astype("<u2").view(f"<u{width}"))
    if roughness * _CLEARLY < roughness_by_words:
        pixels = numbers.astype(f"<u{width}")
    elif roughness_by_words * _CLEARLY < roughness or not words.any():
        pixels = words.astype("<u2")
    else:
        raise DatasetInvalid("the byte order of pixels of more than 16 bits cannot be told")
    swapped = pixels.view(np.uint8).data
    return swapped if length == len(value) else bytes(swapped) + value[length:]


def _roughness(np: Any, pixels: Any) -> float:
    """Return how much neighbours differ; signed numbers that change their sign are near to one another, too."""
    differences = np.diff(pixels.ravel()).view(f"<i{pixels.dtype.itemsize}")
    return float(np.abs(differences.astype(np.float64)).sum())
