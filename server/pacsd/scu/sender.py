"""Sending stored instances by C-STORE: as they are where the peer takes that, else decompressed or re-encoded."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterator
from typing import Final, Protocol

import structlog

from dicomnet import DicomNet, LocalProtocolError, PresentationContext, StatusClass, fragment_length
from pacsd.errors import StorageUnavailable, TranscodingFailed
from pacsd.model import StoredInstance
from pacsd.services.retrieve import SubOperation

__all__ = ["InstanceFiles", "InstanceSender", "Transcode"]

_log = structlog.get_logger()

Transcode = Callable[[io.FileIO, Collection[str]], tuple[str, bytes]]
"""From a DICOM file and the acceptable transfer syntaxes to the one chosen and the data set in it."""

_CHUNK_LENGTH: Final = 262144
_OUTCOMES: Final = {StatusClass.SUCCESS: SubOperation.COMPLETED, StatusClass.WARNING: SubOperation.WARNING}


class InstanceFiles(Protocol):
    """Where stored files are read from; see `storage.filesystem.FileStore`."""

    def open_dataset(self, relative_path: str, /) -> io.FileIO:
        """Open a stored file for reading, unbuffered."""


class InstanceSender:
    """Sends instances over one association; `move_originator` is who asked for it, and its message ID."""

    def __init__(
        self,
        net: DicomNet,
        files: InstanceFiles,
        transcode: Transcode,
        *,
        priority: int = 0,
        move_originator: tuple[str, int] | None = None,
    ) -> None:
        self._net = net
        self._files = files
        self._transcode = transcode
        self._priority = priority
        self._move_originator = move_originator
        self._buffers: tuple[memoryview, memoryview] | None = None

    def send(self, instance: StoredInstance) -> SubOperation:
        """Send one instance and return how it went; a failure is logged with its reason.

        Raises AssociationEnded where the association is gone, for this instance and all others.
        """
        try:
            with self._files.open_dataset(instance.path) as file:
                return self._send(instance, file)
        except (StorageUnavailable, TranscodingFailed, LocalProtocolError, OSError) as error:
            _log.warning("suboperation-failed", sop_instance_uid=instance.sop_instance_uid, reason=str(error))
            return SubOperation.FAILED

    def _send(self, instance: StoredInstance, file: io.FileIO) -> SubOperation:
        association = self._net.association
        contexts = association.contexts_of(instance.sop_class_uid) if association else []
        by_syntax = {context.transfer_syntax: context for context in contexts}
        if not by_syntax:
            raise LocalProtocolError(f"the peer accepted no context for SOP class {instance.sop_class_uid}")
        context = by_syntax.get(instance.transfer_syntax_uid)
        if context is not None:
            return self._store(context, instance, self._fragments(file, instance))
        syntax, data = self._transcode(file, by_syntax.keys())
        return self._store(by_syntax[syntax], instance, data)

    def _store(
        self, context: PresentationContext, instance: StoredInstance, dataset: bytes | Iterator[memoryview]
    ) -> SubOperation:
        response = self._net.c_store(
            context,
            instance.sop_instance_uid,
            dataset,
            priority=self._priority,
            move_originator=self._move_originator,
        )
        outcome = _OUTCOMES.get(response.status_class, SubOperation.FAILED)
        if outcome is not SubOperation.COMPLETED:
            _log.warning(
                "suboperation-answered",
                sop_instance_uid=instance.sop_instance_uid,
                status=f"{response.status:04X}",
                comment=response.error_comment,
            )
        return outcome

    def _fragments(self, file: io.FileIO, instance: StoredInstance) -> Iterator[memoryview]:
        """Yield the data set in pieces of whole PDVs, from two buffers in turn: one is sent, one is read."""
        association = self._net.association
        pdv = fragment_length(association.maximum_length_to_send if association else 0)
        chunk = max(1, _CHUNK_LENGTH // pdv) * pdv
        if self._buffers is None:
            self._buffers = (memoryview(bytearray(chunk)), memoryview(bytearray(chunk)))
        buffers = self._buffers
        position, turn = instance.dataset_offset, 0
        while position < instance.size:
            count = os.preadv(file.fileno(), [buffers[turn][: instance.size - position]], position)
            if count == 0:
                raise StorageUnavailable(f"a stored file ends at {position} of {instance.size} bytes")
            yield buffers[turn][:count]
            position += count
            turn = 1 - turn
