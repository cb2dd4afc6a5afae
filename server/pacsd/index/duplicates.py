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
    size: int
    dataset_offset: int


_OUTCOME: Final = {
    DuplicatePolicy.KEEP_FIRST: CommitOutcome.KEPT_FIRST,
    DuplicatePolicy.REPLACE: CommitOutcome.REPLACED,
    DuplicatePolicy.REJECT: CommitOutcome.REJECTED,
}


def kept_as(record: InstanceRecord) -> Kept:
    """The content that a record brings."""
    return Kept(record.checksum, record.transfer_syntax_uid, record.path, record.size, record.dataset_offset)


def result_for(record: InstanceRecord, kept: Kept | None, policy: DuplicatePolicy) -> CommitResult:
    """Decide on one record."""
    if kept is None:
        return CommitResult(CommitOutcome.STORED)
    if kept.path == record.path:
        # Its own row, which an attempt has written whose answer was lost; or else that of a file which is gone, as the
        # new one got its name.
        return CommitResult(CommitOutcome.STORED if kept == kept_as(record) else CommitOutcome.HEALED)
    if kept.path == record.distrusted_path:
        return CommitResult(CommitOutcome.HEALED, kept.path)
    if kept.transfer_syntax_uid == record.transfer_syntax_uid and (
        kept.checksum == record.checksum or kept.checksum in record.other_checksums
    ):
        outcome = CommitOutcome.IDENTICAL
    else:
        outcome = _OUTCOME[policy]
    return CommitResult(outcome, kept.path if outcome is CommitOutcome.REPLACED else record.path)
