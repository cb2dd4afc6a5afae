"""An archive on fakes or on a real store, and instances to send to it that are as wrong as a test wants them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pacsd.model import CommitOutcome, DuplicatePolicy
from pacsd.services.ingest import IncomingInstance, Ingest
from pacsd.services.intake import Intake
from support.constructed import encode, simple_dataset
from support.counted_metrics import CountedMetrics
from support.fake_index import FakeIndex
from support.memory_store import MemoryStore
from support.service_parts import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pacsd.index.repository import Index
    from pacsd.storage.filesystem import FileStore
    from support.instance import Instance

_UIDS = {
    "SOPClassUID": b"\x08\0\x16\0UI",
    "SOPInstanceUID": b"\x08\0\x18\0UI",
    "StudyInstanceUID": b"\x20\0\x0d\0UI",
    "SeriesInstanceUID": b"\x20\0\x0e\0UI",
}


@dataclass
class Archive:
    """An Ingest on fakes that share one journal."""

    duplicates: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST
    journal: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.store = MemoryStore(self.journal, self.failures)
        self.index = FakeIndex(self.duplicates, self.journal, self.failures)
        metrics = CountedMetrics(self.failures)
        self.batches, self.outcomes = metrics.batches, metrics.outcomes
        self.ingest = Ingest(
            self.store,
            self.index,
            metrics=metrics,
            now=lambda: NOW,
            clock=lambda: 0.0,
        )

    def take(self, instance: Instance, fragments: Iterable[bytes] | None = None) -> CommitOutcome:
        return Intake(self.ingest).receive(
            incoming(instance), [instance.dataset] if fragments is None else fragments
        )()

    def holds_nothing(self) -> bool:
        return not (self.store.files or self.store.incoming or self.index.records)


def take(
    store: FileStore, index: Index | FakeIndex, instance: Instance, *, received: datetime = NOW
) -> CommitOutcome:
    """Take an instance in with a real store, as a server does that receives it at this moment."""
    ingest = Ingest(
        store,
        index,
        metrics=CountedMetrics(),
        now=lambda: received,
        clock=lambda: 0.0,
    )
    return Intake(ingest).receive(incoming(instance), [instance.dataset])()


def incoming(instance: Instance, **changes: Any) -> IncomingInstance:
    """What a C-STORE request of a known sender says of an instance."""
    fields: dict[str, Any] = {
        "sop_class_uid": instance.sop_class_uid,
        "sop_instance_uid": instance.sop_instance_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "calling_ae_title": "MODALITY",
        "may_correct": True,
    }
    return IncomingInstance(**{**fields, **changes})


def altered(number: int = 1, **attributes: Any) -> Instance:
    """A small instance in Explicit VR Little Endian with other attributes; None takes one away."""
    dataset = simple_dataset(number)
    named = encode(dataset, "altered")
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return replace(named, dataset=buffer.getvalue())


def with_raw_uid(instance: Instance, keyword: str, uid: str) -> Instance:
    """The instance, in Explicit VR Little Endian, with a UID that pydicom would not write."""
    data, start = instance.dataset, instance.dataset.index(_UIDS[keyword])
    behind = start + 8 + int.from_bytes(data[start + 6 : start + 8], "little")
    value = uid.encode() + b"\0" * (len(uid) % 2)
    changed = data[: start + 6] + len(value).to_bytes(2, "little") + value + data[behind:]
    return replace(instance, dataset=changed)
