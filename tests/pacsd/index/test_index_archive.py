"""What the index says of itself, who may write to it, and how far long work has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from contents import row_counts
from records import record

from pacsd.errors import ArchiveInUse, IndexUnavailable
from pacsd.model import ArchiveIdentity, IndexState, WorkProgress
from support.rows import paths_of

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_a_new_index_says_nothing(index: Index) -> None:
    assert index.state() == IndexState(None, 0, 0, has_instances=False)
    assert index.progress_of("sweep") is None
    assert index.count_instances() == 0


def test_it_belongs_to_who_claims_it(index: Index) -> None:
    index.claim(ArchiveIdentity("A", 7), swept_generation=6)
    assert index.state() == IndexState("A", 7, 6, has_instances=False)
    index.commit([record(f"1.2.3.{number}") for number in range(3)])
    index.claim(ArchiveIdentity("B", 8), swept_generation=0)
    assert index.state() == IndexState("B", 8, 0, has_instances=True)
    assert index.count_instances() == 3


def test_what_was_swept_is_noted(index: Index) -> None:
    index.claim(ArchiveIdentity("A", 7), swept_generation=0)
    index.note_swept(7)
    assert index.state() == IndexState("A", 7, 7, has_instances=False)


PROGRESS = [
    WorkProgress(began_at=BEGAN),
    WorkProgress(
        began_at=BEGAN,
        ended_at=BEGAN + timedelta(days=1),
        position="day 2026/01/02",
        done=2**40,
        total=2**41,
        faults=3,
    ),
    WorkProgress(began_at=BEGAN, position="2026/01/02/1.2/1.3/1.4.dcm", done=1, total=0),
]


@pytest.mark.parametrize("progress", PROGRESS)
def test_progress_comes_back_as_it_went(index: Index, open_index: OpenIndex, progress: WorkProgress) -> None:
    index.note_progress("scrub", PROGRESS[-1])
    index.note_progress("scrub", progress)
    back = open_index().progress_of("scrub")
    assert back == progress
    assert back.began_at.utcoffset() == timedelta(0)
    assert index.progress_of("verify") is None


@pytest.mark.parametrize(
    ("identity", "swept", "kept"),
    [("A", 6, True), ("A", 7, True), ("A", 0, False), ("B", 6, False)],
)
def test_progress_counts_for_the_same_archive_only(
    index: Index, identity: str, swept: int, *, kept: bool
) -> None:
    index.claim(ArchiveIdentity("A", 7), swept_generation=6)
    index.note_progress("scrub", PROGRESS[0])
    index.claim(ArchiveIdentity(identity, 8), swept_generation=swept)
    assert (index.progress_of("scrub") is not None) == kept


def test_unknown_paths_are_told_in_their_order(index: Index) -> None:
    known = [record(f"1.2.3.{number}") for number in range(1, 6)]
    index.commit(known)
    asked = [path for each in known for path in (each.path, f"{each.path}-1")]
    assert index.unknown_paths(asked) == [f"{each.path}-1" for each in known]
    assert index.unknown_paths([]) == []
    assert index.unknown_paths([f"{number}" for number in range(1500)]) == [str(n) for n in range(1500)]


def test_what_is_forgotten_leaves_nothing_empty(index: Index) -> None:
    index.commit(
        [
            record("1.2.3.1", series="1.2.2.1", study="1.2.1.1", PatientID="P1"),
            record("1.2.3.2", series="1.2.2.1", study="1.2.1.1", PatientID="P1"),
            record("1.2.3.3", series="1.2.2.2", study="1.2.1.1", PatientID="P1"),
            record("1.2.3.4", series="1.2.2.3", study="1.2.1.2", PatientID="P1"),
            record("1.2.3.5", series="1.2.2.4", study="1.2.1.3", PatientID="P2"),
        ]
    )
    left = [(2, 3, 4, 4), (2, 3, 3, 3), (2, 2, 2, 2), (1, 1, 1, 1), (0, 0, 0, 0)]
    paths = paths_of(index)
    for number, counts in enumerate(left, start=1):
        (path,) = [path for path in paths if path.endswith(f"1.2.3.{number}.dcm")]
        assert not index.forget(f"1.2.3.{number}", "another/file.dcm"), "it was replaced meanwhile"
        assert index.forget(f"1.2.3.{number}", path)
        assert not index.forget(f"1.2.3.{number}", path)
        found = row_counts(index)
        assert tuple(found[name] for name in ("patients", "studies", "series", "instances")) == counts
    index.commit([record("1.2.3.1")])
    assert index.count_instances() == 1


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""SQLite's index is owned by a lock on a file; see tests/pacsd/test_ownership.py."""


@on_postgresql
def test_a_living_writer_keeps_its_index(index: Index, open_index: OpenIndex) -> None:
    index.claim(ArchiveIdentity("A", 1), swept_generation=0)
    writer = open_index(generation=1)
    writer.commit([record()])
    with pytest.raises(
        ArchiveInUse, match=r"another pacsd is connected .*process \d+ of PostgreSQL.*stop it"
    ):
        index.claim(ArchiveIdentity("A", 2), swept_generation=0)
    assert index.state().generation == 1
    writer.commit([record("1.2.3.2")])
    writer.dispose()
    index.claim(ArchiveIdentity("A", 2), swept_generation=0)
    assert index.state().generation == 2


@on_postgresql
def test_readers_and_commands_do_not_keep_a_server_from_starting(index: Index, open_index: OpenIndex) -> None:
    index.claim(ArchiveIdentity("A", 1), swept_generation=0)
    command, worker = open_index(), open_index(generation=1)
    command.commit([record()])
    assert worker.count_instances() == 1
    index.claim(ArchiveIdentity("A", 2), swept_generation=0)


@on_postgresql
def test_who_was_overtaken_writes_no_more(index: Index, open_index: OpenIndex) -> None:
    """All connections of a server broke, and another server was started before it came back."""
    index.claim(ArchiveIdentity("A", 1), swept_generation=0)
    overtaken = open_index(generation=1)
    overtaken.commit([record()])
    overtaken.dispose()
    index.claim(ArchiveIdentity("A", 2), swept_generation=0)
    for _ in range(2):
        with pytest.raises(
            IndexUnavailable, match="another server has been started on this index"
        ) as refused:
            overtaken.commit([record("1.2.3.2")])
        assert not refused.value.may_be_written
        with pytest.raises(IndexUnavailable, match="another server"):
            overtaken.note_swept(1)
    assert overtaken.count_instances() == 1, "it may read"
    open_index(generation=2).commit([record("1.2.3.2")])
    assert index.count_instances() == 2
    # A connection that was turned away holds no lock either.
    open_index(generation=2).dispose()
