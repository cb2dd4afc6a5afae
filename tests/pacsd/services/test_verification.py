"""A kept file is compared with the index: no flipped bit and no other length goes unnoticed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.checksums import ALGORITHMS, new_checksum
from pacsd.errors import InstanceDamaged, StorageUnavailable
from pacsd.model import StoredInstance
from pacsd.services.ports import OpenedObject
from pacsd.services.verification import (
    LARGEST_HELD,
    DatasetBuffer,
    VerifyBy,
    load_verified,
    open_instance,
    verify_file,
)
from pacsd.storage.filesystem import FileStore
from support.memory_store import MemoryObject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OFFSET: Final = 40
Verify = Callable[[OpenedObject, StoredInstance, VerifyBy], object]


def verify(file: OpenedObject, instance: StoredInstance, by: VerifyBy) -> None:
    verify_file(file, instance, by=by)


def load(file: OpenedObject, instance: StoredInstance, by: VerifyBy) -> memoryview | None:
    return load_verified(file, instance, DatasetBuffer(), by=by)


BOTH = pytest.mark.parametrize("check", [verify, load])


def kept(dataset: bytes, algorithm: str = "xxh3_128") -> StoredInstance:
    """What the index says of a file with this data set."""
    checksum = new_checksum(algorithm)
    checksum.update(dataset)
    return StoredInstance(
        sop_instance_uid="1.2.3",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path="2026/01/02/1.2.3.dcm",
        size=OFFSET + len(dataset),
        dataset_offset=OFFSET,
        checksum=f"{algorithm}:{checksum.hexdigest()}",
    )


def file_of(content: bytes) -> MemoryObject:
    """A file that holds this."""
    return MemoryObject(content)


@BOTH
@pytest.mark.parametrize("by", ["checksum", "length"])
@given(dataset=st.binary(max_size=300), algorithm=st.sampled_from(sorted(ALGORITHMS)))
def test_a_whole_file_is_found_whole(check: Verify, by: VerifyBy, dataset: bytes, algorithm: str) -> None:
    with file_of(bytes(OFFSET) + dataset) as file:
        loaded = check(file, kept(dataset, algorithm), by)
        assert loaded is None or loaded == dataset


@BOTH
@given(
    dataset=st.binary(min_size=1, max_size=300),
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
    place=st.floats(0, 1, exclude_max=True),
)
def test_any_flipped_bit_is_found(check: Verify, dataset: bytes, algorithm: str, place: float) -> None:
    bit = int(place * 8 * len(dataset))
    changed = bytearray(dataset)
    changed[bit // 8] ^= 1 << bit % 8
    with (
        file_of(bytes(OFFSET) + changed) as file,
        pytest.raises(InstanceDamaged, match="content has changed"),
    ):
        check(file, kept(dataset, algorithm), "checksum")


@BOTH
@given(
    dataset=st.binary(max_size=300), length=st.integers(0, 700), by=st.sampled_from(["checksum", "length"])
)
def test_any_other_length_is_found(check: Verify, dataset: bytes, length: int, by: VerifyBy) -> None:
    """Also a longer file, whose beginning is what it was."""
    whole = bytes(OFFSET) + dataset
    instance = kept(dataset)
    with file_of(whole[:length].ljust(length, b"\0")) as file:
        if length == len(whole):
            check(file, instance, "length")
        else:
            with pytest.raises(InstanceDamaged, match=f"{length} bytes instead of {instance.size}"):
                check(file, instance, by)


@pytest.mark.parametrize("length", [LARGEST_HELD, LARGEST_HELD + 1, 3 * LARGEST_HELD + 7])
def test_large_files_are_compared_to_their_last_byte(length: int) -> None:
    dataset = os.urandom(length)
    instance = kept(dataset)
    loaded = load(file_of(bytes(OFFSET) + dataset), instance, "checksum")
    assert loaded == (dataset if length <= LARGEST_HELD else None)
    for position in (0, length // 2, length - 1):
        changed = bytearray(dataset)
        changed[position] ^= 1
        with pytest.raises(InstanceDamaged):
            load(file_of(bytes(OFFSET) + changed), instance, "checksum")
    verify(file_of(bytes(OFFSET) + dataset), instance, "checksum")


def test_a_buffer_serves_one_instance_after_the_other() -> None:
    buffer = DatasetBuffer()
    for dataset in (b"four", b"eleven byte", b"two", b""):
        with file_of(bytes(OFFSET) + dataset) as file:
            assert load_verified(file, kept(dataset), buffer, by="checksum") == dataset


@BOTH
def test_without_a_recorded_checksum_the_length_decides(check: Verify) -> None:
    whole = kept(b"data")
    instance = StoredInstance(**{**{name: getattr(whole, name) for name in whole.__slots__}, "checksum": ""})
    with file_of(bytes(OFFSET) + b"DATA") as file:
        check(file, instance, "checksum")
    with file_of(bytes(OFFSET) + b"DATA!") as file, pytest.raises(InstanceDamaged):
        check(file, instance, "checksum")


@BOTH
def test_a_checksum_that_nobody_can_compute_verifies_nothing(check: Verify) -> None:
    whole = kept(b"data")
    instance = StoredInstance(
        **{**{name: getattr(whole, name) for name in whole.__slots__}, "checksum": "crc:1"}
    )
    with file_of(bytes(OFFSET) + b"data") as file:
        check(file, instance, "length")
        with pytest.raises(InstanceDamaged, match="unknown kind"):
            check(file, instance, "checksum")


class Cut(MemoryObject):
    """A file whose length was right a moment ago."""

    @property
    def size(self) -> int:
        return OFFSET + 4


@BOTH
def test_a_file_that_is_cut_while_it_is_read(check: Verify) -> None:
    with pytest.raises(InstanceDamaged, match=f"ends at {OFFSET + 2}"):
        check(Cut(bytes(OFFSET) + b"da"), kept(b"data"), "checksum")


class Slow(MemoryObject):
    """A file that gives one byte at a time."""

    def read_into(self, position: int, buffers: Sequence[memoryview]) -> int:
        return super().read_into(position, [buffers[0][:1]])


@BOTH
def test_what_comes_in_small_pieces_is_read_whole(check: Verify) -> None:
    check(Slow(bytes(OFFSET) + b"data"), kept(b"data"), "checksum")


def test_a_missing_file_is_damage_and_one_that_may_not_be_opened_is_not(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    instance = kept(b"data")
    with pytest.raises(InstanceDamaged, match="missing"):
        open_instance(store, instance)
    path = tmp_path / instance.path
    path.mkdir(parents=True)
    with pytest.raises(StorageUnavailable, match=os.strerror(errno.EISDIR)):
        open_instance(store, instance)
