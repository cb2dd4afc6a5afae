"""Operations that we invoke: C-STORE, one or many; C-FIND, C-GET and C-MOVE with their many responses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import NamedTuple

from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import CCancelRequest, CStoreRequest, CStoreResponse
from dicomnet.dimse.status import StatusClass
from dicomnet.errors import LocalProtocolError
from dicomnet.net.exchange import Exchange, SomeResponse
from dicomnet.upper_layer.negotiation import PresentationContext

__all__ = ["OutgoingInstance", "invoke", "invoke_store", "invoke_stores"]


class OutgoingInstance(NamedTuple):
    """One object for `DicomNet.c_store_all`; `dataset` is encoded in the context's transfer syntax."""

    context: PresentationContext
    sop_instance_uid: str
    dataset: Dataset


def invoke(
    exchange: Exchange,
    context: PresentationContext,
    message_id: int,
    response_type: type[SomeResponse],
    send: Callable[[], None],
) -> Generator[tuple[SomeResponse, bytes | None], None, None]:
    """Have `send` write the request, and yield each response with its identifier, the final one last.

    Leaving the iteration early sends C-CANCEL and reads on to the final response.
    """
    send()
    try:
        while True:
            response, identifier = exchange.await_whole(response_type, message_id)
            is_final = response.status_class is not StatusClass.PENDING
            if is_final:
                message_id = 0
            yield response, identifier
            if is_final:
                return
    except GeneratorExit:
        if message_id:
            _cancel(exchange, context, message_id, response_type)
        raise


def _cancel(
    exchange: Exchange, context: PresentationContext, message_id: int, response_type: type[SomeResponse]
) -> None:
    exchange.upper_layer.send(context, CCancelRequest(message_id_being_responded_to=message_id))
    response, _ = exchange.await_only(response_type, message_id)
    while response.status_class is StatusClass.PENDING:
        response, _ = exchange.await_only(response_type, message_id)


def invoke_store(
    exchange: Exchange,
    instance: OutgoingInstance,
    *,
    priority: int,
    move_originator: tuple[str, int] | None,
) -> int:
    """Write the C-STORE request of one object, and return its message ID."""
    ae_title, originator_message_id = move_originator or ("", None)
    message_id = exchange.next_message_id()
    request = CStoreRequest(
        message_id=message_id,
        affected_sop_class_uid=instance.context.abstract_syntax,
        affected_sop_instance_uid=instance.sop_instance_uid,
        priority=priority,
        move_originator_application_entity_title=ae_title,
        move_originator_message_id=originator_message_id,
    )
    exchange.upper_layer.send(instance.context, request, instance.dataset)
    return message_id


def invoke_stores(
    exchange: Exchange,
    instances: Iterable[OutgoingInstance],
    *,
    priority: int,
    move_originator: tuple[str, int] | None,
) -> Generator[tuple[OutgoingInstance, CStoreResponse], None, None]:
    """As many C-STOREs at once as the peer's window has room for; see `DicomNet.c_store_all`."""
    outstanding: dict[int, OutgoingInstance] = {}

    def next_verdict() -> tuple[OutgoingInstance, CStoreResponse]:
        response, _ = exchange.await_only(CStoreResponse, *outstanding)
        return outstanding.pop(response.message_id_being_responded_to), response

    try:
        for instance in instances:
            if len(outstanding) >= exchange.upper_layer.operations_invoked:
                yield next_verdict()
            message_id = invoke_store(exchange, instance, priority=priority, move_originator=move_originator)
            outstanding[message_id] = instance
        while outstanding:
            yield next_verdict()
    except GeneratorExit:
        with suppress(LocalProtocolError):  # the connection was closed before, and nothing will come
            while outstanding:
                next_verdict()
        raise
