"""Transcoding of pydicom's test files: native ones keep every value, compressed ones decode to the right pixels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dataset_bytes import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, NATIVE, WRITERS, Writer, deflate
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacsd.dataset.budgets import Budgets
from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.encodings import EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from pacsd.dataset.header import scan, verify_complete
from pacsd.dataset.part10 import part10_header, read_part10
from pacsd.dataset.reencode import MAXIMUM_DEPTH, reencode
from pacsd.dataset.transcode import Transcoder
from pacsd.dataset.wide_pixels import swapped_wide_pixels
from pacsd.decoder.pool import DecoderPool
from pacsd.errors import DatasetInvalid, StorageUnavailable, TranscodingFailed
from support.compressed import JPEG_LS, small_images
from support.memory_store import MemoryObject
from support.transcoding import decoders, transcode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
UNREADABLE = ("MR_truncated.dcm", "rtplan_truncated.dcm", "meta_missing_tsyntax.dcm")
DAMAGED = "JPEG2000-embedded-sequence-delimiter.dcm"
"""Its code stream has nonsense for a width, put there to look like a delimitation item."""


def transfer_syntax(path: Path) -> str:
    try:
        return read_part10(path.read_bytes()).transfer_syntax_uid
    except DatasetInvalid:
        return ""


FILES = {path: transfer_syntax(path) for path in sorted(FOLDER.glob("*.dcm")) if path.name not in UNREADABLE}
NATIVE_FILES = [path for path, uid in FILES.items() if uid in NATIVE]
COMPRESSED_FILES = [path for path, uid in FILES.items() if uid and uid not in NATIVE and path.name != DAMAGED]


class Failing(MemoryObject):
    """A file that cannot be read behind its meta information."""

    def __init__(self, head: bytes, error: Exception) -> None:
        super().__init__(head + b"data")
        self._readable = len(head)
        self._error = error

    def read_at(self, position: int, length: int) -> bytes:
        if position >= self._readable:
            raise self._error
        return super().read_at(position, length)


def part10(data: bytes, transfer_syntax_uid: str) -> bytes:
    header = part10_header(
        sop_class_uid="1.2",
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=transfer_syntax_uid,
        implementation_class_uid="1.2",
        implementation_version_name="TEST",
    )
    return header + data


def read(data: bytes, transfer_syntax_uid: str) -> Dataset:
    return dcmread(io.BytesIO(part10(data, transfer_syntax_uid)))


def transcoded(path: Path, target: str) -> Dataset:
    uid, data = transcode(path, [target])
    assert uid == target
    verify_complete(data, target)
    return read(data, target)


def test_the_files_are_there() -> None:
    assert len(NATIVE_FILES) >= 29
    assert len(COMPRESSED_FILES) > 30


def assert_same(first: Dataset, second: Dataset) -> None:
    """The same elements with the same values, but for group lengths and how VRs are known."""
    tags = [element.tag for element in first if element.tag.element]
    assert [element.tag for element in second] == tags
    for tag in tags:
        one, other = first[tag], second[tag]
        if one.VR == "SQ" and other.VR == "SQ":
            assert len(one.value) == len(other.value)
            for item, other_item in zip(one.value, other.value, strict=True):
                assert_same(item, other_item)
        elif one.VR == other.VR:
            assert one.value == other.value, tag


@pytest.mark.parametrize("path", NATIVE_FILES, ids=lambda path: path.name)
def test_native_files_keep_every_value(path: Path) -> None:
    original = dcmread(path)
    data = path.read_bytes()[read_part10(path.read_bytes()).dataset_offset :]
    values = decode_attributes(scan(data, FILES[path], complete=True))
    for target in (IMPLICIT, EXPLICIT, DEFLATED):
        _, data = transcode(path, [target])
        assert decode_attributes(scan(data, target, complete=True)) == values
        if original.is_little_endian == True and not any(e.VR == "UN" for e in original.iterall()):  # noqa: E712
            assert_same(original, transcoded(path, target))


@pytest.mark.parametrize("name", ["MR_small", "liver_1frame"])
def test_big_endian_files_equal_their_little_endian_originals(name: str) -> None:
    """pydicom has each of these in both byte orders, written by another implementation."""
    big = {"MR_small": "MR_small_bigendian.dcm", "liver_1frame": "liver_expb_1frame.dcm"}
    ours = transcoded(FOLDER / big[name], EXPLICIT)
    theirs = dcmread(FOLDER / f"{name}.dcm")
    assert (ours.pixel_array == theirs.pixel_array).all()
    for keyword in ("PatientName", "Rows", "Columns", "BitsAllocated", "ImagePositionPatient"):
        assert ours.get(keyword) == theirs.get(keyword)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("kind", ["u", "i"])
@pytest.mark.parametrize("by_words", [False, True])
def test_the_byte_order_of_wide_pixels_is_seen(bits: int, kind: str, by_words: bool) -> None:
    """PS3.5 §7.3 has words of 16 bits change their bytes; pydicom and GDCM turn whole pixels around."""
    width = bits // 8
    pixels = np.add.outer(np.arange(40) * 1000, np.arange(50) ** 2).astype(f"<{kind}{width}") - 10_000 * (
        kind == "i"
    )
    little = pixels.astype(f"<{kind}{width}").tobytes()
    big = pixels.astype(f">{kind}{width}").tobytes()
    if by_words:
        big = np.frombuffer(little, "<u2").astype(">u2").tobytes()
    assert swapped_wide_pixels(big, bits) == little
    dark = bytes(width << 21)
    assert swapped_wide_pixels(dark + big + b"\1", bits) == dark + little + b"\1"


def test_wide_pixels_of_which_nobody_can_tell_the_byte_order() -> None:
    """Better none than wrong ones."""
    noise = np.random.default_rng(1).integers(0, 1 << 32, 10_000, dtype=np.uint32).tobytes()
    with pytest.raises(DatasetInvalid, match="cannot be told"):
        swapped_wide_pixels(noise, 32)
    with pytest.raises(DatasetInvalid, match="cannot be told"):
        swapped_wide_pixels(b"\0\0\0\x05" * 100, 32)
    assert swapped_wide_pixels(b"\0\0\0\0" * 100, 32) == bytes(400)
    assert swapped_wide_pixels(b"", 32) == b""


def test_wide_pixels_become_big_endian_by_words() -> None:
    """PS3.5 §7.3: OW is words of 16 bits, whatever the pixels have."""
    path = FOLDER / "rtdose_1frame.dcm"
    _, big = transcode(path, [BIG_ENDIAN])
    little = dcmread(path).PixelData
    assert read(big, BIG_ENDIAN).PixelData == np.frombuffer(little, "<u2").astype(">u2").tobytes()
    _, again = transcode(io.BytesIO(part10(big, BIG_ENDIAN)), [EXPLICIT])
    assert read(again, EXPLICIT).PixelData == little


def test_to_big_endian_and_back_is_the_same() -> None:
    path = FOLDER / "CT_small.dcm"
    _, big = transcode(path, [BIG_ENDIAN])
    assert (read(big, BIG_ENDIAN).pixel_array == dcmread(path).pixel_array).all()
    _, little = transcode(io.BytesIO(part10(big, BIG_ENDIAN)), [EXPLICIT])
    assert little == transcode(io.BytesIO(part10(little, EXPLICIT)), [EXPLICIT, IMPLICIT])[1]
    assert_same(dcmread(path), read(little, EXPLICIT))


@pytest.mark.parametrize("path", COMPRESSED_FILES, ids=lambda path: path.name)
def test_compressed_files_decode_and_keep_the_rest(path: Path) -> None:
    original = dcmread(path)
    for target in (EXPLICIT, IMPLICIT):
        decoded = transcoded(path, target)
        assert decoded.get("SOPInstanceUID") == original.get("SOPInstanceUID")
        assert str(decoded.get("PatientName")) == str(original.get("PatientName"))
        if "PixelData" in original:
            frames = int(original.get("NumberOfFrames", 1) or 1)
            size = (
                decoded.Rows * decoded.Columns * decoded.SamplesPerPixel * decoded.BitsAllocated // 8 * frames
            )
            assert len(decoded.PixelData) == size + size % 2
            assert decoded.PhotometricInterpretation in ("RGB", "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")


LOSSLESS = {
    "MR_small_RLE.dcm": "MR_small.dcm",
    "MR_small_jp2klossless.dcm": "MR_small.dcm",
    "MR_small_jpeg_ls_lossless.dcm": "MR_small.dcm",
    "rtdose_rle.dcm": "rtdose.dcm",
    "rtdose_rle_1frame.dcm": "rtdose_1frame.dcm",
    "SC_rgb_jpeg_gdcm.dcm": "SC_rgb_rle.dcm",
}


@pytest.mark.parametrize(("name", "reference"), LOSSLESS.items())
def test_lossless_files_decode_to_their_originals(name: str, reference: str) -> None:
    expected = dcmread(FOLDER / reference)
    if expected.file_meta.TransferSyntaxUID.is_compressed:
        expected = transcoded(FOLDER / reference, EXPLICIT)
    assert np.array_equal(transcoded(FOLDER / name, EXPLICIT).pixel_array, expected.pixel_array)


LOSSY_COLOUR = [
    path.name for path in COMPRESSED_FILES if path.name.startswith(("SC_rgb_dcmtk", "SC_rgb_jpeg_dcmtk"))
]


@pytest.mark.parametrize("name", [*LOSSY_COLOUR, "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_gdcm_KY.dcm"])
def test_lossy_colour_is_the_right_colour(name: str) -> None:
    """All show the same bars; at a bar's middle there is little loss, and a wrong colour space is far off."""
    expected = transcoded(FOLDER / "SC_rgb_rle.dcm", EXPLICIT).pixel_array.astype(int)
    decoded = transcoded(FOLDER / name, EXPLICIT)
    middles = np.s_[5::10, 50]
    assert decoded.PhotometricInterpretation == "RGB"
    assert np.abs(decoded.pixel_array.astype(int)[middles] - expected[middles]).max() <= 5


