"""What a sweep is tried with: files without a row, and a sweep of all of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from pacsd.model import DuplicatePolicy, FindQuery, QueryLevel, QueryModel
from pacsd.services.archive import EVERYTHING, begin_generation
from pacsd.services.records import record_of_file
from pacsd.services.sweep import Sweeping, complete_index, remove_half_files
from pacsd.storage.filesystem import FileStore
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.fake_archive import take
from support.fake_index import FakeIndex
from support.matches import matches_of
from support.memory_store import MemoryStore
from support.service_parts import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pacsd.index.repository import Index
    from support.instance import Instance

Store = FileStore | MemoryStore
RECEIVED = NOW


def take_without_row(store: Store, instance: Instance, *, received: datetime = RECEIVED) -> str:
    """Store a file as a crash leaves it between its renaming and the commit; return its path."""
    before = set(store.published())
    take(store, FakeIndex(), instance, received=received)
    (path,) = set(store.published()) - before
    return path


def sweeping(
    store: Store,
    index: Index | FakeIndex,
    *,
    policy: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST,
    **parts: Any,
) -> Sweeping:
    read_record = partial(record_of_file, store, checksum_algorithm="xxh3_128")
    return Sweeping(store, index, **{"read_record": read_record, "policy": policy, **parts})


def run_sweep(
    store: Store, index: Index, *, policy: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST
) -> list[dict[str, Any]]:
    """Look at all files; return what was logged, the closing line last."""
    with capture_logs() as logs:
        remove_half_files(store)
        assert complete_index(
            sweeping(store, index, policy=policy),
            swept_generation=EVERYTHING,
            generation=1,
            now=lambda: RECEIVED,
        )
    assert FAMILY_NAME not in str(logs)
    assert PATIENT_ID not in str(logs)
    return [dict(line) for line in logs if line["event"] != "index-is-completed"]


def start(store: Store, index: Index, *, is_stopped: Callable[[], bool] = lambda: False) -> bool:
    """Begin a generation, as a server does, and complete the index; return whether that came to its end."""
    begun = begin_generation(store, index)
    return complete_index(
        sweeping(store, index, is_stopped=is_stopped),
        swept_generation=index.state().swept_generation,
        generation=begun.generation,
    )


def patient_names(index: Index) -> list[str]:
    query = FindQuery(model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, keys={"PatientName": ""})
    return [match["PatientName"] for match in matches_of(index, query)]
