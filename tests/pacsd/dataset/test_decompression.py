"""Decompressed pixels agree with what is said of them, or there are none (PS3.3 §C.7.6.3, PS3.5 §8 and §A.4)."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from dataset_bytes import EXPLICIT, IMPLICIT, Writer
from test_transcode import part10

from pacsd.dataset.encapsulation import MAXIMUM_FRAGMENTS
from pacsd.decoder.frames import MOST_FRAMES
from pacsd.errors import TranscodingFailed
from support.compressed import JPEG, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, JPEG_XL, RLE
from support.instance import read_dataset
from support.transcoding import transcode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
SIZE = 16
writer = Writer()
noise = np.random.default_rng(1)
GREY_8 = noise.integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
GREY_12 = noise.integers(0, 4096, (SIZE, SIZE)).astype(np.uint16)
GREY_16 = noise.integers(0, 65536, (SIZE, SIZE)).astype(np.uint16)
COLOUR = noise.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)


def rle(samples: NDArray[np.generic]) -> bytes:
    """PS3.5 §G: a segment for each byte of each sample, the most significant first; all of it in literal runs."""
    planes = samples.reshape(SIZE, SIZE, -1)
    segments = []
    for number in range(planes.shape[2]):
        plane = np.ascontiguousarray(planes[:, :, number])
        columns = plane.view(np.uint8).reshape(-1, plane.dtype.itemsize)
        for byte in reversed(range(plane.dtype.itemsize)):
            data = columns[:, byte].tobytes()
            runs = (data[at : at + 128] for at in range(0, len(data), 128))
            segment = b"".join(bytes([len(run) - 1]) + run for run in runs)
            segments.append(segment + bytes(len(segment) % 2))
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    header = [len(segments), *offsets, *[0] * (15 - len(segments))]
    return struct.pack("<16I", *header) + b"".join(segments)


def jpeg(samples: NDArray[np.generic]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(samples, level=95))


def lossless(samples: NDArray[np.generic], bits: int | None = None) -> bytes:
    if samples.ndim == 3:
        return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, colorspace="RGB", outcolorspace="RGB"))
    return bytes(imagecodecs.ljpeg_encode(samples, bitspersample=bits))


def jpeg_ls(samples: NDArray[np.generic]) -> bytes:
    return bytes(imagecodecs.jpegls_encode(samples))


def jpeg_2000(samples: NDArray[np.generic], bits: int | None = None) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(samples, codecformat="J2K", reversible=True, level=0, bitspersample=bits)
    )


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def us(tag: int, value: int) -> bytes:
    return writer.element(tag, "US", struct.pack("<H", value))


def encapsulated(fragments: Sequence[bytes], table: bytes = b"") -> bytes:
    items = [writer.item(each) for each in (table, *fragments)]
    return writer.sequence(0x7FE00010, items, undefined=True, vr="OB")


def image(
    fragments: Sequence[bytes],
    *,
    samples: int = 1,
    photometric: str = "MONOCHROME2",
    frames: str | None = None,
    allocated: int = 8,
    stored: int = 0,
    high: int | None = None,
    signed: int = 0,
    rows: int = SIZE,
    columns: int = SIZE,
    table: bytes = b"",
    before: bytes = b"",
) -> bytes:
    """A data set of little else; `stored` 0 is as many bits as are allocated, `before` stands before the pixels."""
    stored = stored or allocated
    photometric += " " * (len(photometric) % 2)
    parts = [
        us(0x00280002, samples),
        writer.element(0x00280004, "CS", photometric.encode()),
        us(0x00280006, 0) if samples > 1 else b"",
        writer.element(0x00280008, "IS", (frames + " " * (len(frames) % 2)).encode())
        if frames is not None
        else b"",
        us(0x00280010, rows),
        us(0x00280011, columns),
        us(0x00280100, allocated),
        us(0x00280101, stored),
        us(0x00280102, stored - 1 if high is None else high),
        us(0x00280103, signed),
        before,
        encapsulated(fragments, table),
    ]
    return b"".join(parts)


def converted(data: bytes, transfer_syntax_uid: str, target: str = EXPLICIT) -> Dataset:
    return read_dataset(bytes(transcode(io.BytesIO(part10(data, transfer_syntax_uid)), [target])[1]), target)


def assert_refused(data: bytes, transfer_syntax_uid: str, why: str) -> None:
    for target in (EXPLICIT, IMPLICIT):
        with pytest.raises(TranscodingFailed, match=why):
            converted(data, transfer_syntax_uid, target)


def assert_pixels(dataset: Dataset, expected: NDArray[np.generic]) -> None:
    """The value as it stands there (PS3.5 §8.1.1), which fits what is said of it."""
    value = np.ascontiguousarray(expected).tobytes()
    assert dataset.PixelData == value + bytes(len(value) % 2)
    assert dataset["PixelData"].VR in (("OB", "OW") if dataset.BitsAllocated <= 8 else ("OW",))
    samples = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    assert len(value) == samples * int(dataset.get("NumberOfFrames") or 1) * dataset.BitsAllocated // 8


RIGHT = {
    "RLE, 8 bits": (image([rle(GREY_8)]), RLE, GREY_8),
    "RLE, 12 of 16 bits": (image([rle(GREY_12)], allocated=16, stored=12), RLE, GREY_12),
    "RLE, 32 bits": (
        image([rle(GREY_16.astype(np.uint32) * 65537)], allocated=32),
        RLE,
        GREY_16.astype(np.uint32) * 65537,
    ),
    "RLE, unused bits hold an overlay (PS3.5 8.1.2, retired)": (
        image([rle(GREY_16)], allocated=16, stored=12),
        RLE,
        GREY_16,
    ),
    "RLE, High Bit 15 with 12 bits stored": (
        image([rle(GREY_12 << 4)], allocated=16, stored=12, high=15),
        RLE,
        GREY_12 << 4,
    ),
    "RLE, colour by plane becomes by pixel": (
        image([rle(COLOUR)], samples=3, photometric="RGB"),
        RLE,
        COLOUR,
    ),
    "RLE, palette": (image([rle(GREY_8)], photometric="PALETTE COLOR"), RLE, GREY_8),
    "lossless JPEG, 8 bits": (image([lossless(GREY_8)]), JPEG_LOSSLESS, GREY_8),
    "lossless JPEG, 12 of 16": (
        image([lossless(GREY_12, 12)], allocated=16, stored=12),
        JPEG_LOSSLESS,
        GREY_12,
    ),
    "lossless JPEG, all bits of the word with an overlay above": (
        image([lossless(GREY_16, 16)], allocated=16, stored=12),
        JPEG_LOSSLESS,
        GREY_16,
    ),
    "lossless JPEG, High Bit 15": (
        image([lossless(GREY_12 << 4, 16)], allocated=16, stored=12, high=15),
        JPEG_LOSSLESS,
        GREY_12 << 4,
    ),
    "lossless JPEG of 8 bits in 16 allocated bits": (
        image([lossless(GREY_8)], allocated=16, stored=8),
        JPEG_LOSSLESS,
        GREY_8.astype(np.uint16),
    ),
    "lossless JPEG, signed: the sign goes to the word's end": (
        image([lossless(GREY_12, 12)], allocated=16, stored=12, signed=1),
        JPEG_LOSSLESS,
        (GREY_12 << 4).view(np.int16) >> 4,
    ),
    "lossless JPEG, RGB": (image([lossless(COLOUR)], samples=3, photometric="RGB"), JPEG_LOSSLESS, COLOUR),
    "JPEG-LS, 8 of 16": (
        image([jpeg_ls(GREY_8)], allocated=16, stored=8),
        JPEG_LS,
        GREY_8.astype(np.uint16),
    ),
    "JPEG-LS, RGB": (image([jpeg_ls(COLOUR)], samples=3, photometric="RGB"), JPEG_LS, COLOUR),
    "JPEG 2000, 16 bits": (image([jpeg_2000(GREY_16)], allocated=16), JPEG_2000, GREY_16),
    "JPEG 2000, 8 of 16": (
        image([jpeg_2000(GREY_8)], allocated=16, stored=8),
        JPEG_2000,
        GREY_8.astype(np.uint16),
    ),
    "JPEG 2000, unsigned stream of signed pixels": (
        image([jpeg_2000(GREY_12, 12)], allocated=16, stored=12, signed=1),
        JPEG_2000,
        (GREY_12 << 4).view(np.int16) >> 4,
    ),
    "JPEG 2000, YBR_RCT": (image([jpeg_2000(COLOUR)], samples=3, photometric="YBR_RCT"), JPEG_2000, COLOUR),
    "JPEG XL": (
        image([bytes(imagecodecs.jpegxl_encode(GREY_16, lossless=True))], allocated=16),
        JPEG_XL,
        GREY_16,
    ),
    "Encapsulated Uncompressed": (image([GREY_16.tobytes()], allocated=16), UNCOMPRESSED, GREY_16),
    "Deflated Image Frame": (image([raw_deflate(GREY_8.tobytes())]), DEFLATED_FRAMES, GREY_8),
    "a lossless stream under JPEG Baseline": (image([lossless(GREY_8)]), JPEG, GREY_8),
    "a compressed image under Explicit VR Little Endian": (image([jpeg_ls(GREY_8)]), EXPLICIT, GREY_8),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
def test_the_right_pixels(name: str, target: str) -> None:
    data, uid, expected = RIGHT[name]
    if uid == target:
        pytest.skip("goes out as it is")
    dataset = converted(data, uid, target)
    assert_pixels(dataset, expected)
    if dataset.SamplesPerPixel == 3:
        assert (dataset.PhotometricInterpretation, dataset.PlanarConfiguration) == ("RGB", 0)


J8 = lossless(GREY_8)
J12 = lossless(GREY_12, 12)
K8, L8, R8 = jpeg_2000(GREY_8), jpeg_ls(GREY_8), rle(GREY_8)
B8 = jpeg(GREY_8)
X8 = bytes(imagecodecs.jpegxl_encode(GREY_8, lossless=True))


def larger(stream: bytes, rows: int) -> bytes:
    """A JPEG that says that it has so many rows, and 3000 columns."""
    size = stream.index(b"\xff\xc0") + 5
    return stream[:size] + struct.pack(">HH", rows, 3000) + stream[size + 4 :]


WRONG = {
    "12 bits in 8 allocated": (image([J12]), JPEG_LOSSLESS, "12 bits per sample in 8"),
    "12 bits with High Bit 15": (
        image([J12], allocated=16, stored=12, high=15),
        JPEG_LOSSLESS,
        "do not reach High Bit 15",
    ),
    "signed with more bits stored than in the stream": (
        image([J12], allocated=16, stored=16, signed=1),
        JPEG_LOSSLESS,
        "12 bits per sample of 16 signed ones",
    ),
    "other rows": (image([J8], rows=8), JPEG_LOSSLESS, "16 rows, the header says 8"),
    "other columns": (image([K8], columns=32), JPEG_2000, "16 columns, the header says 32"),
    "other samples": (image([L8], samples=3, photometric="RGB"), JPEG_LS, "1 samples per pixel"),
    "RLE of other samples": (image([R8], samples=3, photometric="RGB"), RLE, "1 RLE segments instead of 3"),
    "RLE of other bits": (image([R8], allocated=16), RLE, "1 RLE segments instead of 2"),
    "three samples in MONOCHROME2": (image([lossless(COLOUR)], samples=3), JPEG_LOSSLESS, "not MONOCHROME2"),
    "no stream at all": (image([bytes(200)]), JPEG, "frames"),
    "a frame of native pixels in RLE": (image([GREY_8.tobytes()]), RLE, "RLE segments"),
    "two images in one": (image([J8 + J8]), JPEG_LOSSLESS, "more than one codestream"),
    "too few bytes uncompressed": (image([bytes(200)]), UNCOMPRESSED, "200 bytes instead of 256"),
    "too many bytes uncompressed": (image([bytes(300)]), UNCOMPRESSED, "300 bytes instead of 256"),
    "a deflated frame that is too long": (
        image([raw_deflate(bytes(300))]),
        DEFLATED_FRAMES,
        "deflate stream",
    ),
    "a deflated frame that is too short": (image([raw_deflate(bytes(200))]), DEFLATED_FRAMES, "200 bytes"),
    "no Rows": (encapsulated([J8]), JPEG_LOSSLESS, "not described"),
    "a video": (image([b"\0\0\1\xb3" + bytes(90)]), "1.2.840.10008.1.2.4.100", "frames"),
    "pixels elsewhere": (image([]), "1.2.840.10008.1.2.4.94", "cannot be transcoded"),
    "an unknown private transfer syntax": (image([J8]), "1.2.3.4", "cannot be transcoded"),
    "Number of Frames is no number": (
        image([J8, J8], frames="x"),
        JPEG_LOSSLESS,
        "2 frames instead of the 1",
    ),
    "Number of Frames is too long": (image([J8], frames="9" * 5000), JPEG_LOSSLESS, "no number"),
    "a frame that is too large": (image([J8], rows=65535, columns=65535), JPEG_LOSSLESS, "over the limit"),
    "more frames than may be held": (
        image([J8], frames="2000", rows=1000, columns=1100),
        JPEG_LOSSLESS,
        "2000 frames of 1100000 bytes are over the limit",
    ),
    "JPEG that says twice what it holds": (
        image([J8[:2] + J8[J8.index(b"\xff\xc3") :][:13] + J8[2:]]),
        JPEG_LOSSLESS,
        "says twice",
    ),
    "JPEG with more restart intervals than there are atoms": (
        image([B8[:2] + b"\xff\xdd\0\4\0\1" + larger(B8, 65535)[2:]], rows=65535, columns=3000),
        JPEG,
        "0 restart markers instead of",
    ),
    "more fragments than may be held": (image([b""] * (MAXIMUM_FRAGMENTS + 1)), JPEG, "fragments"),
    "a longer Basic Offset Table than there may be frames": (
        image([J8], table=bytes(4 * MAXIMUM_FRAGMENTS + 4)),
        JPEG,
        "fragments",
    ),
    "a longer Extended Offset Table than there may be frames": (
        image([J8], before=writer.element(0x7FE00001, "OV", bytes(8 * MAXIMUM_FRAGMENTS + 8))),
        JPEG,
        "Extended Offset Table",
    ),
    "JPEG XL of another size": (image([X8], rows=32), JPEG_XL, "16 x 16 pixels, the header says 32 x 16"),
    "JPEG XL without a codestream": (
        image([b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20)]),
        JPEG_XL,
        "no codestream",
    ),
    "JPEG XL of 16 bits in 8": (image([bytes(imagecodecs.jpegxl_encode(GREY_16))]), JPEG_XL, "other samples"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_disagrees_is_refused(name: str) -> None:
    data, uid, why = WRONG[name]
    assert_refused(data, uid, why)


STREAMS: dict[str, tuple[bytes, str]] = {
    "JPEG": (B8, JPEG),
    "lossless JPEG": (J8, JPEG_LOSSLESS),
    "JPEG-LS": (L8, JPEG_LS),
    "JPEG 2000": (K8, JPEG_2000),
    "RLE": (R8, RLE),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("ending", ["cut off", "filled up with zeros", "closed again"])
def test_a_truncated_frame_is_refused_wherever_it_ends(name: str, ending: str) -> None:
    stream, uid = STREAMS[name]
    end = b"" if name == "RLE" else b"\xff\xd9"
    whole = len(stream) - 4
    for length in (*range(2, whole, 7), whole):
        cut = stream[: length & ~1]
        if ending == "filled up with zeros":
            if name == "RLE":
                continue  # zeros are literal runs: nothing tells that they are none
            cut = cut.ljust(len(stream) + len(stream) % 2, b"\0")
        elif ending == "closed again":
            cut = cut.rstrip(b"\xff") + end
            cut += bytes(len(cut) % 2)
        assert_refused(image([cut]), uid, "not convertible")


def test_a_stream_with_bytes_of_padding_is_whole() -> None:
    for name, (stream, uid) in STREAMS.items():
        expected = converted(image([stream + bytes(len(stream) % 2)]), uid).PixelData
        assert converted(image([stream + bytes(6 + len(stream) % 2)]), uid).PixelData == expected, name


def test_a_missing_restart_interval_is_noticed() -> None:
    """libjpeg fills it with grey (ISO 10918-1 §F.2.1.3.1: the intervals are counted modulo 8)."""
    stream = jpeg(np.full((64, 64), 77, np.uint8))
    scan = stream.index(b"\xff\xda")
    interval = b"\xff\xdd\0\4\0\x10"
    assert_refused(
        image([stream[:scan] + interval + stream[scan:] + bytes(len(stream) % 2)], rows=64, columns=64),
        JPEG,
        "0 restart markers instead of 3",
    )


FRAMES = [noise.integers(0, 256, (SIZE, SIZE)).astype(np.uint8) for _ in range(3)]
PIECES = [lossless(frame) + bytes(len(lossless(frame)) % 2) for frame in FRAMES]
HALVES = [PIECES[0][:100], PIECES[0][100:], *PIECES[1:]]


def offsets(pieces: Sequence[bytes]) -> bytes:
    places = [sum(8 + len(each) for each in pieces[:number]) for number in range(len(pieces))]
    return struct.pack(f"<{len(places)}I", *places)


def extended(pieces: Sequence[bytes]) -> bytes:
    places = struct.unpack(f"<{len(pieces)}I", offsets(pieces))
    table = struct.pack(f"<{len(pieces)}Q", *places)
    lengths = struct.pack(f"<{len(pieces)}Q", *map(len, pieces))
    return writer.element(0x7FE00001, "OV", table) + writer.element(0x7FE00002, "OV", lengths)


FRAMINGS: dict[str, tuple[bytes, int]] = {
    "no offset table": (image(PIECES, frames="3"), 3),
    "a Basic Offset Table": (image(PIECES, frames="3", table=offsets(PIECES)), 3),
    "an Extended Offset Table": (image(PIECES, frames="3", before=extended(PIECES)), 3),
    "a frame in two fragments": (image(HALVES, frames="3"), 3),
    "an empty fragment behind": (image([*PIECES, b""], frames="3"), 3),
    "an empty fragment between": (image([PIECES[0], b"", *PIECES[1:]], frames="3"), 3),
    "an offset table that does not fit": (image(HALVES, frames="3", table=struct.pack("<3I", 0, 4, 8)), 3),
    "an offset table of the fragments": (image(HALVES, frames="3", table=offsets(HALVES)), 3),
    "offsets of one frame only": (image(PIECES, frames="3", table=bytes(4)), 3),
    "fewer frames declared": (image(PIECES, frames="2"), 2),
    "fewer frames declared, offsets of all": (image(PIECES, frames="2", table=offsets(PIECES)), 2),
    "Number of Frames 0": (image(PIECES[:1], frames="0"), 1),
    "Number of Frames empty": (image(PIECES[:1], frames=""), 1),
    "Number of Frames with a sign": (image(PIECES, frames="+3"), 3),
    "Number of Frames with a NUL": (image(PIECES[:1], frames="1\0"), 1),
    "one image in two fragments": (image(HALVES[:2]), 1),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_as_many_frames_as_are_declared(name: str) -> None:
    data, count = FRAMINGS[name]
    dataset = converted(data, JPEG_LOSSLESS)
    value = b"".join(frame.tobytes() for frame in FRAMES[:count])
    assert dataset.PixelData == value
    for tag in (0x7FE00001, 0x7FE00002):  # PS3.3 §C.7.6.3.1.8: for encapsulated pixel data only
        assert tag not in dataset


@pytest.mark.parametrize(
    "table", [b"", struct.pack("<3I", 0, 1, 2)], ids=["no table", "one that does not fit"]
)
def test_frames_of_rle_in_several_fragments(table: bytes) -> None:
    """Against PS3.5 §A.4.2; DCMTK writes them where it is asked to."""
    first, second, third = map(rle, FRAMES)
    data = image([first[:100], first[100:], second, third[:70], third[70:]], frames="3", table=table)
    assert converted(data, RLE).PixelData == b"".join(frame.tobytes() for frame in FRAMES)


def test_more_frames_of_rle_than_are_decoded_at_once() -> None:
    count = MOST_FRAMES + 3
    frames = [GREY_8 + np.uint8(number) for number in range(count)]
    data = image([rle(frame) for frame in frames], frames=str(count))
    assert converted(data, RLE).PixelData == b"".join(frame.tobytes() for frame in frames)


def test_number_of_frames_is_what_is_sent() -> None:
    for frames in ("0", ""):
        assert converted(image(PIECES[:1], frames=frames), JPEG_LOSSLESS).NumberOfFrames == 1
    assert "NumberOfFrames" not in converted(image(PIECES[:1]), JPEG_LOSSLESS)


@pytest.mark.parametrize("frames", ["4", None, "", "0"])
def test_frames_that_are_missing_or_not_declared_are_refused(frames: str | None) -> None:
    for table in (b"", offsets(PIECES)):
        assert_refused(image(PIECES, frames=frames, table=table), JPEG_LOSSLESS, "3 frames instead of the")


def test_luminance_and_chrominance_become_rgb() -> None:
    """PS3.3 §C.7.6.3.1.2: black, white and primary colours, in the full and in the partial range."""
    rgb = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 160, 30]], float)
    full = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
    partial = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])
    for photometric, matrix, black in (("YBR_FULL", full, 0), ("YBR_PARTIAL_420", partial, 16)):
        ybr = np.clip(np.rint(rgb @ matrix.T + [black, 128, 128]), 0, 255).astype(np.uint8)
        samples = np.resize(ybr, (SIZE * SIZE, 3)).reshape(SIZE, SIZE, 3)
        for stream, uid in ((jpeg_ls(samples), JPEG_LS), (rle(samples), RLE)):
            dataset = converted(
                image([stream + bytes(len(stream) % 2)], samples=3, photometric=photometric), uid
            )
            assert dataset.PhotometricInterpretation == "RGB"
            found = np.frombuffer(dataset.PixelData, np.uint8).reshape(-1, 3)[: len(rgb)].astype(int)
            assert np.abs(found - rgb).max() <= 2


@pytest.mark.parametrize("subsampling", ["444", "422"])
@pytest.mark.parametrize(("marker", "white"), [("JFIF", 235), (None, 255)])
def test_the_range_of_luminance_is_the_headers_unless_the_stream_says(
    subsampling: str, marker: str | None, white: int
) -> None:
    """PS3.3 §C.7.6.3.1.2: white is 235 in YBR_PARTIAL_422; in JFIF (ISO 10918-5) it is 255 whatever the header says."""
    samples = np.full((SIZE, SIZE, 3), (235, 128, 128), np.uint8)
    stream = bytes(
        imagecodecs.jpeg8_encode(
            samples, level=100, colorspace="YCBCR", outcolorspace="YCBCR", subsampling=subsampling
        )
    )
    if marker is None:
        (length,) = struct.unpack_from(">H", stream, 4)
        assert stream[6:10] == b"JFIF"
        stream = stream[:2] + stream[4 + length :]
    data = image([stream + bytes(len(stream) % 2)], samples=3, photometric="YBR_PARTIAL_422")
    assert set(converted(data, JPEG).PixelData) == {white}


def test_a_compressed_icon_becomes_a_native_one() -> None:
    """PS3.3 §C.7.6.1.1.6."""
    icon = image([rle(COLOUR)], samples=3, photometric="YBR_FULL")
    sequence = writer.sequence(0x00880200, [writer.item(icon)])
    dataset = converted(image([R8], before=sequence), RLE, IMPLICIT)
    assert_pixels(dataset, GREY_8)
    item = dataset.IconImageSequence[0]
    assert (item.PhotometricInterpretation, item.PlanarConfiguration) == ("RGB", 0)
    assert len(item.PixelData) == SIZE * SIZE * 3


def test_an_icon_or_private_pixels_that_cannot_be_decoded_do_not_cost_the_image() -> None:
    private = writer.element(0x00290010, "LO", b"ACME") + writer.sequence(
        0x00291010, [writer.item(writer.element(0x00291011, "LO", b"kept") + encapsulated([b"abcd"]))]
    )
    icon = writer.sequence(0x00880200, [writer.item(image([R8[:80]]))])
    plain = image([R8])
    dataset = converted(private + plain[: -len(encapsulated([R8]))] + icon + encapsulated([R8]), RLE)
    assert_pixels(dataset, GREY_8)
    assert "IconImageSequence" not in dataset
    (item,) = dataset[0x00291010].value
    assert item[0x00291011].value == "kept"
    assert "PixelData" not in item


def test_segmented_palettes_stay_as_they_are() -> None:
    """PS3.3 §C.7.9.2: their segments are 16-bit words whatever the pixels are."""
    words = struct.pack("<6H", 0, 1, 7, 1, 255, 65535)
    palette = b"".join(writer.element(0x00281221 + number, "OW", words) for number in range(3))
    dataset = converted(image([R8], photometric="PALETTE COLOR", before=palette), RLE, IMPLICIT)
    assert dataset.PhotometricInterpretation == "PALETTE COLOR"
    assert dataset.SegmentedRedPaletteColorLookupTableData == words


def test_native_pixels_in_a_compressed_transfer_syntax_stay() -> None:
    native = image([R8])[: -len(encapsulated([R8]))] + writer.element(0x7FE00010, "OB", GREY_8.tobytes())
    assert_pixels(converted(native, JPEG, IMPLICIT), GREY_8)


def test_ge_private_pixels_are_big_endian_in_an_implicit_vr_data_set() -> None:
    implicit = transcode(io.BytesIO(part10(image([rle(GREY_12)], allocated=16, stored=12), RLE)), [IMPLICIT])[
        1
    ]
    head = bytes(implicit[: -GREY_12.nbytes])
    for target in (EXPLICIT, IMPLICIT):
        assert_pixels(converted(head + GREY_12.byteswap().tobytes(), "1.2.840.113619.5.2", target), GREY_12)


def test_an_odd_fragment_is_padded_where_the_syntax_stays() -> None:
    """PS3.5 §A.4: each fragment has an even length; the offsets follow."""
    odd = [PIECES[0] + b"\0", *PIECES[1:]]
    data = image(odd, frames="3", table=offsets(odd))
    assert len(data) % 2
    uid, again = transcode(io.BytesIO(part10(data, JPEG_LOSSLESS)), [EXPLICIT, JPEG_LOSSLESS])
    assert uid == JPEG_LOSSLESS
    even = [PIECES[0] + b"\0\0", *PIECES[1:]]
    assert again == image(even, frames="3", table=offsets(even))


def test_many_frames_take_the_memory_of_what_comes_and_goes() -> None:
    """Compressed and native pixels at once, and one frame more; what is stored is read once."""
    frame = lossless(np.zeros((512, 512), np.uint16), 16)
    count = 64
    file = io.BytesIO(
        part10(
            image(
                [frame + bytes(len(frame) % 2)] * count,
                frames=str(count),
                rows=512,
                columns=512,
                allocated=16,
            ),
            JPEG_LOSSLESS,
        )
    )
    native = 512 * 512 * 2 * count
    transcode(file, [EXPLICIT])  # loads what is loaded once
    file.seek(0)
    tracemalloc.start()
    data = transcode(file, [EXPLICIT])[1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) > native
    assert peak < 1.5 * native


def test_a_large_frame_takes_the_memory_of_a_few() -> None:
    """Its colours are converted a few rows at a time; and that is the same as all at once."""
    size = 1500
    steps = np.add.outer(np.arange(size), np.arange(size)) // 8
    samples = np.stack([steps, 255 - steps, steps // 2], -1).astype(np.uint8)
    stream = jpeg_ls(samples)
    data = image(
        [stream + bytes(len(stream) % 2)], rows=size, columns=size, samples=3, photometric="YBR_FULL"
    )
    file = io.BytesIO(part10(data, JPEG_LS))
    tracemalloc.start()
    whole = bytes(transcode(file, [EXPLICIT])[1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * size * size * 3
    found = np.frombuffer(read_dataset(whole, EXPLICIT).PixelData, np.uint8).reshape(samples.shape)
    for row in range(0, size, 250):
        part = converted(
            image([jpeg_ls(samples[row : row + 1])], rows=1, columns=size, samples=3, photometric="YBR_FULL"),
            JPEG_LS,
        )
        assert part.PixelData == found[row].tobytes()