def test_extended_jpeg_has_twelve_bits() -> None:
    decoded = transcoded(FOLDER / "JPGExtended.dcm", EXPLICIT).pixel_array
    assert decoded.dtype == np.uint16
    assert 255 < decoded.max() < 4096


def test_what_cannot_be_decoded_says_so_without_values() -> None:
    with pytest.raises(TranscodingFailed, match="codestream is truncated") as caught:
        transcode(FOLDER / DAMAGED, [EXPLICIT])
    assert caught.value.__cause__ is not None
    with pytest.raises(TranscodingFailed, match="no uncompressed"):
        transcode(FOLDER / "CT_small.dcm", ["1.2.840.10008.1.2.4.70"])
    with pytest.raises(TranscodingFailed, match="the disk fails"):
        transcode(Failing(part10(b"", EXPLICIT), StorageUnavailable("the disk fails")), [IMPLICIT])
    with pytest.raises(TranscodingFailed, match="truncated"):
        transcode(FOLDER / "MR_truncated.dcm", [IMPLICIT])


def test_explicit_vr_little_endian_is_preferred() -> None:
    assert transcode(FOLDER / "MR_small_RLE.dcm", [IMPLICIT, DEFLATED, EXPLICIT])[0] == EXPLICIT
    assert transcode(FOLDER / "MR_small_RLE.dcm", {IMPLICIT, BIG_ENDIAN})[0] == IMPLICIT


