"""What becomes of a record whose SOP Instance UID is already kept, in the database or by the same batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pacsd.model import CommitOutcome, CommitResult, DuplicatePolicy

if TYPE_CHECKING:
    from pacsd.model import InstanceRecord

__all__ = ["Kept", "kept_as", "result_for"]


@dataclass(frozen=True, slots=True)
class Kept:
    """The content that is kept under one SOP Instance UID."""

    checksum: str
    transfer_syntax_uid: str
    path: str


_OUTCOME: Final = {
    DuplicatePolicy.KEEP_FIRST: CommitOutcome.KEPT_FIRST,
    DuplicatePolicy.REPLACE: CommitOutcome.REPLACED,
    DuplicatePolicy.REJECT: CommitOutcome.REJECTED,
}


def kept_as(record: InstanceRecord) -> Kept:
    """The content that a record brings."""
    return Kept(record.checksum, record.transfer_syntax_uid, record.path)


def result_for(record: InstanceRecord, kept: Kept | None, policy: DuplicatePolicy) -> CommitResult:
    """Decide on one record. A path that stays in use is never called obsolete, even if both have the same."""
    if kept is None:
        return CommitResult(CommitOutcome.STORED)
    if (kept.checksum, kept.transfer_syntax_uid) == (record.checksum, record.transfer_syntax_uid):
        # Its own row: an attempt has written it whose answer was lost.
        outcome = CommitOutcome.STORED if kept.path == record.path else CommitOutcome.IDENTICAL
    else:
        outcome = _OUTCOME[policy]
    unused = kept.path if outcome is CommitOutcome.REPLACED else record.path
    return CommitResult(outcome, None if kept.path == record.path else unused)
