"""C-MOVE as SCP (PS3.4 §C.4.2): the selection goes to a configured peer, over associations of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from dicomnet import CMoveRequest, DicomNet, SubOperationFields
from pacsd.errors import DestinationUnreachable, UnknownDestination
from pacsd.model import InstanceSelection
from pacsd.scp.operation import Operation
from pacsd.scp.retrieving import Retrieval, answer_retrieve
from pacsd.scp.statuses import Answer
from pacsd.scu.delivery import Delivery
from pacsd.scu.peer import Peer
from pacsd.scu.sender import InstanceSender, Transcode
from pacsd.services.ports import InstanceLocations
from pacsd.services.retrieve import KeptInstances

__all__ = ["MoveHandler"]


class MoveHandler:
    """Sends selections to `destinations`, calling them as `ae_title`."""

    def __init__(
        self,
        index: InstanceLocations,
        instances: KeptInstances,
        transcode: Transcode,
        *,
        destinations: Mapping[str, Peer],
        ae_title: str,
        new_net: Callable[[], DicomNet],
        clock: Callable[[], float],
    ) -> None:
        self._index = index
        self._instances = instances
        self._transcode = transcode
        self.destinations = destinations
        """May be exchanged for others, from any thread."""
        self._ae_title = ae_title
        self._new_net = new_net
        self._clock = clock

    def answer(self, operation: Operation) -> None:
        """Send everything selected to the destination that the request names, and answer."""
        answer_retrieve(
            operation, operation.net.send_c_move_response, partial(self._sent, operation, operation.request)
        )

    def _sent(
        self,
        operation: Operation,
        request: CMoveRequest,
        selection: InstanceSelection,
        send_pending: Callable[[SubOperationFields], None],
    ) -> Answer:
        move_to, effort = operation.net.admission.move_to, operation.new_effort()
        destination = self.destinations.get(request.move_destination)
        if move_to is not None and request.move_destination not in move_to:
            # Known or not, the answer is the same: who may not name it need not learn of it.
            raise UnknownDestination(f"this AE title may not move to {request.move_destination!r}")
        if destination is None:
            raise UnknownDestination(f"move destination {request.move_destination!r} is no configured peer")

        def is_stopped() -> bool:
            now = self.destinations.get(destination.ae_title)
            if now is None or (now.host, now.port) != (destination.host, destination.port):
                raise DestinationUnreachable(f"{destination.ae_title} is no peer at this address any more")
            return operation.is_stopped()

        retrieval = Retrieval(
            instances=self._index.locate(selection, effort),
            transfer_syntax=operation.context.transfer_syntax,
            send_pending=send_pending,
            is_cancelled=is_stopped,
            clock=self._clock,
        )
        effort.ask_instead(retrieval.is_over)

        def new_sender(net: DicomNet) -> InstanceSender:
            return InstanceSender(
                net,
                self._instances,
                self._transcode,
                priority=request.priority,
                move_originator=(operation.net.calling_ae_title, request.message_id),
                is_cancelled=retrieval.is_over,
            )

        with Delivery(
            destination,
            retrieval.instances,
            new_net=self._new_net,
            new_sender=new_sender,
            calling_ae_title=self._ae_title,
            is_cancelled=retrieval.is_over,
        ) as delivery:
            retrieval.break_off = delivery.break_off
            return retrieval.perform(delivery.send, close=delivery.close)
