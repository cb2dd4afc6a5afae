"""Sending stored instances as the sub-operations of a C-MOVE or C-GET."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import structlog

from dicomnet import CStoreResponse, DicomNet, LocalProtocolError, StatusClass
from pacsd.errors import InstanceDamaged, StorageUnavailable, TranscodingFailed
from pacsd.model import StoredInstance
from pacsd.scu.storing import StoreRequester, Transcode
from pacsd.scu.verdicts import verdict
from pacsd.services.retrieve import KeptInstances, Sent, SubOperation
from pacsd.services.verification import DatasetBuffer

__all__ = ["OUTCOMES", "InstanceSender", "Transcode"]

_log = structlog.get_logger()

OUTCOMES: Final = {StatusClass.SUCCESS: SubOperation.COMPLETED, StatusClass.WARNING: SubOperation.WARNING}
"""What a C-STORE response's class of status makes of the sub-operation; all others failed."""


class InstanceSender:
    """Sends instances over one association; `move_originator` is who asked for it, and its message ID.

    `turn` is held while a request is on its way and until its response has come; `is_cancelled` is asked while an
    instance is verified or converted.
    """

    def __init__(
        self,
        net: DicomNet,
        instances: KeptInstances,
        transcode: Transcode,
        *,
        priority: int = 0,
        move_originator: tuple[str, int] | None = None,
        turn: AbstractContextManager[object] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._instances = instances
        self._is_cancelled = is_cancelled
        self._buffer = DatasetBuffer()
        self._requester = StoreRequester(
            net,
            transcode,
            priority=priority,
            move_originator=move_originator,
            turn=turn,
            is_cancelled=is_cancelled,
        )

    def send(self, instance: StoredInstance) -> Sent:
        """Send one instance and return how it went; a failure is logged with its reason.

        It is verified before its first byte goes out, so that a damaged one costs no other. Raises AssociationEnded
        where the association is gone, for this instance and all others, and RetrieveCancelled.
        """
        try:
            with self._instances.opened(instance, self._buffer, is_cancelled=self._is_cancelled) as opened:
                response = self._requester.store(opened.instance, opened.file, opened.dataset)
        except (InstanceDamaged, StorageUnavailable, TranscodingFailed, LocalProtocolError) as error:
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