def test_a_value_too_long_for_its_vr_becomes_unknown() -> None:
    data = WRITERS[IMPLICIT].element(0x00091001, "", b"x" * 70_000) + WRITERS[IMPLICIT].element(
        0x0020000D, "", b"1.2" + b"0" * 70_001
    )
    explicit = reencode(data, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)
    assert explicit.count(b"UN\0\0") == 2
    assert reencode(explicit, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN) == data


def test_ambiguous_vrs_follow_pixel_representation() -> None:
    writer = WRITERS[IMPLICIT]
    for representation, vr in ((b"\0\0", b"US"), (b"\1\0", b"SS")):
        data = writer.element(0x00280103, "", representation) + writer.element(0x00280106, "", b"\xff\xff")
        assert reencode(data, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)[14:16] == vr


def test_sequences_are_converted_down_to_the_deepest_allowed() -> None:
    for vr in ("SQ", "UN"):
        data = Writer().nested(0x00081140, MAXIMUM_DEPTH, vr)
        again = reencode(data, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
        assert again == WRITERS[IMPLICIT].nested(0x00081140, MAXIMUM_DEPTH)
        with pytest.raises(DatasetInvalid, match="nested more than"):
            reencode(
                Writer().nested(0x00081140, MAXIMUM_DEPTH + 1, vr),
                EXPLICIT_LITTLE_ENDIAN,
                IMPLICIT_LITTLE_ENDIAN,
            )


def test_a_compressed_icon_that_cannot_be_decoded_is_left_out() -> None:
    """Icon Image Sequence is optional (PS3.3 §C.7.6.1), its pixel data are not."""
    writer = Writer()
    icon = writer.sequence(0x7FE00010, [writer.item(b""), writer.item(b"\xff\xd8")], undefined=True, vr="OB")
    patient = writer.element(0x00100020, "LO", b"ID")
    data = patient + writer.sequence(0x00880200, [writer.item(icon)])
    assert transcode(io.BytesIO(part10(data, EXPLICIT)), [IMPLICIT])[1] == reencode(
        patient, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
    )


ENCODINGS = {
    IMPLICIT: IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT: EXPLICIT_LITTLE_ENDIAN,
    BIG_ENDIAN: EXPLICIT_BIG_ENDIAN,
}
texts = st.tuples(
    st.sampled_from([(0x00100010, "PN"), (0x00100020, "LO"), (0x00091001, "UN")]),
    st.binary(max_size=20).map(lambda value: value * 2),
)
words = st.tuples(
    st.sampled_from([(0x00280010, "US"), (0x00189219, "SS"), (0x7FE00010, "OW")]), st.just(b"\1\2\3\4")
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(texts, words), max_size=6), st.booleans())
def test_any_native_encoding_and_back(elements: list[tuple[tuple[int, str], bytes]], nested: bool) -> None:
    writer = Writer()
    data = b"".join(writer.element(*tag_and_vr, value) for tag_and_vr, value in elements)
    if nested:
        data = writer.sequence(0x00081140, [writer.item(data, undefined=True)], undefined=True)
    for uid, encoding in ENCODINGS.items():
        there = reencode(data, EXPLICIT_LITTLE_ENDIAN, encoding)
        verify_complete(there, uid)
        assert reencode(bytes(there), encoding, EXPLICIT_LITTLE_ENDIAN) == data


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from(list(ENCODINGS.values())),
    st.sampled_from(list(ENCODINGS.values())),
)
def test_garbage_ends_in_a_documented_error(data: bytes, source: object, target: object) -> None:
    try:
        assert isinstance(reencode(data, source, target), bytearray)
    except DatasetInvalid:
        assert data


