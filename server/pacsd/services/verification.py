"""Whether a kept file is what the index says of it: its length, and the checksum of its data set.

No lock is held. The GIL is free while the store reads, and while `xxhash` or `hashlib` takes in a piece of this size,
so other associations go on meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from pacsd.dataset.checksums import ALGORITHMS, Checksum, new_checksum
from pacsd.errors import InstanceDamaged, StorageUnavailable
from pacsd.model import StoredInstance
from pacsd.services.ports import OpenedObject, ReadableStore

__all__ = [
    "LARGEST_HELD",
    "DatasetBuffer",
    "VerifyBy",
    "load_verified",
    "open_instance",
    "verify_file",
]

VerifyBy = Literal["checksum", "length"]
"""What a file is compared with the index by; `checksum` compares the length too."""

LARGEST_HELD: Final = 1 << 20
"""Bytes of a data set up to which `load_verified` holds it in memory, so that its file is read once."""
_PIECE_LENGTH: Final = 1 << 20
"""Bytes that are read and summed up at once: they stay in the processor's cache in between."""
_BUFFERS_KEPT: Final = 8
_PIECES: Final[deque[memoryview]] = deque(maxlen=_BUFFERS_KEPT)
"""Buffers for pieces that nobody uses just now. A deque's ends are safe for threads."""


class DatasetBuffer:
    """Memory for one data set after the other; it grows with the largest and is freed with its owner."""

    def __init__(self) -> None:
        self._memory = memoryview(b"")

    def room(self, length: int) -> memoryview:
        """Return `length` bytes to be written over; what was returned before is overwritten with them."""
        if len(self._memory) < length:
            self._memory = memoryview(bytearray(length))
        return self._memory[:length]


def open_instance(files: ReadableStore, instance: StoredInstance) -> OpenedObject:
    """Open the file of an instance; the caller closes it.

    Raises InstanceDamaged where it is missing, StorageUnavailable where it cannot be opened.
    """
    try:
        return files.open_object(instance.path)
    except StorageUnavailable as error:
        if error.is_missing:
            raise InstanceDamaged("the stored file is missing") from error
        raise


def _nothing() -> None:
    pass


def verify_file(
    file: OpenedObject, instance: StoredInstance, *, by: VerifyBy, look: Callable[[], None] = _nothing
) -> None:
    """Return if an opened file has the length and, with "checksum", the data set that the index has recorded.

    An instance without a recorded checksum is verified by its length only. Raises InstanceDamaged, saying what is
    wrong; StorageUnavailable where the file cannot be read; and what `look` raises, which is called before each piece
    that is read.
    """
    _verify_length(file, instance)
    checksum = _checksum_to_verify(instance, by)
    if checksum is not None:
        with _borrowed_piece() as buffer:
            position = instance.dataset_offset
            while position < instance.size:
                look()
                piece = buffer[: instance.size - position]
                _read_whole(file, piece, position)
                checksum.update(piece)
                position += len(piece)
        _compare(checksum, instance)


def load_verified(
    file: OpenedObject,
    instance: StoredInstance,
    buffer: DatasetBuffer,
    *,
    by: VerifyBy,
    look: Callable[[], None] = _nothing,
) -> memoryview | None:
    """Verify as `verify_file` does, and return the verified data set; None where it is too large to be held.

    What is returned is in `buffer`. With "length" it is read as well, so that what cannot be read is known before any
    of it is used.
    """
    length = instance.size - instance.dataset_offset
    if length > LARGEST_HELD:
        verify_file(file, instance, by=by, look=look)
        return None
    _verify_length(file, instance)
    dataset = buffer.room(length)
    _read_whole(file, dataset, instance.dataset_offset)
    checksum = _checksum_to_verify(instance, by)
    if checksum is not None:
        checksum.update(dataset)
        _compare(checksum, instance)
    return dataset


def _verify_length(file: OpenedObject, instance: StoredInstance) -> None:
    if file.size != instance.size:
        raise InstanceDamaged(f"the stored file has {file.size} bytes instead of {instance.size}")


def _checksum_to_verify(instance: StoredInstance, by: VerifyBy) -> Checksum | None:
    """Return an empty checksum of the recorded kind, None where there is nothing to compare it with."""
    if by == "length" or not instance.checksum:
        return None
    algorithm = instance.checksum.partition(":")[0]
    if algorithm not in ALGORITHMS:
        raise InstanceDamaged("the index has a checksum of an unknown kind for the stored file")
    return new_checksum(algorithm)


def _compare(checksum: Checksum, instance: StoredInstance) -> None:
    if checksum.hexdigest() != instance.checksum.partition(":")[2]:
        raise InstanceDamaged("the stored file's content has changed (checksum)")


def _read_whole(file: OpenedObject, buffer: memoryview, position: int) -> None:
    """Fill a buffer with the file's bytes from `position` on."""
    while buffer:
        count = file.read_into(position, [buffer])
        if count == 0:
            raise InstanceDamaged(f"the stored file ends at {position} bytes")
        position += count
        buffer = buffer[count:]


@contextmanager
def _borrowed_piece() -> Iterator[memoryview]:
    try:
        piece = _PIECES.pop()
    except IndexError:
        piece = memoryview(bytearray(_PIECE_LENGTH))
    try:
        yield piece
    finally:
        _PIECES.append(piece)
