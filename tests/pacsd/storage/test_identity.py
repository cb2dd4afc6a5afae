"""What a store says of itself: no torn, lost or damaged file may hide a day on which something was received."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacsd.errors import StorageFull, StorageUnavailable
from pacsd.model import ArchiveIdentity
from pacsd.storage.identity import (
    ARCHIVE,
    RECEIVED_DAYS,
    ReceivedDays,
    identity_fault,
    read_identity,
    write_identity,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS = ["1999/12/31", "2026/01/02", "2026/01/03", "2049/11/30"]


def noted(root: Path, days: Sequence[tuple[int, str]]) -> None:
    """Note days, each in its generation, as servers one after the other do."""
    generation = 0
    notes = ReceivedDays(root)
    for number, day in days:
        if number != generation:
            generation = number
            write_identity(root, ArchiveIdentity("A", number))
            notes = ReceivedDays(root)
        notes.note(day)


def test_an_identity_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_identity(tmp_path) is None
    for generation in (1, 2):
        write_identity(tmp_path, ArchiveIdentity("A", generation))
        assert read_identity(tmp_path) == ArchiveIdentity("A", generation)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ARCHIVE, RECEIVED_DAYS])


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"identity": "A"}', b'{"identity": "A", "generation": "x"}', b"\xff\xfe"],
)
def test_a_damaged_identity_is_no_new_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(
        StorageUnavailable, match=r"damaged: put it back from a backup, or move it away and start"
    ):
        read_identity(tmp_path)


def test_days_are_told_from_a_generation_on(tmp_path: Path) -> None:
    noted(tmp_path, [(1, DAYS[0]), (1, DAYS[1]), (2, DAYS[1]), (3, DAYS[3])])
    days = ReceivedDays(tmp_path)
    assert days.since(1) == [DAYS[0], DAYS[1], DAYS[3]]
    assert days.since(2) == [DAYS[1], DAYS[3]]
    assert days.since(3) == [DAYS[3]]
    assert days.since(4) == []
    assert days.since(0) is None, "what came before there were notes is not known"


def test_a_day_is_noted_once_by_a_process(tmp_path: Path) -> None:
    write_identity(tmp_path, ArchiveIdentity("A", 1))
    days = ReceivedDays(tmp_path)
    for _ in range(3):
        days.note(DAYS[0])
    assert (tmp_path / RECEIVED_DAYS).read_text().count(DAYS[0]) == 1


@pytest.mark.parametrize(
    ("content", "known"),
    [
        (None, None),
        (b"", None),
        (b"from 1.\n", []),
        (b"\n1 2026/01/02.\n", None),
        (b"from 1.\n\n1 2026/01/02.\n\0\0\0\0", None),
        (b"from 1.\n\n1 2026/0\n1 2026/01/02.\n", ["2026/01/02"]),
        (b"from 1.\n\n1 2026-01-02.\n", None),
        (b"from 2.\n\n2 2026/01/02.\n", None),
        (b"from 1.\n\xff\xfe\n1 2026/01/02.\n", None),
    ],
)
def test_what_is_not_understood_makes_all_days_suspect(
    tmp_path: Path, content: bytes | None, known: list[str] | None
) -> None:
    if content is not None:
        (tmp_path / RECEIVED_DAYS).write_bytes(content)
    assert ReceivedDays(tmp_path).since(1) == known


def test_lost_notes_begin_anew_and_say_so(tmp_path: Path) -> None:
    noted(tmp_path, [(1, DAYS[0]), (2, DAYS[1])])
    (tmp_path / RECEIVED_DAYS).unlink()
    noted(tmp_path, [(3, DAYS[2])])
    days = ReceivedDays(tmp_path)
    assert days.since(2) is None
    assert days.since(3) == [DAYS[2]]


def test_notes_that_are_lost_while_a_server_runs_are_not_taken_for_all(tmp_path: Path) -> None:
    write_identity(tmp_path, ArchiveIdentity("A", 1))
    days = ReceivedDays(tmp_path)
    days.note(DAYS[0])
    (tmp_path / RECEIVED_DAYS).unlink()
    days.note(DAYS[1])
    assert days.since(1) is None


NOTES = st.lists(st.tuples(st.integers(1, 12), st.sampled_from(DAYS)), min_size=1, max_size=8).map(sorted)


@given(days=NOTES, cut=st.integers(0, 40), later=st.booleans(), since=st.integers(0, 13))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_end_hides_no_day(
    tmp_path: Path, days: list[tuple[int, str]], cut: int, later: bool, since: int
) -> None:
    """A power cut tears off what was being written; a note that had returned before is durable and stays."""
    for name in (ARCHIVE, RECEIVED_DAYS):
        (tmp_path / name).unlink(missing_ok=True)
    *kept, torn = days
    write_identity(tmp_path, ArchiveIdentity("A", 1))
    noted(tmp_path, kept)
    file = tmp_path / RECEIVED_DAYS
    whole = file.stat().st_size
    noted(tmp_path, [torn])
    os.truncate(file, min(file.stat().st_size, whole + cut))
    if later:
        noted(tmp_path, [(13, DAYS[0])])
        kept.append((13, DAYS[0]))
    found = ReceivedDays(tmp_path).since(since)
    assert found is None or {day for generation, day in kept if generation >= since} <= set(found)
    if since:
        assert found is not None, "all is known that was noted in time"


@given(days=NOTES, damage=st.binary(min_size=1, max_size=6), at=st.integers(0, 200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_raises_anything_unexpected(
    tmp_path: Path, days: list[tuple[int, str]], damage: bytes, at: int
) -> None:
    for name in (ARCHIVE, RECEIVED_DAYS):
        (tmp_path / name).unlink(missing_ok=True)
    noted(tmp_path, days)
    file = tmp_path / RECEIVED_DAYS
    content = file.read_bytes()
    file.write_bytes(content[:at] + damage + content[at + len(damage) :])
    found = ReceivedDays(tmp_path).since(1)
    assert found is None or all(len(day) == len("YYYY/MM/DD") for day in found)


def test_processes_note_side_by_side(tmp_path: Path) -> None:
    write_identity(tmp_path, ArchiveIdentity("A", 1))
    script = (
        "import sys; from pathlib import Path; from pacsd.storage.identity import ReceivedDays\n"
        "days = ReceivedDays(Path(sys.argv[1]), sync=False)\n"
        "sys.stdin.readline()\n"
        "[days.note(f'2026/{month:02}/{int(sys.argv[2]):02}') for month in range(1, 13)]"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(number)], stdin=subprocess.PIPE)
        for number in range(1, 5)
    ]
    for process in started:
        process.communicate(b"\n", timeout=30)
        assert process.returncode == 0
    assert ReceivedDays(tmp_path).since(1) == [
        f"2026/{month:02}/{number:02}" for month in range(1, 13) for number in range(1, 5)
    ]


def test_a_disk_that_takes_half_a_note_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day is not noted then, and nothing may be published on it; the half does not hide what follows."""
    write_identity(tmp_path, ArchiveIdentity("A", 1))
    write, days = os.write, ReceivedDays(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
        with pytest.raises(StorageFull):
            days.note(DAYS[1])
    assert days.since(1) == []
    days.note(DAYS[1])
    assert days.since(1) == [DAYS[1]]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_identity(tmp_path, ArchiveIdentity("A", 1))

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFull):
        write_identity(tmp_path, ArchiveIdentity("A", 2))
    monkeypatch.undo()
    assert read_identity(tmp_path) == ArchiveIdentity("A", 1), "the former one stays whole"


