"""Who may associate with us, and for what: decided when the association begins, and when the rules change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dicomnet import (
    AssociateRequest,
    ContextResult,
    ExtendedNegotiation,
    PeerCertificate,
    SupportedAbstractSyntax,
)
from pacsd.dataset.transfer_syntaxes import (
    STORAGE_TRANSFER_SYNTAXES,
    is_unknown_transfer_syntax,
)
from pacsd.model import Service
from pacsd.scp.host_addresses import HostAddresses, as_ipv4
from pacsd.scp.service_table import SERVICES, STORAGE_SERVICE_CLASS, service_of

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
    """What the configuration says of a calling AE."""

    services: frozenset[Service]
    host: str | None = None
    """From which it is served; None: from anywhere."""
    usual_host: str | None = None
    """Where it is called. Who calls from there is believed to be it, also where it is served from anywhere."""
    answers: AnswerRules = AnswerRules()
    default_character_set: str = ""
    """See `dataset.charsets.character_set_in_effect`."""
    certificates: tuple[str, ...] = ()
    """By one of which it must prove who it is; see `PeerSettings.certificate`."""
    move_to: frozenset[str] | None = None
    """The destinations that its C-MOVE may name; None: any that there is."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why nobody gets in: an A-ASSOCIATE-RJ (PS3.8 Table 9-21), and the name of the reason for logs and metrics."""

    name: str
    result: int
    source: int
    reason: int
    explanation: str = ""
    """For the log alone: which setting it is, and what the caller has instead."""


CALLED_AE_TITLE_NOT_RECOGNIZED: Final = Rejection("called-ae-title-not-recognized", 1, 1, 7)
CALLING_AE_TITLE_NOT_RECOGNIZED: Final = Rejection("calling-ae-title-not-recognized", 1, 1, 3)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = Rejection("application-context-not-supported", 1, 1, 2)
LOCAL_LIMIT_EXCEEDED: Final = Rejection("local-limit-exceeded", 2, 3, 2)

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
    """Of what this peer sends without saying so; see `dataset.charsets.character_set_in_effect`."""
    unknown_transfer_syntaxes: frozenset[str] = frozenset()
    """In which the peer may store beside the known ones."""
    is_known: bool = False
    """Whether the configuration names it; others do what any may do."""
    is_proven: bool = False
    """Whether its address or certificate says that it is this peer; an AE title alone anybody can claim."""
    move_to: frozenset[str] | None = None
    """The destinations that a C-MOVE may name; None: any that there is."""

    def lost_by(self, other: Admission, used: frozenset[Service]) -> str:
        """Return what `other` takes away from who uses some services now, in words; "" where it is nothing."""
        lost = sorted(service.value for service in (used & self.services) - other.services)
        if lost:
            return f"it may not {', '.join(lost)} any more"
        if self.is_known and not other.is_known:
            return "its AE title is no [[peer]] any more"
        if Service.MOVE in used and _is_narrower(other.move_to, self.move_to):
            return "it may not move to all destinations any more"
        return ""

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
        return SERVICES[service].supports(self.services, self.unknown_transfer_syntaxes)

    def answer_extended_negotiation(self, asked: ExtendedNegotiation) -> bytes | None:
        """Return the answer to what a peer offers or wants of an accepted SOP class; None: none.

        Who may only get has storage contexts too, but we store nothing there.
        """
        service = self.service_of(asked.sop_class_uid)
        if service is None or service not in self.services:
            return None
        return SERVICES[service].application_information(asked.information)


