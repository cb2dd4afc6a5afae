"""Taking instances in with the real file store and the real index."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from structlog.testing import capture_logs

from pacsd.dataset.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES
from pacsd.errors import DuplicateInstance, StorageFull
from pacsd.model import CommitOutcome, DuplicatePolicy, FindQuery, QueryLevel, QueryModel
from pacsd.services.ingest import Ingest
from pacsd.services.intake import Intake
from pacsd.storage.filesystem import FileStore
from support.constructed import constructed_instances, encode, simple_dataset
from support.counted_metrics import CountedMetrics
from support.fake_archive import altered, incoming
from support.matches import matches_of
from support.rows import paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pacsd.index.repository import Index
    from support.instance import Instance
    from support.service_parts import OpenIndex

DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


def ingest(store: FileStore, index: Index) -> Ingest:
    return Ingest(
        store,
        index,
        metrics=CountedMetrics(),
        clock=lambda: 0.0,
    )


def take(store: FileStore, index: Index, instance: Instance) -> CommitOutcome:
    fragments = [instance.dataset[at : at + 5000] for at in range(0, len(instance.dataset), 5000)]
    return Intake(ingest(store, index)).receive(incoming(instance), fragments)()


def kept_content(store: FileStore, index: Index, instance: Instance) -> bytes:
    """The data set in the file that the index names for an instance."""
    stored = index.find_by_sop_instance_uid(instance.sop_instance_uid)
    assert stored is not None
    content = (store.root / stored.path).read_bytes()
    assert len(content) == stored.size
    return content[stored.dataset_offset :]


def assert_files_are_rows(store: FileStore, index: Index) -> None:
    assert sorted(store.published()) == paths_of(index)
    assert list(store.leftovers()) == []


@pytest.mark.parametrize("instance", constructed_instances(), ids=lambda instance: instance.name)
def test_an_awkward_instance_is_kept_byte_for_byte(
    store: FileStore, index: Index, instance: Instance
) -> None:
    assert take(store, index, instance) is CommitOutcome.STORED
    assert kept_content(store, index, instance) == instance.dataset
    (path,) = store.published()
    read = dcmread(store.root / path)
    assert read == instance.read()
    assert read.file_meta.TransferSyntaxUID == instance.transfer_syntax_uid
    assert read.file_meta.MediaStorageSOPInstanceUID == instance.sop_instance_uid
    assert read.file_meta.MediaStorageSOPClassUID == instance.sop_class_uid
    assert read.file_meta.SourceApplicationEntityTitle == "MODALITY"


def in_transfer_syntax(uid: str) -> Instance:
    """A small instance as that transfer syntax encodes data sets, whatever its pixels are."""
    if uid in NATIVE:
        return encode(simple_dataset(1), uid, uid)
    explicit = simple_dataset(1)
    if uid not in DEFLATED:
        explicit.PixelData = encapsulate([b"compressed"])
        explicit["PixelData"].VR = "OB"
        explicit["PixelData"].is_undefined_length = True
        return encode(explicit, uid, uid)
    return deflated(encode(explicit, uid), uid)


def deflated(instance: Instance, uid: str) -> Instance:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = deflate.compress(instance.dataset) + deflate.flush()
    return replace(instance, transfer_syntax_uid=uid, dataset=data + b"\0" * (len(data) % 2))


@pytest.mark.parametrize("uid", sorted(STORAGE_TRANSFER_SYNTAXES), ids=lambda uid: UID(uid).keyword)
def test_every_transfer_syntax_is_kept_as_it_came(store: FileStore, index: Index, uid: str) -> None:
    instance = in_transfer_syntax(uid)
    assert take(store, index, instance) is CommitOutcome.STORED
    assert kept_content(store, index, instance) == instance.dataset
    (path,) = store.published()
    assert dcmread(store.root / path, stop_before_pixels=True).file_meta.TransferSyntaxUID == uid
    query = FindQuery(
        model=QueryModel.STUDY_ROOT,
        level=QueryLevel.STUDY,
        keys={"StudyInstanceUID": instance.study_instance_uid, "PatientName": ""},
    )
    assert [match["PatientName"] for match in matches_of(index, query)] == [
        str(simple_dataset(1).PatientName)
    ]


@pytest.mark.parametrize("policy", [DuplicatePolicy.REPLACE, DuplicatePolicy.REPLACE_OWN])
def test_other_content_under_one_uid(
    store: FileStore, open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    index = open_index(policy)
    first, second = altered(StudyID="first"), altered(StudyID="second")
    assert take(store, index, first) is CommitOutcome.STORED
    assert take(store, index, second) is CommitOutcome.REPLACED
    assert kept_content(store, index, first) == second.dataset
    assert_files_are_rows(store, index)


@pytest.mark.parametrize("policy", [DuplicatePolicy.REJECT, DuplicatePolicy.KEEP_FIRST])
def test_a_rejected_duplicate(store: FileStore, open_index: OpenIndex, policy: DuplicatePolicy) -> None:
    index = open_index(policy)
    first = altered(StudyID="first")
    take(store, index, first)
    with pytest.raises(DuplicateInstance):
        take(store, index, altered(StudyID="second"))
    assert kept_content(store, index, first) == first.dataset
    assert_files_are_rows(store, index)


def changed(transfer_syntax_uid: str, **attributes: object) -> Instance:
    """`in_transfer_syntax` with other attributes, "private" and "pixels" among them."""
    dataset = simple_dataset(1)
    for keyword, value in attributes.items():
        if keyword == "private":
            dataset.private_block(0x0029, "ACME", create=True).add_new(0x10, "LO", value)
        elif keyword == "pixels":
            dataset.PixelData = value
        else:
            setattr(dataset, keyword, value)
    if transfer_syntax_uid in DEFLATED:
        return deflated(encode(dataset, "changed"), transfer_syntax_uid)
    return encode(dataset, "changed", transfer_syntax_uid)


EXPLICIT, IMPLICIT, DEFLATE = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), DEFLATED[0]
OTHER_PIXELS = bytes(32)


@pytest.mark.parametrize(
    ("syntaxes", "changes", "names"),
    [
        ((EXPLICIT, EXPLICIT), {"StudyID": "SECRET", "PatientID": "SECRET"}, ["PatientID", "StudyID"]),
        ((EXPLICIT, EXPLICIT), {"pixels": OTHER_PIXELS}, ["pixel data"]),
        ((EXPLICIT, EXPLICIT), {"pixels": OTHER_PIXELS, "ZoomFactor": "2"}, ["ZoomFactor", "pixel data"]),
        ((IMPLICIT, IMPLICIT), {"private": "SECRET"}, ["(0029,0010)", "(0029,1010)"]),
        ((str(ExplicitVRBigEndian),) * 2, {"StudyID": "SECRET"}, ["StudyID"]),
        ((DEFLATE, DEFLATE), {"StudyID": "SECRET"}, ["StudyID"]),
        ((EXPLICIT, IMPLICIT), {}, ["TransferSyntaxUID"]),
        ((EXPLICIT, IMPLICIT), {"StudyID": "SECRET"}, ["StudyID", "TransferSyntaxUID"]),
    ],
)
@pytest.mark.parametrize(
    "policy", [DuplicatePolicy.REPLACE, DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REJECT]
)
def test_the_log_says_in_which_attributes_other_content_differs(
    store: FileStore,
    open_index: OpenIndex,
    policy: DuplicatePolicy,
    syntaxes: tuple[str, str],
    changes: dict[str, object],
    names: list[str],
) -> None:
    index = open_index(policy)
    take(store, index, changed(syntaxes[0]))
    with capture_logs() as log, suppress(DuplicateInstance):
        take(store, index, changed(syntaxes[1], **changes))
    if names == ["TransferSyntaxUID"] and policy is not DuplicatePolicy.REPLACE:
        assert not log, "it is the same data set"
        return
    (event,) = [each for each in log if each["event"] == "duplicate-with-other-content"]
    assert (event["differing"], event["count"]) == (names, len(names))
    assert "SECRET" not in str(log)


def with_group_lengths(instance: Instance) -> Instance:
    """The same data set with a group length and Data Set Trailing Padding, as some devices write it (Explicit VR)."""
    group_length = b"\x08\0\0\0UL\x04\0" + (1000).to_bytes(4, "little")
    padding = b"\xfc\xff\xfc\xffOB\0\0" + (6).to_bytes(4, "little") + bytes(6)
    return replace(instance, dataset=group_length + instance.dataset + padding)


@pytest.mark.parametrize("policy", [DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REJECT])
def test_the_same_data_set_in_another_encoding_is_identical(
    store: FileStore, open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    """What DCMTK sends of a file is not what another toolkit sends of it, and the object is the same."""
    index = open_index(policy)
    first = with_group_lengths(changed(EXPLICIT))
    take(store, index, first)
    for same in (changed(EXPLICIT), changed(IMPLICIT), changed(DEFLATE), changed(str(ExplicitVRBigEndian))):
        assert take(store, index, same) is CommitOutcome.IDENTICAL
        with pytest.raises(DuplicateInstance):
            take(store, index, changed(same.transfer_syntax_uid, StudyID="other"))
        with pytest.raises(DuplicateInstance):
            take(store, index, changed(same.transfer_syntax_uid, pixels=OTHER_PIXELS))
    assert kept_content(store, index, first) == first.dataset
    assert_files_are_rows(store, index)


def test_no_more_than_some_names_are_logged_and_the_pixels_among_them(store: FileStore, index: Index) -> None:
    def with_private_elements(value: str, pixels: bytes) -> Instance:
        dataset = simple_dataset(1)
        block = dataset.private_block(0x0029, "ACME", create=True)
        for element in range(100):
            block.add_new(element, "LO", value)
        dataset.PixelData = pixels
        return encode(dataset, "many")

    take(store, index, with_private_elements("one", bytes(32)))
    with capture_logs() as log, suppress(DuplicateInstance):
        take(store, index, with_private_elements("other", b"\1" * 32))
    (event,) = [each for each in log if each["event"] == "duplicate-with-other-content"]
    assert event["count"] == 101
    assert len(event["differing"]) < 50
    assert event["differing"][-1] == "pixel data"


def test_what_cannot_be_compared_is_decided_all_the_same(store: FileStore, index: Index) -> None:
    private = "1.2.826.0.1.3680043.9.9999.1"
    unreadable = replace(changed(EXPLICIT), transfer_syntax_uid=private, dataset=b"\xff" * 64)
    take(store, index, unreadable)
    with capture_logs() as log, pytest.raises(DuplicateInstance):
        take(store, index, replace(unreadable, dataset=b"\xfe" * 64))
    (event,) = [each for each in log if each["event"] == "duplicate-with-other-content"]
    assert event["differing"] == []


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_identical_content_is_kept_once(
    store: FileStore, open_index: OpenIndex, policy: DuplicatePolicy
) -> None:
    index = open_index(policy)
    instance = altered()
    assert [take(store, index, instance) for _ in range(3)] == [
        CommitOutcome.STORED,
        CommitOutcome.IDENTICAL,
        CommitOutcome.IDENTICAL,
    ]
    assert kept_content(store, index, instance) == instance.dataset
    assert_files_are_rows(store, index)


def test_a_replacement_replaced_by_the_first_content_again(store: FileStore, open_index: OpenIndex) -> None:
    index = open_index(DuplicatePolicy.REPLACE)
    for study_id in ("first", "second", "first"):
        last = altered(StudyID=study_id)
        take(store, index, last)
    assert kept_content(store, index, last) == last.dataset
    assert_files_are_rows(store, index)


def test_below_the_watermark_nothing_is_begun(tmp_path: Path, index: Index) -> None:
    store = FileStore(tmp_path / "full", min_free_bytes=1 << 60)
    store.open()
    with pytest.raises(StorageFull):
        take(store, index, altered())
    assert_files_are_rows(store, index)


def test_a_peer_that_vanishes_leaves_no_file(store: FileStore, index: Index) -> None:
    instance = altered()
    with pytest.raises(ConnectionError):
        Intake(ingest(store, index)).receive(incoming(instance), _broken_off(instance.dataset))
    assert_files_are_rows(store, index)
    assert paths_of(index) == []


def _broken_off(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    raise ConnectionError
