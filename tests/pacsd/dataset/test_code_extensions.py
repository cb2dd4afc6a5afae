"""What is written in each defined term, alone and with code extensions, is read again, by us and by pydicom."""

from __future__ import annotations

from functools import cache
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes

from pacsd.dataset.charsets import decode_value, encode_text
from pacsd.dataset.iso2022 import codecs_of, holds

ALONE = [f"ISO_IR {number}" for number in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192)]
EXTENDED = [
    "\\ISO 2022 IR 87",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "ISO 2022 IR 100\\ISO 2022 IR 101\\ISO 2022 IR 109\\ISO 2022 IR 110",
    "ISO 2022 IR 126\\ISO 2022 IR 127\\ISO 2022 IR 138\\ISO 2022 IR 87",
    "ISO 2022 IR 144\\ISO 2022 IR 148\\ISO 2022 IR 166\\ISO 2022 IR 149",
    "ISO 2022 IR 166\\ISO 2022 IR 159\\ISO 2022 IR 100",
]
SETS = [*ALONE, "GB18030", "GBK", *EXTENDED]
CANDIDATES = (range(0xA1, 0x600), range(0xE00, 0xE5C), range(0x3041, 0x30F7), range(0x4E00, 0x5100))
MORE = (range(0xAC00, 0xAD00), range(0xFF61, 0xFFA0))


@cache
def repertoire(character_set: str) -> list[str]:
    """Some characters that the set holds, of all its scripts."""
    codecs = codecs_of(character_set)
    return [each for each in map(chr, chain(*CANDIDATES, *MORE)) if holds(each, codecs)]


@pytest.mark.parametrize("character_set", SETS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_names_survive(character_set: str, data: st.DataObject) -> None:
    characters = st.sampled_from([*"Ab ", *repertoire(character_set)])
    component = st.text(characters, min_size=1, max_size=5).map(lambda text: text + "x")
    group = st.lists(component, min_size=1, max_size=2).map("^".join)
    name = "=".join(data.draw(st.lists(group, min_size=1, max_size=3)))
    encoded = encode_text(name, character_set, "PN")
    assert decode_value("PN", encoded, character_set) == name
    if "58" not in character_set:  # which pydicom leaves escape sequences in
        assert decode_bytes(encoded, convert_encodings(character_set.split("\\")), {0x5C, 0x5E, 0x3D}) == name


def test_behind_japanese_the_upper_half_is_said_again() -> None:
    """In ISO 2022 IR 87 only the lower half changes, but readers take what follows it for Latin-1, or for nothing."""
    encoded = encode_text("ý山ý", "ISO 2022 IR 100\\ISO 2022 IR 87", "LO")
    assert encoded == b"\xfd\x1b$B;3\x1b(B\x1b-A\xfd"
    encoded = encode_text("ĉ山ق", "ISO 2022 IR 127\\ISO 2022 IR 109\\ISO 2022 IR 87", "LO")
    assert encoded == b"\x1b-C\xe6\x1b$B;3\x1b(B\x1b-G\xe2"
