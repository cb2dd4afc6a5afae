"""A stored instance in a transfer syntax that the peer accepts, where it doesn't accept the stored one."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder

from pacsd.errors import DatasetInvalid, TranscodingFailed
from pacsd.storage.encodings import EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from pacsd.storage.jpeg_decoder import DECODER_DEPENDENCIES
from pacsd.storage.part10 import FileMetaInformation, read_part10
from pacsd.storage.reencode import Replacements, reencode

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydicom.dataset import Dataset

    from pacsd.storage.encodings import Encoding

__all__ = ["TARGETS", "transcode"]

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"

ENCODINGS: Final[dict[str, Encoding]] = {
    EXPLICIT: EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT: IMPLICIT_LITTLE_ENDIAN,
    DEFLATED: EXPLICIT_LITTLE_ENDIAN,
    BIG_ENDIAN: EXPLICIT_BIG_ENDIAN,
}
TARGETS: Final = tuple(ENCODINGS)
"""The transfer syntaxes that can be transcoded to, in the order of preference: nothing is compressed anew."""

MAXIMUM_INFLATED: Final = 1 << 31
"""Bytes of a deflated data set, which is transcoded in memory."""

IMAGE_PIXEL_TAGS: Final = (
    0x00280002,  # Samples per Pixel
    0x00280004,  # Photometric Interpretation
    0x00280006,  # Planar Configuration
    0x00280100,  # Bits Allocated
    0x00280101,  # Bits Stored
    0x00280102,  # High Bit
    0x00280103,  # Pixel Representation
)
"""What decompression may change, but for the pixel data themselves."""

# pydicom quotes values in what it warns of, and patient data belong in no log. For the whole process, as
# filters that are set for a while are not for threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom|pacsd\.storage\.transcode")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

for _uid in DECODER_DEPENDENCIES:
    get_decoder(_uid).add_plugin("imagecodecs", ("pacsd.storage.jpeg_decoder", "decode_frame"))


def transcode(file: Path | BinaryIO, target_transfer_syntaxes: Collection[str]) -> tuple[str, bytes]:
    """Return the transfer syntax chosen of those given, and the file's data set in it, without file meta.

    `file` is a DICOM file with preamble, a file object stands at its beginning. Between native syntaxes no value
    is touched; compressed pixel data are decompressed, colour becomes RGB. The whole data set is in memory.
    Raises `TranscodingFailed`, with the cause.
    """
    target = next((uid for uid in TARGETS if uid in target_transfer_syntaxes), None)
    if target is None:
        raise TranscodingFailed("the peer accepts no uncompressed transfer syntax for this SOP class")
    try:
        content = file.read_bytes() if isinstance(file, Path) else file.read()
        meta = read_part10(io.BytesIO(content))
        data, encoding = _native(content, meta)
        if encoding is not ENCODINGS[target]:
            data = reencode(data, encoding, ENCODINGS[target])
    except (OSError, DatasetInvalid, zlib.error) as error:
        raise TranscodingFailed(f"the stored data set cannot be transcoded: {error}") from error
    return target, _deflate(data) if target == DEFLATED else data


def _native(content: bytes, meta: FileMetaInformation) -> tuple[bytes, Encoding]:
    """Return the data set without compression of any kind, and its encoding."""
    uid = meta.transfer_syntax_uid
    if uid == DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(content[meta.dataset_offset :], MAXIMUM_INFLATED)
        if not inflater.eof:
            raise DatasetInvalid("it is truncated, or inflates to more than can be transcoded")
        return data, EXPLICIT_LITTLE_ENDIAN
    if uid in ENCODINGS:
        return content[meta.dataset_offset :], ENCODINGS[uid]
    return _decompressed(content, meta), EXPLICIT_LITTLE_ENDIAN


def _decompressed(content: bytes, meta: FileMetaInformation) -> bytes:
    """Return the data set in Explicit VR Little Endian with its pixel data decompressed.

    pydicom decodes; what it changes is put between the other elements, which stay as they are.
    """
    try:
        dataset = dcmread(io.BytesIO(content))
        if "PixelData" in dataset:
            dataset.decompress(generate_instance_uid=False)
        image = _image_pixel_elements(dataset)
    except Exception as error:
        # Decoders raise whatever they like, and quote values in what they say: only its kind is told.
        raise TranscodingFailed(
            f"pixel data in {meta.transfer_syntax_uid} cannot be decompressed: {type(error).__name__}"
        ) from error
    encoding = EXPLICIT_LITTLE_ENDIAN
    return reencode(content[meta.dataset_offset :], encoding, encoding, image)


def _image_pixel_elements(dataset: Dataset) -> Replacements:
    """Return the image pixel module (PS3.3 §C.7.6.3) as it is after decompression."""
    elements: Replacements = {}
    if "PixelData" not in dataset:
        return elements
    for element in (dataset[tag] for tag in IMAGE_PIXEL_TAGS if tag in dataset):
        if element.VR == "US":
            value = struct.pack("<H", element.value)
        else:
            value = element.value.encode("ascii")
            value += b" " * (len(value) % 2)
        elements[element.tag.group, element.tag.element] = (str(element.VR), value)
    pixels = dataset["PixelData"]
    elements[0x7FE0, 0x0010] = (str(pixels.VR), pixels.value)
    return elements


def _deflate(data: bytes) -> bytes:
    """Return raw deflate, padded to even length (PS3.5 §A.5)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(data) + compressor.flush()
    return deflated + bytes(len(deflated) % 2)
