"""Paths of published files."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.errors import DatasetInvalid
from pacsd.storage.layout import (
    has_hashed_name,
    instance_path,
    is_valid_uid,
    name_of_uid,
    path_of_receipt,
    path_without_receipt,
    sop_instance_uid_of,
)

RECEIVED = datetime(2024, 2, 9, 23, 59, tzinfo=UTC)


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


def test_a_path_is_the_date_of_receipt_and_the_uids() -> None:
    assert instance_path(RECEIVED, "1.2", "1.2.3", "1.2.3.4") == "2024/02/09/1.2/1.2.3/1.2.3.4.dcm"


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
@pytest.mark.parametrize("position", range(3))
def test_an_invalid_uid_never_becomes_a_path(position: int, uid: str) -> None:
    uids = ["1.2", "1.2.3", "1.2.3.4"]
    uids[position] = uid
    path = instance_path(RECEIVED, *uids)
    names = path.removesuffix(".dcm").split("/")[3:]
    assert re.fullmatch("sha256-[0-9a-f]{32}", names.pop(position))
    assert names == [name for at, name in enumerate(uids) if at != position]
    assert has_hashed_name(path)
    assert sop_instance_uid_of(path) == (uids[2] if position != 2 else None)
    with pytest.raises(DatasetInvalid) as caught:
        instance_path(RECEIVED, *uids, strict=True)
    assert caught.value.keywords == (KEYWORDS[position],)


@pytest.mark.parametrize("uid", NO_UIDS)
@pytest.mark.parametrize("position", range(3))
def test_what_nobody_could_ask_for_is_refused(position: int, uid: str) -> None:
    uids = ["1.2", "1.2.3", "1.2.3.4"]
    uids[position] = uid
    with pytest.raises(DatasetInvalid) as caught:
        instance_path(RECEIVED, *uids)
    assert caught.value.keywords == (KEYWORDS[position],)


def test_the_name_of_a_uid_stays_the_same_for_ever() -> None:
    assert name_of_uid("1.2.a") == "sha256-911138fde6aa2b01de9f7bfb03b12434"
    assert name_of_uid("1.2.A") != name_of_uid("1.2.a")
    assert not has_hashed_name(instance_path(RECEIVED, "1.2", "1.2.3", "1.2.3.4"))


@given(st.text(alphabet="0123456789./\\a\0 ", max_size=70))
def test_what_is_valid_has_nothing_but_digits_and_single_dots(uid: str) -> None:
    expected = bool(uid) and len(uid) <= 64 and all(part.isdigit() for part in uid.split("."))
    assert is_valid_uid(uid) == expected


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("2024/02/29/1.2/1.2.3/1.2.3.4.dcm", "1.2.3.4"),
        ("2024/02/29/1.2/1.2.3/1.2.3.4-12.dcm", "1.2.3.4"),
        ("2024/02/29/1.2/1.2.3/1.2.3.4-0123abcd-12.dcm", "1.2.3.4"),
        ("2024/02/29/1.2/1.2.3/1.2.3.4-01234567-12.dcm", "1.2.3.4"),
        ("2024/02/29/1.2/1.2.3/1.2.3.4-0123-12.dcm", None),
        ("2024/02/29/1.2/1.2.3/1..4.dcm", None),
        ("2024/02/29/1.2/1.2.3/image.dcm", None),
        ("2024/02/29/1.2/1.2.3/1.2.3.4", None),
    ],
)
def test_a_name_says_whose_file_it_is(path: str, uid: str | None) -> None:
    assert sop_instance_uid_of(path) == uid


@pytest.mark.parametrize(
    "uids", [("1.2", "1.2.3", "1.2.3.4"), ("1.2", "1.2.3", "1.2.a"), ("1.2", "a", "1.2.3.4")]
)
def test_a_receipt_adds_to_the_name_and_can_be_taken_off(uids: tuple[str, str, str]) -> None:
    path = instance_path(RECEIVED, *uids)
    received = path_of_receipt(path, "0123abcd-12")
    assert received == f"{path.removesuffix('.dcm')}-0123abcd-12.dcm"
    assert sop_instance_uid_of(received) == sop_instance_uid_of(path)
    assert has_hashed_name(received) == has_hashed_name(path)
    assert path_without_receipt(received) == path_without_receipt(path) == path


def test_a_name_of_an_earlier_version_has_no_receipt() -> None:
    assert path_without_receipt("2024/02/29/1.2/1.2.3/1.2.3.4-12.dcm") == "2024/02/29/1.2/1.2.3/1.2.3.4.dcm"
    assert path_without_receipt("2024/02/29/1.2/1.2.3/image.dcm") == "2024/02/29/1.2/1.2.3/image.dcm"
