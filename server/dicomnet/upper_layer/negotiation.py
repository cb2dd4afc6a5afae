"""What two sides agree on when an association begins (PS3.8 §7.1.1, PS3.7 Annex D.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from dicomnet import uids
from dicomnet.upper_layer.extended_negotiation import (
    ExtendedNegotiationAnswer,
    answer_extended,
    answered_extended,
)
from dicomnet.upper_layer.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PresentationContextResult,
    ProposedPresentationContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicomnet.upper_layer.transfer_syntaxes import choose_transfer_syntax
from dicomnet.upper_layer.user_identity import answered_identity

__all__ = [
    "NegotiatedAssociation",
    "PresentationContext",
    "SupportedAbstractSyntax",
    "answer_request",
    "negotiated",
    "own_user_information",
    "provider_rejection",
]

_SHORTEST_USEFUL_PDU: Final = 8
"""Bytes of a P-DATA-TF that holds one PDV with two bytes, as fragments have even lengths (PS3.8 §9.3.5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentationContext:
    """One accepted presentation context, seen from our side."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    """We may send requests of this SOP class."""
    as_scp: bool
    """The peer may send us requests of this SOP class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiatedAssociation:
    """What stands after A-ASSOCIATE-AC, seen from our side."""

    is_requestor: bool
    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: Mapping[int, PresentationContext]
    """The accepted ones, by context ID."""
    maximum_length_to_send: int
    """Largest PDU-length value that the peer receives, bytes; 0 = no limit."""
    maximum_operations_invoked: int = 1
    """Requests of ours that may be outstanding at once (PS3.7 §D.3.3.3); 0 = no limit."""
    maximum_operations_performed: int = 1
    """Requests of the peer that may be; 0 = no limit."""
    peer: UserInformation
    extended_negotiations: Mapping[str, bytes] = field(default_factory=dict)
    """By SOP class, what the acceptor answered to its extended negotiation (56H, PS3.7 §D.3.3.5); what is missing
    here was not asked for, or not answered: the service class's default holds."""
    user_identity_response: bytes | None = field(default=None, repr=False)
    """What the acceptor answered to a user identity for which a positive response was requested (59H): empty for user
    names and passcodes. None where one was requested: the acceptor has not checked the identity (PS3.7 §D.3.3.7);
    the association stands all the same, and whether that is good enough is for the requestor to say."""

    def contexts_of(self, abstract_syntax: str, *, as_scu: bool = True) -> list[PresentationContext]:
        """The accepted contexts of a SOP class in which we may be SCU (or SCP), in order of their IDs."""
        return [
            context
            for context in self.presentation_contexts.values()
            if context.abstract_syntax == abstract_syntax and (context.as_scu if as_scu else context.as_scp)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportedAbstractSyntax:
    """How an acceptor supports one SOP class."""

    transfer_syntaxes: Collection[str]
    requestor_as_scu: bool = True
    requestor_as_scp: bool = False


def provider_rejection(request: AssociateRequest) -> AssociateReject | None:
    """Return the rejection that the provider owes by itself (AE-6), or None if the user shall decide.

    The protocol version is the provider's (PS3.8 Table 9-21), of which only bit 0 is tested (§9.3.2). So is a
    maximum length into which no PDV fits: no answer could ever be sent.
    """
    if not request.protocol_version & 1:
        return AssociateReject(result=1, source=2, reason=2)
    if 0 < (request.user_information.maximum_length or 0) < _SHORTEST_USEFUL_PDU:
        return AssociateReject(result=1, source=2, reason=1)
    return None


def own_user_information(
    *,
    maximum_length: int,
    roles: tuple[RoleSelection, ...] = (),
    window: AsynchronousOperationsWindow | None = None,
    extended_negotiations: tuple[ExtendedNegotiation, ...] = (),
    common_extended_negotiations: tuple[CommonExtendedNegotiation, ...] = (),
    user_identity: UserIdentity | None = None,
    user_identity_response: bytes | None = None,
) -> UserInformation:
    """Return the user information that this implementation sends; without a `window`, one operation at a time.

    Common extended negotiations and the user identity are for requests only, its response is for accepts
    (PS3.7 §D.3.3.6 and §D.3.3.7).
    """
    return UserInformation(
        maximum_length=maximum_length,
        implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
        implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
        roles=roles,
        asynchronous_operations_window=window,
        extended_negotiations=extended_negotiations,
        common_extended_negotiations=common_extended_negotiations,
        user_identity=user_identity,
        user_identity_response=user_identity_response,
    )


def answer_request(
    request: AssociateRequest,
    support: Callable[[str], SupportedAbstractSyntax | ContextResult],
    *,
    maximum_length: int,
    maximum_operations: int = 1,
    extended: ExtendedNegotiationAnswer | None = None,
    user_identity_response: bytes | None = None,
) -> AssociateAccept:
    """Return the A-ASSOCIATE-AC for a request.

    `support` says for an abstract syntax how it is supported, or why its contexts are refused; what the peer
    says of an unknown one's service class, `UserInformation.common_extended_negotiation_of` finds. `extended` is
    asked for the answer to the extended negotiation of each class that is accepted; without it none is answered.
    A window is granted to who asks for one, up to `maximum_operations` either way.

    A request that leaves out the application context name means the only one there is (PS3.7 §A.2.1).
    User identity is taken note of by nobody here: who has checked it gives what `identity_response` makes of that.
    """
    decisions = {
        context.abstract_syntax: support(context.abstract_syntax) for context in request.presentation_contexts
    }
    results = tuple(
        _answer_context(context, decisions[context.abstract_syntax])
        for context in request.presentation_contexts
    )
    return AssociateAccept(
        called_ae_title=request.called_ae_title,
        calling_ae_title=request.calling_ae_title,
        application_context_name=request.application_context_name or uids.APPLICATION_CONTEXT_NAME,
        presentation_contexts=results,
        user_information=own_user_information(
            maximum_length=maximum_length,
            roles=tuple(_answer_roles(request.user_information.roles, decisions)),
            window=_answer_window(
                request.user_information.asynchronous_operations_window, maximum_operations
            ),
            extended_negotiations=answer_extended(request, results, extended) if extended else (),
            user_identity_response=user_identity_response,
        ),
    )


def _answer_window(
    proposed: AsynchronousOperationsWindow | None, most: int
) -> AsynchronousOperationsWindow | None:
    """Grant no more than was asked for; nobody who did not ask gets an answer (PS3.7 §D.3.3.3.2)."""
    if proposed is None:
        return None
    return AsynchronousOperationsWindow(
        maximum_invoked=_narrower(proposed.maximum_invoked, most),
        maximum_performed=_narrower(proposed.maximum_performed, most),
    )


def _narrower(one: int, other: int) -> int:
    """Return the smaller of two limits of which 0 is none."""
    return min(one, other) if one and other else one or other


def _answer_context(
    context: ProposedPresentationContext, decision: SupportedAbstractSyntax | ContextResult
) -> PresentationContextResult:
    transfer_syntax = None
    if isinstance(decision, ContextResult):
        result = decision
    else:
        transfer_syntax = choose_transfer_syntax(context.transfer_syntaxes, decision.transfer_syntaxes)
        result = (
            ContextResult.ACCEPTANCE if transfer_syntax else ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
        )
    return PresentationContextResult(
        context_id=context.context_id,
        result=result,
        transfer_syntax=transfer_syntax or uids.IMPLICIT_VR_LITTLE_ENDIAN,
    )


def _answer_roles(
    proposed: Iterable[RoleSelection], decisions: Mapping[str, SupportedAbstractSyntax | ContextResult]
) -> Iterable[RoleSelection]:
    """Answer only what was proposed, and only turn a proposed role off (PS3.7 §D.3.3.4.2)."""
    for role in proposed:
        decision = decisions.get(role.sop_class_uid)
        if isinstance(decision, SupportedAbstractSyntax):
            yield RoleSelection(
                sop_class_uid=role.sop_class_uid,
                scu_role=role.scu_role and decision.requestor_as_scu,
                scp_role=role.scp_role and decision.requestor_as_scp,
            )


def negotiated(
    request: AssociateRequest, accept: AssociateAccept, *, is_requestor: bool
) -> NegotiatedAssociation:
    """Return what request and accept together mean for one side.

    Contexts in the accept that were never proposed are left out, and so are transfer syntaxes that were not:
    nothing could be sent there that the other side is known to understand.
    """
    peer = accept.user_information if is_requestor else request.user_information
    proposed = {context.context_id: context for context in request.presentation_contexts}
    roles = _effective_roles(request.user_information.roles, accept.user_information.roles)
    contexts = {}
    for answer in accept.presentation_contexts:
        context = proposed.get(answer.context_id)
        if (
            context is None
            or answer.result != ContextResult.ACCEPTANCE
            or answer.transfer_syntax not in context.transfer_syntaxes
        ):
            continue
        requestor_as_scu, requestor_as_scp = roles.get(context.abstract_syntax, (True, False))
        contexts[answer.context_id] = PresentationContext(
            context_id=answer.context_id,
            abstract_syntax=context.abstract_syntax,
            transfer_syntax=answer.transfer_syntax,
            as_scu=requestor_as_scu if is_requestor else requestor_as_scp,
            as_scp=requestor_as_scp if is_requestor else requestor_as_scu,
        )
    by_requestor, by_acceptor = _effective_window(
        request.user_information.asynchronous_operations_window,
        accept.user_information.asynchronous_operations_window,
    )
    return NegotiatedAssociation(
        is_requestor=is_requestor,
        called_ae_title=request.called_ae_title,
        calling_ae_title=request.calling_ae_title,
        presentation_contexts=contexts,
        maximum_length_to_send=peer.maximum_length or 0,
        maximum_operations_invoked=by_requestor if is_requestor else by_acceptor,
        maximum_operations_performed=by_acceptor if is_requestor else by_requestor,
        peer=peer,
        extended_negotiations=answered_extended(request, accept),
        user_identity_response=answered_identity(request, accept),
    )


def _effective_window(
    proposed: AsynchronousOperationsWindow | None, answered: AsynchronousOperationsWindow | None
) -> tuple[int, int]:
    """Return how many operations requestor and acceptor may invoke; one, unless both said otherwise."""
    if proposed is None or answered is None:
        return 1, 1
    return (
        _narrower(proposed.maximum_invoked, answered.maximum_invoked),
        _narrower(proposed.maximum_performed, answered.maximum_performed),
    )


def _effective_roles(
    proposed: Iterable[RoleSelection], answered: Iterable[RoleSelection]
) -> dict[str, tuple[bool, bool]]:
    """Return (SCU, SCP) of the requestor by SOP class; without an answer the default roles hold."""
    answers = {role.sop_class_uid: role for role in answered}
    return {
        role.sop_class_uid: (role.scu_role and answer.scu_role, role.scp_role and answer.scp_role)
        for role in proposed
        if (answer := answers.get(role.sop_class_uid)) is not None
    }
