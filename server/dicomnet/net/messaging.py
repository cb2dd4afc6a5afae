"""The `send_*` half of a DicomNet: typed signatures over one gate that writes messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Unpack

from dicomnet.dimse.command_set import CommandSet
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import (
    AnyResponseFields,
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    Message,
    Request,
    Response,
    ResponseFields,
    SubOperationFields,
    UnrecognizedRequest,
    refusal_of_unrecognized,
    response_to,
)
from dicomnet.dimse.status import Status
from dicomnet.upper_layer.associate import DicomAssociate
from dicomnet.upper_layer.negotiation import PresentationContext, SupportedAbstractSyntax
from dicomnet.upper_layer.pdu import AbortSource, AssociateAccept, AssociateRequest, ContextResult

__all__ = ["Messaging"]


class Messaging(ABC):
    """Ordinary blocking calls that return when the bytes were handed to the socket.

    All raise LocalProtocolError where the state does not allow them, and AssociationEnded where the connection
    is gone or the peer takes nothing.
    """

    @abstractmethod
    def send_message(
        self, context: PresentationContext, message: Message | CommandSet, dataset: Dataset | None = None
    ) -> None:
        """Write one message; what is still unread of a data set being received is dropped first."""

    @abstractmethod
    def send_associate_accept(self, accept: AssociateAccept | DicomAssociate) -> None:
        """Accept the association (PS3.8 §9.3.3)."""

    @abstractmethod
    def send_associate_reject(self, *, result: int, source: int, reason: int) -> None:
        """Reject the association (PS3.8 Table 9-21); the connection closes behind it."""

    @abstractmethod
    def send_release_response(self) -> None:
        """Confirm a release (PS3.8 §9.3.7)."""

    @abstractmethod
    def send_abort(self, *, source: int = AbortSource.SERVICE_USER, reason: int = 0) -> None:
        """Abort the association (PS3.8 §9.3.8)."""

    @abstractmethod
    def accept_association(
        self, request: AssociateRequest, support: Callable[[str], SupportedAbstractSyntax | ContextResult]
    ) -> None:
        """Negotiate each context by what `support` says of its SOP class, and accept; or reject a refused user."""

    @abstractmethod
    def _leave_unawaited(self, response: Response) -> None:
        """Say that a response came for which there is no use."""

    # Responses.

    def _respond(
        self,
        context: PresentationContext,
        request: Request,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[AnyResponseFields],
    ) -> None:
        self.send_message(context, response_to(request, status, **fields), dataset)

    def send_c_echo_response(
        self, context: PresentationContext, request: CEchoRequest, *, status: int
    ) -> None:
        """Answer a C-ECHO (PS3.7 §9.3.5.2)."""
        self._respond(context, request, status)

    def send_c_store_response(
        self,
        context: PresentationContext,
        request: CStoreRequest,
        *,
        status: int,
        **fields: Unpack[ResponseFields],
    ) -> None:
        """Answer a C-STORE (PS3.7 §9.3.1.2)."""
        self._respond(context, request, status, **fields)

    def send_c_find_response(
        self,
        context: PresentationContext,
        request: CFindRequest,
        *,
        status: int,
        identifier: Dataset | None = None,
        **fields: Unpack[ResponseFields],
    ) -> None:
        """Answer a C-FIND (PS3.7 §9.3.2.2): `identifier` with a pending status, none with a final one."""
        self._respond(context, request, status, identifier, **fields)

    def send_c_get_response(
        self,
        context: PresentationContext,
        request: CGetRequest,
        *,
        status: int,
        identifier: Dataset | None = None,
        **fields: Unpack[SubOperationFields],
    ) -> None:
        """Answer a C-GET (PS3.7 §9.3.3.2); `identifier` is the failed SOP Instance UID list."""
        self._respond(context, request, status, identifier, **fields)

    def send_c_move_response(
        self,
        context: PresentationContext,
        request: CMoveRequest,
        *,
        status: int,
        identifier: Dataset | None = None,
        **fields: Unpack[SubOperationFields],
    ) -> None:
        """Answer a C-MOVE (PS3.7 §9.3.4.2); `identifier` is the failed SOP Instance UID list."""
        self._respond(context, request, status, identifier, **fields)

    def send_unrecognized_operation(self, context: PresentationContext, request: UnrecognizedRequest) -> None:
        """Answer a request of an unknown kind (PS3.7 §C.5.21)."""
        self.send_message(context, refusal_of_unrecognized(request, Status.UNRECOGNIZED_OPERATION))

    # Requests; the helpers of `Requests` send them and wait for the answer.

    def send_c_echo_request(self, context: PresentationContext, *, message_id: int) -> None:
        """Ask for a C-ECHO (PS3.7 §9.3.5.1)."""
        self.send_message(
            context, CEchoRequest(message_id=message_id, affected_sop_class_uid=context.abstract_syntax)
        )

    def send_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: Dataset
    ) -> None:
        """Send an object (PS3.7 §9.3.1.1), already encoded in the context's transfer syntax."""
        self.send_message(context, request, dataset)

    def send_c_find_request(
        self, context: PresentationContext, *, message_id: int, identifier: Dataset, priority: int = 0
    ) -> None:
        """Ask for matches (PS3.7 §9.3.2.1)."""
        self.send_message(
            context,
            CFindRequest(
                message_id=message_id, affected_sop_class_uid=context.abstract_syntax, priority=priority
            ),
            identifier,
        )

    def send_c_get_request(
        self, context: PresentationContext, *, message_id: int, identifier: Dataset, priority: int = 0
    ) -> None:
        """Ask for objects on this association (PS3.7 §9.3.3.1)."""
        self.send_message(
            context,
            CGetRequest(
                message_id=message_id, affected_sop_class_uid=context.abstract_syntax, priority=priority
            ),
            identifier,
        )

    def send_c_move_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        move_destination: str,
        identifier: Dataset,
        priority: int = 0,
    ) -> None:
        """Ask for objects to be sent to a third party (PS3.7 §9.3.4.1)."""
        self.send_message(
            context,
            CMoveRequest(
                message_id=message_id,
                affected_sop_class_uid=context.abstract_syntax,
                move_destination=move_destination,
                priority=priority,
            ),
            identifier,
        )

    def send_c_cancel_request(self, context: PresentationContext, *, message_id: int) -> None:
        """Ask the peer to stop the operation that the request with `message_id` began (PS3.7 §9.3.2.3)."""
        self.send_message(context, CCancelRequest(message_id_being_responded_to=message_id))
