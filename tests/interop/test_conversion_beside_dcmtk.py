"""The same conversions by DCMTK's tools and by the server's code: pixel for pixel, for all files and for made ones."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import pixel_array

from pacsd.errors import TranscodingFailed
from support.bundled import bundled_instances
from support.constructed import constructed_instances, encode, simple_dataset
from support.instance import (
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    UNCOMPRESSED,
    Instance,
    dataset_offset,
    read_dataset,
)
from support.peers import dcmtk_tool
from support.transcoding import transcode

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

JPEG = "1.2.840.10008.1.2.4."
TOOLS = {
    **dict.fromkeys(UNCOMPRESSED, "dcmconv"),
    **dict.fromkeys((f"{JPEG}50", f"{JPEG}51", f"{JPEG}57", f"{JPEG}70"), "dcmdjpeg"),
    **dict.fromkeys((f"{JPEG}80", f"{JPEG}81"), "dcmdjpls"),
    "1.2.840.10008.1.2.5": "dcmdrle",
}
WIDE_BIG_ENDIAN = ("rtdose_expb.dcm", "rtdose_expb_1frame.dcm")
"""32-bit pixels in OW, of which DCMTK swaps the halves, and pydicom not."""
NOT_FOR_DCMTK = ("SC_rgb_jpeg.dcm",)
"""In Implicit VR, though JPEG Baseline calls for Explicit VR."""
TO_CONVERT = [
    instance
    for instance in bundled_instances() + constructed_instances()
    if instance.transfer_syntax_uid in TOOLS and instance.name not in (*WIDE_BIG_ENDIAN, *NOT_FOR_DCMTK)
]
TARGETS = {EXPLICIT_LITTLE_ENDIAN: "+te", IMPLICIT_LITTLE_ENDIAN: "+ti"}
BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMAGE = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def ours(file: Path, target: str) -> Dataset:
    uid, data = transcode(file, [target])
    assert uid == target
    return read_dataset(bytes(data), target)


def by_dcmtk(instance: Instance, file: Path, folder: Path) -> Dataset:
    converted = folder / "converted.dcm"
    tool = dcmtk_tool(TOOLS[instance.transfer_syntax_uid])
    subprocess.run([tool, "+te", str(file), str(converted)], check=True, capture_output=True)
    return dcmread(converted)


@pytest.mark.parametrize("instance", TO_CONVERT, ids=[instance.name for instance in TO_CONVERT])
def test_files_are_converted_as_dcmtk_does(instance: Instance, tmp_path: Path) -> None:
    file = instance.write_file(tmp_path / "stored.dcm")
    expected = by_dcmtk(instance, file, tmp_path)
    for target in TARGETS:
        dataset = ours(file, target)
        assert dataset.get("PixelData") == expected.get("PixelData")
        for keyword in IMAGE:
            assert dataset.get(keyword) == expected.get(keyword), keyword


def test_binary_values_of_every_vr_in_big_endian(tmp_path: Path) -> None:
    """PS3.5 §7.3: in words of 2, 4 and 8 bytes, and those of tags in two."""
    dataset = simple_dataset(899)
    dataset.FrameIncrementPointer = [0x00181063, 0x00181065]
    dataset.ExtendedOffsetTable = np.arange(3, dtype="<u8").tobytes()
    dataset.RedPaletteColorLookupTableData = np.arange(16, dtype="<u2").tobytes()
    dataset.TrackPointIndexList = np.arange(9, dtype="<u4").tobytes()
    dataset.PointCoordinatesData = np.linspace(-1, 1, 9, dtype="<f4").tobytes()
    dataset.DoublePointCoordinatesData = np.linspace(-1, 1, 9, dtype="<f8").tobytes()
    dataset.TableOfXBreakPoints = [1, 70_000]
    dataset.ReferencePixelX0 = -70_000
    dataset.TagAngleSecondAxis = -2
    dataset.RecommendedDisplayFrameRateInFloat = 12.5
    dataset.TableTopPitchAngle = 0.1
    dataset.SelectorSVValue, dataset.SelectorUVValue = [-5, 6], [5, 1 << 60]
    block = dataset.private_block(0x0029, "ACME", create=True)
    block.add_new(1, "US", [1, 2])
    block.add_new(2, "UN", b"\1\2\3\4")
    dataset.ReferencedImageSequence = [simple_dataset(898)]
    little = encode(dataset, "binary").write_file(tmp_path / "little.dcm")
    big = tmp_path / "big.dcm"
    subprocess.run([dcmtk_tool("dcmconv"), "+tb", str(little), str(big)], check=True)
    explicit, implicit, back = (
        ours(big, EXPLICIT_LITTLE_ENDIAN),
        ours(big, IMPLICIT_LITTLE_ENDIAN),
        dcmread(big),
    )
    assert explicit == dcmread(little)
    assert [str(each) for each in implicit if not each.tag.is_private] == [
        str(each) for each in explicit if not each.tag.is_private
    ]
    assert ours(little, BIG_ENDIAN) == back


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_1frame.dcm"])
@pytest.mark.parametrize("writer", ["DCMTK", "whoever wrote pydicom's"])
def test_doses_in_big_endian_are_the_same_doses(name: str, writer: str, tmp_path: Path) -> None:
    """The same pixels in little endian are there to compare with."""
    instances = {each.name: each for each in bundled_instances()}
    original = instances[name].write_file(tmp_path / "little.dcm")
    if writer == "DCMTK":
        big = tmp_path / "big.dcm"
        subprocess.run([dcmtk_tool("dcmconv"), "+tb", str(original), str(big)], check=True)
    else:
        big = instances[name.replace("rtdose", "rtdose_expb")].write_file(tmp_path / "big.dcm")
    for target in TARGETS:
        assert ours(big, target).PixelData == dcmread(original).PixelData
    if writer == "DCMTK":
        assert ours(original, BIG_ENDIAN).PixelData == dcmread(big).PixelData


def test_what_dcmtk_cannot_read_is_converted_all_the_same(tmp_path: Path) -> None:
    (instance,) = (each for each in bundled_instances() if each.name in NOT_FOR_DCMTK)
    dataset = ours(instance.write_file(tmp_path / "stored.dcm"), EXPLICIT_LITTLE_ENDIAN)
    stream = instance.dataset[instance.dataset.index(b"\xff\xd8\xff") :]
    expected = imagecodecs.jpeg8_decode(stream, colorspace="RGB", outcolorspace="RGB")
    assert dataset.PhotometricInterpretation == "RGB"
    assert np.abs(samples(dataset).astype(int) - expected.astype(int)).max() <= 2


ENCODERS = {
    "RLE": ("dcmcrle",),
    "JPEG-LS": ("dcmcjpls",),
    "JPEG-LS, near-lossless": ("dcmcjpls", "+en"),
    "JPEG-LS by line": ("dcmcjpls", "+il"),
    "JPEG baseline": ("dcmcjpeg", "+eb"),
    "JPEG extended": ("dcmcjpeg", "+ee"),
    "JPEG progressive": ("dcmcjpeg", "+ep"),
    "JPEG lossless, SV1": ("dcmcjpeg", "+e1"),
    **{
        f"JPEG lossless, predictor {number}": ("dcmcjpeg", "+el", "+sv", str(number))
        for number in (2, 4, 6, 7)
    },
}
LOSSY = frozenset({"JPEG baseline", "JPEG extended", "JPEG progressive", "JPEG-LS, near-lossless"})
SIZE = 24
PICTURES = {
    "8 bits": {"bits": (8, 8)},
    "8 bits, signed": {"bits": (8, 8), "signed": 1},
    "10 of 16 bits": {"bits": (16, 10)},
    "12 of 16 bits": {"bits": (16, 12)},
    "12 of 16 bits, signed": {"bits": (16, 12), "signed": 1},
    "16 bits": {"bits": (16, 16)},
    "16 bits, signed": {"bits": (16, 16), "signed": 1},
    "four frames of odd length": {"bits": (8, 8), "frames": 4, "columns": 23, "rows": 23},
    "RGB": {"bits": (8, 8), "samples": 3},
    "RGB by plane": {"bits": (8, 8), "samples": 3, "planar": 1},
}


def picture(name: str) -> Instance:
    """A gradient with noise, so that every predictor and both kinds of runs have something to do."""
    wanted = {"signed": 0, "frames": 1, "samples": 1, "planar": 0, "rows": SIZE, "columns": SIZE} | PICTURES[
        name
    ]
    allocated, stored = wanted["bits"]
    dataset = simple_dataset(900 + list(PICTURES).index(name))
    dataset.Rows, dataset.Columns = wanted["rows"], wanted["columns"]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation, dataset.SamplesPerPixel = wanted["signed"], wanted["samples"]
    if wanted["frames"] > 1:
        dataset.NumberOfFrames = wanted["frames"]
    if wanted["samples"] == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", wanted["planar"]
    count = dataset.Rows * dataset.Columns * wanted["samples"] * wanted["frames"]
    noise = np.random.default_rng(7).integers(0, 1 << stored - 3, count)
    values = (np.arange(count) * 3 + noise) % (1 << stored)
    if wanted["signed"]:
        values -= 1 << stored - 1
    kind = "i" if wanted["signed"] else "u"
    pixels = values.astype(f"<{kind}{allocated // 8}").tobytes()
    dataset.add_new("PixelData", "OB" if allocated == 8 else "OW", pixels + bytes(len(pixels) % 2))
    return encode(dataset, name)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_dcmtk_has_compressed(name: str, encoder: str, tmp_path: Path) -> None:
    original = picture(name)
    plain, compressed = original.write_file(tmp_path / "plain.dcm"), tmp_path / "compressed.dcm"
    command, *options = ENCODERS[encoder]
    made = subprocess.run(
        [dcmtk_tool(command), *options, str(plain), str(compressed)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("DCMTK does not compress it so")
    content = compressed.read_bytes()
    stored = replace(
        original,
        transfer_syntax_uid=str(dcmread(compressed).file_meta.TransferSyntaxUID),
        dataset=content[dataset_offset(content) :],
    )
    tool = TOOLS.get(stored.transfer_syntax_uid, "dcmdjpeg")
    decompressed = tmp_path / "decompressed.dcm"
    subprocess.run([dcmtk_tool(tool), str(compressed), str(decompressed)], check=True, capture_output=True)
    expected = dcmread(decompressed)
    for target in TARGETS:
        dataset = ours(compressed, target)
        for keyword in IMAGE:
            assert dataset.get(keyword) == expected.get(keyword), keyword
        found, wanted = samples(dataset), samples(expected)
        off = np.abs(found.astype(int) - wanted.astype(int))
        if encoder not in LOSSY:
            assert off.max() == 0
            assert np.array_equal(found, samples(original.read()))
        else:
            assert off.max() <= (2 if dataset.SamplesPerPixel == 1 else 4)


def samples(dataset: Dataset) -> np.ndarray:
    return np.asarray(pixel_array(dataset))


@pytest.mark.parametrize("length", [0.99, 0.5])
@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "JPEG extended"])
def test_what_was_cut_off_is_not_made_up(encoder: str, length: float, tmp_path: Path) -> None:
    plain, compressed = picture("8 bits").write_file(tmp_path / "plain.dcm"), tmp_path / "compressed.dcm"
    command, *options = ENCODERS[encoder]
    subprocess.run(
        [dcmtk_tool(command), *options, str(plain), str(compressed)], check=True, capture_output=True
    )
    content = compressed.read_bytes()
    start = content.rindex(struct.pack("<HHH", 0xFFFE, 0xE000, 0)[:4], 0, len(content) - 8)
    (whole,) = struct.unpack_from("<I", content, start + 4)
    kept = int(whole * length) & ~1
    cut = (
        content[: start + 4] + struct.pack("<I", kept) + content[start + 8 : start + 8 + kept] + content[-8:]
    )
    compressed.write_bytes(cut)
    with pytest.raises(TranscodingFailed):
        ours(compressed, EXPLICIT_LITTLE_ENDIAN)
