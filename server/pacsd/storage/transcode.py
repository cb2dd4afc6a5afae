"""A stored instance in a transfer syntax that the peer accepts, where it doesn't accept the stored one."""

from __future__ import annotations

import io
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pacsd.errors import DatasetInvalid, TranscodingFailed
from pacsd.storage.decompression import NativePixels, decompress
from pacsd.storage.encodings import EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from pacsd.storage.memory import make_sure_of_memory
from pacsd.storage.part10 import read_part10
from pacsd.storage.reencode import reencode
from pacsd.storage.sources import deflate_window_bits

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pacsd.storage.encapsulation import EncapsulatedPixels
    from pacsd.storage.encodings import Encoding

__all__ = ["TARGETS", "normalized", "transcode"]

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
GE_PRIVATE: Final = "1.2.840.113619.5.2"
"""GE's Implicit VR Little Endian with pixel data in big endian."""

ENCODINGS: Final[dict[str, Encoding]] = {
    EXPLICIT: EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT: IMPLICIT_LITTLE_ENDIAN,
    DEFLATED: EXPLICIT_LITTLE_ENDIAN,
    BIG_ENDIAN: EXPLICIT_BIG_ENDIAN,
}
TARGETS: Final = tuple(ENCODINGS)
"""The transfer syntaxes that can be transcoded to, in the order of preference: nothing is compressed anew."""

PUBLIC: Final = "1.2.840.10008.1.2."
"""How the Standard's transfer syntaxes begin; all that are not in `ENCODINGS` are Explicit VR Little Endian."""
REFERENCED: Final = frozenset({
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
})  # fmt: skip
"""The JPIP ones, whose pixels are elsewhere."""

MAXIMUM_INFLATED: Final = 1 << 31
"""Bytes of a deflated data set, which is transcoded in memory."""


def transcode(
    file: Path | BinaryIO, acceptable_transfer_syntaxes: Collection[str]
) -> tuple[str, bytes | bytearray]:
    """Return the transfer syntax chosen of those given, and the file's data set in it, without file meta.

    `file` is a DICOM file with preamble, a file object stands at its beginning. Between native syntaxes no value
    is touched; compressed pixel data are decompressed, colour becomes RGB. Where the stored syntax is acceptable, it
    stays, and only what PS3.5 §7.1.1 wants is done: values, and with them the data set, get an even length. What was
    stored and what is returned are in memory as a whole, nothing else is. Raises `TranscodingFailed`, with the cause,
    also where there is no memory for that.
    """
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                return _transcode(opened, acceptable_transfer_syntaxes)
        return _transcode(file, acceptable_transfer_syntaxes)
    except (OSError, DatasetInvalid, zlib.error) as error:
        # What a peer is shown of it has 64 characters.
        raise TranscodingFailed(f"not convertible: {error}") from error
    except MemoryError as error:
        raise TranscodingFailed("not convertible: it takes more memory than there is") from error


def normalized(file: BinaryIO) -> tuple[str, bytearray]:
    """Return a transfer syntax, and a data set in the form in which equal ones are equal.

    One without compressed pixels is in Implicit VR Little Endian, others keep their transfer syntax; none has group
    lengths, sequences of defined length, or padding that says nothing. Raises `TranscodingFailed`.
    """
    uid = read_part10(file).transfer_syntax_uid
    file.seek(0)
    uid, data = transcode(file, [IMPLICIT if _is_native(uid) else uid])
    encoding = IMPLICIT_LITTLE_ENDIAN if uid == IMPLICIT else EXPLICIT_LITTLE_ENDIAN
    return uid, reencode(bytes(data), encoding, encoding, normalized=True)


def _is_native(transfer_syntax_uid: str) -> bool:
    """Whether pixels are not compressed in a transfer syntax, so that it converts to another without loss."""
    return transfer_syntax_uid in ENCODINGS or transfer_syntax_uid == GE_PRIVATE


def _transcode(file: BinaryIO, acceptable: Collection[str]) -> tuple[str, bytes | bytearray]:
    meta = read_part10(file)
    uid = meta.transfer_syntax_uid
    target = uid if uid in acceptable else next((each for each in TARGETS if each in acceptable), None)
    if target is None:
        raise TranscodingFailed("the peer accepts no uncompressed transfer syntax for this SOP class")
    if not _is_native(uid) and (uid in REFERENCED or not uid.startswith(PUBLIC)):
        raise TranscodingFailed(f"data sets in {uid} cannot be transcoded")
    size = file.seek(0, io.SEEK_END) - meta.dataset_offset
    # Compressed pixels need more for what becomes of them, of which they will say how much.
    make_sure_of_memory(size if target != uid and uid not in ENCODINGS else 2 * size)
    file.seek(meta.dataset_offset)
    data = file.read()
    if uid == DEFLATED:
        data = _inflate(data)
        make_sure_of_memory(len(data))
    if target == uid:
        encoding = ENCODINGS.get(uid, IMPLICIT_LITTLE_ENDIAN if uid == GE_PRIVATE else EXPLICIT_LITTLE_ENDIAN)
        converted = reencode(data, encoding, encoding)
    else:
        converted = _converted(data, uid, ENCODINGS[target])
    return target, _deflate(converted) if target == DEFLATED else converted


def _converted(data: bytes, uid: str, target: Encoding) -> bytearray:
    """Return a data set in `target` encoding with native pixel data."""

    def to_native(
        values: Mapping[tuple[int, int], bytes], pixels: EncapsulatedPixels, order: str
    ) -> NativePixels:
        native = decompress(values, pixels, uid, order)
        make_sure_of_memory(native.length)
        return native

    source = IMPLICIT_LITTLE_ENDIAN if uid == GE_PRIVATE else ENCODINGS.get(uid, EXPLICIT_LITTLE_ENDIAN)
    convert = partial(reencode, decompress=to_native, pixels_are_big_endian=uid == GE_PRIVATE)
    if uid not in ENCODINGS and target is EXPLICIT_BIG_ENDIAN:
        # What is decompressed is little endian, and becomes big endian with all the rest.
        return reencode(bytes(convert(data, source, EXPLICIT_LITTLE_ENDIAN)), EXPLICIT_LITTLE_ENDIAN, target)
    return convert(data, source, target)


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(deflate_window_bits(data))
    inflated = inflater.decompress(data, MAXIMUM_INFLATED)
    if not inflater.eof:
        raise DatasetInvalid("it is truncated, or inflates to more than can be transcoded")
    return inflated


def _deflate(data: bytes | bytearray) -> bytes:
    """Return raw deflate, padded to even length (PS3.5 §A.5)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(data) + compressor.flush()
    return deflated + bytes(len(deflated) % 2)
