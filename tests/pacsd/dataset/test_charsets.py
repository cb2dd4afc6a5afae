"""Header values as text, against pydicom and against what must never come out."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from dataset_bytes import BIG_ENDIAN, EXPLICIT, IMPLICIT, WRITERS, Writer
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes

from pacsd.dataset.charsets import (
    character_set_in_effect,
    choose_character_set,
    decode_value,
    encode_text,
)
from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.header import scan
from pacsd.dataset.part10 import read_part10

FOLDER = Path(pydicom.__file__).parent / "data" / "charset_files"
NAMED = [path for path in sorted(FOLDER.glob("*.dcm")) if "SQ" not in path.name]

CHARACTER_SETS = {
    "ISO_IR 100": "Buc^Jérôme",
    "ISO_IR 101": "Wałęsa^Łukasz",
    "ISO_IR 109": "Ħaż^Ġ",
    "ISO_IR 110": "Ķ^Ņ",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 138": "שרון^דבורה",
    "ISO_IR 144": "Люкceмбypг",  # noqa: RUF001
    "ISO_IR 148": "Çavuşoğlu^İ",
    "ISO_IR 166": "นามสกุล",
    "ISO_IR 203": "Lœuf^Žižka €",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "ISO_IR 192": "Wang^XiaoDong=王^小東",
    "GB18030": "Wang^XiaoDong=王^小东",
    "GBK": "Wang^XiaoDong=王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159": "丂^山田",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "\\ISO 2022 IR 58": "Zhang^XiaoDong=张^小东",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "Müller^Люк",
    "ISO 2022 IR 144\\ISO 2022 IR 203": "Люк^Œuf",
}


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.name)
def test_names_equal_pydicoms(path: Path) -> None:
    meta = read_part10(path.read_bytes(), fallback_transfer_syntax_uid=IMPLICIT)
    attributes = decode_attributes(
        scan(path.read_bytes()[meta.dataset_offset :], meta.transfer_syntax_uid, complete=True)
    )
    assert attributes["PatientName"].rstrip("=") == str(dcmread(path).PatientName)


@pytest.mark.parametrize(("character_set", "name"), CHARACTER_SETS.items())
def test_what_is_encoded_decodes_again_also_with_pydicom(character_set: str, name: str) -> None:
    encoded = encode_text(name, character_set, "PN")
    assert decode_value("PN", encoded, character_set) == name
    # Of these pydicom leaves escape sequences in one and doesn't know the other.
    if not character_set.endswith(("58", "203")):
        terms = character_set.split("\\")
        assert decode_bytes(encoded, convert_encodings(terms), {0x5C, 0x5E, 0x3D}) == name
    assert choose_character_set(["ASCII", name], character_set) == character_set
    assert choose_character_set([name, "€𝄞"], character_set) in ("ISO_IR 192", "GB18030")


def test_the_example_of_the_standard() -> None:
    """PS3.5 §H.3.1, §I.2 and §K.3."""
    japanese = bytes.fromhex("59616d6164615e5461726f753d1b24423b33451b2842")
    assert decode_value("PN", japanese, "\\ISO 2022 IR 87").startswith("Yamada^Tarou=山")
    korean = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
    assert decode_value("PN", korean, "\\ISO 2022 IR 149") == "Hong^Gildong=洪^吉洞=홍^길동"
    assert encode_text("Hong^Gildong=洪^吉洞=홍^길동", "\\ISO 2022 IR 149", "PN") == korean
    chinese = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"
    assert decode_value("PN", chinese, "\\ISO 2022 IR 58") == "Zhang^XiaoDong=张^小东"


def test_latin_alphabet_no_9() -> None:
    """PS3.3 Tables C.12-2 and C.12-3: eight characters differ from Latin-1, among them the euro sign."""
    assert decode_value("LO", bytes.fromhex("a4a6a8b4b8bcbdbe"), "ISO_IR 203") == "€ŠšŽžŒœŸ"
    assert encode_text("5 € für Œuvre", "ISO_IR 203", "LO") == b"5 \xa4 f\xfcr \xbcuvre"
    assert encode_text("Œ", "\\ISO 2022 IR 203", "LO") == b"\x1b-b\xbc"
    assert decode_value("LO", b"\xbc \x1b-b\xbc", "ISO 2022 IR 100\\ISO 2022 IR 203") == "¼ Œ"


def test_the_character_set_applies_to_some_vrs_only() -> None:
    assert decode_value("LO", "é".encode(), "ISO_IR 192") == "é"
    # The others are ASCII alone; who writes something else there has the set in mind, or nothing.
    assert decode_value("CS", "é".encode(), "ISO_IR 192") == "é"
    assert decode_value("AS", b"045\xcb\xea", "GBK") == "045岁"
    assert decode_value("CS", b"SCH\xc4DEL", "ISO_IR 192") == "SCHÄDEL"
    assert decode_value("CS", b"\x1b$B;3\x1b(B", "\\ISO 2022 IR 87") == "\x1b$B;3\x1b(B"
    assert encode_text("é", "ISO_IR 192", "CS") == "é".encode()


def test_answers_are_ascii_then_the_requested_set_then_utf_8() -> None:
    assert choose_character_set([], "ISO_IR 100") is None
    assert choose_character_set(["A^B", ""], "ISO_IR 100") is None
    assert choose_character_set(["Jérôme"], "ISO_IR 100") == "ISO_IR 100"
    assert choose_character_set(["Jérôme", "山"], "ISO_IR 100") == "ISO_IR 192"
    assert choose_character_set(["Jérôme"], "") == "ISO_IR 192"
    assert choose_character_set(["Jérôme"], "ISO_IR 6") == "ISO_IR 192"
    assert choose_character_set(["Jérôme"], "NONSENSE") == "ISO_IR 192"
    assert choose_character_set(["\udcff"], "ISO_IR 100") == "ISO_IR 192"
    assert encode_text("\udcff", "ISO_IR 192", "LO") == b"?"


@pytest.mark.parametrize(
    ("vr", "raw", "text"),
    [
        ("LO", b" a \\ b ", "a\\b"),
        ("PN", b" A^B ", " A^B"),
        ("PN", b"A^B \\C ", "A^B\\C"),
        ("UI", b"1.2\0", "1.2"),
        ("UI", b"1.2 ", "1.2"),
        ("LT", b" a \\ b \0", " a \\ b"),
        ("IS", b" 7 ", "7"),
        ("DS", b"1.50\\2 ", "1.50\\2"),
        ("DA", b"20240229", "20240229"),
        ("LO", b"a\0b", "a\ufffdb"),
        ("UI", b"1.2\0003\0", "1.2\ufffd3"),
        ("UI", b"1.2\0\0\\1.3\0", "1.2\\1.3"),
        ("LO", b"", ""),
        ("US", b"\1\0\2\0", "1\\2"),
        ("AT", b"\x28\0\x09\0", "00280009"),
        ("AT", b"\x54\0\x10\0\x18\0\x6a\x10", "00540010\\0018106A"),
        ("AT", b"\x54\0\x10", ""),
        ("SS", b"\xff\xff", "-1"),
        ("UL", b"\1\0\0\0", "1"),
        ("FL", b"\0\0\xc0?", "1.5"),
        ("FD", b"\x9a\x99\x99\x99\x99\x99\xb9?", "0.10000000000000001"),
        ("US", b"\1", ""),
        ("US", b"", ""),
    ],
)
def test_padding_and_numbers(vr: str, raw: bytes, text: str) -> None:
    assert decode_value(vr, raw, "") == text


def test_numbers_follow_the_byte_order() -> None:
    for transfer_syntax_uid, value in ((EXPLICIT, b"\0\2"), (BIG_ENDIAN, b"\2\0")):
        data = WRITERS[transfer_syntax_uid].element(0x00280010, "US", value)
        assert decode_attributes(scan(data, transfer_syntax_uid, complete=True)) == {"Rows": "512"}


@pytest.mark.parametrize(("representation", "text"), [(b"\0\0", "65535"), (b"\1\0", "-1"), (b"", "65535")])
def test_pixel_representation_decides_between_us_and_ss(representation: bytes, text: str) -> None:
    writer = WRITERS[IMPLICIT]
    data = writer.element(0x00280103, "", representation) + writer.element(0x00280106, "", b"\xff\xff")
    assert decode_attributes(scan(data, IMPLICIT, complete=True))["SmallestImagePixelValue"] == text


def test_misspelt_terms_are_understood_and_unknown_ones_show() -> None:
    raw = "Jérôme".encode("latin-1")
    for term in (
        "ISO_IR 100",
        "ISO IR 100",
        "ISO-IR 100",
        "iso_ir_100",
        "ISO_IR 100 ",
        "ISO 2022 IR 100",
        "",
    ):
        assert decode_value("LO", raw, term) == "Jérôme"
    assert decode_value("LO", raw, "NONSENSE") == "J\ufffdr\ufffdme"
    assert decode_value("LO", raw, "ISO_IR 192") == "J\ufffdr\ufffdme"
    assert decode_value("LO", "é".encode(), "UTF-8") == "é"


@pytest.mark.parametrize(
    ("character_set", "raw", "name"),
    [
        ("ISO_IR100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("ISO8859-5", "Люк^И".encode("iso8859-5"), "Люк^И"),
        ("8859-15", "Œuvre^€".encode("iso8859-15"), "Œuvre^€"),
        ("ISO_IR 100", "Œuvre^€".encode("cp1252"), "Œuvre^€"),
        ("ISO_IR 100", b"A\x81\x92", "A\x81\x92"),
        ("", "Œuvre^Zoë".encode("cp1252"), "Œuvre^Zoë"),
        ("\\ISO 2022 IR 149", "Hong^=洪^吉洞".encode("euc_kr"), "Hong^=洪^吉洞"),
        ("\\ISO 2022 IR 58", "张^小东".encode("gb2312"), "张^小东"),
        ("\\ISO 2022 IR 144", "Люк^И".encode("iso8859-5"), "Люк^И"),
        ("\\ISO 2022 IR 149", "홍^길동".encode(), "홍^길동"),
        ("\\ISO 2022 IR 149", b"A\xff", "A\xff"),
        ("\\ISO 2022 IR 87", b"A=\x1b$B;3ED^\x1b$BB@O:\x1b(B", "A=山田^太郎"),
        ("\\ISO 2022 IR 87", b"A=\x1b$B;3ED^\x1b(BB", "A=山田^B"),
    ],
)
def test_what_is_left_out_or_wrong_where_the_meaning_is_plain(
    character_set: str, raw: bytes, name: str
) -> None:
    """Terms misspelt, Windows' own characters in Latin-1, escape sequences that are missing (PS3.5 §6.1.2.5.3)."""
    assert decode_value("PN", raw, character_set) == name


