"""What a DicomNet calls when something arrives; override what you serve.

Every default is a whole answer: Verification works, other services are refused as the Standard has it.
All are called on the connection's own thread, one at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dicomnet import uids
from dicomnet.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    Message,
    Response,
    UnrecognizedRequest,
)
from dicomnet.dimse.status import Status
from dicomnet.net.response_callbacks import ResponseCallbacks
from dicomnet.upper_layer.negotiation import (
    NegotiatedAssociation,
    PresentationContext,
    SupportedAbstractSyntax,
)
from dicomnet.upper_layer.pdu import (
    AssociateAccept,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    UserIdentity,
)
from dicomnet.upper_layer.user_identity import IdentityDecision

if TYPE_CHECKING:
    from dicomnet.net.received_dataset import ReceivedDataset
    from dicomnet.net.tls import PeerCertificate

__all__ = ["Callbacks"]

_LOG = logging.getLogger("dicomnet")

_VERIFICATION = SupportedAbstractSyntax(
    transfer_syntaxes=(
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
    )
)


class Callbacks(ResponseCallbacks):
    """The `on_*` half of a DicomNet."""

    # Life cycle and association.

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

    def on_receive_associate_accept(self, accept: AssociateAccept) -> None:
        """Take note that the peer accepted our association; behind `on_associated`."""

    def on_receive_associate_reject(self, result: int, source: int, reason: int) -> None:
        """Take note that the peer rejected our association (PS3.8 Table 9-21); `on_close` follows."""

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

    def on_associated(self, association: NegotiatedAssociation) -> None:
        """Take note that the association stands, on either side."""

    def on_disassociated(self, error: Exception | None) -> None:
        """Take note that the association is over and why; once for each `on_associated`, ahead of `on_close`.

        What was held for the association is to be let go here: until `on_close`, the peer may take as long to close
        the connection as ARTIM lets it (PS3.8 §9.1.5).
        """

    def on_receive_release_request(self) -> None:
        """Answer a release; called when no operation is under way any more."""
        self.send_release_response()

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

    # Requests; `dataset` must be read before the answer goes out, or is dropped then.

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        """Answer a C-ECHO (PS3.7 §9.3.5); the default says Success."""
        self.send_c_echo_response(context, request, status=Status.SUCCESS)

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-STORE (PS3.7 §9.3.1)."""
        self.send_c_store_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-FIND (PS3.7 §9.3.2): pending responses, then a final one."""
        self.send_c_find_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-GET (PS3.7 §9.3.3)."""
        self.send_c_get_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-MOVE (PS3.7 §9.3.4)."""
        self.send_c_move_response(context, request, status=Status.SOP_CLASS_NOT_SUPPORTED)

    def on_receive_c_cancel_request(self, context: PresentationContext, request: CCancelRequest) -> None:
        """Take note of a C-CANCEL; who serves the operation asks `is_cancelled`."""

    def on_receive_unknown(self, context: PresentationContext, request: UnrecognizedRequest) -> None:
        """Answer a request of a kind that we do not know; the default says Unrecognized Operation (0211H)."""
        _LOG.info("unrecognized operation %04XH", request.unrecognized_command_field)
        self.send_unrecognized_operation(context, request)

    def _leave_unawaited(self, response: Response) -> None:
        _LOG.info("a %s that nobody waits for is ignored", type(response).__name__)
