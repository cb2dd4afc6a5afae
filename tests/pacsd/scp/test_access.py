"""Who gets in, and for what: the table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnet import (
    AssociateRequest,
    ContextResult,
    PeerCertificate,
    ProposedPresentationContext,
    SupportedAbstractSyntax,
    own_user_information,
)
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES, STORAGE_TRANSFER_SYNTAXES
from pacsd.model import Service
from pacsd.scp.access import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    AccessRules,
    Admission,
    KnownPeer,
    Rejection,
)

ECHO, STORE, FIND, MOVE, GET = Service.ECHO, Service.STORE, Service.FIND, Service.MOVE, Service.GET
HOSTS = {"ws.example": frozenset({"192.0.2.7", "2001:db8::7"}), "192.0.2.9": frozenset({"192.0.2.9"})}
PEERS = {
    "WORKSTATION": KnownPeer(frozenset({ECHO, FIND, MOVE, GET})),
    "MODALITY": KnownPeer(frozenset({ECHO, STORE}), host="192.0.2.9"),
    "NAMED": KnownPeer(frozenset({FIND}), host="ws.example"),
    "LOST": KnownPeer(frozenset({FIND}), host="no.such.example"),
    "ANYWHERE": KnownPeer(frozenset({STORE}), usual_host="192.0.2.9"),
    "CERTIFIED": KnownPeer(frozenset({STORE}), usual_host="192.0.2.9", certificates=("device",)),
    "BLOCKED": KnownPeer(frozenset()),
}
UIDS = {
    ECHO: "1.2.840.10008.1.1",
    STORE: "1.2.840.10008.5.1.4.1.1.2",
    FIND: "1.2.840.10008.5.1.4.1.2.2.1",
    MOVE: "1.2.840.10008.5.1.4.1.2.2.2",
    GET: "1.2.840.10008.5.1.4.1.2.2.3",
}


def rules(*, check_called: bool = True, unknown: frozenset[Service] = frozenset({ECHO})) -> AccessRules:
    return AccessRules(
        ae_title="PACSD",
        check_called_ae_title=check_called,
        peers=PEERS,
        unknown_peers=unknown,
        accept_unknown_sop_classes=False,
        addresses=HOSTS.get,
    )


def request(
    calling: str = "WORKSTATION", called: str = "PACSD", application_context: str = "1.2.840.10008.3.1.1.1"
) -> AssociateRequest:
    return AssociateRequest(
        called_ae_title=called,
        calling_ae_title=calling,
        application_context_name=application_context,
        presentation_contexts=(
            ProposedPresentationContext(
                context_id=1, abstract_syntax=UIDS[ECHO], transfer_syntaxes=NATIVE_TRANSFER_SYNTAXES
            ),
        ),
        user_information=own_user_information(maximum_length=0),
    )


def certificate(common_name: str, *dns_names: str, encoded: bytes = b"certificate") -> PeerCertificate:
    return PeerCertificate(
        subject=f"commonName={common_name}",
        issuer="commonName=Test CA",
        common_name=common_name,
        alternative_names=(*(f"DNS:{name}" for name in dns_names), "IP Address:192.0.2.1"),
        serial_number="01",
        not_after="Jan  5 09:34:43 2028 GMT",
        encoded=encoded,
    )


def assert_rejected(decision: Admission | Rejection, name: str, *mentioned: str) -> None:
    """Everybody who is rejected hears the same; the log hears why."""
    assert isinstance(decision, Rejection)
    assert replace(decision, explanation="") == replace(CALLING_AE_TITLE_NOT_RECOGNIZED, name=name)
    assert all(text in decision.explanation for text in mentioned), decision.explanation


@pytest.mark.parametrize(
    ("calling", "address", "services"),
    [
        ("WORKSTATION", "198.51.100.1", {ECHO, FIND, MOVE, GET}),
        ("WORKSTATION", "", {ECHO, FIND, MOVE, GET}),
        ("MODALITY", "192.0.2.9", {ECHO, STORE}),
        ("MODALITY", "::ffff:192.0.2.9", {ECHO, STORE}),
        ("MODALITY", "192.0.2.8", None),
        ("MODALITY", "::ffff:192.0.2.8", None),
        ("MODALITY", "", None),
        ("NAMED", "192.0.2.7", {FIND}),
        ("NAMED", "2001:db8::7", {FIND}),
        ("NAMED", "2001:db8::8", None),
        ("LOST", "192.0.2.7", None),
        ("BLOCKED", "192.0.2.7", None),
        ("STRANGER", "192.0.2.7", {ECHO}),
        ("workstation", "192.0.2.7", {ECHO}),
        ("", "192.0.2.7", {ECHO}),
    ],
)
def test_a_calling_ae_title_has_its_services(
    calling: str, address: str, services: set[Service] | None
) -> None:
    admission = rules().admit(request(calling), address)
    if services is None:
        assert isinstance(admission, Rejection)
        assert (admission.result, admission.source, admission.reason) == (1, 1, 3)
    else:
        assert isinstance(admission, Admission)
        assert admission.services == services


@pytest.mark.parametrize(
    ("calling", "address", "shown", "is_proven"),
    [
        ("MODALITY", "192.0.2.9", None, True),
        ("ANYWHERE", "192.0.2.9", None, True),
        ("ANYWHERE", "::ffff:192.0.2.9", None, True),
        ("ANYWHERE", "192.0.2.8", None, False),
        ("ANYWHERE", "192.0.2.8", certificate("ANYWHERE"), False),
        ("CERTIFIED", "192.0.2.8", certificate("device"), True),
        ("WORKSTATION", "192.0.2.9", None, False),
        ("STRANGER", "192.0.2.9", None, False),
    ],
)
def test_more_than_a_title_proves_that_it_is_the_peer(
    calling: str, address: str, shown: PeerCertificate | None, is_proven: bool
) -> None:
    admission = rules().admit(request(calling), address, shown)
    assert isinstance(admission, Admission)
    assert admission.is_proven is is_proven


def test_strangers_are_rejected_where_they_may_do_nothing() -> None:
    decision = rules(unknown=frozenset()).admit(request("STRANGER"), "")
    assert_rejected(decision, "calling-ae-title-not-recognized", "access.unknown_peers")


def test_a_rejection_names_the_setting_and_what_it_allows() -> None:
    assert_rejected(
        rules().admit(request("NAMED"), "192.0.2.8"), "host-not-allowed", "check_host = false", "192.0.2.7"
    )
    assert_rejected(rules().admit(request("LOST"), "192.0.2.7"), "host-not-resolved", "no.such.example")
    assert_rejected(rules().admit(request("BLOCKED"), ""), "calling-ae-title-not-recognized", "allow")


FINGERPRINT = certificate("").fingerprint
BOUND = {
    "BYNAME": ("bound.ct1",),
    "BYDNS": ("ct1.example",),
    "BYPRINT": (f"sha256:{FINGERPRINT}",),
    "ANYOF": ("one", "two"),
    "FREE": (),
}


def bound_rules(*, require: bool) -> AccessRules:
    peers = {title: KnownPeer(frozenset({ECHO}), certificates=names) for title, names in BOUND.items()}
    return AccessRules(
        ae_title="PACSD",
        check_called_ae_title=True,
        peers=peers,
        unknown_peers=frozenset({ECHO}),
        accept_unknown_sop_classes=False,
        require_certificate=require,
    )


OTHER = certificate("other", encoded=b"other")


@pytest.mark.parametrize("require", [False, True])
@pytest.mark.parametrize(
    ("calling", "shown", "rejected"),
    [
        ("BYNAME", certificate("bound.ct1", encoded=b"x"), None),
        ("BYNAME", certificate("BOUND.CT1", encoded=b"x"), "certificate-of-another"),
        ("BYNAME", certificate("x", "bound.ct1", encoded=b"x"), None),
        ("BYNAME", OTHER, "certificate-of-another"),
        ("BYNAME", None, "certificate-missing"),
        ("BYDNS", certificate("other", "a.example", "CT1.Example", encoded=b"x"), None),
        ("BYDNS", certificate("other", "ct11.example", encoded=b"x"), "certificate-of-another"),
        ("BYPRINT", certificate("whoever"), None),
        ("BYPRINT", OTHER, "certificate-of-another"),
        ("BYPRINT", certificate(f"sha256:{FINGERPRINT}", encoded=b"forged"), "certificate-of-another"),
        ("BYPRINT", certificate("", f"sha256:{FINGERPRINT}", encoded=b"x"), "certificate-of-another"),
        ("ANYOF", certificate("two", encoded=b"x"), None),
        ("ANYOF", certificate("ANYOF", encoded=b"x"), "certificate-of-another"),
        ("ANYOF", certificate("", encoded=b"x"), "certificate-of-another"),
        ("STRANGER", None, None),
        ("STRANGER", OTHER, None),
    ],
)
def test_a_bound_ae_title_needs_its_certificate(
    require: bool, calling: str, shown: PeerCertificate | None, rejected: str | None
) -> None:
    decision = bound_rules(require=require).admit(request(calling), "", shown)
    if rejected is None:
        assert isinstance(decision, Admission)
    else:
        assert_rejected(decision, rejected, "certificate: ")


@pytest.mark.parametrize(
    ("calling", "shown", "rejected"),
    [
        ("FREE", None, "certificate-missing"),
        ("FREE", OTHER, "certificate-of-another"),
        ("FREE", certificate("FREE", encoded=b"x"), None),
        ("FREE", certificate("x", "free", encoded=b"x"), None),
        ("STRANGER", certificate("FREE", encoded=b"x"), "certificate-of-another-peer"),
        ("STRANGER", certificate("one", encoded=b"x"), "certificate-of-another-peer"),
        ("STRANGER", certificate("x"), "certificate-of-another-peer"),
    ],
)
def test_only_required_certificates_hold_everybody_to_the_own_name(
    calling: str, shown: PeerCertificate | None, rejected: str | None
) -> None:
    assert isinstance(bound_rules(require=False).admit(request(calling), "", shown), Admission)
    decision = bound_rules(require=True).admit(request(calling), "", shown)
    if rejected is None:
        assert isinstance(decision, Admission)
    else:
        assert_rejected(decision, rejected)


MAY = Admission(frozenset({ECHO, FIND, MOVE}), accept_unknown_sop_classes=False, is_known=True)


@pytest.mark.parametrize(
    ("now", "used", "lost"),
    [
        (MAY, set(Service), ""),
        (replace(MAY, services=frozenset(Service)), set(Service), ""),
        (replace(MAY, services=frozenset({ECHO, MOVE})), {ECHO, FIND}, "it may not find any more"),
        (replace(MAY, services=frozenset({ECHO, MOVE})), {ECHO, MOVE}, ""),
        (replace(MAY, is_known=False), {ECHO}, "its AE title is no [[peer]] any more"),
        (replace(MAY, move_to=frozenset({"ANY"})), {MOVE}, "it may not move to all destinations any more"),
        (replace(MAY, move_to=frozenset({"ANY"})), {FIND}, ""),
    ],
)
def test_what_other_rules_take_away(now: Admission, used: set[Service], lost: str) -> None:
    assert MAY.lost_by(now, frozenset(used)) == lost


def test_more_destinations_are_no_loss_and_others_are() -> None:
    one, two, three = (replace(MAY, move_to=frozenset(titles)) for titles in ("A", "AB", "BC"))
    assert [each.lost_by(two, frozenset({MOVE})) for each in (one, two)] == ["", ""]
    assert two.lost_by(MAY, frozenset({MOVE})) == ""
    assert two.lost_by(three, frozenset({MOVE})) != ""


@pytest.mark.parametrize("called", ["", "pacsd", "OTHER", "PACSD2"])
def test_the_called_ae_title_is_checked_if_wanted(called: str) -> None:
    assert rules().admit(request(called=called), "") is CALLED_AE_TITLE_NOT_RECOGNIZED
    assert isinstance(rules(check_called=False).admit(request(called=called), ""), Admission)


def test_only_the_dicom_application_context_is_spoken() -> None:
    assert rules().admit(request(application_context="1.2.3"), "") is APPLICATION_CONTEXT_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("rejection", "table"),
    [
        (CALLED_AE_TITLE_NOT_RECOGNIZED, (1, 1, 7)),
        (CALLING_AE_TITLE_NOT_RECOGNIZED, (1, 1, 3)),
        (APPLICATION_CONTEXT_NOT_SUPPORTED, (1, 1, 2)),
        (LOCAL_LIMIT_EXCEEDED, (2, 3, 2)),
    ],
)
def test_rejections_are_those_of_the_standard(rejection: Rejection, table: tuple[int, int, int]) -> None:
    """PS3.8 Table 9-21: result, source, reason."""
    assert (rejection.result, rejection.source, rejection.reason) == table


@pytest.mark.parametrize("service", [ECHO, FIND, MOVE, GET])
def test_a_service_is_supported_where_it_is_permitted(service: Service) -> None:
    permitted = Admission(frozenset({service}), accept_unknown_sop_classes=False)
    assert permitted.supports(UIDS[service]) == SupportedAbstractSyntax(
        transfer_syntaxes=NATIVE_TRANSFER_SYNTAXES
    )
    others = Admission(frozenset(Service) - {service}, accept_unknown_sop_classes=False)
    assert others.supports(UIDS[service]) is ContextResult.USER_REJECTION


@pytest.mark.parametrize(
    ("services", "as_scu", "as_scp"),
    [({STORE}, True, False), ({GET}, False, True), ({STORE, GET}, True, True)],
)
def test_storage_contexts_serve_c_store_and_c_get(services: set[Service], as_scu: bool, as_scp: bool) -> None:
    supported = Admission(frozenset(services), accept_unknown_sop_classes=False).supports(UIDS[STORE])
    assert supported == SupportedAbstractSyntax(
        transfer_syntaxes=STORAGE_TRANSFER_SYNTAXES, requestor_as_scu=as_scu, requestor_as_scp=as_scp
    )


def test_storage_is_refused_to_who_may_neither_store_nor_get() -> None:
    admission = Admission(frozenset({ECHO, FIND, MOVE}), accept_unknown_sop_classes=False)
    assert admission.supports(UIDS[STORE]) is ContextResult.USER_REJECTION


def test_an_unknown_class_is_not_supported_unless_wanted() -> None:
    everything = frozenset(Service)
    assert (
        Admission(everything, accept_unknown_sop_classes=False).supports("1.2.3")
        is ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    )
    taken = Admission(everything, accept_unknown_sop_classes=True).supports("1.2.3")
    assert isinstance(taken, SupportedAbstractSyntax)