def test_a_running_server_notes_its_generation_whatever_the_file_says(tmp_path: Path) -> None:
    """Else what came while it was missing would be of generation 0, at which no sweep looks again."""
    write_identity(tmp_path, ArchiveIdentity("A", 7))
    (tmp_path / ARCHIVE).unlink()
    ReceivedDays(tmp_path, generation=7).note(DAYS[1])
    assert ReceivedDays(tmp_path).since(7) == [DAYS[1]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"identity": "A", "generation": 7}', None),
        (
            None,
            "archive.json is missing: is the disk of the storage root mounted? If it is, restart the server",
        ),
        (b"\0\xff", "archive.json is damaged: move it away and restart the server"),
        (b"[]", "archive.json is damaged: move it away and restart the server"),
        (b'{"identity": "B", "generation": 7}', "archive.json is another archive's"),
        (b'{"identity": "A", "generation": 8}', "another server has been started on this store"),
        (
            b'{"identity": "A", "generation": 6}',
            "an older one than this server has written: restart the server",
        ),
    ],
)
def test_what_a_store_no_longer_says_is_told_with_what_to_do(
    tmp_path: Path, content: bytes | None, told: str | None
) -> None:
    if content is not None:
        (tmp_path / ARCHIVE).write_bytes(content)
    fault = identity_fault(tmp_path, ArchiveIdentity("A", 7))
    assert fault is None if told is None else told in str(fault)


def test_an_identity_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).mkdir()
    assert "Is a directory" in str(identity_fault(tmp_path, ArchiveIdentity("A", 7)))