class AccessRules:
    """The configured rules; `addresses` is the `HostAddresses.of` that knows those of the peers' hosts.

    With `require_certificate` each AE title that is known needs a certificate: without any of its own, one that has the
    title as its name. And a certificate that belongs to a known title is good for no other one.
    """

    def __init__(
        self,
        *,
        ae_title: str,
        check_called_ae_title: bool,
        peers: Mapping[str, KnownPeer],
        unknown_peers: frozenset[Service],
        unknown_peers_answers: AnswerRules = AnswerRules(),
        unknown_peers_move_to: frozenset[str] | None = None,
        accept_unknown_sop_classes: bool,
        accept_unknown_transfer_syntaxes: bool = False,
        require_certificate: bool = False,
        addresses: Callable[[str], frozenset[str] | None] | None = None,
        is_revoked: Callable[[PeerCertificate], bool] = lambda _: False,
    ) -> None:
        """`is_revoked` is asked of peers whose certificate was good when they came."""
        self.is_revoked = is_revoked
        self._ae_title = ae_title
        self._check_called_ae_title = check_called_ae_title
        self._peers = peers
        self._unknown_peer = KnownPeer(
            unknown_peers, answers=unknown_peers_answers, move_to=unknown_peers_move_to
        )
        self._accept_unknown_sop_classes = accept_unknown_sop_classes
        self._accept_unknown_transfer_syntaxes = accept_unknown_transfer_syntaxes
        self._require_certificate = require_certificate
        self._addresses = addresses or HostAddresses().of

    def admit(
        self, request: AssociateRequest, address: str, certificate: PeerCertificate | None = None
    ) -> Admission | Rejection:
        """Decide about a request that comes from `address`, whose sender has proved to be who `certificate` says."""
        if request.application_context_name != _APPLICATION_CONTEXT:
            return APPLICATION_CONTEXT_NOT_SUPPORTED
        if self._check_called_ae_title and request.called_ae_title != self._ae_title:
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        return self.admit_caller(request, address, certificate)

    def admit_caller(
        self, request: AssociateRequest, address: str, certificate: PeerCertificate | None = None
    ) -> Admission | Rejection:
        """Decide as `admit` does, whatever we were called: for who has been let in already."""
        title = request.calling_ae_title
        peer = self._peers.get(title, self._unknown_peer)
        rejection = self._without_services(title, peer)
        rejection = rejection or self._with_other_certificate(title, peer, certificate)
        # A known title from a foreign address is nobody: not even what unknown peers may do.
        rejection = rejection or self._from_other_host(title, peer, address)
        if rejection is not None:
            return rejection
        return Admission(
            peer.services,
            self._accept_unknown_sop_classes,
            _described_as_storage(request),
            peer.answers,
            peer.default_character_set,
            _only_choices(request) if self._accept_unknown_transfer_syntaxes else frozenset(),
            title in self._peers,
            title in self._peers and self._is_proven(title, peer, address),
            peer.move_to,
        )

    def _without_services(self, title: str, peer: KnownPeer) -> Rejection | None:
        if peer.services:
            return None
        key = "allow of its [[peer]]" if title in self._peers else "access.unknown_peers"
        return _not_recognized("calling-ae-title-not-recognized", f"{key} is empty")

    def _with_other_certificate(
        self, title: str, peer: KnownPeer, certificate: PeerCertificate | None
    ) -> Rejection | None:
        if title not in self._peers:
            owner = self._owner_of(certificate)
            if owner is None:
                return None
            return _not_recognized(
                "certificate-of-another-peer", f"the certificate shown is for the AE title {owner} alone"
            )
        needed = self._needed_certificates(title, peer)
        if not needed or (certificate is not None and _is_one_of(certificate, needed)):
            return None
        key = "certificate" if peer.certificates else "dicom.tls.require_client_certificate"
        if certificate is None:
            return _not_recognized(
                "certificate-missing", f"{key}: this AE title is served over TLS only, by its certificate"
            )
        return _not_recognized(
            "certificate-of-another",
            f"{key}: the certificate shown is not that of this AE title (sha256:{certificate.fingerprint})",
        )

    def _needed_certificates(self, title: str, peer: KnownPeer) -> tuple[str, ...]:
        return peer.certificates or ((title,) if self._require_certificate else ())

    def _is_proven(self, title: str, peer: KnownPeer, address: str) -> bool:
        """Say of a peer that is let in whether it has shown its certificate, or calls from its host."""
        if peer.host is not None or self._needed_certificates(title, peer):
            return True
        return as_ipv4(address) in (self._addresses(peer.usual_host or "") or ())

    def _owner_of(self, certificate: PeerCertificate | None) -> str | None:
        """Return the known AE title that a certificate is for, where that keeps it from being used by others."""
        if certificate is None or not self._require_certificate:
            return None
        owners = (
            title
            for title, peer in self._peers.items()
            if _is_one_of(certificate, peer.certificates or (title,))
        )
        return next(owners, None)

    def _from_other_host(self, title: str, peer: KnownPeer, address: str) -> Rejection | None:
        if peer.host is None:
            return None
        allowed = self._addresses(peer.host)
        if allowed is None:
            return _not_recognized(
                "host-not-resolved",
                f"check_host: the host of this [[peer]], {peer.host}, could not be resolved yet",
            )
        if as_ipv4(address) in allowed:
            return None
        return _not_recognized(
            "host-not-allowed",
            f"check_host: {title} is served from the host of its [[peer]] only, {peer.host}"
            f" ({', '.join(sorted(allowed))}); if it calls from elsewhere, set check_host = false",
        )


def _is_narrower(titles: frozenset[str] | None, before: frozenset[str] | None) -> bool:
    return titles is not None and (before is None or not before <= titles)


def _not_recognized(name: str, explanation: str) -> Rejection:
    """Return a rejection that tells the caller no more than that it is nobody here (PS3.8 Table 9-21, 1/1/3)."""
    return replace(CALLING_AE_TITLE_NOT_RECOGNIZED, name=name, explanation=explanation)


def _is_one_of(certificate: PeerCertificate, names: Iterable[str]) -> bool:
    """Say whether a certificate is meant by one of `names`, see `PeerSettings.certificate`."""
    dns_names = {name.lower() for name in certificate.dns_names}
    return any(
        # A common name may read like a fingerprint; it is none.
        name == f"sha256:{certificate.fingerprint}"
        if name.startswith("sha256:")
        else name == certificate.common_name or name.lower() in dns_names
        for name in names
    )


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
