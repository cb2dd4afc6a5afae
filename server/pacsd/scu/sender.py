"""Sending stored instances as the sub-operations of a C-MOVE or C-GET."""

from __future__ import annotations

import io
import os
from typing import Final, Protocol

import structlog

from dicomnet import CStoreResponse, DicomNet, LocalProtocolError, StatusClass
from pacsd.errors import StorageUnavailable, TranscodingFailed
from pacsd.model import StoredInstance
from pacsd.scu.storing import StoreRequester, Transcode
from pacsd.scu.verdicts import verdict
from pacsd.services.retrieve import Sent, SubOperation

__all__ = ["OUTCOMES", "InstanceFiles", "InstanceSender", "Transcode"]

_log = structlog.get_logger()

OUTCOMES: Final = {StatusClass.SUCCESS: SubOperation.COMPLETED, StatusClass.WARNING: SubOperation.WARNING}
"""What a C-STORE response's class of status makes of the sub-operation; all others failed."""


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
        self._files = files
        self._requester = StoreRequester(net, transcode, priority=priority, move_originator=move_originator)

    def send(self, instance: StoredInstance) -> Sent:
        """Send one instance and return how it went; a failure is logged with its reason.

        Raises AssociationEnded where the association is gone, for this instance and all others.
        """
        try:
            with self._files.open_dataset(instance.path) as file:
                # Noticed half way, it would abort the association, and all other instances with it.
                if os.fstat(file.fileno()).st_size < instance.size:
                    raise StorageUnavailable("a stored file is shorter than it was")  # noqa: TRY301
                response = self._requester.store(instance, file)
        except (StorageUnavailable, TranscodingFailed, LocalProtocolError, OSError) as error:
            _log.warning("suboperation-failed", sop_instance_uid=instance.sop_instance_uid, reason=str(error))
            return Sent(instance, SubOperation.FAILED, str(error))
        return _sent(instance, response)


def _sent(instance: StoredInstance, response: CStoreResponse) -> Sent:
    outcome = OUTCOMES.get(response.status_class, SubOperation.FAILED)
    if outcome is SubOperation.COMPLETED:
        return Sent(instance, outcome)
    said = verdict(response)
    _log.warning("suboperation-answered", sop_instance_uid=instance.sop_instance_uid, answer=said)
    return Sent(instance, outcome, said)
