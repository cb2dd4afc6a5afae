"""Who may associate with us, and for what: decided once, when the association begins."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dicomnet import AssociateRequest, ContextResult, ExtendedNegotiation, SupportedAbstractSyntax
from pacsd.scp.extended_negotiation import STORAGE_SERVICE_CLASS, application_information
from pacsd.scp.sop_classes import (
    NATIVE_TRANSFER_SYNTAXES,
    STORAGE_TRANSFER_SYNTAXES,
    Service,
    service_of,
)
from pacsd.storage.transfer_syntaxes import is_unknown_transfer_syntax

__all__ = ["AccessRules", "Admission", "AnswerRules", "KnownPeer", "Rejection"]


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """How an AE's queries are answered, beyond what they ask."""

    max_matches: int = 0
    """Matches that one query is answered with at most; 0: with all."""
    character_set: str | None = None
    """The Specific Character Set to answer in, whatever is asked; None: one that holds the values."""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """What the configuration says of a calling AE; `host` is None where any address will do."""

    services: frozenset[Service]
    host: str | None = None
    answers: AnswerRules = AnswerRules()
    default_character_set: str = ""
    """See `storage.charsets.character_set_in_effect`."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why nobody gets in: an A-ASSOCIATE-RJ (PS3.8 Table 9-21), and the name of the reason for logs and metrics."""

    name: str
    result: int
    source: int
    reason: int


CALLED_AE_TITLE_NOT_RECOGNIZED: Final = Rejection("called-ae-title-not-recognized", 1, 1, 7)
CALLING_AE_TITLE_NOT_RECOGNIZED: Final = Rejection("calling-ae-title-not-recognized", 1, 1, 3)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = Rejection("application-context-not-supported", 1, 1, 2)
LOCAL_LIMIT_EXCEEDED: Final = Rejection("local-limit-exceeded", 2, 3, 2)

_NOBODY: Final = KnownPeer(frozenset())
_APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"


@dataclass(frozen=True, slots=True)
class Admission:
    """What an admitted association may do."""

    services: frozenset[Service]
    accept_unknown_sop_classes: bool
    described_as_storage: frozenset[str] = frozenset()
    """SOP classes of which the peer says that they belong to the Storage service class (57H)."""
    answers: AnswerRules = AnswerRules()
    default_character_set: str = ""
    """Of what this peer sends without saying so; see `storage.charsets.character_set_in_effect`."""
    unknown_transfer_syntaxes: frozenset[str] = frozenset()
    """In which the peer may store beside the known ones."""
    is_known: bool = False
    """Whether the configuration names it; others do what any may do."""

    def service_of(self, abstract_syntax: str) -> Service | None:
        """Return the service that a SOP class is for here, permitted or not; None where we serve none.

        A class that we don't know is stored where that is configured, or where the peer says that it is storage.
        """
        accept_unknown = self.accept_unknown_sop_classes or abstract_syntax in self.described_as_storage
        return service_of(abstract_syntax, accept_unknown=accept_unknown)

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        """Say how a SOP class is supported for this peer; USER_REJECTION where it is but not for this one."""
        service = self.service_of(abstract_syntax)
        if service is None:
            return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        if service is Service.STORE:
            return self._supports_storage()
        if service not in self.services:
            return ContextResult.USER_REJECTION
        return SupportedAbstractSyntax(transfer_syntaxes=NATIVE_TRANSFER_SYNTAXES)

    def answer_extended_negotiation(self, asked: ExtendedNegotiation) -> bytes | None:
        """Return the answer to what a peer offers or wants of an accepted SOP class; None: none.

        Who may only get has storage contexts too, but we store nothing there.
        """
        service = self.service_of(asked.sop_class_uid)
        if service is None or service not in self.services:
            return None
        return application_information(service, asked.information)

    def _supports_storage(self) -> SupportedAbstractSyntax | ContextResult:
        """Storage contexts serve two: the peer's C-STOREs, and ours when the peer does a C-GET."""
        may_store, may_get = Service.STORE in self.services, Service.GET in self.services
        if not (may_store or may_get):
            return ContextResult.USER_REJECTION
        return SupportedAbstractSyntax(
            transfer_syntaxes=STORAGE_TRANSFER_SYNTAXES | self.unknown_transfer_syntaxes
            if self.unknown_transfer_syntaxes
            else STORAGE_TRANSFER_SYNTAXES,
            requestor_as_scu=may_store,
            requestor_as_scp=may_get,
        )


class AccessRules:
    """The configured rules; `resolve` turns a host name into its addresses."""

    def __init__(
        self,
        *,
        ae_title: str,
        check_called_ae_title: bool,
        peers: Mapping[str, KnownPeer],
        unknown_peers: frozenset[Service],
        unknown_peers_answers: AnswerRules = AnswerRules(),
        accept_unknown_sop_classes: bool,
        accept_unknown_transfer_syntaxes: bool = False,
        resolve: Callable[[str], frozenset[str]] | None = None,
    ) -> None:
        self._ae_title = ae_title
        self._check_called_ae_title = check_called_ae_title
        self._peers = peers
        self._unknown_peer = KnownPeer(unknown_peers, answers=unknown_peers_answers)
        self._accept_unknown_sop_classes = accept_unknown_sop_classes
        self._accept_unknown_transfer_syntaxes = accept_unknown_transfer_syntaxes
        self._resolve = resolve or _addresses_of

    def admit(self, request: AssociateRequest, address: str) -> Admission | Rejection:
        """Decide about a request that comes from `address`."""
        if request.application_context_name != _APPLICATION_CONTEXT:
            return APPLICATION_CONTEXT_NOT_SUPPORTED
        if self._check_called_ae_title and request.called_ae_title != self._ae_title:
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        peer = self._peer(request.calling_ae_title, address)
        is_known = request.calling_ae_title in self._peers
        if not peer.services:
            return CALLING_AE_TITLE_NOT_RECOGNIZED
        return Admission(
            peer.services,
            self._accept_unknown_sop_classes,
            _described_as_storage(request),
            peer.answers,
            peer.default_character_set,
            _only_choices(request) if self._accept_unknown_transfer_syntaxes else frozenset(),
            is_known,
        )

    def _peer(self, calling_ae_title: str, address: str) -> KnownPeer:
        """A known title from a foreign address is nobody: not even what unknown peers may do."""
        peer = self._peers.get(calling_ae_title, self._unknown_peer)
        if peer.host is not None and _as_ipv4(address) not in self._resolve(peer.host):
            return _NOBODY
        return peer


def _described_as_storage(request: AssociateRequest) -> frozenset[str]:
    return frozenset(
        described.sop_class_uid
        for described in request.user_information.common_extended_negotiations
        if described.service_class_uid == STORAGE_SERVICE_CLASS
    )


def _only_choices(request: AssociateRequest) -> frozenset[str]:
    """Return the unknown transfer syntaxes of contexts that offer nothing else.

    In every other context a syntax that more than one device can read is the better choice.
    """
    return frozenset(
        syntax
        for context in request.presentation_contexts
        if STORAGE_TRANSFER_SYNTAXES.isdisjoint(context.transfer_syntaxes)
        for syntax in context.transfer_syntaxes
        if is_unknown_transfer_syntax(syntax)
    )


def _as_ipv4(address: str) -> str:
    """Return the IPv4 address of a peer that came over IPv4 to a socket for both."""
    return address.removeprefix("::ffff:") if "." in address else address


def _addresses_of(host: str) -> frozenset[str]:
    try:
        return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()