def test_what_nobody_declares_is_utf_8_where_it_is_valid_and_else_latin_1() -> None:
    for declared in ("", "ISO_IR 6", "\\ISO 2022 IR 87"):
        assert decode_value("LO", "Jérôme 山".encode(), declared) == "Jérôme 山"
        assert decode_value("LO", "Jérôme".encode("latin-1"), declared) == "Jérôme"
    assert decode_value("LO", "é".encode(), "ISO_IR 100") == "Ã©"
    assert decode_value("LO", "山".encode(), "NONSENSE") == "山"


@pytest.mark.parametrize(
    ("default", "text", "codec"),
    [
        ("GBK", "王^小东", "gbk"),
        ("ISO_IR 144", "Петров^И", "iso8859_5"),
        ("ISO_IR 192", "Müller^山", "utf-8"),
        ("windows-1251", "Петров^И", "cp1251"),
        ("EUC-KR", "홍^길동", "euc_kr"),
        ("Big5", "張^三", "big5"),
        ("Shift_JIS", "表^十", "shift_jis"),
    ],
)
def test_a_device_may_have_a_character_set_that_it_does_not_declare(
    default: str, text: str, codec: str
) -> None:
    for declared in ("", "ISO_IR 6", "NONSENSE"):
        in_effect = character_set_in_effect(declared, default)
        assert decode_value("PN", text.encode(codec), in_effect) == text
    assert character_set_in_effect("ISO_IR 100", default) == "ISO_IR 100"
    assert character_set_in_effect("", "") == ""


