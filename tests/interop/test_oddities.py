"""A table of oddities that devices send, and what a peer gets that takes other transfer syntaxes than the stored one.

Each has the clause of the Standard that says what is right. What cannot be right is a failed sub-operation, and never
costs another instance.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread

from interop.conftest import serving_with
from support import scp, scu
from support.constructed import encode, simple_dataset
from support.instance import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Instance
from support.server import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from interop.conftest import Archive
    from support.server import PacsdServer

FIRST_NUMBER = 7000
"""Of the data sets here, so that their UIDs meet no others."""
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
RLE = "1.2.840.10008.1.2.5"
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
NUMBERS = np.arange(16, dtype=np.uint16).reshape(4, 4)
"""The pixels of `simple_dataset`."""
BYTES = NUMBERS.astype(np.uint8)
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


def encapsulated(*fragments: bytes) -> bytes:
    items = b"".join(marker(ITEM, len(each)) + each for each in (b"", *fragments))
    return long_element(0x7FE00010, b"OB", items + marker(SEQUENCE_END), 0xFFFFFFFF)


def even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def rle(samples: np.ndarray) -> bytes:
    """PS3.5 §G.3: one literal run for each byte of a sample, the most significant first."""
    columns = np.ascontiguousarray(samples).view(np.uint8).reshape(-1, samples.dtype.itemsize)
    segments = [even(b"\x0f" + columns[:, byte].tobytes()) for byte in reversed(range(columns.shape[1]))]
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def with_pixels(dataset: Dataset, element: bytes, transfer_syntax_uid: str, before: bytes = b"") -> Instance:
    """The data set with another Pixel Data element, `before` in front of it."""
    del dataset.PixelData
    plain = encode(dataset, "oddity")
    return replace(plain, transfer_syntax_uid=transfer_syntax_uid, dataset=plain.dataset + before + element)


def compressed(
    fragments: list[bytes], uid: str, *, before: bytes = b"", frames: str | None = None, **bits: int
) -> Instance:
    dataset = numbered()
    dataset.BitsAllocated, dataset.BitsStored = bits.get("allocated", 16), bits.get("stored", 12)
    dataset.HighBit = bits.get("high", dataset.BitsStored - 1)
    if frames is not None:
        dataset.NumberOfFrames = frames
    return with_pixels(dataset, encapsulated(*fragments), uid, before)


_numbers = iter(range(FIRST_NUMBER, FIRST_NUMBER + 1000))


def numbered() -> Dataset:
    return simple_dataset(next(_numbers))


def with_sequence(content: bytes, tail: bytes = b"") -> Instance:
    """A Procedure Code Sequence of defined length with this content, `tail` behind it."""
    instance = encode(numbered(), "oddity")
    place = instance.dataset.index(struct.pack("<HH", 0x0010, 0x0010))
    sequence = long_element(PROCEDURE_CODE_SEQUENCE, b"SQ", content) + tail
    return replace(instance, dataset=instance.dataset[:place] + sequence + instance.dataset[place:])


def behind(tail: bytes) -> Instance:
    instance = encode(numbered(), "oddity")
    return replace(instance, dataset=instance.dataset + tail)


def odd_length() -> Instance:
    dataset = numbered()
    dataset.Rows = dataset.Columns = 3
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    return with_pixels(dataset, long_element(0x7FE00010, b"OB", bytes(range(9))), EXPLICIT_LITTLE_ENDIAN)


CODE = struct.pack("<HH2sH", 0x0008, 0x0100, b"SH", 4) + b"T-1 "
LOSSLESS = bytes(imagecodecs.ljpeg_encode(NUMBERS, bitspersample=12))
LOSSLESS_8 = bytes(imagecodecs.ljpeg_encode(BYTES))
OVERLAY = (NUMBERS + (NUMBERS % 2 << 12)).astype(np.uint16)
SHIFTED = (NUMBERS << 4).astype(np.uint16)
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
    index_settings: dict[str, Any], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PacsdServer]:
    """A server with all oddities, its index in either kind of database."""
    if not index_settings:
        yield request.getfixturevalue("odd")
        return
    peers = [Peer(ae_title=scu.CALLING_AE_TITLE, port=104)]
    folder = tmp_path_factory.mktemp("oddities")
    with serving_with(index_settings, folder, peers) as running:
        statuses = scu.send_all(running, [replace(each.instance, name=each.name) for each in TABLE], folder)
        assert statuses == dict.fromkeys(statuses, 0x0000)
        yield running


every_oddity = pytest.mark.parametrize(
    "oddity", TABLE, ids=[f"{each.name} ({each.clause})" for each in TABLE]
)


def assert_right(oddity: Oddity, dataset: Dataset) -> None:
    assert dataset.PatientID == oddity.instance.read().PatientID
    assert (dataset.PixelData if "PixelData" in dataset else b"") == oddity.pixels
    for keyword, value in oddity.attributes:
        assert dataset.get(keyword) == value, keyword
    for element in dataset.iterall():
        assert element.VR


def test_each_is_found_and_given_back_as_it_came(on_either: PacsdServer) -> None:
    """PS3.4 C.4.1.2: by its unique keys, with the attributes of its header."""
    for oddity in TABLE:
        instance, header = oddity.instance, oddity.instance.read()
        asked = scu.image_keys(instance)
        asked.PatientID = asked.PatientName = ""
        (match,) = scu.find(on_either, asked).matches
        assert (match.PatientID, match.PatientName) == (header.PatientID, header.PatientName), oddity.name
        outcome, inbox = scu.get(on_either, scu.image_keys(instance), scu.own_contexts([instance]))
        assert outcome.counts == (1, 0, 0), oddity.name
        # PS3.8 E.1 has no fragment of odd length.
        if len(instance.dataset) % 2 == 0:
            assert inbox.received[instance.sop_instance_uid].dataset == instance.dataset, oddity.name


@every_oddity
@pytest.mark.parametrize("accepted", [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])
def test_c_get(odd: PacsdServer, oddity: Oddity, accepted: str) -> None:
    instance = oddity.instance
    outcome, inbox = scu.get(odd, scu.image_keys(instance), [(instance.sop_class_uid, [accepted])])
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
    odd: PacsdServer, narrow: scp.Destination
) -> None:
    with scu.association(odd, [(scu.STUDY_ROOT["move"], scp.NARROW)]) as peer:
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
    received = {dcmread(path).SOPInstanceUID: path for path in storescp.iterdir()}
    assert dcmread(received[odd_one.instance.sop_instance_uid]).PixelData == odd_one.pixels
