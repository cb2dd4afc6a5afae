"""Data sets that cannot be archived: refused with the attributes at fault, and nothing is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsd.errors import DatasetInvalid
from pacsd.services.intake import Intake
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.fake_archive import Archive, altered, incoming, with_raw_uid
from support.instance import Instance


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def instance() -> Instance:
    return altered()


def refused(archive: Archive, instance: Instance, **command: str) -> DatasetInvalid:
    with pytest.raises(DatasetInvalid) as refusal:
        Intake(archive.ingest).receive(incoming(instance, **command), [instance.dataset])()
    assert archive.holds_nothing()
    assert FAMILY_NAME not in str(refusal.value)
    assert PATIENT_ID not in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_uid_is_named(archive: Archive, keyword: str, value: str | None) -> None:
    error = refused(archive, altered(**{keyword: value}))
    assert error.keywords == (keyword,)
    assert keyword in str(error)
    assert not error.mismatch


def test_all_missing_uids_are_named(archive: Archive) -> None:
    error = refused(archive, altered(StudyInstanceUID=None, SeriesInstanceUID=None))
    assert error.keywords == ("StudyInstanceUID", "SeriesInstanceUID")


def test_another_sop_instance_than_announced(archive: Archive, instance: Instance) -> None:
    error = refused(archive, instance, sop_instance_uid=instance.sop_instance_uid + ".1")
    assert error.mismatch
    assert error.keywords == ("SOPInstanceUID",)


def test_another_sop_class_and_instance_than_announced(archive: Archive, instance: Instance) -> None:
    error = refused(archive, instance, sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.3")
    assert error.mismatch
    assert error.keywords == ("SOPClassUID", "SOPInstanceUID")


@pytest.mark.parametrize("uid", ["../../x", "/etc/x", "1.2.3/../4", ".", "..", "1.2\\1.3", "1" * 129, "1*"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_uid_that_is_none_comes_nowhere_near_a_path(
    archive: Archive, instance: Instance, keyword: str, uid: str
) -> None:
    raw = with_raw_uid(instance, keyword, uid)
    command = {"sop_instance_uid": uid} if keyword == "SOPInstanceUID" else {}
    error = refused(archive, raw, **command)
    assert error.keywords == (keyword,)
    assert "published" not in archive.journal


def test_a_command_without_uids_is_refused(archive: Archive, instance: Instance) -> None:
    assert refused(archive, instance, sop_instance_uid="").mismatch
    assert refused(archive, instance, sop_class_uid="").mismatch


def test_a_sender_whose_name_is_not_ascii_is_refused_with_a_reason(
    archive: Archive, instance: Instance
) -> None:
    assert "not ASCII" in str(refused(archive, instance, sop_instance_uid="1.2.é"))


@settings(max_examples=60, deadline=None)
@given(end=st.integers(0, 10_000))
def test_a_truncated_data_set_is_refused_or_ends_between_two_elements(end: int) -> None:
    instance = altered()
    end %= len(instance.dataset)
    archive = Archive()
    try:
        archive.take(instance, [instance.dataset[:end]])
    except DatasetInvalid:
        assert archive.holds_nothing()
    else:
        assert end in element_ends(instance)


def element_ends(instance: Instance) -> set[int]:
    """Where one element of the data set ends and another begins."""
    ends, position = set(), 0
    data = instance.dataset
    while position < len(data):
        long_form = data[position + 4 : position + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC")
        width, header = (4, 12) if long_form else (2, 8)
        position += header + int.from_bytes(data[position + header - width : position + header], "little")
        ends.add(position)
    return ends


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_garbage_is_refused_in_the_documented_way(data: bytes) -> None:
    instance = altered()
    archive = Archive()
    with pytest.raises(DatasetInvalid):
        archive.take(instance, [data])
    assert archive.holds_nothing()


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_byte_is_refused_or_kept_as_it_is(position: int, byte: int) -> None:
    instance = altered()
    data = bytearray(instance.dataset)
    data[position % len(data)] = byte
    archive = Archive()
    try:
        archive.take(instance, [bytes(data)])
    except DatasetInvalid:
        assert archive.holds_nothing()
    else:
        (content,) = archive.store.files.values()
        assert content.endswith(bytes(data))