@given(
    st.one_of(
        st.binary(max_size=40),
        st.lists(st.sampled_from([b"\x1b$B", b"\x1b(J", b"\x1b)I", b"\xb1", b"!!"])).map(b"".join),
    ),
    st.one_of(st.sampled_from(list(CHARACTER_SETS)), st.text(alphabet="ISO_IR 2087\\hex", max_size=20)),
    st.sampled_from(["LO", "PN", "LT", "CS", "US", "FD", "UI", "DS"]),
)
def test_nothing_fails_and_nothing_comes_out_that_a_database_refuses(
    raw: bytes, character_set: str, vr: str
) -> None:
    text = decode_value(vr, raw, character_set)
    assert "\0" not in text
    assert text.encode("utf-8").decode("utf-8") == text
    assert isinstance(encode_text(text, character_set, vr), bytes)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), max_size=20),
    st.sampled_from(list(CHARACTER_SETS)),
)
@example("¿\u00b4", "\\ISO 2022 IR 87\\ISO 2022 IR 159")
@example("\u00b4¿\u00b4a", "\\ISO 2022 IR 87\\ISO 2022 IR 159")
def test_an_answer_in_the_chosen_set_reads_back(value: str, requested: str) -> None:
    value = value.strip()
    chosen = choose_character_set([value], requested)
    assert decode_value("LO", encode_text(value, chosen, "LO"), chosen) == value.strip(" ")


def test_attributes_are_by_keyword_with_empty_ones_kept() -> None:
    writer = Writer()
    data = b"".join([
        writer.element(0x00080005, "CS", b"ISO_IR 192"),
        writer.element(0x00080008, "CS", b"ORIGINAL\\PRIMARY "),
        writer.element(0x00100010, "PN", "Müller^Ä=".encode()),
        writer.element(0x00100020, "LO", b""),
        writer.element(0x00280008, "SQ", b""),
    ])  # fmt: skip
    assert decode_attributes(scan(data, EXPLICIT, complete=True)) == {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": "ORIGINAL\\PRIMARY",
        "PatientName": "Müller^Ä=",
        "PatientID": "",
    }
