"""A table of oddities that devices send, and what a peer gets that takes other transfer syntaxes than the stored one.

Each has the clause of the Standard that says what is right. What cannot be right is a failed sub-operation, and never
costs another instance.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread

from interop.conftest import serving_with
from support import scp, scu
from support.constructed import FAMILY_NAME, PATIENT_ID, encode, simple_dataset
from support.instance import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Instance
from support.server import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from interop.conftest import Archive, Destinations
    from support.server import PacsdServer

FIRST_NUMBER = 7000
"""Of the data sets here, so that their UIDs meet no others."""
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL = "1.2.840.10008.1.2.4.110"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
RLE = "1.2.840.10008.1.2.5"
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
NUMBERS = np.arange(16, dtype=np.uint16).reshape(4, 4)
"""The pixels of `simple_dataset`."""
BYTES = NUMBERS.astype(np.uint8)
COLOURS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
ICON_IMAGE_SEQUENCE = 0x00880200
PROCEDURE_CODE_SEQUENCE = 0x00081032


@dataclass(frozen=True, slots=True)
class Oddity:
    """An instance, and what comes of it."""

    name: str
    clause: str
    instance: Instance
    pixels: bytes | None = None
    """None where it cannot be converted."""
    attributes: tuple[tuple[str, object], ...] = ()
    why: str = ""
    """What is said where it cannot be converted."""


def marker(element: int, length: int = 0) -> bytes:
    return struct.pack("<HHI", 0xFFFE, element, length)


def long_element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    said = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, said) + value


def short_element(tag: int, vr: bytes, value: bytes, *, padded: bool = True) -> bytes:
    value += b" " * (len(value) % 2 * padded)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def encapsulated(*fragments: bytes, table: bytes = b"", vr: bytes = b"OB") -> bytes:
    items = b"".join(marker(ITEM, len(each)) + each for each in (table, *fragments))
    return long_element(0x7FE00010, vr, items + marker(SEQUENCE_END), 0xFFFFFFFF)


def even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def rle(samples: np.ndarray) -> bytes:
    """PS3.5 §G.2: one literal run for each byte of each sample, the most significant first."""
    segments = []
    for plane in np.moveaxis(samples.reshape(4, 4, -1), -1, 0):
        columns = np.ascontiguousarray(plane).view(np.uint8).reshape(-1, samples.dtype.itemsize)
        segments += [even(b"\x0f" + columns[:, byte].tobytes()) for byte in reversed(range(columns.shape[1]))]
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def with_pixels(dataset: Dataset, element: bytes, transfer_syntax_uid: str, before: bytes = b"") -> Instance:
    """The data set with another Pixel Data element, `before` in front of it."""
    del dataset.PixelData
    plain = encode(dataset, "oddity")
    return replace(plain, transfer_syntax_uid=transfer_syntax_uid, dataset=plain.dataset + before + element)


def compressed(
    fragments: list[bytes],
    uid: str,
    *,
    before: bytes = b"",
    frames: str | None = None,
    table: bytes = b"",
    vr: bytes = b"OB",
    attributes: dict[str, object] | None = None,
    **bits: int,
) -> Instance:
    dataset = numbered()
    dataset.BitsAllocated, dataset.BitsStored = bits.get("allocated", 16), bits.get("stored", 12)
    dataset.HighBit = bits.get("high", dataset.BitsStored - 1)
    for keyword, value in (attributes or {}).items():
        setattr(dataset, keyword, value)
    instance = with_pixels(dataset, encapsulated(*fragments, table=table, vr=vr), uid, before)
    if frames is None:
        return instance
    return inserted(instance, short_element(0x00280008, b"IS", frames.encode()), 0x00280010)


_numbers = iter(range(FIRST_NUMBER, FIRST_NUMBER + 1000))


def numbered() -> Dataset:
    return simple_dataset(next(_numbers))


def inserted(instance: Instance, element: bytes, before: int) -> Instance:
    """With an element more, in front of that of this tag."""
    place = instance.dataset.index(struct.pack("<HH", before >> 16, before & 0xFFFF))
    return replace(instance, dataset=instance.dataset[:place] + element + instance.dataset[place:])


def with_element(element: bytes) -> Instance:
    """One of group 0008 or 0009 more."""
    return inserted(encode(numbered(), "oddity"), element, 0x00100010)


def with_sequence(content: bytes, tail: bytes = b"") -> Instance:
    """A Procedure Code Sequence of defined length with this content, `tail` behind it."""
    return with_element(long_element(PROCEDURE_CODE_SEQUENCE, b"SQ", content) + tail)


def native(photometric: str, pixels: bytes, syntax: str = EXPLICIT_LITTLE_ENDIAN) -> Instance:
    """Eight-bit colours whose chrominance is sampled at every other column."""
    dataset = numbered()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = (
        3,
        photometric,
        0,
    )
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    if syntax == EXPLICIT_LITTLE_ENDIAN:
        return with_pixels(dataset, long_element(0x7FE00010, b"OB", pixels), syntax)
    return with_pixels(dataset, encapsulated(pixels), syntax)


def behind(tail: bytes) -> Instance:
    instance = encode(numbered(), "oddity")
    return replace(instance, dataset=instance.dataset + tail)


def odd_length() -> Instance:
    dataset = numbered()
    dataset.Rows = dataset.Columns = 3
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    return with_pixels(dataset, long_element(0x7FE00010, b"OB", bytes(range(9))), EXPLICIT_LITTLE_ENDIAN)


CODE = short_element(0x00080100, b"SH", b"T-1")
IMPLICIT_CODE = struct.pack("<HHI", 0x0008, 0x0100, 4) + b"T-1 "
PRIVATE_CREATOR = short_element(0x00090010, b"LO", b"ACME")


def private(vr: bytes, value: bytes, length: int | None = None) -> bytes:
    return PRIVATE_CREATOR + long_element(0x00091010, vr, value, length)


def stream(encoder: str, samples: np.ndarray, **options: object) -> bytes:
    return even(bytes(getattr(imagecodecs, f"{encoder}_encode")(samples, **options)))


def jpeg_2000(samples: np.ndarray, bits: int) -> bytes:
    return stream("jpeg2k", samples, codecformat="J2K", reversible=True, level=0, bitspersample=bits)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return even(compressor.compress(data) + compressor.flush())


def offsets(*fragments: bytes) -> bytes:
    places = [sum(8 + len(each) for each in fragments[:number]) for number in range(len(fragments))]
    return struct.pack(f"<{len(places)}I", *places)


LOSSLESS = bytes(imagecodecs.ljpeg_encode(NUMBERS, bitspersample=12))
LOSSLESS_8 = bytes(imagecodecs.ljpeg_encode(BYTES))
OVERLAY = (NUMBERS + (NUMBERS % 2 << 12)).astype(np.uint16)
SHIFTED = (NUMBERS << 4).astype(np.uint16)
FRAME = even(LOSSLESS)
LOSSLESS_COLOURS = stream("jpeg8", COLOURS, lossless=True, colorspace="RGB", outcolorspace="RGB")
RGB = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 1}
PALETTE = b"".join(
    long_element(0x00281201 + number, b"OW", np.arange(256, dtype=np.uint16).tobytes()) for number in range(3)
)
SEGMENTED_PALETTE = b"".join(
    long_element(0x00281221 + number, b"OW", struct.pack("<6H", 0, 1, 7, 1, 255, 65535))
    for number in range(3)
)
SIGNED_12 = ((NUMBERS.astype(np.int16) - 8) * 200).astype(np.int16)
AS_UNSIGNED_12 = (SIGNED_12 & 0xFFF).astype(np.uint16)
WHOLE_STREAMS = {
    "JPEG": (JPEG_BASELINE, stream("jpeg8", BYTES * 15), 8),
    "lossless JPEG": (JPEG_LOSSLESS, FRAME, 16),
    "JPEG-LS": (JPEG_LS, stream("jpegls", SHIFTED * 200), 16),
    "JPEG 2000": (JPEG_2000, jpeg_2000(SHIFTED, 16), 16),
    "HTJ2K": (HTJ2K, stream("htj2k", SHIFTED), 16),
    "RLE": (RLE, rle(NUMBERS), 16),
}
ICON = encode(numbered(), "icon").dataset
SEQUENCE_OF_ICON = long_element(
    ICON_IMAGE_SEQUENCE,
    b"SQ",
    marker(ITEM, 0xFFFFFFFF)
    + ICON[ICON.index(b"\x28\0\x02\0US") : ICON.index(b"\xe0\x7f\x10\0")]
    + encapsulated(rle(NUMBERS))
    + marker(ITEM_END)
    + marker(SEQUENCE_END),
    0xFFFFFFFF,
)
PRIVATE_PIXELS = (
    struct.pack("<HH2sH", 0x0029, 0x0010, b"LO", 4)
    + b"ACME"
    + long_element(
        0x00291010,
        b"SQ",
        marker(ITEM, 0xFFFFFFFF) + encapsulated(b"abcd") + marker(ITEM_END) + marker(SEQUENCE_END),
        0xFFFFFFFF,
    )
)
NATIVE = NUMBERS.tobytes()

TABLE = (
    Oddity(
        "pixels without their byte of padding", "PS3.8 E.1, PS3.5 7.1.1", odd_length(), bytes([*range(9), 0])
    ),
    Oddity("an item delimiter at the end", "PS3.5 7.5.1", behind(marker(ITEM_END)), NATIVE),
    Oddity("a sequence delimiter at the end", "PS3.5 7.5.2", behind(marker(SEQUENCE_END)), NATIVE),
    Oddity("zeros at the end", "PS3.10 7.2", behind(bytes(64)), NATIVE),
    Oddity(
        "a delimiter within a defined length",
        "PS3.5 7.5.2",
        with_sequence(marker(ITEM, len(CODE)) + CODE + marker(SEQUENCE_END)),
        NATIVE,
    ),
    Oddity(
        "a delimiter behind a defined length",
        "PS3.5 7.5.2",
        with_sequence(marker(ITEM, len(CODE)) + CODE, marker(SEQUENCE_END)),
        NATIVE,
    ),
    Oddity("a sequence without items in it", "PS3.5 7.5", with_sequence(CODE), NATIVE),
    Oddity(
        "an item that is too short", "PS3.5 7.5", with_sequence(marker(ITEM, len(CODE) - 2) + CODE), NATIVE
    ),
    Oddity("an overlay in unused bits", "PS3.5 8.1.1", compressed([rle(OVERLAY)], RLE), OVERLAY.tobytes()),
    Oddity(
        "High Bit 15 of 12 bits stored",
        "PS3.5 8.1.1",
        compressed([rle(SHIFTED)], RLE, high=15),
        SHIFTED.tobytes(),
        (("HighBit", 15), ("BitsStored", 12)),
    ),
    Oddity(
        "eight bits in sixteen allocated",
        "PS3.3 C.7.6.3",
        compressed([even(LOSSLESS_8)], JPEG_LOSSLESS, stored=8),
        NATIVE,
        (("BitsAllocated", 16), ("BitsStored", 8)),
    ),
    Oddity(
        "twelve bits in eight allocated",
        "PS3.3 C.7.6.3",
        compressed([even(LOSSLESS)], JPEG_LOSSLESS, allocated=8, stored=8),
        why="12 bits per sample in 8 allocated",
    ),
    Oddity(
        "a truncated frame",
        "PS3.5 8.2.1",
        compressed([even(LOSSLESS[:-6])], JPEG_LOSSLESS),
        why="codestream is truncated",
    ),
    Oddity(
        "a truncated frame that was closed again",
        "PS3.5 8.2.1",
        compressed([even(LOSSLESS[:-10] + b"\xff\xd9")], JPEG_LOSSLESS),
        why="codestream is truncated",
    ),
    Oddity(
        "more frames declared than there are",
        "PS3.3 C.7.6.6",
        compressed([even(LOSSLESS)] * 3, JPEG_LOSSLESS, frames="4"),
        why="3 frames instead of the 4 declared",
    ),
    Oddity(
        "fewer frames declared than there are",
        "PS3.3 C.7.6.6",
        compressed([even(LOSSLESS)] * 3, JPEG_LOSSLESS, frames="2"),
        NATIVE * 2,
        (("NumberOfFrames", 2),),
    ),
    Oddity(
        "an empty fragment behind the last",
        "PS3.5 A.4",
        compressed([even(LOSSLESS)] * 2 + [b""], JPEG_LOSSLESS, frames="2"),
        NATIVE * 2,
    ),
    Oddity(
        "an Extended Offset Table",
        "PS3.3 C.7.6.3.1.8",
        compressed(
            [even(LOSSLESS)],
            JPEG_LOSSLESS,
            before=long_element(0x7FE00001, b"OV", bytes(8))
            + long_element(0x7FE00002, b"OV", struct.pack("<Q", len(LOSSLESS))),
        ),
        NATIVE,
        (("ExtendedOffsetTable", None), ("ExtendedOffsetTableLengths", None)),
    ),
    Oddity(
        "a compressed icon", "PS3.5 A.4", compressed([rle(NUMBERS)], RLE, before=SEQUENCE_OF_ICON), NATIVE
    ),
    Oddity(
        "private pixels in a sequence",
        "PS3.5 A.4",
        compressed([rle(NUMBERS)], RLE, before=PRIVATE_PIXELS),
        NATIVE,
    ),
    Oddity("Encapsulated Uncompressed", "PS3.5 A.4.11", compressed([NATIVE], UNCOMPRESSED), NATIVE),
    Oddity(
        "a document in a transfer syntax of images",
        "PS3.5 A.4",
        with_pixels(numbered(), b"", JPEG_LS),
        b"",
    ),
    Oddity(
        "both delimiters at the end", "PS3.5 7.5", behind(marker(ITEM_END) + marker(SEQUENCE_END)), NATIVE
    ),
    Oddity(
        "a delimiter within an item's defined length",
        "PS3.5 7.5.1",
        with_sequence(marker(ITEM, len(CODE) + 8) + CODE + marker(ITEM_END)),
        NATIVE,
    ),
    Oddity(
        "a delimiter behind an item's defined length",
        "PS3.5 7.5.1",
        with_sequence(marker(ITEM, len(CODE)) + CODE + marker(ITEM_END)),
        NATIVE,
    ),
    *(
        Oddity(
            f"a private item that is {'too long' if more > 0 else 'too short'}",
            "PS3.5 7.5",
            with_element(private(b"SQ", marker(ITEM, len(CODE) + more) + CODE)),
            NATIVE,
        )
        for more in (2, -2)
    ),
    Oddity("a private sequence without items in it", "PS3.5 7.5", with_element(private(b"SQ", CODE)), NATIVE),
    Oddity(
        "implicit items in UN of undefined length",
        "PS3.5 6.2.2",
        with_element(
            private(
                b"UN",
                marker(ITEM, 0xFFFFFFFF) + IMPLICIT_CODE + marker(ITEM_END) + marker(SEQUENCE_END),
                0xFFFFFFFF,
            )
        ),
        NATIVE,
    ),
    Oddity(
        "implicit items in UN of defined length",
        "PS3.5 6.2.2",
        with_element(private(b"UN", marker(ITEM, len(IMPLICIT_CODE)) + IMPLICIT_CODE)),
        NATIVE,
    ),
    *(
        Oddity(
            f"{inner} items in a sequence whose VR is {vr.decode()}",
            "PS3.5 6.2.2",
            with_element(long_element(PROCEDURE_CODE_SEQUENCE, vr, marker(ITEM, len(code)) + code)),
            NATIVE,
            (("PatientBirthDate", ""),),
        )
        for vr in (b"UN", b"OB")
        for inner, code in (("explicit", CODE), ("implicit", IMPLICIT_CODE))
    ),
    Oddity(
        "private sequences in private sequences",
        "PS3.5 7.8",
        with_element(
            private(
                b"SQ",
                marker(ITEM, 0xFFFFFFFF)
                + private(b"SQ", marker(ITEM, len(CODE)) + CODE)
                + marker(ITEM_END)
                + marker(SEQUENCE_END),
                0xFFFFFFFF,
            )
        ),
        NATIVE,
    ),
    *(
        Oddity(
            f"an odd length of {vr.decode()}",
            "PS3.5 7.1.1",
            with_element(PRIVATE_CREATOR + element(0x00091010, vr, b"12345")),
            NATIVE,
        )
        for element, vrs in (
            (
                lambda *each: short_element(*each, padded=False),
                (
                    b"AE",
                    b"AS",
                    b"CS",
                    b"DA",
                    b"DS",
                    b"DT",
                    b"IS",
                    b"LO",
                    b"LT",
                    b"PN",
                    b"SH",
                    b"ST",
                    b"TM",
                    b"UI",
                ),
            ),
            (long_element, (b"OB", b"OW", b"UC", b"UN", b"UR", b"UT")),
        )
        for vr in vrs
    ),
    Oddity(
        "what is no VR",
        "PS3.5 7.1.2",
        with_element(short_element(0x0008103E, b"??", b"desc")),
        NATIVE,
        (("SeriesDescription", "desc"),),
    ),
    Oddity(
        "an element in implicit VR",
        "PS3.5 7.1.2",
        with_element(struct.pack("<HHI", 0x0008, 0x103E, 4) + b"desc"),
        NATIVE,
        (("SeriesDescription", "desc"),),
    ),
    Oddity(
        "elements that are not in order",
        "PS3.5 7.1",
        behind(short_element(0x0008103E, b"LO", b"desc")),
        NATIVE,
        (("SeriesDescription", "desc"),),
    ),
    Oddity(
        "a group length that is wrong",
        "PS3.5 7.2",
        with_element(short_element(0x00090000, b"UL", struct.pack("<I", 4242))),
        NATIVE,
    ),
    *(
        Oddity(
            f"Number of Frames {frames!r} of one frame",
            "PS3.3 C.7.6.6",
            compressed([FRAME], JPEG_LOSSLESS, frames=frames),
            NATIVE,
            (("NumberOfFrames", 1),),
        )
        for frames in ("1\0", "+1", " 1", "0", "", "1.0", "one", "-1")
    ),
    Oddity(
        "no Number of Frames of three",
        "PS3.3 C.7.6.6",
        compressed([FRAME] * 3, JPEG_LOSSLESS),
        why="3 frames instead of the 1 declared",
    ),
    Oddity(
        "frames in several fragments without a table",
        "PS3.5 A.4",
        compressed([FRAME[:40], FRAME[40:]] * 2, JPEG_LOSSLESS, frames="2"),
        NATIVE * 2,
    ),
    Oddity(
        "RLE frames in several fragments",
        "PS3.5 A.4.2",
        compressed([rle(NUMBERS)[:70], rle(NUMBERS)[70:]] * 2, RLE, frames="2"),
        NATIVE * 2,
    ),
    *(
        Oddity(
            f"an offset table {what}",
            "PS3.5 A.4",
            compressed([FRAME[:40], FRAME[40:], FRAME], JPEG_LOSSLESS, frames="2", table=table),
            NATIVE * 2,
        )
        for what, table in (
            ("of the fragments", offsets(FRAME[:40], FRAME[40:], FRAME)),
            ("that counts from elsewhere", struct.pack("<2I", 8, 8 + len(FRAME) + 16)),
            ("of one frame", bytes(4)),
            ("that goes backwards", struct.pack("<2I", len(FRAME) + 16, 0)),
            ("of half an offset", bytes(6)),
        )
    ),
    Oddity(
        "an Extended Offset Table that is wrong",
        "PS3.3 C.7.6.3.1.8",
        compressed(
            [FRAME] * 2,
            JPEG_LOSSLESS,
            frames="2",
            before=long_element(0x7FE00001, b"OV", bytes(16)) + long_element(0x7FE00002, b"OV", bytes(16)),
        ),
        NATIVE * 2,
        (("ExtendedOffsetTable", None), ("ExtendedOffsetTableLengths", None)),
    ),
    *(
        Oddity(
            f"encapsulated as {vr.decode()}", "PS3.5 A.4", compressed([FRAME], JPEG_LOSSLESS, vr=vr), NATIVE
        )
        for vr in (b"OW", b"UN")
    ),
    *(
        Oddity(
            f"a truncated last frame of {name}",
            "PS3.5 8.2",
            compressed(
                [whole, even(whole[: len(whole) * 3 // 4])], uid, frames="2", allocated=bits, stored=bits
            ),
            why="not convertible",
        )
        for name, (uid, whole, bits) in WHOLE_STREAMS.items()
    ),
    *(
        Oddity(
            f"an overlay in unused bits, {name}",
            "PS3.5 8.1.1",
            compressed([fragment], uid),
            OVERLAY.tobytes(),
            (("BitsStored", 12),),
        )
        for name, uid, fragment in (
            ("lossless JPEG", JPEG_LOSSLESS, stream("ljpeg", OVERLAY, bitspersample=16)),
            ("JPEG-LS", JPEG_LS, stream("jpegls", OVERLAY + 0)),
            ("JPEG 2000", JPEG_2000, jpeg_2000(OVERLAY, 16)),
        )
    ),
    *(
        Oddity(
            f"High Bit 15 of 12 bits stored, {name}",
            "PS3.5 8.1.1",
            compressed([fragment], uid, high=15),
            SHIFTED.tobytes(),
            (("HighBit", 15), ("BitsStored", 12)),
        )
        for name, uid, fragment in (
            ("lossless JPEG", JPEG_LOSSLESS, stream("ljpeg", SHIFTED, bitspersample=16)),
            ("JPEG 2000", JPEG_2000, jpeg_2000(SHIFTED, 16)),
        )
    ),
    *(
        Oddity(
            f"eight bits in sixteen allocated, {name}",
            "PS3.3 C.7.6.3",
            compressed([fragment], uid, stored=8),
            NATIVE,
            (("BitsAllocated", 16), ("BitsStored", 8)),
        )
        for name, uid, fragment in (
            ("JPEG-LS", JPEG_LS, stream("jpegls", BYTES)),
            ("JPEG 2000", JPEG_2000, jpeg_2000(BYTES, 8)),
        )
    ),
    Oddity(
        "sixteen bits in eight allocated",
        "PS3.3 C.7.6.3",
        compressed([jpeg_2000(NUMBERS, 16)], JPEG_2000, allocated=8, stored=8),
        why="16 bits per sample in 8 allocated",
    ),
    Oddity(
        "other rows than the stream has",
        "PS3.3 C.7.6.3",
        compressed([FRAME], JPEG_LOSSLESS, attributes={"Rows": 2}),
        why="4 rows, the header says 2",
    ),
    *(
        Oddity(
            f"signed pixels, {name}",
            "PS3.5 8.1.1, 8.2.4",
            compressed([fragment], uid, attributes={"PixelRepresentation": 1}),
            SIGNED_12.tobytes(),
            (("PixelRepresentation", 1), ("BitsStored", 12)),
        )
        for name, uid, fragment in (
            ("RLE", RLE, rle(SIGNED_12)),
            ("lossless JPEG", JPEG_LOSSLESS, stream("ljpeg", AS_UNSIGNED_12, bitspersample=12)),
            ("JPEG 2000 with a sign", JPEG_2000, jpeg_2000(SIGNED_12, 12)),
            ("JPEG 2000 without a sign", JPEG_2000, jpeg_2000(AS_UNSIGNED_12, 12)),
        )
    ),
    Oddity(
        "a palette of 16-bit entries",
        "PS3.3 C.7.6.3.1.6",
        compressed(
            [rle(NUMBERS)], RLE, before=PALETTE, attributes={"PhotometricInterpretation": "PALETTE COLOR"}
        ),
        NATIVE,
        (("RedPaletteColorLookupTableData", np.arange(256, dtype=np.uint16).tobytes()),),
    ),
    Oddity(
        "a segmented palette",
        "PS3.3 C.7.9.2",
        compressed(
            [rle(NUMBERS)],
            RLE,
            before=SEGMENTED_PALETTE,
            attributes={"PhotometricInterpretation": "PALETTE COLOR"},
        ),
        NATIVE,
        (("SegmentedBluePaletteColorLookupTableData", struct.pack("<6H", 0, 1, 7, 1, 255, 65535)),),
    ),
    *(
        Oddity(
            f"{photometric} that is not compressed{', in fragments' * (syntax == UNCOMPRESSED)}",
            "PS3.3 C.7.6.3.1.2",
            native(photometric, bytes(range(32)), syntax),
            bytes(range(32)),
            (("PhotometricInterpretation", photometric),),
        )
        for photometric in ("YBR_FULL_422", "YBR_PARTIAL_422")
        for syntax in (EXPLICIT_LITTLE_ENDIAN, UNCOMPRESSED)
    ),
    *(
        Oddity(
            f"Planar Configuration 1, {name}",
            "PS3.3 C.7.6.3.1.3",
            compressed([fragment], uid, allocated=8, stored=8, attributes=RGB),
            COLOURS.tobytes(),
            (("PlanarConfiguration", 0), ("PhotometricInterpretation", "RGB")),
        )
        for name, uid, fragment in (
            ("RLE", RLE, rle(COLOURS)),
            ("lossless JPEG", JPEG_LOSSLESS, LOSSLESS_COLOURS),
            ("JPEG-LS", JPEG_LS, stream("jpegls", COLOURS)),
            ("JPEG 2000", JPEG_2000, jpeg_2000(COLOURS, 8)),
        )
    ),
    Oddity(
        "32 bits of RLE",
        "PS3.5 G.2",
        compressed([rle(NUMBERS.astype(np.uint32) * 70_001)], RLE, allocated=32, stored=32),
        (NUMBERS.astype(np.uint32) * 70_001).tobytes(),
    ),
    Oddity(
        "single bits of RLE",
        "PS3.5 8.2.2",
        compressed([rle(BYTES)], RLE, allocated=1, stored=1),
        why="1 bits allocated cannot be decompressed",
    ),
    Oddity(
        "HTJ2K", "PS3.5 A.4.12", compressed([stream("htj2k", SHIFTED)], HTJ2K, stored=16), SHIFTED.tobytes()
    ),
    Oddity(
        "JPEG XL", "PS3.5 A.4.13", compressed([stream("jpegxl", NUMBERS, lossless=True)], JPEG_XL), NATIVE
    ),
    Oddity(
        "deflated frames",
        "PS3.5 A.4.14",
        compressed([deflated(NATIVE)] * 2, DEFLATED_FRAMES, frames="2"),
        NATIVE * 2,
    ),
    Oddity(
        "deflated frames with a zlib header",
        "PS3.5 A.4.14, RFC 1950",
        compressed([even(zlib.compress(NATIVE))] * 2, DEFLATED_FRAMES, frames="2"),
        NATIVE * 2,
    ),
    Oddity(
        "an icon in another compression than the image",
        "PS3.5 A.4",
        compressed([FRAME], JPEG_LOSSLESS, before=SEQUENCE_OF_ICON),
        NATIVE,
    ),
    Oddity(
        "native pixels in a transfer syntax of compressed ones",
        "PS3.5 A.4",
        with_pixels(numbered(), long_element(0x7FE00010, b"OW", NATIVE), JPEG_LS),
        NATIVE,
    ),
)


@pytest.fixture(scope="module")
def odd(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> PacsdServer:
    """The server with all oddities."""
    instances = [replace(each.instance, name=each.name) for each in TABLE]
    statuses = scu.send_all(archive.server, instances, tmp_path_factory.mktemp("oddities"))
    assert statuses == dict.fromkeys(statuses, 0x0000)
    return archive.server


@pytest.fixture(scope="module")
def on_either(
    index_settings: dict[str, Any],
    destinations: Destinations,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PacsdServer]:
    """A server with all oddities, its index in either kind of database."""
    if not index_settings:
        yield request.getfixturevalue("odd")
        return
    peers = [
        Peer(ae_title=scu.CALLING_AE_TITLE, port=104),
        Peer(ae_title="NARROW", port=destinations.narrow.port, allow=()),
    ]
    folder = tmp_path_factory.mktemp("oddities")
    with serving_with(index_settings, folder, peers) as running:
        statuses = scu.send_all(running, [replace(each.instance, name=each.name) for each in TABLE], folder)
        assert statuses == dict.fromkeys(statuses, 0x0000)
        yield running


every_oddity = pytest.mark.parametrize(
    "oddity", TABLE, ids=[f"{each.name} ({each.clause})" for each in TABLE]
)


def patient_id(oddity: Oddity) -> str:
    """As `simple_dataset` makes it; not every reader reads it in what was sent."""
    return f"{PATIENT_ID}-{oddity.instance.study_instance_uid.rpartition('.')[2]}"


def assert_right(oddity: Oddity, dataset: Dataset) -> None:
    assert dataset.PatientID == patient_id(oddity)
    assert (dataset.PixelData if "PixelData" in dataset else b"") == oddity.pixels
    for keyword, value in oddity.attributes:
        assert dataset.get(keyword) == value, keyword
    for element in dataset.iterall():
        assert element.VR


def test_each_is_found_and_given_back_as_it_came(on_either: PacsdServer) -> None:
    """PS3.4 C.4.1.2: by its unique keys, with the attributes of its header."""
    for oddity in TABLE:
        instance = oddity.instance
        asked = scu.image_keys(instance)
        asked.PatientID = asked.PatientName = ""
        (match,) = scu.find(on_either, asked).matches
        assert match.PatientID == patient_id(oddity), oddity.name
        assert match.PatientName == f"{FAMILY_NAME}^Number^{match.PatientID.rpartition('-')[2]}"
        outcome, inbox = scu.get(on_either, scu.image_keys(instance), scu.own_contexts([instance]))
        assert outcome.counts == (1, 0, 0), oddity.name
        # PS3.8 E.1 has no fragment of odd length.
        if len(instance.dataset) % 2 == 0:
            assert inbox.received[instance.sop_instance_uid].dataset == instance.dataset, oddity.name


@every_oddity
@pytest.mark.parametrize("accepted", [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])
def test_c_get(on_either: PacsdServer, oddity: Oddity, accepted: str) -> None:
    instance = oddity.instance
    outcome, inbox = scu.get(on_either, scu.image_keys(instance), [(instance.sop_class_uid, [accepted])])
    if oddity.pixels is None:
        assert outcome.status == 0xA702
        assert outcome.failed_uids == {instance.sop_instance_uid}
        assert oddity.why in outcome.error_comment
        assert inbox.received == {}
    else:
        assert outcome.status == 0x0000, outcome.error_comment
        received = inbox.received[instance.sop_instance_uid]
        assert len(received.dataset) % 2 == 0
        if instance.transfer_syntax_uid != accepted:
            assert_right(oddity, received.read())


def test_c_move_of_all_to_a_destination_that_takes_uncompressed_only(
    on_either: PacsdServer, narrow: scp.Destination
) -> None:
    with scu.association(on_either, [(scu.STUDY_ROOT["move"], scp.NARROW)]) as peer:
        for oddity in TABLE:
            keys = scu.image_keys(oddity.instance)
            moved = scu.collect(peer.send_c_move(keys, "NARROW", scu.STUDY_ROOT["move"]))
            assert moved.status == (0xA702 if oddity.pixels is None else 0x0000), oddity.name
    for oddity in TABLE:
        received = narrow.inbox.received.get(oddity.instance.sop_instance_uid)
        assert (received is None) == (oddity.pixels is None), oddity.name
        if received is not None and received.transfer_syntax_uid != oddity.instance.transfer_syntax_uid:
            assert_right(oddity, received.read())


def test_dcmtk_takes_all_that_is_converted(odd: PacsdServer, storescp: Path) -> None:
    """It parses what it gets, and aborts the association upon a fragment of odd length."""
    convertible = [
        oddity
        for oddity in TABLE
        if oddity.pixels is not None and (oddity.instance.transfer_syntax_uid != EXPLICIT_LITTLE_ENDIAN)
    ]
    odd_one = TABLE[0]
    uids = [oddity.instance.study_instance_uid for oddity in (odd_one, *convertible)]
    outcome = scu.move(odd, scu.keys("STUDY", StudyInstanceUID=uids), "STORESCP")
    assert outcome.counts == (len(uids), 0, 0), outcome.error_comment
    uid = odd_one.instance.sop_instance_uid
    (received,) = (path for path in storescp.iterdir() if path.name.endswith(uid))
    assert dcmread(received).PixelData == odd_one.pixels
