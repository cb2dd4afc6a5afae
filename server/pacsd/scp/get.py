"""C-GET as SCP (PS3.4 §C.4.3): the selection goes back on the association that asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dicomnet import CGetRequest, DicomNet, Limits, PresentationContext, ReceivedDataset, SubOperationFields
from pacsd.effort import Effort
from pacsd.model import QueryModel, QueryOptions
from pacsd.scp.retrieving import Retrieval
from pacsd.scp.selection import read_selection
from pacsd.scp.sop_classes import GET_MODELS
from pacsd.scp.statuses import Answer
from pacsd.scu.sender import InstanceSender, Transcode
from pacsd.services.ports import InstanceLocations
from pacsd.services.retrieve import KeptInstances

__all__ = ["GetHandler"]

_IDENTIFIER_LENGTH: Final = Limits().identifier_length


class GetHandler:
    """Sends selections back to who asks for them."""

    def __init__(
        self,
        index: InstanceLocations,
        instances: KeptInstances,
        transcode: Transcode,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._index = index
        self._instances = instances
        self._transcode = transcode
        self._clock = clock

    def handle(
        self,
        net: DicomNet,
        context: PresentationContext,
        request: CGetRequest,
        dataset: ReceivedDataset,
        *,
        options: QueryOptions,
        default_character_set: str = "",
        send_pending: Callable[[SubOperationFields], None],
        is_cancelled: Callable[[], bool],
        effort: Effort,
    ) -> Answer:
        """Send everything selected over `net` and return the final response.

        An instance whose class the requestor did not offer to receive (PS3.7 §D.3.3.4) fails; the rest go on.
        """
        selection = read_selection(
            dataset.read(_IDENTIFIER_LENGTH),
            context.transfer_syntax,
            GET_MODELS.get(context.abstract_syntax, QueryModel.STUDY_ROOT),
            relational=options.relational,
            default_character_set=default_character_set,
        )
        retrieval = Retrieval(
            instances=self._index.locate(selection, effort),
            transfer_syntax=context.transfer_syntax,
            send_pending=send_pending,
            is_cancelled=is_cancelled,
            clock=self._clock,
        )
        sender = InstanceSender(
            net,
            self._instances,
            self._transcode,
            priority=request.priority,
            turn=retrieval.turn,
            is_cancelled=retrieval.is_over,
        )
        return retrieval.perform(sender.send)
