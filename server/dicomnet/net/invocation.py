"""Request and response as one call: send, wait for the answer with the same message ID, return it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from dicomnet import uids
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import (
    CEchoResponse,
    CFindResponse,
    CGetResponse,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    Priority,
    Response,
)
from dicomnet.dimse.status import StatusClass
from dicomnet.errors import LocalProtocolError, RemoteProtocolError
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.configuration import NetConfiguration
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.upper_layer.negotiation import NegotiatedAssociation, PresentationContext
from dicomnet.upper_layer.pdu import AbortReason

__all__ = ["OutgoingInstance", "Requests"]

SomeResponse = TypeVar("SomeResponse", bound=Response)


class OutgoingInstance(NamedTuple):
    """One object for `Requests.c_store_all`; `dataset` is encoded in the context's transfer syntax."""

    context: PresentationContext
    sop_instance_uid: str
    dataset: Dataset


class Requests(Callbacks):
    """The `c_*` helpers of a DicomNet.

    All raise LocalProtocolError where no fitting context was accepted, AssociationEnded where no answer comes.
    Those that return identifiers raise DatasetTooLong past `Limits.identifier_length` of the configuration.
    """

    configuration: NetConfiguration

    @property
    @abstractmethod
    def association(self) -> NegotiatedAssociation | None:
        """What was agreed on; None before A-ASSOCIATE-AC."""

    @abstractmethod
    def next_message_id(self) -> int:
        """Return a message ID that no request of ours uses now."""

    @abstractmethod
    def await_response(self, *message_ids: int) -> tuple[Response, ReceivedDataset | None]:
        """Wait for the next response to any of our requests; what is unread of a data set before it is dropped.

        Requests of the peer that come before it are served meanwhile (C-GET's C-STOREs), or kept for later
        while we serve one already.
        """

    def context_for(self, sop_class_uid: str) -> PresentationContext:
        """Return the first accepted context of a SOP class in which we are SCU."""
        contexts = self.association.contexts_of(sop_class_uid) if self.association else []
        if not contexts:
            raise LocalProtocolError(f"no presentation context for {sop_class_uid} was accepted")
        return contexts[0]

    def c_echo(self) -> CEchoResponse:
        """Verify the connection (PS3.7 §9.1.5)."""
        message_id = self.next_message_id()
        self.send_c_echo_request(self.context_for(uids.VERIFICATION_SOP_CLASS), message_id=message_id)
        response, _ = self._await(CEchoResponse, message_id)
        return response

    def c_store(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        dataset: Dataset,
        *,
        priority: int = Priority.MEDIUM,
        move_originator: tuple[str, int] | None = None,
    ) -> CStoreResponse:
        """Send one object and return the peer's verdict (PS3.7 §9.1.1).

        `dataset` is encoded in the context's transfer syntax. `move_originator` is the AE title and the message
        ID of the C-MOVE that this is a sub-operation of.
        """
        message_id = self.next_message_id()
        instance = OutgoingInstance(context, sop_instance_uid, dataset)
        self._send_instance(message_id, instance, priority, move_originator)
        response, _ = self._await(CStoreResponse, message_id)
        return response

    def c_store_all(
        self,
        instances: Iterable[OutgoingInstance],
        *,
        priority: int = Priority.MEDIUM,
        move_originator: tuple[str, int] | None = None,
    ) -> Generator[tuple[OutgoingInstance, CStoreResponse], None, None]:
        """Send objects one after the other and yield each with the peer's verdict, in the order of the verdicts.

        Where a window was negotiated (PS3.7 §D.3.3.3), the next are sent before the first are answered. Each is
        taken from `instances` when it is about to be sent, and its data set is no longer needed when the one behind
        it is taken. Leaving the iteration early waits for the answers to what was sent.
        """
        outstanding: dict[int, OutgoingInstance] = {}
        try:
            for instance in instances:
                if len(outstanding) >= self._operations_invoked:
                    yield self._next_verdict(outstanding)
                message_id = self.next_message_id()
                self._send_instance(message_id, instance, priority, move_originator)
                outstanding[message_id] = instance
            while outstanding:
                yield self._next_verdict(outstanding)
        except GeneratorExit:
            with suppress(LocalProtocolError):  # the connection was closed before, and nothing will come
                while outstanding:
                    self._next_verdict(outstanding)
            raise

    @property
    def _operations_invoked(self) -> int:
        granted = self.association.maximum_operations_invoked if self.association else 1
        return granted or self.configuration.maximum_operations

    def _next_verdict(
        self, outstanding: dict[int, OutgoingInstance]
    ) -> tuple[OutgoingInstance, CStoreResponse]:
        response, _ = self._await(CStoreResponse, *outstanding)
        return outstanding.pop(response.message_id_being_responded_to), response

    def _send_instance(
        self,
        message_id: int,
        instance: OutgoingInstance,
        priority: int,
        move_originator: tuple[str, int] | None,
    ) -> None:
        ae_title, originator_message_id = move_originator or ("", None)
        request = CStoreRequest(
            message_id=message_id,
            affected_sop_class_uid=instance.context.abstract_syntax,
            affected_sop_instance_uid=instance.sop_instance_uid,
            priority=priority,
            move_originator_application_entity_title=ae_title,
            move_originator_message_id=originator_message_id,
        )
        self.send_c_store_request(instance.context, request, instance.dataset)

    def c_find(
        self, context: PresentationContext, identifier: Dataset
    ) -> Generator[tuple[CFindResponse, bytes | None], None, None]:
        """Yield each response with its identifier, the final one last (PS3.7 §9.1.2).

        Leaving the iteration early sends C-CANCEL and reads on to the final response.
        """
        message_id = self.next_message_id()
        return self._responses(
            context,
            message_id,
            CFindResponse,
            lambda: self.send_c_find_request(context, message_id=message_id, identifier=identifier),
        )

    def c_get(
        self, context: PresentationContext, identifier: Dataset
    ) -> Generator[tuple[CGetResponse, bytes | None], None, None]:
        """As `c_find`; the objects arrive at `on_receive_c_store_request` meanwhile (PS3.7 §9.1.3)."""
        message_id = self.next_message_id()
        return self._responses(
            context,
            message_id,
            CGetResponse,
            lambda: self.send_c_get_request(context, message_id=message_id, identifier=identifier),
        )

    def c_move(
        self, context: PresentationContext, identifier: Dataset, *, move_destination: str
    ) -> Generator[tuple[CMoveResponse, bytes | None], None, None]:
        """As `c_find`; the objects go to the AE named `move_destination` (PS3.7 §9.1.4)."""
        message_id = self.next_message_id()
        return self._responses(
            context,
            message_id,
            CMoveResponse,
            lambda: self.send_c_move_request(
                context, message_id=message_id, move_destination=move_destination, identifier=identifier
            ),
        )

    def _responses(
        self,
        context: PresentationContext,
        message_id: int,
        response_type: type[SomeResponse],
        send: Callable[[], None],
    ) -> Generator[tuple[SomeResponse, bytes | None], None, None]:
        send()
        try:
            while True:
                response, dataset = self._await(response_type, message_id)
                identifier = dataset.read(self.configuration.limits.identifier_length) if dataset else None
                is_final = response.status_class is not StatusClass.PENDING
                if is_final:
                    message_id = 0
                yield response, identifier
                if is_final:
                    return
        except GeneratorExit:
            if message_id:
                self._cancel(context, message_id, response_type)
            raise

    def _cancel(
        self, context: PresentationContext, message_id: int, response_type: type[SomeResponse]
    ) -> None:
        self.send_c_cancel_request(context, message_id=message_id)
        response, _ = self._await(response_type, message_id)
        while response.status_class is StatusClass.PENDING:
            response, _ = self._await(response_type, message_id)

    def _await(
        self, response_type: type[SomeResponse], *message_ids: int
    ) -> tuple[SomeResponse, ReceivedDataset | None]:
        response, dataset = self.await_response(*message_ids)
        if not isinstance(response, response_type):
            self.send_abort()
            raise RemoteProtocolError(
                f"{type(response).__name__} where {response_type.__name__} was due",
                reason=AbortReason.UNEXPECTED_PDU_PARAMETER,
            )
        return response, dataset
