"""A pixel data decoder for pydicom: the JPEG processes, by imagecodecs.

pydicom's own choices for these are under the GPL or decode no more than eight bits. The names and signatures
are what pydicom expects of a decoder plugin.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

__all__ = ["DECODER_DEPENDENCIES", "decode_frame", "is_available"]

DECODER_DEPENDENCIES: Final = dict.fromkeys(
    (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), ("numpy", "imagecodecs")
)

_ADOBE: Final = b"\xff\xee\x00\x0eAdobe"


def is_available(uid: str) -> bool:
    """Tell whether this decodes the transfer syntax here."""
    return uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Return one frame's samples, colour by pixel, in the colour space that `runner` is told of."""
    import imagecodecs  # noqa: PLC0415 -- takes long to load and most servers never transcode

    if runner.samples_per_pixel == 3 and _adobe_transform(src) == 1:
        # The stream says itself that it is YCbCr: the decoder converts, whatever the data set calls it.
        frame = imagecodecs.jpeg8_decode(src, outcolorspace="RGB")
        runner.set_option("photometric_interpretation", "RGB")
    elif runner.samples_per_pixel == 3:
        # The data set's Photometric Interpretation says what the components are; left as they are.
        frame = imagecodecs.jpeg8_decode(src, colorspace="RGB", outcolorspace="RGB")
    elif runner.transfer_syntax in (JPEGLossless, JPEGLosslessSV1):
        frame = imagecodecs.ljpeg_decode(src)
    else:
        frame = imagecodecs.jpeg8_decode(src)
    runner.set_option("planar_configuration", 0)
    samples: bytes = frame.astype(f"<u{runner.bits_allocated // 8}").tobytes()
    return samples


def _adobe_transform(src: bytes) -> int | None:
    """Return the colour transform that an Adobe APP14 marker names, None without one."""
    position = src.find(_ADOBE, 0, 4096)
    return src[position + 15] if position >= 0 and len(src) > position + 15 else None
