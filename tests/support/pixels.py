"""Whether a decompressed instance still shows the same picture, judged by decoders that the server does not use.

The JPEG family is decoded by DCMTK's dcmdjpeg, everything else by pydicom's own plugins.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmread
from pydicom.pixels import pixel_array

from support.peers import dcmtk_tool

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from support.instance import Instance

JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
ROUNDING = 2
"""How far one sample may be off where decoders compute cosines, or colours, in their own precision."""
CHROMA_MEAN = 4.0
"""How far samples may be off on average where decoders interpolate subsampled colours in their own way."""


def assert_same_picture(sent: Instance, received: Dataset, folder: Path) -> None:
    """Compare the decoded pixels; `folder` is for intermediate files."""
    expected = reference_pixels(sent, folder)
    got = np.asarray(pixel_array(received))
    assert got.shape == expected.shape
    off = np.abs(expected.astype(np.int64) - got.astype(np.int64))
    if sent.transfer_syntax_uid in JPEG_LOSSY and received.SamplesPerPixel == 3:
        assert off.mean() <= CHROMA_MEAN
    elif sent.transfer_syntax_uid in JPEG_LOSSY or received.SamplesPerPixel == 3:
        assert off.max() <= ROUNDING
    else:
        assert off.max() == 0


def reference_pixels(instance: Instance, folder: Path) -> NDArray[np.generic]:
    """The picture as somebody else decodes it."""
    if instance.transfer_syntax_uid not in JPEG_LOSSY | JPEG_LOSSLESS:
        return np.asarray(pixel_array(instance.read()))
    compressed, plain = instance.write_file(folder / "compressed.dcm"), folder / "plain.dcm"
    subprocess.run([dcmtk_tool("dcmdjpeg"), str(compressed), str(plain)], check=True, capture_output=True)
    return np.asarray(pixel_array(dcmread(plain)))
