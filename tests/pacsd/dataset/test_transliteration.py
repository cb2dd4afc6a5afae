"""What is left of a text in a set that doesn't hold it: never a broken one, never another structure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.charsets import decode_value, encode_text
from pacsd.dataset.defined_terms import verify_character_set
from pacsd.dataset.iso2022 import codecs_of, holds
from pacsd.dataset.transliteration import transliterate

DEFINED = [
    "ISO_IR 100",
    "ISO_IR 101",
    "ISO_IR 13",
    "ISO_IR 144",
    "ISO_IR 166",
    "ISO_IR 203",
    "ISO 2022 IR 6",
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126",
    "ISO 2022 IR 101\\ISO 2022 IR 203",
]
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)


@pytest.mark.parametrize(
    ("character_set", "text", "spelt"),
    [
        ("ISO_IR 100", "Müller", "Müller"),
        ("ISO_IR 100", "Mu\N{COMBINING DIAERESIS}ller", "Müller"),
        ("ISO_IR 101", "Ærø Straße", "AEro Straße"),
        ("ISO 2022 IR 6", "Müller", "Muller"),
        ("ISO 2022 IR 6", "Straße", "Strasse"),
        ("ISO 2022 IR 6", "Œuvre Łódź Þór Đặng", "OEuvre Lodz THor Dang"),
        ("ISO_IR 100", "Łódź \N{EN DASH} 5 €", "Lódz - 5 EUR"),
        ("ISO_IR 100", "ﬁne ① ½", "fine 1 ½"),
        ("ISO_IR 100", "山田", "??"),
        ("\\ISO 2022 IR 87", "ﾔﾏﾀﾞ", "ヤマダ"),
        ("ISO_IR 192", "山田 Müller", "山田 Müller"),
        ("\\ISO 2022 IR 87", "山田 Müller", "山田 Muller"),
        ("ISO_IR 100", "a\N{FULLWIDTH REVERSE SOLIDUS}b\N{FULLWIDTH CIRCUMFLEX ACCENT}c", "a?b?c"),
    ],
)
def test_spelling(character_set: str, text: str, spelt: str) -> None:
    assert transliterate(text, character_set, "LO") == spelt


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou"),
        ("Hölderlin^Łucja=山=Muller", "Hölderlin^Lucja==Muller"),
        ("山田^太郎", "??^??"),
        ("=山田^太郎", "=??^??"),
        ("Yamada=山田\\Müller", "Yamada\\Müller"),
        ("Who?=Who?", "Who?=Who?"),
    ],
)
def test_groups_of_a_name_that_cannot_be_spelt_are_left_out(name: str, spelt: str) -> None:
    assert transliterate(name, "ISO_IR 100", "PN") == spelt


@pytest.mark.parametrize("vr", ["PN", "LO", "UT"])
@pytest.mark.parametrize("character_set", DEFINED)
@given(text=TEXTS)
def test_the_set_holds_what_comes_out(character_set: str, vr: str, text: str) -> None:
    verify_character_set(character_set)
    spelt = transliterate(text, character_set, vr)
    assert holds(spelt, codecs_of(character_set))
    assert decode_value("UT", encode_text(spelt, character_set, "UT"), character_set) == spelt.rstrip(" ")
    if vr != "PN":
        assert {sign: spelt.count(sign) for sign in "\\^="} == {sign: text.count(sign) for sign in "\\^="}


@pytest.mark.parametrize("character_set", [*DEFINED, "ISO 2022 IR 100", "ISO_IR 109", "ISO_IR 148"])
def test_defined_terms(character_set: str) -> None:
    verify_character_set(character_set)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "none of GB18030, GBK, ISO 2022 IR 100"),
        ("LATIN1", "'LATIN1' is none of"),
        ("ISO-IR 100", "'ISO-IR 100' is none of"),
        ("ISO 2022 IR 87", "'ISO 2022 IR 87' is none of"),
        ("ISO_IR 100\\ISO 2022 IR 87", "the first of several terms 'ISO_IR 100'"),
        ("\\ISO_IR 192", "'ISO_IR 192' behind the first"),
        ("ISO 2022 IR 6\\", "'' behind the first"),
    ],
)
def test_what_is_no_defined_term(value: str, said: str) -> None:
    with pytest.raises(ValueError, match="is none of") as refused:
        verify_character_set(value)
    assert said in str(refused.value)
