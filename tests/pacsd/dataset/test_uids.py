"""UIDs: which are valid, which are kept all the same, and what files are called by them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.uids import is_valid_uid, name_of_uid, verify_keepable
from pacsd.errors import DatasetInvalid


@pytest.mark.parametrize("uid", ["1", "1.2.840.10008.1.2", "2.25." + "9" * 59, "1.02.3", "0"])
def test_valid_uids(uid: str) -> None:
    assert is_valid_uid(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2\n",
        "1.2 ",
        "1.2\0",
        "a",
        "1.2/3",
        "../../x",
        "9" * 65,
        "\u0661.\u0662",
        "-1",
        "1\\2",
    ],
)
def test_invalid_uids(uid: str) -> None:
    assert not is_valid_uid(uid)


KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
AS_DEVICES_MAKE_THEM = [
    "LOCALIZER1.2",
    "1.2.A1b2",
    "1..2",
    "1.2.",
    ".1",
    "1.2-3",
    "1 2",
    "9" * 65,
    "9" * 128,
    "{1}",
]
NO_UIDS = [
    "",
    " ",
    ".",
    "..",
    "~",
    "../../x",
    "1/2",
    "1\\2",
    "1*",
    "1?",
    " 1",
    "1 ",
    "1\0002",
    "1\n",
    "\x7f1",
    "é",
    "9" * 129,
]


@pytest.mark.parametrize("uid", AS_DEVICES_MAKE_THEM)
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_an_invalid_uid_is_kept_and_never_becomes_a_name(keyword: str, uid: str) -> None:
    uids = {**dict.fromkeys(KEYWORDS, "1.2"), keyword: uid}
    assert not verify_keepable(uids)
    assert re.fullmatch("sha256-[0-9a-f]{32}", name_of_uid(uid))
    with pytest.raises(DatasetInvalid) as caught:
        verify_keepable(uids, strict=True)
    assert caught.value.keywords == (keyword,)


@pytest.mark.parametrize("uid", NO_UIDS)
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_what_nobody_could_ask_for_is_refused(keyword: str, uid: str) -> None:
    with pytest.raises(DatasetInvalid) as caught:
        verify_keepable({**dict.fromkeys(KEYWORDS, "1.2"), keyword: uid})
    assert caught.value.keywords == (keyword,)


def test_valid_uids_are_kept_as_they_are() -> None:
    assert verify_keepable(dict.fromkeys(KEYWORDS, "1.2.3"), strict=True)
    assert name_of_uid("1.2.3") == "1.2.3"


def test_the_name_of_a_uid_stays_the_same_for_ever() -> None:
    assert name_of_uid("1.2.a") == "sha256-911138fde6aa2b01de9f7bfb03b12434"
    assert name_of_uid("1.2.A") != name_of_uid("1.2.a")


@given(st.text(alphabet="0123456789./\\a\0 ", max_size=70))
def test_what_is_valid_has_nothing_but_digits_and_single_dots(uid: str) -> None:
    expected = bool(uid) and len(uid) <= 64 and all(part.isdigit() for part in uid.split("."))
    assert is_valid_uid(uid) == expected
