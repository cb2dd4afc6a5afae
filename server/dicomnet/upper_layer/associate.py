"""DicomAssociate: the parameters of an A-ASSOCIATE-RQ or -AC, to be filled in and changed (PS3.8 §7.1.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from dicomnet import uids
from dicomnet.errors import LocalProtocolError
from dicomnet.upper_layer.pdu import (
    AssociateAccept,
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

__all__ = ["AssociateContext", "DicomAssociate"]

_DEFAULT_MAXIMUM_LENGTH: Final = 262144
_LAST_CONTEXT_ID: Final = 255
_DEFAULT_TRANSFER_SYNTAXES: Final = (uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN)


@dataclass(slots=True, kw_only=True)
class AssociateContext:
    """One presentation context, as proposed and as answered."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: list[str]
    """Those proposed; an answer takes the first of what is left here."""
    result: int = ContextResult.ACCEPTANCE
    """Means something in an accept only."""


@dataclass(slots=True, kw_only=True)
class DicomAssociate:
    """All that one side says when an association begins; `is_request` tells which side.

    Empty by itself; `default` fills in what every request needs, `of` and `accept_of` what a peer has asked for.
    """

    is_request: bool = True
    called_ae_title: str = ""
    calling_ae_title: str = ""
    presentation_contexts: list[AssociateContext] = field(default_factory=list)
    application_context_name: str = ""
    protocol_version: int = 0
    maximum_length: int | None = None
    """Largest PDU-length that we want to receive, bytes; 0 = no limit, None = not said."""
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    roles: list[RoleSelection] = field(default_factory=list)
    extended_negotiations: list[ExtendedNegotiation] = field(default_factory=list)
    common_extended_negotiations: list[CommonExtendedNegotiation] = field(default_factory=list)
    """Requests only."""
    user_identity: UserIdentity | None = None
    """Requests only."""
    user_identity_response: bytes | None = field(default=None, repr=False)
    """Accepts only."""

    @classmethod
    def default(cls, *, called_ae_title: str = "", calling_ae_title: str = "") -> Self:
        """Return a request with version, application context, maximum length and implementation filled in."""
        return cls(
            called_ae_title=called_ae_title,
            calling_ae_title=calling_ae_title,
            application_context_name=uids.APPLICATION_CONTEXT_NAME,
            protocol_version=1,
            maximum_length=_DEFAULT_MAXIMUM_LENGTH,
            implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
            implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
        )

    @classmethod
    def of(cls, request: AssociateRequest) -> Self:
        """Return a request that was received."""
        said = request.user_information
        return cls(
            called_ae_title=request.called_ae_title,
            calling_ae_title=request.calling_ae_title,
            application_context_name=request.application_context_name,
            protocol_version=request.protocol_version,
            presentation_contexts=[
                AssociateContext(
                    context_id=context.context_id,
                    abstract_syntax=context.abstract_syntax,
                    transfer_syntaxes=list(context.transfer_syntaxes),
                )
                for context in request.presentation_contexts
            ],
            maximum_length=said.maximum_length,
            implementation_class_uid=said.implementation_class_uid,
            implementation_version_name=said.implementation_version_name,
            asynchronous_operations_window=said.asynchronous_operations_window,
            roles=list(said.roles),
            extended_negotiations=list(said.extended_negotiations),
            common_extended_negotiations=list(said.common_extended_negotiations),
            user_identity=said.user_identity,
            user_identity_response=said.user_identity_response,
        )

    @classmethod
    def accept_of(cls, request: AssociateRequest) -> Self:
        """Return an accept of all that a request proposes, for the acceptor to cut down."""
        accept = cls.of(request)
        accept.reset(accept=True)
        return accept

    def reset(self, *, accept: bool = True) -> None:
        """Turn a received request into the accept that matches it; with `accept` False, into an empty request.

        The accept has each context accepted with its first transfer syntax, the roles as proposed, one operation
        at a time, and no extended negotiation: what the service class does not answer is its default
        (PS3.7 §D.3.3.5). Maximum length and implementation become our own.
        """
        contexts, roles, window = self.presentation_contexts, self.roles, self.asynchronous_operations_window
        fresh = type(self).default(
            called_ae_title=self.called_ae_title if accept else "",
            calling_ae_title=self.calling_ae_title if accept else "",
        )
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(fresh, name))
        self.is_request = not accept
        if accept:
            self.presentation_contexts, self.roles = contexts, roles
            if window is not None:
                one = AsynchronousOperationsWindow(maximum_invoked=1, maximum_performed=1)
                self.asynchronous_operations_window = one

    def add_presentation_context(
        self, abstract_syntax: str, transfer_syntaxes: Iterable[str] = _DEFAULT_TRANSFER_SYNTAXES
    ) -> AssociateContext:
        """Propose one more context under the next free ID; raises LocalProtocolError behind the 128th."""
        used = [context.context_id for context in self.presentation_contexts]
        context_id = max(used, default=-1) + 2
        if context_id > _LAST_CONTEXT_ID:
            raise LocalProtocolError("no ID is left for a presentation context")
        context = AssociateContext(
            context_id=context_id,
            abstract_syntax=abstract_syntax,
            transfer_syntaxes=list(transfer_syntaxes),
        )
        self.presentation_contexts.append(context)
        return context

    def to_request(self) -> AssociateRequest:
        """Return the A-ASSOCIATE-RQ (PS3.8 §9.3.2); raises LocalProtocolError where this is an accept."""
        if not self.is_request:
            raise LocalProtocolError("an accept cannot be sent as a request")
        return AssociateRequest(
            called_ae_title=self.called_ae_title,
            calling_ae_title=self.calling_ae_title,
            application_context_name=self.application_context_name,
            protocol_version=self.protocol_version,
            presentation_contexts=tuple(
                ProposedPresentationContext(
                    context_id=context.context_id,
                    abstract_syntax=context.abstract_syntax,
                    transfer_syntaxes=tuple(context.transfer_syntaxes),
                )
                for context in self.presentation_contexts
            ),
            user_information=self._user_information(),
        )

    def to_accept(self) -> AssociateAccept:
        """Return the A-ASSOCIATE-AC (PS3.8 §9.3.3); raises LocalProtocolError where this is a request."""
        if self.is_request:
            raise LocalProtocolError("a request cannot be sent as an accept: reset it first")
        return AssociateAccept(
            called_ae_title=self.called_ae_title,
            calling_ae_title=self.calling_ae_title,
            application_context_name=self.application_context_name,
            protocol_version=self.protocol_version,
            presentation_contexts=tuple(
                PresentationContextResult(
                    context_id=context.context_id,
                    result=context.result,
                    transfer_syntax=next(iter(context.transfer_syntaxes), uids.IMPLICIT_VR_LITTLE_ENDIAN),
                )
                for context in self.presentation_contexts
            ),
            user_information=self._user_information(),
        )

    def _user_information(self) -> UserInformation:
        return UserInformation(
            maximum_length=self.maximum_length,
            implementation_class_uid=self.implementation_class_uid,
            implementation_version_name=self.implementation_version_name,
            asynchronous_operations_window=self.asynchronous_operations_window,
            roles=tuple(self.roles),
            extended_negotiations=tuple(self.extended_negotiations),
            common_extended_negotiations=tuple(self.common_extended_negotiations),
            user_identity=self.user_identity,
            user_identity_response=self.user_identity_response,
        )
