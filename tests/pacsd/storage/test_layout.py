"""Paths of published files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.errors import DatasetInvalid
from pacsd.storage.layout import instance_path, is_valid_uid, sop_instance_uid_of

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


@pytest.mark.parametrize("position", range(3))
def test_an_invalid_uid_never_becomes_a_path(position: int) -> None:
    uids = ["1.2", "1.2.3", "1.2.3.4"]
    uids[position] = "../../x"
    with pytest.raises(DatasetInvalid) as caught:
        instance_path(RECEIVED, *uids)
    assert caught.value.keywords == (("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")[position],)
    assert "x" not in str(caught.value).replace("characters", "")


@given(st.text(alphabet="0123456789./\\a\0 ", max_size=70))
def test_what_is_valid_has_nothing_but_digits_and_single_dots(uid: str) -> None:
    expected = bool(uid) and len(uid) <= 64 and all(part.isdigit() for part in uid.split("."))
    assert is_valid_uid(uid) == expected


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("2024/02/29/1.2/1.2.3/1.2.3.4.dcm", "1.2.3.4"),
        ("2024/02/29/1.2/1.2.3/1.2.3.4-12.dcm", "1.2.3.4"),
        ("2024/02/29/1.2/1.2.3/1..4.dcm", None),
        ("2024/02/29/1.2/1.2.3/image.dcm", None),
        ("2024/02/29/1.2/1.2.3/1.2.3.4", None),
    ],
)
def test_a_name_says_whose_file_it_is(path: str, uid: str | None) -> None:
    assert sop_instance_uid_of(path) == uid