def test_a_deflated_file_that_is_cut_off_fails() -> None:
    whole = deflate(Writer().element(0x00100020, "LO", b"ID"))
    assert transcode(io.BytesIO(part10(whole, DEFLATED)), [EXPLICIT])[1] == Writer().element(
        0x00100020, "LO", b"ID"
    )
    with pytest.raises(TranscodingFailed):
        transcode(io.BytesIO(part10(whole[:5], DEFLATED)), [EXPLICIT])


def test_what_inflates_to_more_than_it_may_is_not_converted() -> None:
    plain = Writer().element(0x7FE00010, "OW", bytes(5000))
    file = part10(deflate(plain), DEFLATED)
    budgets = Budgets(frame=1, instance=len(plain))
    assert transcode(io.BytesIO(file), [EXPLICIT], budgets) == (EXPLICIT, plain)
    with pytest.raises(TranscodingFailed, match="inflates to more than"):
        transcode(io.BytesIO(file), [EXPLICIT], Budgets(frame=1, instance=len(plain) - 1))
    # What was sent without compression is as large as it is said to be.
    assert transcode(io.BytesIO(part10(plain, EXPLICIT)), [IMPLICIT], budgets)[0] == IMPLICIT


def test_all_pixels_of_an_instance_are_counted() -> None:
    icon = small_images()[1].dataset
    items = [Writer().item(icon[icon.index(b"\x28\0\x02\0") :])] * 3
    data = Writer().sequence(0x00880200, items) + Writer().element(0x00880904, "LO", b"behind")
    file = part10(data, JPEG_LS)
    frames = read(
        transcode(io.BytesIO(file), [EXPLICIT], Budgets(frame=1024, instance=3 * 2048))[1], EXPLICIT
    )
    assert [len(item.PixelData) for item in frames.IconImageSequence] == [2048] * 3
    fewer = read(transcode(io.BytesIO(file), [EXPLICIT], Budgets(frame=1024, instance=2 * 2048))[1], EXPLICIT)
    assert "IconImageSequence" not in fewer


