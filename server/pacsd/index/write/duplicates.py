"""What becomes of a record whose SOP Instance UID is already kept, in the database or by the same batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pacsd.model import CommitOutcome, CommitResult, DuplicatePolicy
from pacsd.query import normalization

if TYPE_CHECKING:
    from pacsd.model import InstanceRecord

__all__ = ["Kept", "kept_as", "result_for"]


@dataclass(frozen=True, slots=True)
class Kept:
    """The content that is kept under one SOP Instance UID."""

    checksum: str
    transfer_syntax_uid: str
    path: str
    size: int
    dataset_offset: int
    calling_ae_title: str


_STAYS: Final = {DuplicatePolicy.REJECT: CommitOutcome.REJECTED}
"""What it is called that other content stays; `KEPT_FIRST` under the other policies."""


def kept_as(record: InstanceRecord) -> Kept:
    """The content that a record brings."""
    return Kept(
        record.checksum,
        record.transfer_syntax_uid,
        record.path,
        record.size,
        record.dataset_offset,
        normalization.text(record.calling_ae_title),
    )


def result_for(record: InstanceRecord, kept: Kept | None, policy: DuplicatePolicy) -> CommitResult:
    """Decide on one record."""
    if kept is None:
        return CommitResult(CommitOutcome.STORED)
    is_same = kept.transfer_syntax_uid == record.transfer_syntax_uid and (
        kept.checksum == record.checksum or kept.checksum in record.other_checksums
    )
    # Who may correct nothing must not put other content in the place of what is damaged either.
    may_heal = is_same or record.may_correct or record.is_from_file
    if kept.path == record.path:
        if kept == kept_as(record):
            # Its own row, which an attempt has written whose answer was lost.
            return CommitResult(CommitOutcome.STORED)
        # What is kept is another file, gone since, whose name somebody has given to this one.
        return CommitResult(CommitOutcome.HEALED) if may_heal else _stays(record, policy)
    distrusted = record.distrusted
    # Not only the path: earlier versions gave the name of a file that was removed to a later one.
    if distrusted is not None and (kept.path, kept.checksum) == (distrusted.path, distrusted.checksum):
        return CommitResult(CommitOutcome.HEALED, kept.path) if may_heal else _stays(record, policy)
    if is_same:
        return CommitResult(CommitOutcome.IDENTICAL, record.path)
    if _gives_way(kept, record, policy):
        return CommitResult(CommitOutcome.REPLACED, kept.path)
    return _stays(record, policy)


def _stays(record: InstanceRecord, policy: DuplicatePolicy) -> CommitResult:
    return CommitResult(_STAYS.get(policy, CommitOutcome.KEPT_FIRST), record.path)


def _gives_way(kept: Kept, record: InstanceRecord, policy: DuplicatePolicy) -> bool:
    """Whether other content takes the place of what is kept."""
    if not record.may_correct:
        return False
    if policy is DuplicatePolicy.REPLACE_OWN:
        return kept.calling_ae_title == normalization.text(record.calling_ae_title)
    return policy is DuplicatePolicy.REPLACE
