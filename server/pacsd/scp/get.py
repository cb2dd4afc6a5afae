"""C-GET as SCP (PS3.4 §C.4.3): the selection goes back on the association that asked for it."""

from __future__ import annotations

from collections.abc import Callable

from dicomnet import SubOperationFields
from pacsd.model import InstanceSelection
from pacsd.scp.operation import Operation
from pacsd.scp.retrieving import Retrieval, answer_retrieve
from pacsd.scp.statuses import Answer
from pacsd.scu.sender import InstanceSender, Transcode
from pacsd.services.ports import InstanceLocations
from pacsd.services.retrieve import KeptInstances

__all__ = ["GetHandler"]


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

    def answer(self, operation: Operation) -> None:
        """Send everything selected over the operation's association, and answer.

        An instance whose class the requestor did not offer to receive (PS3.7 §D.3.3.4) fails; the rest go on.
        """

        def perform(
            selection: InstanceSelection, send_pending: Callable[[SubOperationFields], None]
        ) -> Answer:
            effort = operation.new_effort()
            retrieval = Retrieval(
                instances=self._index.locate(selection, effort),
                transfer_syntax=operation.context.transfer_syntax,
                send_pending=send_pending,
                is_cancelled=operation.is_stopped,
                clock=self._clock,
            )
            effort.ask_instead(retrieval.is_over)
            sender = InstanceSender(
                operation.net,
                self._instances,
                self._transcode,
                priority=operation.request.priority,
                turn=retrieval.turn,
                is_cancelled=retrieval.is_over,
            )
            return retrieval.perform(sender.send)

        answer_retrieve(operation, operation.net.send_c_get_response, perform)