def test_conversions_wait_for_room_and_give_it_back() -> None:
    """What one takes as it is stored, and then as it is converted, is what all processes count."""
    instance = small_images()[1]
    taken = memoryview(bytearray(4 * 8)).cast("q")
    seen: list[list[int]] = []

    class Watched(DecoderPool):
        def decode(self, *arguments: Any, **options: Any) -> float:
            seen.append(list(taken))
            return decoders().decode(*arguments, **options)

    watched = Watched(processes=1, seconds=0.1)
    budgets = Budgets(frame=10_000, instance=10_000)
    transcoder = Transcoder(watched, budgets, taken=taken, slot=1)
    file = part10(instance.dataset, instance.transfer_syntax_uid)
    transcoder(MemoryObject(file), [EXPLICIT])
    assert seen == [[0, len(instance.dataset), 0, 2048]] * 2
    assert list(taken) == [0] * 4
    for place in (0, 2):
        taken[place] = 9_000
        with pytest.raises(TranscodingFailed, match="not convertible now: too much else"):
            transcoder(MemoryObject(file), [EXPLICIT])
        taken[place] = 0
    assert list(taken) == [0] * 4
    watched.close()


@pytest.mark.parametrize("declared", ["YBR_FULL_422", "RGB"])
def test_an_adobe_marker_tells_the_colour_space_whatever_the_data_set_calls_it(declared: str) -> None:
    path = FOLDER / "SC_rgb_dcmtk_+eb+cy+np.dcm"
    dataset = dcmread(path)
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
    dataset.PixelData = pydicom.encaps.encapsulate([frame[:2] + marker + frame[2:]])
    dataset.PhotometricInterpretation = declared
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset)
    file.seek(0)
    decoded = read(transcode(file, [EXPLICIT])[1], EXPLICIT)
    expected = transcoded(FOLDER / "SC_rgb_rle.dcm", EXPLICIT).pixel_array.astype(int)
    assert decoded.PhotometricInterpretation == "RGB"
    assert np.abs(decoded.pixel_array.astype(int) - expected)[5::10, 50].max() <= 5


def test_what_does_not_fit_into_memory_fails_by_itself() -> None:
    with pytest.raises(TranscodingFailed, match="more memory than there is"):
        transcode(Failing(part10(b"", EXPLICIT), MemoryError()), [IMPLICIT])
