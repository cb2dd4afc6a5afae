"""C-GET as SCP (PS3.4 §C.4.3): the selection goes back on the association that asked for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from dicomnet import CGetRequest, DicomNet, PresentationContext, ReceivedDataset, SubOperationFields
from pacsd.effort import Effort
from pacsd.model import QueryOptions
from pacsd.query.information_models import GET_MODELS
from pacsd.scp.retrieving import Retrieval, answer_retrieve
from pacsd.scp.selection import read_selection
from pacsd.scp.statuses import Answer
from pacsd.scu.sender import InstanceSender, Transcode
from pacsd.services.ports import InstanceLocations
from pacsd.services.retrieve import KeptInstances

__all__ = ["GetHandler", "answer_get"]

if TYPE_CHECKING:
    from pacsd.scp.pacs_net import PacsNet
    from pacsd.scp.service_table import ServiceRow


def answer_get(
    net: PacsNet,
    row: ServiceRow,
    context: PresentationContext,
    request: CGetRequest,
    dataset: ReceivedDataset,
) -> None:
    """Send a selection back."""
    answer_retrieve(
        net,
        row,
        context,
        request,
        dataset,
        send=net.send_c_get_response,
        handle=partial(net.routes.get.handle, net, context, request),
    )


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
        *,
        data: bytes,
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
            data,
            context.transfer_syntax,
            GET_MODELS[context.abstract_syntax],
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
        effort.ask_instead(retrieval.is_over)
        sender = InstanceSender(
            net,
            self._instances,
            self._transcode,
            priority=request.priority,
            turn=retrieval.turn,
            is_cancelled=retrieval.is_over,
        )
        return retrieval.perform(sender.send)
