"""What is read from a trace of system calls."""

from __future__ import annotations

import pytest

from harness.syncs import Trace, category


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("store/1.2.3.dcm", "file"),
        ("index.db", "db"),
        ("index.db-wal", "db journal"),
        ("store.sqlite-journal", "db journal"),
        ("store", "directory"),
    ],
)
def test_what_is_synced_is_told_by_its_path(tmp_path, name, expected):
    (tmp_path / "store").mkdir()
    assert category(str(tmp_path / name), str(tmp_path)) == expected


def test_a_path_elsewhere_is_other(tmp_path):
    assert category("/nowhere/file", str(tmp_path)) == "other"


def test_syncs_count_for_the_response_behind_them():
    trace = Trace("/data")
    trace.read(
        [
            "12 sendto(9<TCP:[1->2]>, 3, 4) = 4",  # the association's acceptance
            "12 write(7</data/a>, 3) = 3",
            "12 fdatasync(7</data/a>) = 0",
            '12 linkat(AT_FDCWD</data>, "a", AT_FDCWD</data>, "b", 0) = 0',
            "13 fsync(8</data/index.db-wal>) = 0",
            "12 sendmsg(9<TCP:[1->2]>, {...}, 0) = 5",
            "14 +++ exited with 0 +++",
            "12 fdatasync(7</data/c>) = 0",
        ]
    )
    assert trace.before_response == {"fdatasync file": 1, "fsync db journal": 1}
    assert trace.order_of_one == ["fdatasync file", "linkat", "fsync db journal", "response"]
    assert trace.after_last_response == {"fdatasync file": 1}
