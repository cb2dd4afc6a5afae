"""Terms of Specific Character Set: what a peer means by its own, and what an answer may have (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.defined_terms import (
    defined_character_set,
    verify_character_set,
    verify_default_character_set,
)
from pacsd.dataset.iso2022 import codecs_of


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("ISO_IR 100", "ISO_IR 100"),
        ("ISO IR 100", "ISO_IR 100"),
        ("iso-ir_100 ", "ISO_IR 100"),
        ("ISO 2022 IR 100", "ISO 2022 IR 100"),
        ("ISO-2022-IR-100", "ISO 2022 IR 100"),
        ("utf-8", "ISO_IR 192"),
        ("UTF8", "ISO_IR 192"),
        ("ISO IR 192", "ISO_IR 192"),
        ("latin1", "ISO_IR 100"),
        ("ISO 8859-1", "ISO_IR 100"),
        ("ISO_IR100", "ISO_IR 100"),
        ("ISO2022IR87", "\\ISO 2022 IR 87"),
        ("ISO8859-5", "ISO_IR 144"),
        ("8859-15", "ISO_IR 203"),
        ("gb 18030", "GB18030"),
        ("gb2312", "GBK"),
        ("", None),
        ("ISO_IR 6", None),
        ("ISO 2022 IR 6", None),
        ("ISO_IR 999", None),
        ("windows-1252", None),
        # No code extensions beside these (PS3.3 Table C.12-5).
        ("ISO_IR 192\\ISO_IR 100", "ISO_IR 192"),
        ("GB18030\\ISO IR 192", "GB18030"),
        ("ISO_IR 100\\ISO_IR 192", "ISO_IR 100"),
        # With code extensions all terms are of ISO 2022, and the first is of a single byte.
        ("ISO_IR 100\\ISO_IR 144", "ISO 2022 IR 100\\ISO 2022 IR 144"),
        ("ISO 2022 IR 6\\ISO 2022 IR 100", "ISO 2022 IR 6\\ISO 2022 IR 100"),
        ("\\ISO 2022 IR 87", "\\ISO 2022 IR 87"),
        ("\\iso 2022 ir 87\\nonsense", "\\ISO 2022 IR 87"),
        ("ISO 2022 IR 87", "\\ISO 2022 IR 87"),
        ("ISO 2022 IR 13\\ISO_IR 87", "ISO 2022 IR 13"),
    ],
)
def test_what_a_peer_means(sent: str, meant: str | None) -> None:
    assert defined_character_set(sent) == meant


@given(
    st.lists(
        st.sampled_from(
            [
                "",
                "ISO_IR 100",
                "iso ir 144",
                "ISO 2022 IR 87",
                "ISO 2022 IR 6",
                "utf-8",
                "GBK",
                "X",
                "ISO_IR 6",
            ]
        ),
        min_size=1,
        max_size=4,
    )
)
def test_an_answer_never_has_anything_but_defined_terms(terms: list[str]) -> None:
    meant = defined_character_set("\\".join(terms))
    if meant is not None:
        verify_character_set(meant)
        assert "ascii" not in codecs_of(meant)


@pytest.mark.parametrize(
    "value", ["GBK", "ISO_IR 192", "windows-1251", "Big5", "EUC-KR", "Shift_JIS", "\\ISO 2022 IR 87"]
)
def test_a_device_may_send_what_is_no_defined_term(value: str) -> None:
    verify_default_character_set(value)
    assert "ascii" not in codecs_of(value)


@pytest.mark.parametrize("value", ["", "latin-9", "windows-1249", "UTF-16"])
def test_what_nobody_can_decode_is_no_default(value: str) -> None:
    with pytest.raises(ValueError, match="windows-1250"):
        verify_default_character_set(value)
