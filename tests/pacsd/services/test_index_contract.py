"""What services and SCP rely on in an index, tried on the real one and on the fake that other tests use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import DatasetInvalid, IdentifierInvalid
from pacsd.index.repository import Index
from pacsd.model import (
    ArchiveIdentity,
    CommitOutcome,
    CommitResult,
    DuplicatePolicy,
    FindQuery,
    IndexState,
    InstanceSelection,
    QueryLevel,
    QueryModel,
    WorkProgress,
)
from support.fake_index import FakeIndex
from support.matches import matches_of
from support.service_parts import NOW, record_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service_parts import OpenIndex

AnyIndex = FakeIndex | Index
STORED = CommitResult(CommitOutcome.STORED)


@pytest.fixture(params=["fake", "real"])
def open_any(request: pytest.FixtureRequest, open_index: OpenIndex) -> Callable[..., AnyIndex]:
    """Opens either index with a duplicates policy."""
    make: Callable[[DuplicatePolicy], AnyIndex] = FakeIndex if request.param == "fake" else open_index
    return lambda duplicates=DuplicatePolicy.KEEP_FIRST: make(duplicates)


@pytest.fixture
def index(open_any: Callable[..., AnyIndex]) -> AnyIndex:
    return open_any()


def found(index: AnyIndex, level: QueryLevel = QueryLevel.STUDY, **keys: str) -> list[dict[str, str]]:
    query = FindQuery(model=QueryModel.STUDY_ROOT, level=level, keys=keys)
    return [dict(match) for match in matches_of(index, query)]


def located(index: AnyIndex, level: QueryLevel, **keys: object) -> list[str]:
    chosen = InstanceSelection(model=QueryModel.STUDY_ROOT, level=level, **keys)  # type: ignore[arg-type]
    return [each.sop_instance_uid for each in index.locate(chosen)]


def test_a_batch_is_kept_and_answered_in_order(index: AnyIndex) -> None:
    batch = [record_of(1), record_of(2, SOPInstanceUID=""), record_of(3)]
    results = index.commit(batch)
    assert (results[0], results[2]) == (STORED, STORED)
    assert isinstance(results[1], DatasetInvalid)
    assert [index.has_path(record.path) for record in batch] == [True, False, True]


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_the_same_content_again_is_not_kept_twice(
    open_any: Callable[..., AnyIndex], policy: DuplicatePolicy
) -> None:
    index = open_any(policy)
    index.commit([record_of()])
    assert index.commit([record_of(path="again.dcm")]) == [CommitResult(CommitOutcome.IDENTICAL, "again.dcm")]
    assert index.commit([record_of()]) == [STORED]
    assert not index.has_path("again.dcm")


@pytest.mark.parametrize(
    ("policy", "outcome", "kept", "obsolete"),
    [
        (DuplicatePolicy.KEEP_FIRST, CommitOutcome.KEPT_FIRST, "old.dcm", "new.dcm"),
        (DuplicatePolicy.REJECT, CommitOutcome.REJECTED, "old.dcm", "new.dcm"),
        (DuplicatePolicy.REPLACE, CommitOutcome.REPLACED, "new.dcm", "old.dcm"),
        (DuplicatePolicy.REPLACE_OWN, CommitOutcome.REPLACED, "new.dcm", "old.dcm"),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_other_content_meets_the_policy(
    open_any: Callable[..., AnyIndex],
    policy: DuplicatePolicy,
    outcome: CommitOutcome,
    kept: str,
    obsolete: str,
    together: bool,
) -> None:
    index = open_any(policy)
    old, new = record_of(path="old.dcm"), record_of(path="new.dcm", checksum="xxh3_128:other")
    results = index.commit([old, new]) if together else [*index.commit([old]), *index.commit([new])]
    assert results == [STORED, CommitResult(outcome, obsolete)]
    assert index.has_path(kept)
    assert not index.has_path(obsolete)


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_a_row_says_of_its_file_what_the_file_is_now(
    open_any: Callable[..., AnyIndex], policy: DuplicatePolicy
) -> None:
    """The file was lost, and another one got its name."""
    index = open_any(policy)
    old, new = record_of(), record_of(checksum="xxh3_128:other", size=4321)
    index.commit([old])
    assert index.commit([new]) == [CommitResult(CommitOutcome.HEALED)]
    kept = index.find_by_sop_instance_uid(old.sop_instance_uid)
    assert kept is not None
    assert (kept.path, kept.checksum, kept.size) == (new.path, new.checksum, new.size)


@pytest.mark.parametrize("policy", DuplicatePolicy)
@pytest.mark.parametrize("checksum", ["xxh3_128:other", "xxh3_128:00"])
def test_a_distrusted_file_gives_way_whatever_the_policy(
    open_any: Callable[..., AnyIndex], policy: DuplicatePolicy, checksum: str
) -> None:
    index = open_any(policy)
    index.commit([record_of(path="old.dcm")])
    distrusted = index.find_by_sop_instance_uid(record_of().sop_instance_uid)
    new = replace(record_of(path="new.dcm", checksum=checksum), distrusted=distrusted)
    assert index.commit([new]) == [CommitResult(CommitOutcome.HEALED, "old.dcm")]
    assert index.has_path("new.dcm")
    assert not index.has_path("old.dcm")
    later = replace(record_of(path="third.dcm", checksum=checksum), distrusted=distrusted)
    assert index.commit([later]) == [CommitResult(CommitOutcome.IDENTICAL, "third.dcm")]


def test_universal_and_single_value_matching_find_studies(index: AnyIndex) -> None:
    index.commit([record_of(1), record_of(2), record_of(1, study=2, PatientID="P2")])
    assert found(index, StudyInstanceUID="", PatientID="") == [
        {"StudyInstanceUID": "1.2.1", "PatientID": "P1"},
        {"StudyInstanceUID": "1.2.2", "PatientID": "P2"},
    ]
    assert found(index, StudyInstanceUID="1.2.2") == [{"StudyInstanceUID": "1.2.2"}]
    assert found(index, StudyInstanceUID="1.2.1\\1.2.2") == [
        {"StudyInstanceUID": "1.2.1"},
        {"StudyInstanceUID": "1.2.2"},
    ]
    assert found(index, PatientID="P*", StudyInstanceUID="1.2.1") == [
        {"PatientID": "P1", "StudyInstanceUID": "1.2.1"}
    ]
    assert found(index, PatientID="P3") == []


def test_every_key_has_an_answer(index: AnyIndex) -> None:
    index.commit([record_of()])
    query = FindQuery(
        model=QueryModel.STUDY_ROOT,
        level=QueryLevel.STUDY,
        keys={"StudyInstanceUID": "", "StudyDescription": "", "ReferencedImageSequence": ""},
    )
    assert index.unsupported_keys(query) == ("ReferencedImageSequence",)
    assert [dict(match) for match in matches_of(index, query)] == [
        {"StudyInstanceUID": "1.2.1", "StudyDescription": "", "ReferencedImageSequence": ""}
    ]


def test_the_study_root_has_no_patients(index: AnyIndex) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        found(index, QueryLevel.PATIENT, PatientID="P1")
    assert refused.value.keywords == ("QueryRetrieveLevel",)


def test_instances_are_located_by_level(index: AnyIndex) -> None:
    index.commit([record_of(1), record_of(2), record_of(1, series=2), record_of(1, study=2)])
    study = ("1.2.1",)
    assert located(index, QueryLevel.STUDY, study_instance_uids=study) == [
        "1.2.1.1.1",
        "1.2.1.1.2",
        "1.2.1.2.1",
    ]
    assert located(
        index, QueryLevel.SERIES, study_instance_uids=study, series_instance_uids=("1.2.1.2",)
    ) == ["1.2.1.2.1"]
    assert located(
        index,
        QueryLevel.IMAGE,
        study_instance_uids=study,
        series_instance_uids=("1.2.1.1",),
        sop_instance_uids=("1.2.1.1.2", "1.2.9"),
    ) == ["1.2.1.1.2"]
    assert located(index, QueryLevel.STUDY, study_instance_uids=("1.2.9",)) == []


def test_a_located_instance_says_where_it_is(index: AnyIndex) -> None:
    record = replace(record_of(), size=12345, dataset_offset=345)
    index.commit([record])
    chosen = InstanceSelection(model=QueryModel.PATIENT_ROOT, level=QueryLevel.PATIENT, patient_id="P1")
    (stored,) = index.locate(chosen)
    for name in type(stored).__dataclass_fields__:
        assert getattr(stored, name) == getattr(record, name)


def test_a_retrieve_without_its_unique_key_is_refused(index: AnyIndex) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        located(index, QueryLevel.STUDY)
    assert refused.value.keywords == ("StudyInstanceUID",)


def test_a_row_is_forgotten_as_long_as_it_names_that_object(index: AnyIndex) -> None:
    record = record_of()
    index.commit([record, record_of(2)])
    assert not index.forget(record.sop_instance_uid, "another.dcm")
    assert not index.forget("1.2.9", record.path)
    assert index.forget(record.sop_instance_uid, record.path)
    assert not index.forget(record.sop_instance_uid, record.path)
    assert index.find_by_sop_instance_uid(record.sop_instance_uid) is None
    assert index.count_instances() == 1


def test_objects_are_known_by_their_paths(index: AnyIndex) -> None:
    records = [record_of(number, path=f"{number}.dcm") for number in (3, 1, 2)]
    index.commit(records)
    assert index.unknown_paths(["0.dcm", "2.dcm", "4.dcm"]) == ["0.dcm", "4.dcm"]
    assert [each.path for each in index.stored_after("", 2)] == ["1.dcm", "2.dcm"]
    assert [each.path for each in index.stored_after("2.dcm", 2)] == ["3.dcm"]
    assert list(index.stored_after("3.dcm", 2)) == []
    assert index.count_instances() == 3


def test_rows_say_what_objects_say_now(index: AnyIndex) -> None:
    record = record_of()
    index.commit([record])
    said = {**record.attributes, "ImageComments": "seen again"}
    assert index.refresh({record.path: record.attributes}) == 0
    assert index.refresh({record.path: said, "unknown.dcm": said}) == 1
    assert index.refresh({record.path: said}) == 0
    key = {"SOPInstanceUID": record.sop_instance_uid, "ImageComments": ""}
    uids = {"StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.1.1"}
    assert found(index, QueryLevel.IMAGE, **uids, **key) == [{**uids, **key, "ImageComments": "seen again"}]


def test_an_index_says_whose_it_is(index: AnyIndex) -> None:
    assert index.state() == IndexState(None, 0, 0, has_instances=False)
    index.claim(ArchiveIdentity("an archive", 3), swept_generation=2)
    index.commit([record_of()])
    assert index.state() == IndexState("an archive", 3, 2, has_instances=True)
    index.note_swept(3)
    assert index.state() == IndexState("an archive", 3, 3, has_instances=True)


BEGUN = WorkProgress(began_at=NOW, position="1.dcm", done=1, total=7, faults=1)


def test_work_is_remembered_as_far_as_it_came(index: AnyIndex) -> None:
    index.claim(ArchiveIdentity("an archive", 1), swept_generation=1)
    assert index.progress_of("sweep") is None
    for progress in (BEGUN, replace(BEGUN, position="", ended_at=NOW)):
        index.note_progress("sweep", progress)
        assert index.progress_of("sweep") == progress
    assert index.progress_of("scrub") is None


@pytest.mark.parametrize(
    ("identity", "swept_generation", "anew", "is_kept"),
    [
        ("an archive", 1, False, True),
        ("an archive", 0, False, False),
        ("an archive", 1, True, False),
        ("another archive", 1, False, False),
    ],
)
def test_work_on_another_archive_says_nothing(
    index: AnyIndex, identity: str, swept_generation: int, anew: bool, is_kept: bool
) -> None:
    index.claim(ArchiveIdentity("an archive", 1), swept_generation=1)
    index.note_progress("sweep", BEGUN)
    index.claim(ArchiveIdentity(identity, 2), swept_generation=swept_generation, anew=anew)
    assert index.progress_of("sweep") == (BEGUN if is_kept else None)


def test_without_keys_of_the_administrators_nothing_is_to_be_built(index: AnyIndex) -> None:
    index.commit([record_of()])
    assert list(index.registered_extra_keys()) == list(index.unbuilt_extra_keys()) == []
    assert index.remove_extra_values() == 0
