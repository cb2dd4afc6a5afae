"""What is acknowledged can be delivered: whatever the header scan takes is converted, however odd it is."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from dataset_bytes import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, WRITERS, Writer, deflate
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_header import ct, examined
from test_transcode import part10

from pacsd.dataset.encodings import EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from pacsd.dataset.header import verify_complete
from pacsd.dataset.reencode import reencode
from pacsd.errors import DatasetInvalid
from support.instance import read_dataset
from support.transcoding import transcode

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from pacsd.dataset.decompression import NativePixels

ENCODINGS = {
    IMPLICIT: IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT: EXPLICIT_LITTLE_ENDIAN,
    BIG_ENDIAN: EXPLICIT_BIG_ENDIAN,
}
LITTLE_ENDIAN = (IMPLICIT, EXPLICIT)
UNDEFINED = 0xFFFFFFFF
CODE = 0x00081032  # Procedure Code Sequence
PRIVATE = 0x00091032
writers = st.sampled_from(list(WRITERS.items()))


def delimited(writer: Writer, element: int, length: int = 0) -> bytes:
    return struct.pack(f"{writer.order}HHI", 0xFFFE, element, length)


def codes(writer: Writer) -> bytes:
    return writer.element(0x00080100, "SH", b"T-1 ") + writer.element(0x00080104, "LO", b"Thing ")


def odd_data_sets(writer: Writer) -> dict[str, bytes]:
    """What field reports tell of, by what is odd in it (PS3.5 §7.5 says how it ought to be)."""
    item, code = writer.item, codes(writer)
    item_end, sequence_end = delimited(writer, 0xE00D), delimited(writer, 0xE0DD)
    private = writer.element(0x00090010, "LO", b"ACME")
    in_item = {
        "a sequence of defined length with its delimiter inside": (CODE, item(code) + sequence_end),
        "an item of defined length with its delimiter inside": (CODE, item(code + item_end)),
        "an item of defined length with its delimiter behind it": (CODE, item(code) + item_end),
        "no items in a sequence": (CODE, code),
        "four bytes in a sequence": (CODE, b"abcd"),
        "an item that is said to be longer than its sequence": (
            CODE,
            delimited(writer, 0xE000, len(code) + 2) + code,
        ),
        "an item that is said to be shorter than its elements": (
            CODE,
            delimited(writer, 0xE000, len(code) - 2) + code,
        ),
        "an item without end in a sequence of defined length": (
            CODE,
            delimited(writer, 0xE000, UNDEFINED) + code,
        ),
        "a private item that is too long": (PRIVATE, delimited(writer, 0xE000, len(code) + 2) + code),
        "a private item that is too short": (PRIVATE, delimited(writer, 0xE000, len(code) - 2) + code),
        "no items in a private sequence": (PRIVATE, code),
    }
    behind = {
        "an item delimiter at the end": item_end,
        "a sequence delimiter at the end": sequence_end,
        "both delimiters at the end": item_end + sequence_end,
        "a zero at the end": b"\0",
        "zeros at the end": bytes(3000),
    }
    header = writer.element(0x00080016, "UI", b"1.2\0") + writer.element(0x00080018, "UI", b"1.2.3\0")
    rest = writer.element(0x00100010, "PN", b"A^B ") + writer.element(0x00100020, "LO", b"ID")
    sets = {
        name: header + (private if tag == PRIVATE else b"") + writer.element(tag, "SQ", content) + rest
        for name, (tag, content) in in_item.items()
    }
    sets |= {name: header + rest + tail for name, tail in behind.items()}
    sets["a sequence delimiter behind a sequence of defined length"] = (
        header + writer.element(CODE, "SQ", item(code)) + sequence_end + rest
    )
    within = writer.element(CODE, "SQ", code)
    sets["no items in a sequence within an item"] = (
        header + writer.sequence(0x00081140, [item(within, undefined=True)], undefined=True) + rest
    )
    return sets


EXPECTED = {"SOPClassUID": b"1.2\0", "SOPInstanceUID": b"1.2.3\0", "PatientName": b"A^B ", "PatientID": b"ID"}


@pytest.mark.parametrize("name", odd_data_sets(Writer()))
@pytest.mark.parametrize("source", WRITERS)
def test_odd_data_sets_are_stored_and_converted(source: str, name: str) -> None:
    data = odd_data_sets(WRITERS[source])[name]
    assert examined(data, source) == EXPECTED
    for target in LITTLE_ENDIAN:
        converted = bytes(reencode(data, ENCODINGS[source], ENCODINGS[target]))
        assert examined(converted, target) == EXPECTED
        dataset = read_dataset(converted, target)
        assert dataset.PatientID == "ID"
        assert_readable(dataset)
        if "sequence" in name and not any(each in name for each in ("no items", "four", "at the end")):
            assert dataset.ProcedureCodeSequence[0].CodeValue == "T-1"


def assert_readable(dataset: Dataset) -> None:
    for element in dataset.iterall():
        assert element.VR


@pytest.mark.parametrize("name", [name for name in odd_data_sets(Writer()) if "private" in name])
def test_a_malformed_private_sequence_keeps_its_bytes(name: str) -> None:
    data = odd_data_sets(Writer())[name]
    value = data[data.index(b"SQ") + 8 : data.index(b"\x10\0\x10\0PN")]
    converted = reencode(data, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
    dataset = read_dataset(bytes(converted), IMPLICIT)
    if "too long" in name:  # its end is its sequence's: nothing is lost
        assert dataset[PRIVATE].VR in ("SQ", "UN")
    else:
        assert dataset[PRIVATE].value == value


def test_what_precedes_the_fault_of_a_public_sequence_is_kept() -> None:
    writer = Writer()
    content = writer.item(codes(writer)) + b"abcdefgh" + writer.item(codes(writer))
    data = writer.element(CODE, "SQ", content) + writer.element(0x00100020, "LO", b"ID")
    dataset = read_dataset(bytes(reencode(data, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)), IMPLICIT)
    assert [item.CodeMeaning for item in dataset.ProcedureCodeSequence] == ["Thing"]
    assert dataset.PatientID == "ID"


@pytest.mark.parametrize("code", [b"??", b"  ", b"\0\0", b"--", b"lo", b"Lo"])
@pytest.mark.parametrize("source", [EXPLICIT, BIG_ENDIAN])
def test_what_is_no_vr_has_a_length_of_16_bits(source: str, code: bytes) -> None:
    """As DCMTK reads it; PS3.5 §7.1.2 gives 32 bits to VRs to come, which are upper case letters."""
    writer = WRITERS[source]
    header = struct.pack(f"{writer.order}HH2sH", 0x0008, 0x103E, code, 4)
    empty = struct.pack(f"{writer.order}HH2sH", 0x0008, 0x1080, b"??", 0)
    data = header + b"desc" + empty + writer.element(0x00100020, "LO", b"ID")
    assert examined(data, source)["PatientID"] == b"ID"
    for target in LITTLE_ENDIAN:
        dataset = read_dataset(bytes(reencode(data, ENCODINGS[source], ENCODINGS[target])), target)
        assert (dataset.SeriesDescription, dataset.PatientID) == ("desc", "ID")
        assert not dataset.AdmittingDiagnosesDescription


def test_an_implicit_length_is_no_wrong_vr() -> None:
    """Single elements in implicit VR occur, too, and so do pixels of which the length looks like letters."""
    implicit = WRITERS[IMPLICIT]
    data = implicit.element(0x0008103E, "LO", b"d" * 0x2020) + implicit.element(0x00100020, "LO", b"ID")
    data += implicit.element(0x7FE00010, "OW", bytes(0x0001_2020))
    assert examined(data, EXPLICIT)["PatientID"] == b"ID"


TAGS = (
    CODE,
    PRIVATE,
    0x00100010,
    0x00280103,
    0x00189219,
    0x00091001,
    0x00020010,
    0xFFFEE0DD,
    0x00880200,
    0x7FE00010,
    0x00280100,
    0x00091000,
    0xFFFCFFFC,
)
VRS = ("SQ", "UN", "LO", "OB", "US", "  ", "OW", "UT", "??", "FD", "SQ")


def token(writer: Writer, kind: int, number: int, value: bytes) -> bytes:
    """A piece of a data set; any sequence of them is one, or nearly."""
    tag = TAGS[number % len(TAGS)]
    length = UNDEFINED if number & 8 else max(0, len(value) + (number >> 4) % 5 - 2)
    vr = VRS[number % len(VRS)]
    if kind < 4:
        return delimited(writer, (0xE000, 0xE00D, 0xE0DD, 0xE000)[kind], length if kind == 3 else 0) + (
            value if kind == 3 else b""
        )
    if kind == 4:
        return bytes(number)
    if writer.explicit and vr not in ("SQ", "UN", "OB"):
        length = min(length, 0xFFFF)
    return writer.element(tag, vr, value, length)


contents = st.recursive(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 159), st.binary(max_size=5)), max_size=5),
    lambda inner: st.lists(st.tuples(st.integers(0, 9), st.integers(0, 159), inner), max_size=4),
    max_leaves=8,
)


def assembled(writer: Writer, content: object) -> bytes:
    if isinstance(content, bytes):
        return content
    pieces = []
    for kind, number, inner in content:
        # In UN, and where a writer forgets what it does, items are in implicit VR (PS3.5 §6.2.2).
        within = WRITERS[IMPLICIT] if kind > 7 else writer
        pieces.append(token(writer, kind, number, assembled(within, inner)))
    return b"".join(pieces)


def not_to_be_decompressed(*_: object) -> NativePixels:
    raise DatasetInvalid("the pixel data are not for conversion")


def assert_converts(data: bytes, source: str) -> None:
    """The property that ties `dataset.header` to `dataset.reencode`."""
    try:
        values = examined(data, source)
    except DatasetInvalid:
        return
    for target in LITTLE_ENDIAN:
        try:
            converted = bytes(reencode(data, ENCODINGS[source], ENCODINGS[target], not_to_be_decompressed))
        except DatasetInvalid as error:
            # Of the data set's own pixels, which is for the sub-operation to say.
            if not str(error).startswith("the pixel data are "):
                raise
            continue
        assert len(converted) % 2 == 0
        verify_complete(converted, target)
        if source != BIG_ENDIAN:
            kept = {keyword: value + b"\0" * (len(value) % 2) for keyword, value in values.items()}
            again = examined(converted, target)
            assert {keyword: value.rstrip(b" \0") for keyword, value in again.items()} == {
                keyword: value.rstrip(b" \0") for keyword, value in kept.items()
            }


@settings(max_examples=300, deadline=None)
@given(writers, contents)
def test_whatever_is_stored_converts(writer: tuple[str, Writer], content: object) -> None:
    assert_converts(assembled(writer[1], content), writer[0])


@settings(max_examples=200, deadline=None)
@given(writers, st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3))
@example((EXPLICIT, Writer()), [(40, 0)])
def test_whatever_is_stored_of_damaged_data_sets_converts(
    writer: tuple[str, Writer], damages: list[tuple[int, int]]
) -> None:
    data = bytearray(ct(writer[1]))
    for position, value in damages:
        data[position % len(data)] = value
    assert_converts(bytes(data), writer[0])


def test_values_of_odd_length_are_padded() -> None:
    """PS3.5 §6.2: text by a space, all others by NUL."""
    writer = Writer()
    data = b"".join(
        (
            writer.element(0x00080018, "UI", b"1.2.3"),
            writer.element(0x00100020, "LO", b"ODD"),
            writer.element(0x00420011, "OB", b"pdf"),
        )
    )
    converted = bytes(reencode(data, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN))
    assert converted == b"".join(
        (
            writer.element(0x00080018, "UI", b"1.2.3\0"),
            writer.element(0x00100020, "LO", b"ODD "),
            writer.element(0x00420011, "OB", b"pdf\0"),
        )
    )


def test_offset_tables_follow_fragments_that_are_padded() -> None:
    """PS3.3 §C.7.6.3.1.8: the Extended Offset Table says where the items of frames begin, too."""
    writer = Writer()

    def image(first: bytes, second: int) -> bytes:
        table = writer.element(0x7FE00001, "OV", struct.pack("<2Q", 0, second))
        lengths = writer.element(0x7FE00002, "OV", struct.pack("<2Q", 3, 2))
        fragments = [writer.item(each) for each in (struct.pack("<2I", 0, second), first, b"ab")]
        return table + lengths + writer.sequence(0x7FE00010, fragments, undefined=True, vr="OB")

    data = image(b"odd", 11)
    assert bytes(reencode(data, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)) == image(b"odd\0", 12)


@pytest.mark.parametrize("vr", ["UN", "OB", "OW"])
@pytest.mark.parametrize("inner", [EXPLICIT, IMPLICIT])
def test_a_sequence_in_another_vr_is_one_in_implicit_vr(vr: str, inner: str) -> None:
    """Nobody is told there in which VR it came, nor that its items are in explicit VR."""
    content = WRITERS[inner].item(codes(WRITERS[inner]))
    data = Writer().element(CODE, vr, content)
    (item,) = read_dataset(
        bytes(reencode(data, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)), IMPLICIT
    ).ProcedureCodeSequence
    assert (item.CodeValue, item.CodeMeaning) == ("T-1", "Thing")


def test_file_meta_information_that_was_sent_along_is_no_part_of_the_data_set() -> None:
    data = ct(WRITERS[IMPLICIT])
    meta = part10(b"", IMPLICIT)
    expected = reencode(data, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)
    for sent in (meta + data, meta[132:] + data):
        assert reencode(sent, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN) == expected


def test_pixel_representation_holds_for_its_own_item() -> None:
    """ "US or SS" of the image does not follow its icon (PS3.5 §A.1)."""
    writer = WRITERS[IMPLICIT]
    icon = writer.element(0x00280103, "", b"\0\0")
    data = writer.element(0x00280103, "", b"\1\0")
    data += writer.sequence(0x00880200, [writer.item(icon + writer.element(0x00280106, "", b"\xff\xff"))])
    data += writer.element(0x60001302, "", b"") + writer.element(0x00409211, "", b"\xff\xff")
    explicit = bytes(reencode(data, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN))
    assert explicit.count(b"\x28\0\x06\x01US") == 1
    assert explicit.count(b"\x40\0\x11\x92SS") == 1


@pytest.mark.parametrize("source", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_large_value_is_not_copied_on_its_way(source: str) -> None:
    """Beside what is stored only the result is in memory, and of what changes its byte order a copy."""
    length = 32_000_000
    writer = WRITERS[source]
    data = writer.element(0x00280100, "US", b"\x10\0"[:: -1 if source == BIG_ENDIAN else 1])
    data += writer.element(0x7FE00010, "OW", bytes(length))
    tracemalloc.start()
    converted = reencode(data, ENCODINGS[source], ENCODINGS[IMPLICIT])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(converted) == len(WRITERS[IMPLICIT].element(0x00280100, "US", b"ab")) + 8 + length
    assert peak < (2.3 if source == BIG_ENDIAN else 1.3) * length


def test_large_fragments_are_not_copied_on_their_way() -> None:
    """Where one of them is odd, the others are written as they are."""
    length = 32_000_000
    writer = Writer()
    fragments = [writer.item(each) for each in (b"", b"odd", bytes(length))]
    data = writer.sequence(0x7FE00010, fragments, undefined=True, vr="OB")
    tracemalloc.start()
    converted = reencode(data, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(converted) == len(data) + 1
    assert peak < 1.3 * length


def test_nested_encapsulated_values_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image is written once more when it is known; were that so at every depth, 40 would take for ever."""
    writer = Writer()
    pixels = writer.sequence(
        0x7FE00010, [writer.item(b""), writer.item(b"\xff\xd8")], undefined=True, vr="OB"
    )
    data = b""
    for _ in range(40):
        data = writer.sequence(0x00081140, [writer.item(data + pixels)], undefined=True)
    calls = []

    def decompress(*arguments: object) -> NativePixels:
        calls.append(arguments)
        raise DatasetInvalid("not for conversion")

    converted = reencode(data, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, decompress)
    verify_complete(bytes(converted), IMPLICIT)
    assert len(calls) == 1
    assert b"\xe0\x7f\x10\x00" not in converted


