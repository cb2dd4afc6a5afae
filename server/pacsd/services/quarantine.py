"""Taking an instance out of service by command, and putting it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pacsd.errors import DatasetInvalid, InstanceDamaged, QuarantineRefused, StorageUnavailable
from pacsd.model import CommitOutcome, InstanceRecord
from pacsd.services.ports import BlobStore, Catalogue
from pacsd.services.verification import open_instance, verify_file

__all__ = [
    "QuarantinedInstance",
    "quarantine_instance",
    "restore_file",
]


@dataclass(frozen=True, slots=True)
class QuarantinedInstance:
    """An instance that was taken out of service."""

    name: str | None
    """Of its file in quarantine; None where the file is missing."""
    fault: str = ""
    """How its file differs from what the index had recorded of it; "" where it does not."""


def quarantine_instance(
    store: BlobStore, index: Catalogue, sop_instance_uid: str, reason: str
) -> QuarantinedInstance:
    """Take an instance out of service: it is found no more, and stored anew when it is sent again.

    Raises QuarantineRefused where the index knows no such instance.
    """
    kept = index.find_by_sop_instance_uid(sop_instance_uid)
    if kept is None:
        raise QuarantineRefused(f"the index has no instance {sop_instance_uid}")
    store.note_day(kept.path)
    # Announced first, and then the row: a sweep completes what was announced, and never indexes it again.
    name = store.announce_quarantine(kept.path, reason, kept)
    if not index.forget(kept.sop_instance_uid, kept.path):
        store.withdraw_quarantine(name)
        raise QuarantineRefused(f"{sop_instance_uid} was replaced just now: look at it again")
    if store.complete_quarantine(name, kept.path) is None:
        return QuarantinedInstance(None)
    return QuarantinedInstance(name, _fault_of(store, name))


def _fault_of(store: BlobStore, name: str) -> str:
    """Return how a file in quarantine differs from what was recorded of it, "" where it does not or nobody knows."""
    recorded = store.recorded_of_quarantined(name)
    if recorded is None:
        return ""
    try:
        with open_instance(store, recorded) as file:
            verify_file(file, recorded, by="checksum")
    except (InstanceDamaged, StorageUnavailable) as error:
        return str(error)
    return ""


def restore_file(
    store: BlobStore,
    index: Catalogue,
    name: str,
    read_record: Callable[[str], InstanceRecord],
) -> str:
    """Put a file in quarantine back into service and return its path; it leaves the quarantine only after that.

    `index` must keep the first of duplicates. Raises QuarantineRefused where the file differs from what was recorded of
    it, or the index names another file for its instance; DatasetInvalid where it is no complete instance;
    StorageUnavailable.
    """
    # First of all: the record that is made below would call a damaged file's content the right one.
    if fault := _fault_of(store, name):
        raise QuarantineRefused(
            f"{fault}, so it stays in quarantine: send the instance again, or put a whole copy from a backup in this "
            "file's place"
        )
    path = store.copy_from_quarantine(name)
    store.make_names_durable([path])
    try:
        (result,) = index.commit([read_record(path)])
    except DatasetInvalid as error:
        result = error
    if not isinstance(result, DatasetInvalid) and index.has_path(path):
        store.purge(name)
        return path
    store.remove(path)
    if isinstance(result, DatasetInvalid):
        raise result
    same = "the same content" if result.outcome is CommitOutcome.IDENTICAL else "other content"
    raise QuarantineRefused(
        f"another file with {same} is kept for its instance: take that one out of service first "
        "(pacsd quarantine add), or purge this one"
    )
