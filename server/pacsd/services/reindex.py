"""Making the index say of what is stored already what it says of new instances.

That is what extra keys need of the instances that were stored before they were configured, and, from the files, what
an older version kept less of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pacsd.errors import DatasetInvalid, ReindexRefused, StorageUnavailable
from pacsd.model import ExtraKeysBuild, StoredInstance, WorkProgress
from pacsd.services.ports import Catalogue, ExtraKeys

__all__ = ["REREAD", "Reindexed", "Reread", "reindex", "reread_files"]

REREAD: Final = "reread"
"""The name in the index of the progress of reading headers again."""
_FILES_IN_ONE_TRANSACTION: Final = 100


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was done: the keys that are complete now and were not, and the values removed of others."""

    keywords: tuple[str, ...]
    removed: int


def reindex(
    index: ExtraKeys,
    configured: Collection[str],
    *,
    report: Callable[[ExtraKeysBuild], None] = lambda _: None,
) -> Reindexed:
    """Build what is not built, and remove what nobody asks for any more; `report` is told after each step.

    Beside a running server, and as often as one likes: what was done stays done. Raises ReindexRefused where no
    server has been started with these keys: one that knows nothing of them might store without them meanwhile.
    """
    unknown = sorted(set(configured) - set(index.registered_extra_keys()))
    if unknown:
        raise ReindexRefused(
            f"no server has been started with {', '.join(unknown)} in index.extra_keys: "
            "start it again, then run `pacsd reindex`"
        )
    keywords: list[str] = []
    for build in index.unbuilt_extra_keys():
        report(build)
        # Once at least: where there is no row to build, that has still to be noted.
        is_done = False
        while not is_done:
            build = index.build_extra_keys(build)
            report(build)
            is_done = build.is_done
        keywords += build.keywords
    removed = 0
    while some := index.remove_extra_values():
        removed += some
    return Reindexed(tuple(sorted(keywords)), removed)


@dataclass(frozen=True, slots=True)
class Reread:
    """What was found so far: files that were read, rows that changed by it, and files that could not be read.

    `earlier` are the files that were read by a run that was ended half way.
    """

    read: int = 0
    changed: int = 0
    unreadable: int = 0
    earlier: int = 0


def reread_files(
    index: Catalogue,
    read_attributes: Callable[[str], Mapping[str, str]],
    *,
    report: Callable[[Reread], None] = lambda _: None,
    report_unreadable: Callable[[str, str], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Reread:
    """Bring the rows of all stored files up to date; `report` is told after each step.

    Beside a running server. A run that was ended half way is taken up where it was. `read_attributes` gives those of a
    file by its path; one that it cannot read, or that is another instance than its row says, keeps its row as it is,
    and `report_unreadable` is told its path and why.
    """
    progress = index.progress_of(REREAD)
    if progress is None or progress.ended_at is not None:
        progress = WorkProgress(began_at=now())
    done = Reread(earlier=progress.done)
    for stored in _pages(index, progress.position):
        attributes = {}
        for instance in stored:
            try:
                attributes[instance.path] = _attributes(instance, read_attributes)
            except (DatasetInvalid, StorageUnavailable) as error:
                report_unreadable(instance.path, str(error))
        done = Reread(
            done.read + len(attributes),
            done.changed + (index.refresh(attributes) if attributes else 0),
            done.unreadable + len(stored) - len(attributes),
            done.earlier,
        )
        progress = replace(
            progress,
            position=stored[-1].path,
            done=progress.done + len(stored),
            faults=progress.faults + len(stored) - len(attributes),
        )
        index.note_progress(REREAD, progress)
        report(done)
    index.note_progress(REREAD, replace(progress, ended_at=now()))
    return done


def _pages(index: Catalogue, path: str) -> Iterator[Sequence[StoredInstance]]:
    while stored := index.stored_after(path, _FILES_IN_ONE_TRANSACTION):
        yield stored
        path = stored[-1].path


def _attributes(
    instance: StoredInstance, read_attributes: Callable[[str], Mapping[str, str]]
) -> Mapping[str, str]:
    attributes = read_attributes(instance.path)
    if attributes.get("SOPInstanceUID") != instance.sop_instance_uid:
        raise DatasetInvalid("the file holds another instance than the index says", mismatch=True)
    return attributes