def test_deflated_with_a_zlib_header_is_stored_and_converted() -> None:
    """PS3.5 §A.5 wants raw deflate; some writers put RFC 1950 around it."""
    data = ct(Writer(), bytes(9000))
    for level in range(10):
        wrapped = zlib.compress(data, level)
        assert examined(wrapped, DEFLATED, 100)["PatientID"] == b""
        converted = transcode_bytes(wrapped, DEFLATED)
        assert converted == reencode(data, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)
        with pytest.raises(DatasetInvalid):
            examined(wrapped[:-5], DEFLATED)


def test_a_stored_block_that_looks_like_a_zlib_header_is_raw_deflate() -> None:
    """RFC 1951 §3.2.4: the lowest bits say how the block is coded, and the length follows twice."""
    data = Writer().element(0x00100020, "LO", b"ID") + Writer().element(0x7FE00010, "OB", bytes(0xDA01 - 22))
    assert len(data) == 0xDA01
    block = b"\x78" + struct.pack("<HH", 0xDA01, 0xDA01 ^ 0xFFFF) + data + deflate(b"")
    assert int.from_bytes(block[:2], "big") % 31 in range(31)
    assert examined(block, DEFLATED)["PatientID"] == b"ID"


def transcode_bytes(data: bytes, transfer_syntax_uid: str, target: str = EXPLICIT) -> bytes:
    import io

    return bytes(transcode(io.BytesIO(part10(data, transfer_syntax_uid)), [target])[1])
