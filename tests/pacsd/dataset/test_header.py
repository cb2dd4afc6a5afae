"""The header scan against pydicom, on its own test files and on constructed data sets."""

from __future__ import annotations

import io
import mmap
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from dataset_bytes import (
    BIG_ENDIAN,
    DATA,
    DEFLATED,
    EXPLICIT,
    FILES,
    IMPLICIT,
    NATIVE,
    UNDEFINED,
    WRITERS,
    Writer,
    deflate,
    pydicom_values,
    read,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.uid import UID

from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.header import (
    HeaderIncomplete,
    examine,
    least_inflated_length,
    scan,
    scan_long_values,
    scan_readable_part,
    verify_complete,
)
from pacsd.dataset.indexed_attributes import INDEXED_ATTRIBUTES, LAST_INDEXED_GROUP, SEQUENCE_KEYWORDS
from pacsd.dataset.part10 import read_part10
from pacsd.dataset.sequences import items_of
from pacsd.dataset.sources import DeflatedSource, StoredSource
from pacsd.errors import DatasetInvalid
from pacsd.model import LONGER_THAN_KEPT

TRUNCATED = ("MR_truncated.dcm", "rtplan_truncated.dcm")


def raw(values: dict[str, tuple[str, bytes]]) -> dict[str, bytes]:
    return {
        keyword: value
        for keyword, (vr, value) in values.items()
        if vr != "SQ" and keyword not in SEQUENCE_KEYWORDS
    }


def examined(data: bytes, transfer_syntax_uid: str, prefix_length: int = 65536) -> dict[str, bytes]:
    def read_at(position: int, length: int) -> bytes:
        return data[position : position + length]

    return raw(examine(data[:prefix_length], len(data), read_at, transfer_syntax_uid).values)


def test_the_bundled_files_are_there() -> None:
    assert len(FILES) > 90


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_scan_equals_pydicom_on_its_test_files(path: Path) -> None:
    data, transfer_syntax_uid = read(path)
    expected = pydicom_values(data, transfer_syntax_uid)
    assert examined(data, transfer_syntax_uid) == expected
    assert raw(scan(data, transfer_syntax_uid, complete=True).values) == expected
    verify_complete(data, transfer_syntax_uid)


@pytest.mark.parametrize("transfer_syntax_uid", NATIVE)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_scan_equals_pydicom_on_its_test_files_reencoded(path: Path, transfer_syntax_uid: str) -> None:
    dataset = dcmread(path, force=True)
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    for element in [element for element in dataset if element.tag in (0x7FE00010, 0x00041220)]:
        del dataset[element.tag]
    file = io.BytesIO()
    try:
        dcmwrite(file, dataset)
    except (AttributeError, KeyError, NotImplementedError, OverflowError, TypeError, ValueError) as error:
        pytest.skip(f"pydicom cannot write it: {error!r}")
    data = file.getvalue()[read_part10(file.getvalue()).dataset_offset :]
    expected = pydicom_values(data, transfer_syntax_uid)
    assert examined(data, transfer_syntax_uid) == expected
    assert raw(scan(data, transfer_syntax_uid, complete=True).values) == expected


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_test_files_are_refused(name: str) -> None:
    data, transfer_syntax_uid = read(DATA / "test_files" / name)
    with pytest.raises(DatasetInvalid, match="truncated"):
        examined(data, transfer_syntax_uid)
    with pytest.raises(DatasetInvalid, match="truncated"):
        verify_complete(data, transfer_syntax_uid)


def ct(writer: Writer, pixels: bytes = bytes(64)) -> bytes:
    """A small data set with most of what makes walking hard."""
    inner = writer.element(0x00080100, "SH", b"CODE") + writer.nested(0x0008114A, 3)
    sequences = [
        writer.sequence(
            0x00081140, [writer.item(inner), writer.item(inner, undefined=True)], undefined=undefined
        )
        for undefined in (False, True)
    ]
    return b"".join([
        writer.element(0x00080000, "UL", b"\x01\0\0\0"),
        writer.element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        writer.element(0x00080018, "UI", b"1.2.3\0"),
        writer.element(0x00080060, "CS", b"CT"),
        *sequences,
        writer.element(0x00090010, "LO", b"ACME"),
        writer.sequence(0x00091001, [writer.item(inner, undefined=True)], undefined=True),
        writer.element(0x00091002, "UN", b"\1\2\3"),
        writer.element(0x00100010, "PN", b"A^B "),
        writer.element(0x00100020, "LO", b""),
        writer.element(0x00200013, "IS", b"7 "),
        writer.element(0x00280010, "US", b"\x08\0"),
        writer.element(0x7FE00010, "OW", pixels),
    ])  # fmt: skip


CT_VALUES = {
    "SOPClassUID": b"1.2.840.10008.5.1.4.1.1.2\0",
    "SOPInstanceUID": b"1.2.3\0",
    "Modality": b"CT",
    "PatientName": b"A^B ",
    "PatientID": b"",
    "InstanceNumber": b"7 ",
    "Rows": b"\x08\0",
}


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_the_window_does_not_matter(transfer_syntax_uid: str) -> None:
    data = ct(WRITERS[transfer_syntax_uid], bytes(30000)) * 2
    for prefix_length in (*range(100), 4095, 4096, 4097, 16384, 20000, len(data) - 1, len(data)):
        assert examined(data, transfer_syntax_uid, prefix_length) == CT_VALUES
        assert (
            examined(deflate(data), DEFLATED, prefix_length)["PatientName"]
            if transfer_syntax_uid == EXPLICIT
            else True
        )


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_every_truncation_is_detected_or_at_an_element_boundary(transfer_syntax_uid: str) -> None:
    writer = WRITERS[transfer_syntax_uid]
    data = ct(writer)
    fragments = [writer.item(b""), writer.item(b"\xff\xd8\xff\xd9"), writer.item(b"\xff\xd8")]
    if writer.explicit:
        data += writer.sequence(0x7FE00010, fragments, undefined=True, vr="OB")
    boundaries = set()
    position = 0
    file = io.BytesIO(data)
    for element in pydicom.filereader.data_element_generator(file, not writer.explicit, writer.order == "<"):
        boundaries.add(position)
        position = file.tell()
        assert element.tag
    boundaries.add(position)
    assert position == len(data)
    # Fewer zeros than an element takes are padding; they are where big endian tags begin.
    padded = {end + zeros for end in boundaries for zeros in range(8) if not any(data[end : end + zeros])}
    for end in range(len(data)):
        if end in boundaries or end in padded:
            verify_complete(data[:end], transfer_syntax_uid)
        else:
            with pytest.raises(DatasetInvalid):
                verify_complete(data[:end], transfer_syntax_uid)
            with pytest.raises(DatasetInvalid):
                examined(data[:end], transfer_syntax_uid, 32)


def test_every_truncation_of_a_deflated_data_set_is_detected() -> None:
    data = deflate(ct(Writer())).removesuffix(b"\0")
    verify_complete(data, DEFLATED)
    for end in range(len(data)):
        with pytest.raises(DatasetInvalid):
            verify_complete(data[:end], DEFLATED)


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_a_prefix_gives_the_values_or_asks_for_more(transfer_syntax_uid: str) -> None:
    data = ct(WRITERS[transfer_syntax_uid])
    enough = 0
    for end in range(len(data)):
        try:
            assert raw(scan(data[:end], transfer_syntax_uid).values) == CT_VALUES
        except HeaderIncomplete:
            enough = end + 1
    assert len(data) - 64 - 12 <= enough <= len(data) - 64 + 4


def test_a_deflated_prefix_asks_for_more() -> None:
    data = deflate(b"".join(Writer().element(0x00100020, "LO", bytes([n])) for n in range(200)))
    with pytest.raises(HeaderIncomplete):
        scan(data[: len(data) // 2], DEFLATED)


def test_any_buffer_will_do(tmp_path: Path) -> None:
    data = ct(Writer(), bytes(100_000))
    path = tmp_path / "dataset"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for buffer in (data, bytearray(data), memoryview(data), mapped):
            assert raw(scan(buffer, EXPLICIT, complete=True).values) == CT_VALUES
            assert raw(scan(buffer, EXPLICIT).values) == CT_VALUES
            verify_complete(buffer, EXPLICIT)


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_nesting_of_any_depth_is_walked_without_recursion(transfer_syntax_uid: str, vr: str) -> None:
    writer = WRITERS[transfer_syntax_uid]
    data = writer.nested(0x00081140, 10_000, vr) + writer.element(0x00100020, "LO", b"ID")
    assert examined(data, transfer_syntax_uid) == {"PatientID": b"ID"}
    with pytest.raises(DatasetInvalid, match="truncated"):
        verify_complete(data[: len(data) // 2], transfer_syntax_uid)


@pytest.mark.parametrize("inner", [Writer(explicit=False), Writer(), Writer(order=">")])
def test_an_unknown_vr_of_undefined_length_is_walked_however_its_items_are_encoded(inner: Writer) -> None:
    """PS3.5 §6.2.2: implicit VR, whatever the rest is; some writers leave the encoding as it was."""
    content = inner.element(0x00100020, "LO", b"NOT THIS") + inner.nested(0x0008114A, 2)
    # A length whose bytes read like a VR must not mislead.
    content += inner.element(0x00091001, "LT", b"x" * 0x4F4C)
    items = inner.sequence(0x00091001, [inner.item(content, undefined=True)], undefined=True, vr="UN")
    for writer, transfer_syntax_uid in ((Writer(), EXPLICIT), (Writer(order=">"), BIG_ENDIAN)):
        value = items[12:] if inner.explicit else items[8:]
        data = writer.element(0x00091010, "UN", value, UNDEFINED) + writer.element(0x00100020, "LO", b"THIS")
        assert examined(data, transfer_syntax_uid) == {"PatientID": b"THIS"}


def test_file_meta_information_that_was_sent_along_is_passed_over() -> None:
    path = DATA / "test_files" / "CT_small.dcm"
    content = path.read_bytes()
    data, transfer_syntax_uid = read(path)
    expected = pydicom_values(data, transfer_syntax_uid)
    assert examined(content, EXPLICIT) == expected
    assert examined(content[132:], EXPLICIT) == expected
    implicit = Writer(explicit=False)
    assert examined(content[: -len(data)] + ct(implicit), IMPLICIT) == CT_VALUES
    assert examined(content[132 : -len(data)] + ct(implicit), IMPLICIT) == CT_VALUES
    assert examined(implicit.element(0x00020010, "UI", b"1.2\0") + ct(implicit), IMPLICIT) == CT_VALUES
    assert examined(content[: -len(data)], EXPLICIT) == {}


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
@pytest.mark.parametrize("length", [1, 7, 8, 12, 100, 70_000])
def test_trailing_zeros_are_padding(transfer_syntax_uid: str, length: int) -> None:
    data = ct(WRITERS[transfer_syntax_uid]) + bytes(length)
    assert examined(data, transfer_syntax_uid) == CT_VALUES
    if length >= 8:
        with pytest.raises(DatasetInvalid, match="behind zeros"):
            verify_complete(data + b"\1", transfer_syntax_uid)


def test_data_set_trailing_padding_is_an_element() -> None:
    data = ct(Writer()) + Writer().element(0xFFFCFFFC, "OB", bytes(3000))
    assert examined(data, EXPLICIT) == CT_VALUES


def test_longer_values_are_left_out_and_the_last_of_two_counts() -> None:
    writer = Writer()
    data = b"".join([
        writer.element(0x00100010, "PN", b"x" * 1024),
        writer.element(0x00100020, "LO", b"one"),
        writer.element(0x00100020, "LO", b"two"),
        writer.element(0x00104000, "LT", b"x" * 1025),
    ])  # fmt: skip
    assert examined(data, EXPLICIT) == {"PatientName": b"x" * 1024, "PatientID": b"two"}


def test_unknown_vrs() -> None:
    """Not in the standard's tables: 16-bit length if there is one, else 32 bits (PS3.5 §7.1.2); no VR: implicit."""
    tail = Writer().element(0x00100020, "LO", b"ID")
    long_form = b"\x10\0\x10\0" + b"ZZ" + b"\0\0" + b"\4\0\0\0" + b"A^B "
    short_form = b"\x10\0\x10\0" + b"ZZ" + b"\4\0" + b"A^B "
    implicit = b"\x10\0\x10\0" + b"\4\0\0\0" + b"A^B "
    for head in (long_form, short_form, implicit):
        found = examine(head + tail, len(head + tail), lambda *_: b"", EXPLICIT).values
        assert found == {"PatientName": ("PN", b"A^B "), "PatientID": ("LO", b"ID")}


def test_the_vr_is_the_elements_own_or_the_dictionarys() -> None:
    data = Writer().element(0x00100020, "SH", b"ID") + Writer().element(0x00280010, "UN", b"\1\0")
    assert scan(data, EXPLICIT, complete=True).values == {"PatientID": ("SH", b"ID"), "Rows": ("US", b"\1\0")}
    data = Writer(explicit=False).element(0x00100020, "", b"ID")
    assert scan(data, IMPLICIT, complete=True).values == {"PatientID": ("LO", b"ID")}


def test_an_empty_data_set_is_complete() -> None:
    for transfer_syntax_uid in WRITERS:
        assert examined(b"", transfer_syntax_uid) == {}
    assert examined(deflate(b""), DEFLATED) == {}


def test_a_deflate_bomb_takes_no_memory_and_is_bounded() -> None:
    size = 64 << 20
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    header = Writer().element(0x00100020, "LO", b"ID") + Writer().element(0x7FE00010, "OB", b"", size)
    bomb = compressor.compress(header) + b"".join(
        compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)
    )
    bomb += compressor.flush()
    tracemalloc.start()
    assert examined(bomb, DEFLATED) == {"PatientID": b"ID"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    source = DeflatedSource(StoredSource(bomb, len(bomb), lambda *_: b""), maximum=1 << 20)
    with pytest.raises(DatasetInvalid, match="grows beyond"):
        source.window(2 << 20)


def deflated_value(tag: int, megabytes: int, declared: int | None = None) -> bytes:
    """A patient, and then one value of zeros; `declared` is how many megabytes it is said to have."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    length = (megabytes if declared is None else declared) << 20
    header = Writer().element(0x00100020, "LO", b"ID") + Writer().element(tag, "OB", b"", length)
    parts = [compressor.compress(header), *(compressor.compress(bytes(1 << 20)) for _ in range(megabytes))]
    return b"".join((*parts, compressor.flush()))


@pytest.mark.parametrize("declared", [8, 3000], ids=["by what comes", "by what is said"])
def test_a_deflated_data_set_is_inflated_no_further_than_it_may(declared: int) -> None:
    data = deflated_value(0x7FE00010, 8, declared)
    found = examine(data, len(data), lambda *_: b"", DEFLATED, maximum_inflated=4 << 20)
    assert raw(found.values) == {"PatientID": b"ID"}
    assert not found.is_to_the_end
    before_pixels = deflated_value(0x00291010, 8, declared)
    with pytest.raises(DatasetInvalid, match="grows beyond 4194304 bytes"):
        examine(before_pixels, len(before_pixels), lambda *_: b"", DEFLATED, maximum_inflated=4 << 20)


def test_a_deflated_data_set_as_long_as_it_may_be_is_read_to_its_end() -> None:
    plain = Writer().element(0x00100020, "LO", b"ID") + Writer().element(0x7FE00010, "OB", bytes(100_000))
    data = deflate(plain)
    for maximum in (len(plain), len(plain) + 1):
        assert examine(data, len(data), lambda *_: b"", DEFLATED, maximum_inflated=maximum).is_to_the_end
    assert not examine(
        data, len(data), lambda *_: b"", DEFLATED, maximum_inflated=len(plain) - 1
    ).is_to_the_end


def test_the_first_megabyte_says_how_long_a_deflated_data_set_is_at_least() -> None:
    assert least_inflated_length(deflated_value(0x7FE00010, 2, 3000)) > 3000 << 20
    assert 1 << 20 < least_inflated_length(deflated_value(0x7FE00010, 2)) <= (2 << 20) + 100
    assert least_inflated_length(deflate(ct(Writer()))) == 0
    assert least_inflated_length(b"no deflate stream") == 0


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    data = ct(Writer(), bytes(100_000))
    with pytest.raises(DatasetInvalid, match="truncated"):
        examine(
            data[:200],
            len(data),
            lambda position, length: data[position : min(position + length, 300)],
            EXPLICIT,
        )


def test_messages_hold_nothing_of_the_data() -> None:
    data = Writer().element(0x00100010, "PN", b"Quuxwood^Jane", 2000)
    with pytest.raises(DatasetInvalid) as caught:
        verify_complete(data, EXPLICIT)
    assert "Quuxwood" not in str(caught.value)


transfer_syntaxes = st.sampled_from([*NATIVE, "1.2.840.10008.1.2.4.70"])
valid = st.sampled_from(
    [(ct(writer), uid) for uid, writer in WRITERS.items()] + [(deflate(ct(Writer())), DEFLATED)]
)


def walk_whatever(data: bytes, transfer_syntax_uid: str) -> None:
    for walk in (
        lambda: scan(data, transfer_syntax_uid),
        lambda: scan(data, transfer_syntax_uid, complete=True),
        lambda: verify_complete(data, transfer_syntax_uid),
    ):
        with suppress(DatasetInvalid, HeaderIncomplete):
            walk()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), transfer_syntaxes)
def test_garbage_ends_in_a_documented_error(data: bytes, transfer_syntax_uid: str) -> None:
    walk_whatever(data, transfer_syntax_uid)


@settings(max_examples=300, deadline=None)
@given(valid, st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4), st.booleans())
def test_damaged_data_sets_end_in_a_documented_error(
    dataset: tuple[bytes, str], damages: list[tuple[int, int]], deflated: bool
) -> None:
    data, transfer_syntax_uid = bytearray(dataset[0]), dataset[1]
    for position, value in damages:
        data[position % len(data)] = value
    walk_whatever(bytes(data), transfer_syntax_uid)
    if deflated:
        walk_whatever(deflate(bytes(data)), DEFLATED)


NOT_SEQUENCES = sorted(tag for tag, indexed in INDEXED_ATTRIBUTES.items() if indexed.vr != "SQ")
# pydicom, the judge, fails on a Specific Character Set that is none.
tags = st.one_of(st.sampled_from(NOT_SEQUENCES), st.integers(0x00080000, 0x7FE0FFFF)).filter(
    lambda tag: tag & 0xFFFEFFFF != 0x00080005 and (tag not in INDEXED_ATTRIBUTES or tag in NOT_SEQUENCES)
)
plain = st.tuples(tags, st.sampled_from(["LO", "PN", "US", "UI", "OB", "UN", "UT"]), st.binary(max_size=1100))
nested = st.tuples(
    tags.map(lambda tag: tag | 1 << 16), st.booleans(), st.lists(st.lists(plain, max_size=3), max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(WRITERS)), st.lists(st.one_of(plain, nested), max_size=12), st.integers(0, 5000)
)
def test_generated_data_sets_scan_as_they_were_written(
    transfer_syntax_uid: str, elements: list[tuple], prefix_length: int
) -> None:
    writer = WRITERS[transfer_syntax_uid]
    data = b""
    expected = {}
    for tag, kind, content in sorted(elements, key=lambda element: element[0]):
        if isinstance(kind, str):
            data += writer.element(tag, kind, content)
            if tag in INDEXED_ATTRIBUTES and len(content) <= 1024:
                expected[INDEXED_ATTRIBUTES[tag].keyword] = content
        else:
            items = [
                writer.item(b"".join(writer.element(*e) for e in item), undefined=kind) for item in content
            ]
            data += writer.sequence(tag, items, undefined=kind)
    assume(data[128:134] != b"DICM\x02\0")  # which would be a file's preamble
    assert examined(data, transfer_syntax_uid, prefix_length) == expected
    assert pydicom_values(data, transfer_syntax_uid) == expected
    assert raw(scan(data, transfer_syntax_uid, complete=True).values) == expected


@pytest.mark.parametrize("transfer_syntax_uid", NATIVE)
@pytest.mark.parametrize("prefix_length", [0, 1000, 65536, 1 << 22])
def test_long_values_are_collected_apart(transfer_syntax_uid: str, prefix_length: int) -> None:
    """Image Comments (LT) has up to 10240 characters, UT no limit (PS3.5 Table 6.2-1)."""
    writer = WRITERS.get(transfer_syntax_uid, Writer())
    values = {
        0x00100010: ("PN", b"A^B "),
        0x00104000: ("LT", b"c" * 40_000),
        0x00181000: ("LO", b"s" * 1026),
        0x00204000: ("LT", b"d" * 0xFFFE),
        0x0040A160: ("UT", b"t" * 1_000_000),
        0x0040A168: ("SQ", b""),
        0x00420012: ("UT", b"u" * ((1 << 20) + 2)),
        0x00440106: ("UT", b"v" * ((1 << 20) + 2)),
    }
    data = b"".join(writer.element(tag, vr, value) for tag, (vr, value) in values.items())
    if transfer_syntax_uid == DEFLATED:
        data = deflate(data)
    found = examine(
        data[:prefix_length], len(data), lambda at, length: data[at : at + length], transfer_syntax_uid
    )
    assert raw(found.values) == {"PatientName": b"A^B "}
    assert {keyword: len(value) for keyword, value in raw(found.long_values).items()} == {
        "PatientComments": 40_000,
        "DeviceSerialNumber": 1026,
        "ImageComments": 0xFFFE,
        "TextValue": 1_000_000,
    }
    # Not the name of a MIME type, of which a long one is nonsense.
    assert found.too_long == ["AssertionComments"]
    attributes = decode_attributes(found)
    assert attributes["PatientComments"] == "c" * 40_000
    assert attributes["PatientName"] == "A^B"
    assert attributes["AssertionComments"] == LONGER_THAN_KEPT


@pytest.mark.parametrize("transfer_syntax_uid", NATIVE)
@pytest.mark.parametrize("undefined", [False, True])
def test_what_is_longer_is_read_for_an_answer(transfer_syntax_uid: str, undefined: bool) -> None:
    writer = WRITERS.get(transfer_syntax_uid, Writer())
    code = writer.item(writer.element(0x00080104, "LO", b"Sch\xe4del "), undefined=undefined)
    data = (
        writer.element(0x00080005, "CS", b"ISO_IR 100")
        + writer.sequence(0x00081032, [code] * 300, undefined=undefined)
        + writer.sequence(0x00400275, [code] * 400, undefined=undefined)
        + writer.element(0x0040A160, "UT", b"t" * ((1 << 20) + 2))
        + writer.element(0x7FE00010, "OW", bytes(100))
    )
    if transfer_syntax_uid == DEFLATED:
        data = deflate(data)

    def read_at(position: int, length: int) -> bytes:
        return data[position : position + length]

    found = decode_attributes(examine(data[:65536], len(data), read_at, transfer_syntax_uid))
    long = ("ProcedureCodeSequence", "RequestAttributesSequence", "TextValue")
    assert [found[keyword] for keyword in long] == [LONGER_THAN_KEPT] * 3
    wanted = ("ProcedureCodeSequence", "TextValue")
    read = decode_attributes(scan_long_values(len(data), read_at, transfer_syntax_uid, wanted))
    assert set(read) == {*wanted, "SpecificCharacterSet"}
    assert items_of(read["ProcedureCodeSequence"]) == [{"CodeMeaning": "Schädel"}] * 300
    assert len(read["TextValue"]) == (1 << 20) + 2


def test_the_readable_part_of_a_data_set_that_cannot_be_read_to_its_end() -> None:
    writer = Writer()
    data = writer.element(0x00100010, "PN", b"A^B ") + b"\xff" * 100
    read_at = lambda at, length: data[at : at + length]  # noqa: E731
    with pytest.raises(DatasetInvalid):
        examine(data, len(data), read_at, EXPLICIT)
    assert raw(scan_readable_part(data, len(data), read_at, EXPLICIT).values) == {"PatientName": b"A^B "}


def test_the_stop_tag_lies_behind_every_indexed_attribute() -> None:
    assert all(tag >> 16 <= LAST_INDEXED_GROUP for tag in INDEXED_ATTRIBUTES)
    assert {known.vr for known in INDEXED_ATTRIBUTES.values()} == {
        *(
            "AE",
            "AS",
            "AT",
            "CS",
            "DA",
            "DS",
            "DT",
            "FD",
            "FL",
            "IS",
            "LO",
            "LT",
            "PN",
            "SH",
            "SL",
            "SQ",
            "SS",
            "ST",
        ),
        *("SV", "TM", "UC", "UI", "UL", "UR", "US", "US or SS", "UT", "UV"),
    }


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_an_unknown_vr_at_the_end_of_a_window(transfer_syntax_uid: str) -> None:
    writer = WRITERS[transfer_syntax_uid]
    inner = Writer(explicit=False)
    unknown = inner.sequence(
        0x00091010, [inner.item(inner.nested(0x0008114A, 2), undefined=True)], undefined=True
    )
    data = writer.element(0x00080001, "LT", b"x" * 4090)
    data += writer.element(0x00091010, "UN", unknown[8:], UNDEFINED) if writer.explicit else unknown
    data += writer.element(0x00100020, "LO", b"ID") + writer.element(0x7FE00010, "OW", bytes(5000))
    for prefix_length in range(4096, 4096 + 100):
        assert examined(data, transfer_syntax_uid, prefix_length) == {"PatientID": b"ID"}


@pytest.mark.parametrize("transfer_syntax_uid", WRITERS)
def test_a_scan_stops_before_sequences_behind_the_stop_tag(transfer_syntax_uid: str) -> None:
    writer = WRITERS[transfer_syntax_uid]
    header = writer.element(0x00100020, "LO", b"ID")
    cut_off = writer.sequence(0x52009229, [writer.item(bytes(100), undefined=True)], undefined=True)[:30]
    assert raw(scan(header + cut_off, transfer_syntax_uid).values) == {"PatientID": b"ID"}


@pytest.mark.parametrize("behind", [b"", b"\xfe\xff\x00\xe0", bytes(7)])
def test_an_unknown_vr_of_undefined_length_at_the_very_end_is_malformed(behind: bytes) -> None:
    data = b"\x08\x00\x16\x00UN\0\0\xff\xff\xff\xff" + behind
    with pytest.raises(DatasetInvalid):
        examine(data, len(data), lambda at, length: data[at : at + length], "1.2.840.10008.1.2.1")
