"""What a DicomNet calls when something arrives: override what you serve, and answer with the `send_*` beside it.

Every default is a whole answer: Verification works, other services are refused as the Standard has it.
All are called on the connection's own thread, one at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Unpack

from dicomnet import uids
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import (
    AnyResponseFields,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    Message,
    NActionRequest,
    NActionResponse,
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NDeleteResponse,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NGetResponse,
    NormalizedFields,
    NSetRequest,
    NSetResponse,
    Request,
    Response,
    ResponseFields,
    SubOperationFields,
    UnrecognizedRequest,
    refusal_of_unrecognized,
    response_to,
)
from dicomnet.dimse.status import Status
from dicomnet.net.upper_layer_service import UpperLayerService
from dicomnet.upper_layer.associate import DicomAssociate
from dicomnet.upper_layer.negotiation import (
    NegotiatedAssociation,
    PresentationContext,
    SupportedAbstractSyntax,
    answer_request,
)
from dicomnet.upper_layer.pdu import (
    AssociateAccept,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    UserIdentity,
)
from dicomnet.upper_layer.user_identity import IdentityDecision, IdentityRefused, identity_response

if TYPE_CHECKING:
    from dicomnet.net.received_dataset import ReceivedDataset
    from dicomnet.net.tls import PeerCertificate

__all__ = ["Callbacks"]

_LOG: Final = logging.getLogger("dicomnet")

_VERIFICATION: Final = SupportedAbstractSyntax(
    transfer_syntaxes=(
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
    )
)


class Callbacks:
    """The `on_*` of a DicomNet, and the `send_*` that answer them.

    `send_*` block until the socket has the bytes. All raise LocalProtocolError where the state does not allow
    them, and AssociationEnded where the connection is gone or the peer takes nothing.
    """

    def __init__(self) -> None:
        self._upper_layer = UpperLayerService()

    # Listening and the life of a connection.

    def on_connection_dropped(self, peer_address: tuple[str, int], limit: str) -> None:
        """Hear that a connection was closed because of a limit; on the listener's own thread.

        `limit` is "connections", "connections-without-association" or "connections-without-association-per-address".
        """

    def on_connect(self, error: Exception | None) -> None:
        """Take note that our own `connect` succeeded, or why it failed."""

    def on_secure(self, peer_certificate: PeerCertificate | None) -> None:
        """Take note that TLS stands, in either role and before any association (PS3.15 §B).

        `peer_certificate` is verified; None: the peer showed none. It stays in `DicomNet.peer_certificate`, so that
        `on_receive_associate_request` can reject for it.
        """

    def on_close(self, error: Exception | None) -> None:
        """Take note that the connection is closed; called exactly once. `error` is None after a release.

        Which connection, needs no argument: the object is it, and still has its association and byte counts.
        """

    # Association requests and their answers.

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        """Answer with `send_associate_accept` or `send_associate_reject`; the default asks `supports`.

        Of a SOP class that `supports` does not know and the peer describes, it asks `supports_described`.
        """

        def support(abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
            decision = self.supports(abstract_syntax)
            described = request.user_information.common_extended_negotiation_of(abstract_syntax)
            if described is None or decision is not ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED:
                return decision
            return self.supports_described(described)

        self.accept_association(request, support)

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        """Say how a SOP class is supported; the default knows Verification alone."""
        if abstract_syntax == uids.VERIFICATION_SOP_CLASS:
            return _VERIFICATION
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED

    def supports_described(
        self, described: CommonExtendedNegotiation
    ) -> SupportedAbstractSyntax | ContextResult:
        """Say how an unknown SOP class is supported by its service class or related ones (57H, PS3.7 §D.3.3.6).

        The default supports none; a storage that takes all may look for the Storage service class,
        1.2.840.10008.4.2. The peer's word is all that there is: nothing else vouches for it.
        """
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED

    def answer_extended_negotiation(self, asked: ExtendedNegotiation) -> bytes | None:
        """Return the service-class application information that answers a peer's (56H, PS3.7 §D.3.3.5).

        Called by `accept_association` for each SOP class that is asked for and accepted in some context. None, the
        default: there is no answer, and what the service class has as its default holds.
        """
        return None

    def authenticate(self, identity: UserIdentity | None, request: AssociateRequest) -> IdentityDecision:
        """Say whether the user is who a request says (58H, PS3.7 §D.3.3.7); `identity` None: it says nothing.

        Asked by `accept_association` before anything is accepted; who answers by `send_associate_accept` decides alone.
        IdentityRefused rejects the association (result 1, source 1, reason 1), and so does an exception, of which only
        the type is logged. IdentityAccepted sends the positive response, if one was requested. None, the default:
        identities are not checked, and the association is accepted without that response. An identity of a type that
        the Standard does not know (`kind` None) is handed on like any other: nobody can verify it.
        """
        return None

    def accept_association(
        self, request: AssociateRequest, support: Callable[[str], SupportedAbstractSyntax | ContextResult]
    ) -> None:
        """Negotiate each context by what `support` says of its SOP class, and accept.

        `authenticate` is asked first: where it refuses the user, the association is rejected, permanently and by
        the service user without a reason, for Table 9-21 has none for it. `answer_extended_negotiation` is asked
        for each SOP class that is accepted. An answer of theirs that is too long raises LocalProtocolError.
        """
        decision = self._decide_identity(request)
        if isinstance(decision, IdentityRefused):
            self.send_associate_reject(result=1, source=1, reason=1)
            return
        configuration = self._upper_layer.open_channel().configuration
        self.send_associate_accept(
            answer_request(
                request,
                support,
                maximum_length=configuration.maximum_length,
                maximum_operations=configuration.maximum_operations,
                extended=self.answer_extended_negotiation,
                user_identity_response=identity_response(request.user_information.user_identity, decision),
            )
        )

    def _decide_identity(self, request: AssociateRequest) -> IdentityDecision:
        """Return what `authenticate` decides about a request's user; where it fails, that is a refusal."""
        try:
            return self.authenticate(request.user_information.user_identity, request)
        except Exception as error:
            # Neither text nor traceback: a failed look-up likes to name what it did not find.
            _LOG.error("the authenticator failed with %s; the user is refused", type(error).__name__)
            return IdentityRefused()

    def send_associate_accept(self, accept: AssociateAccept | DicomAssociate) -> None:
        """Accept the association (PS3.8 §9.3.3)."""
        accept = accept.to_accept() if isinstance(accept, DicomAssociate) else accept
        self.on_associated(self._upper_layer.accept(accept))

    def send_associate_reject(self, *, result: int, source: int, reason: int) -> None:
        """Reject the association (PS3.8 Table 9-21)."""
        self._upper_layer.reject(result=result, source=source, reason=reason)

    # What becomes of an association.

    def on_associated(self, association: NegotiatedAssociation) -> None:
        """Take note that the association stands, on either side."""

    def on_receive_associate_accept(self, accept: AssociateAccept) -> None:
        """Take note that the peer accepted our association; behind `on_associated`."""

    def on_receive_associate_reject(self, result: int, source: int, reason: int) -> None:
        """Take note that the peer rejected our association (PS3.8 Table 9-21); `on_close` follows."""

    def on_disassociated(self, error: Exception | None) -> None:
        """Take note that the association is over and why; once for each `on_associated`, ahead of `on_close`.

        What was held for the association is to be let go here: until `on_close`, the peer may take as long to close
        the connection as ARTIM lets it (PS3.8 §9.1.5).
        """

    def on_receive_release_request(self) -> None:
        """Answer a release; called when no operation is under way any more."""
        self.send_release_response()

    def send_release_response(self) -> None:
        """Confirm a release (PS3.8 §9.3.7)."""
        self._upper_layer.respond_release()

    def on_receive_release_response(self) -> None:
        """Take note that the peer confirmed our release; `on_close` follows."""

    def on_receive_abort(self, source: int, reason: int) -> None:
        """Take note that the peer aborted (PS3.8 Table 9-26); `on_close` follows."""

    # What passes on the connection; nothing of this costs anything where it is not overridden.

    def on_send(self, error: Exception | None, pdu_type: int, length: int) -> None:
        """Take note that a PDU was handed to the socket whole, `length` bytes of it; with `error` it was not."""

    def on_receive(self, error: Exception | None, pdu_type: int, pdu: bytes) -> None:
        """Take note of a PDU as it came, before anything is made of it.

        One that is longer than an A-ASSOCIATE may be is not held: it comes as `error`, with no bytes.
        """

    def on_receive_data(self, context_id: int, message: Message, dataset: ReceivedDataset | None) -> None:
        """Take note of a message, whoever waits for it; its own `on_receive_*` or `c_*` call is next.

        `dataset` is the stream that they get: what is read of it here, they don't see.
        """

    # Messages.

    def _respond(
        self,
        context: PresentationContext,
        request: Request,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[AnyResponseFields],
    ) -> None:
        self._upper_layer.send(context, response_to(request, status, **fields), dataset)

    # Requests of the C-services and their answers.
    # A request's `dataset` must be read before the answer goes out, or is dropped then.

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        """Answer a C-ECHO (PS3.7 §9.3.5); the default says Success."""
        self.send_c_echo_response(context, request, status=Status.SUCCESS)

    def send_c_echo_response(
        self, context: PresentationContext, request: CEchoRequest, *, status: int
    ) -> None:
        """Answer a C-ECHO (PS3.7 §9.3.5.2)."""
        self._respond(context, request, status)

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-STORE (PS3.7 §9.3.1)."""
        self.send_c_store_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

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

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-FIND (PS3.7 §9.3.2): pending responses, then a final one."""
        self.send_c_find_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

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

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-GET (PS3.7 §9.3.3)."""
        self.send_c_get_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

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

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-MOVE (PS3.7 §9.3.4)."""
        self.send_c_move_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

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

    def on_receive_c_cancel_request(self, context: PresentationContext, request: CCancelRequest) -> None:
        """Take note of a C-CANCEL; who serves the operation asks `is_cancelled`."""

    def on_receive_unknown(self, context: PresentationContext, request: UnrecognizedRequest) -> None:
        """Answer a request of a kind that we do not know; the default says Unrecognized Operation (0211H)."""
        _LOG.info("unrecognized operation %04XH", request.unrecognized_command_field)
        self.send_unrecognized_operation(context, request)

    def send_unrecognized_operation(self, context: PresentationContext, request: UnrecognizedRequest) -> None:
        """Answer a request of an unknown kind (PS3.7 §C.5.21)."""
        self._upper_layer.send(context, refusal_of_unrecognized(request, Status.UNRECOGNIZED_OPERATION))

    # Requests of the N-services and their answers. N-EVENT-REPORT is called report here, as in the original DicomNet.
    # A request's `dataset` is empty where none came; a response's is the reply, or the attributes.

    def on_receive_n_report_request(
        self, context: PresentationContext, request: NEventReportRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-EVENT-REPORT (PS3.7 §10.1.1)."""
        self.send_n_report_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def send_n_report_response(
        self,
        context: PresentationContext,
        request: NEventReportRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-EVENT-REPORT (PS3.7 §10.3.1.2); the event type goes with a reply alone."""
        event = None if dataset is None else request.event_type_id
        self._respond(context, request, status, dataset, event_type_id=event, **fields)

    def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
        """Answer an N-GET (PS3.7 §10.1.2)."""
        self.send_n_get_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def send_n_get_response(
        self,
        context: PresentationContext,
        request: NGetRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-GET with the attributes asked for (PS3.7 §10.3.2.2)."""
        self._respond(context, request, status, dataset, **fields)

    def on_receive_n_set_request(
        self, context: PresentationContext, request: NSetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-SET (PS3.7 §10.1.3)."""
        self.send_n_set_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def send_n_set_response(
        self,
        context: PresentationContext,
        request: NSetRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        attribute_identifier_list: tuple[int, ...] = (),
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-SET (PS3.7 §10.3.3.2); the list names, after a warning, what was not set."""
        self._respond(
            context, request, status, dataset, attribute_identifier_list=attribute_identifier_list, **fields
        )

    def on_receive_n_action_request(
        self, context: PresentationContext, request: NActionRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-ACTION (PS3.7 §10.1.4)."""
        self.send_n_action_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def send_n_action_response(
        self,
        context: PresentationContext,
        request: NActionRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-ACTION (PS3.7 §10.3.4.2); the action type goes with a reply alone."""
        action = None if dataset is None else request.action_type_id
        self._respond(context, request, status, dataset, action_type_id=action, **fields)

    def on_receive_n_create_request(
        self, context: PresentationContext, request: NCreateRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-CREATE (PS3.7 §10.1.5)."""
        self.send_n_create_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def send_n_create_response(
        self,
        context: PresentationContext,
        request: NCreateRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-CREATE (PS3.7 §10.3.5.2); a request without an instance UID needs one in `fields`."""
        self._respond(context, request, status, dataset, **fields)

    def on_receive_n_delete_request(self, context: PresentationContext, request: NDeleteRequest) -> None:
        """Answer an N-DELETE (PS3.7 §10.1.6)."""
        self.send_n_delete_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def send_n_delete_response(
        self,
        context: PresentationContext,
        request: NDeleteRequest,
        *,
        status: int,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-DELETE (PS3.7 §10.3.6.2)."""
        self._respond(context, request, status, **fields)

    # Responses that no `c_*` or `n_*` call waits for: to requests that `send_*_request` sent, or too late ones.
    # By default they are logged and forgotten; `dataset` is None where none came.

    def on_receive_c_echo_response(self, context: PresentationContext, response: CEchoResponse) -> None:
        """Take note of the answer to a C-ECHO (PS3.7 §9.3.5.2)."""
        _leave_unawaited(response)

    def on_receive_c_store_response(self, context: PresentationContext, response: CStoreResponse) -> None:
        """Take note of the answer to a C-STORE (PS3.7 §9.3.1.2)."""
        _leave_unawaited(response)

    def on_receive_c_find_response(
        self, context: PresentationContext, response: CFindResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of one answer to a C-FIND, a match with a pending status (PS3.7 §9.3.2.2)."""
        _leave_unawaited(response)

    def on_receive_c_get_response(
        self, context: PresentationContext, response: CGetResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of one answer to a C-GET (PS3.7 §9.3.3.2)."""
        _leave_unawaited(response)

    def on_receive_c_move_response(
        self, context: PresentationContext, response: CMoveResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of one answer to a C-MOVE (PS3.7 §9.3.4.2)."""
        _leave_unawaited(response)

    def on_receive_n_report_response(
        self, context: PresentationContext, response: NEventReportResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-EVENT-REPORT (PS3.7 §10.3.1.2)."""
        _leave_unawaited(response)

    def on_receive_n_get_response(
        self, context: PresentationContext, response: NGetResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-GET (PS3.7 §10.3.2.2)."""
        _leave_unawaited(response)

    def on_receive_n_set_response(
        self, context: PresentationContext, response: NSetResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-SET (PS3.7 §10.3.3.2)."""
        _leave_unawaited(response)

    def on_receive_n_action_response(
        self, context: PresentationContext, response: NActionResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-ACTION (PS3.7 §10.3.4.2)."""
        _leave_unawaited(response)

    def on_receive_n_create_response(
        self, context: PresentationContext, response: NCreateResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-CREATE (PS3.7 §10.3.5.2)."""
        _leave_unawaited(response)

    def on_receive_n_delete_response(self, context: PresentationContext, response: NDeleteResponse) -> None:
        """Take note of the answer to an N-DELETE (PS3.7 §10.3.6.2)."""
        _leave_unawaited(response)


def _leave_unawaited(response: Response) -> None:
    _LOG.info("a %s that nobody waits for is ignored", type(response).__name__)
