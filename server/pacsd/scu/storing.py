"""C-STORE requests for instances in files: as they are where the peer takes that, else decompressed or re-encoded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Final, Protocol

import structlog

from dicomnet import CStoreResponse, DicomNet, LocalProtocolError, fragment_length
from pacsd.dataset.header import DEFLATED
from pacsd.dataset.part10 import DicomFile
from pacsd.errors import StorageUnavailable, TranscodingFailed
from pacsd.model import StoredInstance
from pacsd.services.ports import ConvertedDataset, OpenedObject

__all__ = ["StoreRequester", "Transcode"]


class Transcode(Protocol):
    """What converts stored instances; see `dataset.transcode.Transcoder`."""

    def __call__(
        self, file: DicomFile, acceptable: Collection[str], /, *, is_cancelled: Callable[[], bool]
    ) -> tuple[str, bytes | bytearray | ConvertedDataset]:
        """Return the transfer syntax chosen of the acceptable ones, and the file's data set in it.

        The stored one is chosen if it is acceptable: then the data set only gets an even length. Raises
        TranscodingFailed, RetrieveCancelled.
        """


_log = structlog.get_logger()

_Dataset = bytes | bytearray | memoryview | Iterator[memoryview]

_CHUNK_LENGTH: Final = 1 << 19
"""Bytes that are read at once, of files whose data set has not been read already."""


class StoreRequester:
    """Sends instances over one association; `move_originator` is who asked for it, and its message ID.

    `turn` is held while a request is on its way and until its response has come; `is_cancelled` is asked while an
    instance is converted.
    """

    def __init__(
        self,
        net: DicomNet,
        transcode: Transcode,
        *,
        priority: int = 0,
        move_originator: tuple[str, int] | None = None,
        turn: AbstractContextManager[object] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_cancelled = is_cancelled
        self._net = net
        self._transcode = transcode
        self._priority = priority
        self._move_originator = move_originator
        self._turn = turn or nullcontext()
        self._buffers: tuple[memoryview, memoryview] | None = None

    def store(
        self, instance: StoredInstance, file: OpenedObject, read: memoryview | None = None
    ) -> CStoreResponse:
        """Send one instance from its opened file and return the peer's verdict.

        `read` is its data set, where that has been read already. Raises LocalProtocolError where no context fits,
        TranscodingFailed, RetrieveCancelled, and StorageUnavailable where the file cannot be read, upon which the
        association is aborted; AssociationEnded where it is gone.
        """
        association = self._net.association
        contexts = association.contexts_of(instance.sop_class_uid) if association else []
        by_syntax = {context.transfer_syntax: context for context in contexts}
        if not by_syntax:
            raise LocalProtocolError(f"the peer accepted no context for SOP class {instance.sop_class_uid}")
        with ExitStack() as until_sent:
            syntax, dataset = self._dataset(file, instance, by_syntax.keys(), read, until_sent)
            until_sent.enter_context(self._turn)
            return self._net.c_store(
                by_syntax[syntax],
                instance.sop_instance_uid,
                dataset,
                priority=self._priority,
                move_originator=self._move_originator,
            )

    def _dataset(
        self,
        file: OpenedObject,
        instance: StoredInstance,
        acceptable: Collection[str],
        read: memoryview | None,
        until_sent: ExitStack,
    ) -> tuple[str, _Dataset]:
        """Return the transfer syntax to send in, and the data set in it, which has an even length."""
        stored = instance.transfer_syntax_uid
        if stored not in acceptable:
            syntax, converted = self._transcode(file, acceptable, is_cancelled=self._is_cancelled)
            return syntax, self._sendable(converted, until_sent)
        if not _is_odd(instance):
            return stored, self._stored(file, instance) if read is None else read
        # Some writers forget to pad a value (PS3.5 §7.1.1). A data set of odd length makes an odd fragment, which
        # PS3.8 §E.1 forbids and upon which DCMTK aborts; a byte behind the last element would be no better.
        if stored not in DEFLATED:
            try:
                syntax, converted = self._transcode(file, (stored,), is_cancelled=self._is_cancelled)
            except TranscodingFailed as error:
                _log.warning(
                    "odd-data-set-padded", sop_instance_uid=instance.sop_instance_uid, reason=str(error)
                )
            else:
                if len(converted) % 2 == 0:
                    return syntax, self._sendable(converted, until_sent)
                if not isinstance(converted, bytes | bytearray):
                    converted.close()
        return stored, self._stored(file, instance)

    def _sendable(
        self, converted: bytes | bytearray | ConvertedDataset, until_sent: ExitStack
    ) -> bytes | bytearray | Iterator[memoryview]:
        """Return what goes out of a converted data set, which is closed when it is sent."""
        if isinstance(converted, bytes | bytearray):
            return converted
        until_sent.callback(converted.close)
        in_memory = converted.in_memory
        return self._fragments(converted.read_into, 0, len(converted)) if in_memory is None else in_memory

    def _stored(self, file: OpenedObject, instance: StoredInstance) -> Iterator[memoryview]:
        return self._fragments(file.read_into, instance.dataset_offset, instance.size)

    def _fragments(
        self, read_into: Callable[[int, Sequence[memoryview]], int], begin: int, end: int
    ) -> Iterator[memoryview]:
        """Yield a data set in pieces of whole PDVs, from two buffers in turn: one is sent, one is read."""
        association = self._net.association
        pdv = fragment_length(association.maximum_length_to_send if association else 0)
        chunk = max(1, _CHUNK_LENGTH // pdv) * pdv
        if self._buffers is None:
            self._buffers = (memoryview(bytearray(chunk)), memoryview(bytearray(chunk)))
        buffers = self._buffers
        position, turn = begin, 0
        while position < end:
            count = read_into(position, [buffers[turn][: end - position]])
            if count == 0:
                raise StorageUnavailable(f"a stored file ends at {position} of {end} bytes")
            position += count
            if position == end and (end - begin) % 2:
                # As PS3.5 §A.5 does with deflated ones, which know their end.
                buffers[turn][count] = 0
                count += 1
            yield buffers[turn][:count]
            turn = 1 - turn


def _is_odd(instance: StoredInstance) -> bool:
    """Whether the data set needs one byte more than the file has."""
    return (instance.size - instance.dataset_offset) % 2 == 1
