"""Paths of published files."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from pacsd.storage.layout import instance_path, path_of_receipt, path_without_receipt, sop_instance_uid_of

RECEIVED = datetime(2024, 2, 9, 23, 59, tzinfo=UTC)


def test_a_path_is_the_date_of_receipt_and_the_uids() -> None:
    assert instance_path(RECEIVED, "1.2", "1.2.3", "1.2.3.4") == "2024/02/09/1.2/1.2.3/1.2.3.4.dcm"


@pytest.mark.parametrize("position", range(3))
def test_an_invalid_uid_never_becomes_a_path(position: int) -> None:
    uids = ["1.2", "1.2.3", "1.2.3.4"]
    uids[position] = "../../x"
    names = instance_path(RECEIVED, *uids).removesuffix(".dcm").split("/")[3:]
    assert re.fullmatch("sha256-[0-9a-f]{32}", names.pop(position))
    assert names == [name for at, name in enumerate(uids) if at != position]
    assert sop_instance_uid_of(instance_path(RECEIVED, *uids)) == (uids[2] if position != 2 else None)


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
    assert path_without_receipt(received) == path_without_receipt(path) == path


def test_a_name_of_an_earlier_version_has_no_receipt() -> None:
    assert path_without_receipt("2024/02/29/1.2/1.2.3/1.2.3.4-12.dcm") == "2024/02/29/1.2/1.2.3/1.2.3.4.dcm"
    assert path_without_receipt("2024/02/29/1.2/1.2.3/image.dcm") == "2024/02/29/1.2/1.2.3/image.dcm"
