"""The catalogue in memory; `tests/pacsd/services/test_index_contract.py` holds it to what the real one does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacsd.errors import DatasetInvalid, IdentifierInvalid
from pacsd.model import (
    CommitOutcome,
    CommitResult,
    DuplicatePolicy,
    ExtraKeysBuild,
    FindQuery,
    IndexState,
    InstanceRecord,
    InstanceSelection,
    QueryLevel,
    QueryModel,
    StoredInstance,
    WorkProgress,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from pacsd.effort import Effort
    from pacsd.model import ArchiveIdentity
    from pacsd.services.ports import Catalogue

UNIQUE_KEYS = {
    QueryLevel.PATIENT: "PatientID",
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.IMAGE: "SOPInstanceUID",
}
_OUTCOMES = {DuplicatePolicy.REPLACE: CommitOutcome.REPLACED, DuplicatePolicy.REJECT: CommitOutcome.REJECTED}


class FakeMatches:
    """Pages that come from wherever; which one is the last is only known when no other follows."""

    def __init__(self, pages: Generator[Sequence[Mapping[str, str]], None, None]) -> None:
        self.is_exhausted = False
        self._pages = pages

    def __iter__(self) -> Iterator[Sequence[Mapping[str, str]]]:
        return self._pages

    def close(self) -> None:
        self._pages.close()


@dataclass(slots=True)
class FakeIndex:
    """Records by SOP Instance UID, in order of receipt.

    `journal` and `failures` as in MemoryStore. `before_match`, if set, is called with the number of each match
    before it is handed out.
    """

    duplicates: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST
    journal: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    records: dict[str, InstanceRecord] = field(default_factory=dict)
    before_match: Callable[[int], None] | None = None
    archive: ArchiveIdentity | None = None
    swept_generation: int = 0
    progress: dict[str, WorkProgress] = field(default_factory=dict)

    def note(self, effect: str) -> None:
        self.journal.append(effect)
        if effect in self.failures:
            raise self.failures[effect]

    def commit(self, records: Sequence[InstanceRecord]) -> Sequence[CommitResult | DatasetInvalid]:
        self.note("committing")
        results = [self._keep(record) for record in records]
        self.note("committed")
        return results

    def _keep(self, record: InstanceRecord) -> CommitResult | DatasetInvalid:
        uid = record.sop_instance_uid
        if not (uid and record.study_instance_uid and record.series_instance_uid and record.sop_class_uid):
            return DatasetInvalid("no UID")
        kept = self.records.get(uid)
        if kept is None:
            self.records[uid] = record
            return CommitResult(CommitOutcome.STORED)
        has_checksum = kept.checksum == record.checksum or kept.checksum in record.other_checksums
        is_same = has_checksum and kept.transfer_syntax_uid == record.transfer_syntax_uid
        may_heal = is_same or record.may_correct or record.is_from_file
        if may_heal and kept.path == record.path:
            self.records[uid] = record
            own = all(
                getattr(kept, name) == getattr(record, name)
                for name in ("checksum", "transfer_syntax_uid", "size", "dataset_offset")
            )
            return CommitResult(CommitOutcome.STORED if own else CommitOutcome.HEALED)
        distrusted = record.distrusted
        is_distrusted = distrusted is not None and (kept.path, kept.checksum) == (
            distrusted.path,
            distrusted.checksum,
        )
        if may_heal and is_distrusted:
            self.records[uid] = record
            return CommitResult(CommitOutcome.HEALED, kept.path)
        if is_same:
            return CommitResult(CommitOutcome.IDENTICAL, _unused(record.path, kept.path))
        outcome = _OUTCOMES.get(self.duplicates, CommitOutcome.KEPT_FIRST)
        is_own = kept.calling_ae_title == record.calling_ae_title
        if self.duplicates is DuplicatePolicy.REPLACE_OWN and is_own:
            outcome = CommitOutcome.REPLACED
        if outcome is CommitOutcome.REPLACED and not record.may_correct:
            outcome = CommitOutcome.KEPT_FIRST
        if outcome is CommitOutcome.REPLACED:
            self.records[uid] = record
            return CommitResult(outcome, _unused(kept.path, record.path))
        return CommitResult(outcome, _unused(record.path, kept.path))

    def unknown_paths(self, paths: Sequence[str]) -> list[str]:
        known = {record.path for record in self.records.values()}
        return [path for path in paths if path not in known]

    def has_path(self, path: str) -> bool:
        self.note("has path")
        return any(record.path == path for record in self.records.values())

    def find_by_sop_instance_uid(self, sop_instance_uid: str) -> StoredInstance | None:
        self.note("find by SOP Instance UID")
        record = self.records.get(sop_instance_uid)
        return None if record is None else _stored(record)

    def forget(self, sop_instance_uid: str, path: str) -> bool:
        record = self.records.get(sop_instance_uid)
        if record is None or record.path != path:
            return False
        del self.records[sop_instance_uid]
        return True

    def stored_after(self, path: str, most: int) -> Sequence[StoredInstance]:
        stored = sorted(map(_stored, self.records.values()), key=lambda each: each.path)
        return [each for each in stored if each.path > path][:most]

    def count_instances(self) -> int:
        return len(self.records)

    def refresh(self, attributes: Mapping[str, Mapping[str, str]]) -> int:
        changed = {
            uid: replace(record, attributes={**record.attributes, **attributes[record.path]})
            for uid, record in self.records.items()
            if record.path in attributes and not attributes[record.path].items() <= record.attributes.items()
        }
        self.records.update(changed)
        return len(changed)

    def state(self) -> IndexState:
        identity, generation = (
            ("", 0) if self.archive is None else (self.archive.identity, self.archive.generation)
        )
        return IndexState(identity or None, generation, self.swept_generation, bool(self.records))

    def claim(self, identity: ArchiveIdentity, *, swept_generation: int, anew: bool = False) -> None:
        is_other = self.archive is None or self.archive.identity != identity.identity
        if anew or is_other or self.swept_generation > swept_generation:
            self.progress.clear()
        self.archive, self.swept_generation = identity, swept_generation

    def note_swept(self, generation: int) -> None:
        self.swept_generation = generation

    def progress_of(self, work: str) -> WorkProgress | None:
        return self.progress.get(work)

    def note_progress(self, work: str, reached: WorkProgress) -> None:
        self.progress[work] = reached

    def registered_extra_keys(self) -> Collection[str]:
        return ()

    def unbuilt_extra_keys(self) -> Sequence[ExtraKeysBuild]:
        return ()

    def build_extra_keys(self, build: ExtraKeysBuild) -> ExtraKeysBuild:
        return replace(build, position=build.last)

    def remove_extra_values(self) -> int:
        return 0

    def unsupported_keys(self, query: FindQuery) -> tuple[str, ...]:
        return tuple(keyword for keyword in query.keys if _vr(keyword) in ("SQ", "OB", "OW", "UN"))

    def find(self, query: FindQuery, effort: Effort | None = None) -> FakeMatches:
        self.note("find")
        if query.model is QueryModel.STUDY_ROOT and query.level is QueryLevel.PATIENT:
            raise IdentifierInvalid("no PATIENT level", keywords=("QueryRetrieveLevel",))
        unsupported = self.unsupported_keys(query)
        entities = {
            record.attributes.get(UNIQUE_KEYS[query.level], ""): record
            for record in reversed(self.records.values())
            if all(
                _matches(key, record.attributes.get(keyword, ""))
                for keyword, key in query.keys.items()
                if keyword not in unsupported
            )
        }
        return FakeMatches(self._answers(query, list(reversed(entities.values())), unsupported))

    def _answers(
        self, query: FindQuery, found: Sequence[InstanceRecord], unsupported: tuple[str, ...]
    ) -> Generator[Sequence[Mapping[str, str]], None, None]:
        for number, record in enumerate(found):
            if self.before_match is not None:
                self.before_match(number)
            yield [
                {
                    keyword: "" if keyword in unsupported else record.attributes.get(keyword, "")
                    for keyword in query.keys
                }
            ]

    def locate(self, chosen: InstanceSelection, effort: Effort | None = None) -> Sequence[StoredInstance]:
        self.note("locate")
        given = {
            QueryLevel.PATIENT: (chosen.patient_id,) if chosen.patient_id else (),
            QueryLevel.STUDY: chosen.study_instance_uids,
            QueryLevel.SERIES: chosen.series_instance_uids,
            QueryLevel.IMAGE: chosen.sop_instance_uids,
        }
        if not given[chosen.level]:
            keyword = UNIQUE_KEYS[chosen.level]
            raise IdentifierInvalid(f"{keyword} is missing", keywords=(keyword,))
        if chosen.model is QueryModel.STUDY_ROOT:
            del given[QueryLevel.PATIENT]
        return [
            _stored(record)
            for record in self.records.values()
            if all(
                not values or record.attributes.get(UNIQUE_KEYS[level], "") in values
                for level, values in given.items()
            )
        ]


def _unused(path: str, kept: str) -> str | None:
    return None if path == kept else path


def _vr(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    return "UN" if tag is None else dictionary_VR(tag)


def _matches(key: str, value: str) -> bool:
    return not key or any(fnmatchcase(value, pattern) for pattern in key.split("\\"))


def _stored(record: InstanceRecord) -> StoredInstance:
    return StoredInstance(**{name: getattr(record, name) for name in StoredInstance.__dataclass_fields__})


if TYPE_CHECKING:

    def _held_to_the_port(index: FakeIndex) -> Catalogue:
        return index
