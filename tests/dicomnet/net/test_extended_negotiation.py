"""Extended (56H) and common extended negotiation (57H) over real sockets: two DicomNets, and pynetdicom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation, SOPClassExtendedNegotiation
from tests.dicomnet.net.nets import Net, ask_for, associated, serving, store
from tests.dicomnet.net.test_pynetdicom_as_scu import scu
from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, STUDY_ROOT_FIND, VERIFICATION

from dicomnet import (
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextResult,
    DicomAssociate,
    ExtendedNegotiation,
    NegotiatedAssociation,
    SupportedAbstractSyntax,
)

PRIVATE, STRANGE = "1.3.12.2.1107.5.9.1", "1.3.12.2.1107.5.9.2"
STORAGE_SERVICE, OTHER_SERVICE = "1.2.840.10008.4.2", "1.2.3.4.5"
FIND = ExtendedNegotiation(sop_class_uid=STUDY_ROOT_FIND, information=b"\1\1\1")
STORAGE = ExtendedNegotiation(sop_class_uid=CT_STORAGE, information=b"\2\0\3\0\0\0")
DESCRIBED = CommonExtendedNegotiation(
    sop_class_uid=PRIVATE, service_class_uid=STORAGE_SERVICE, related_general_sop_class_uids=(CT_STORAGE,)
)
ELSEWHERE = CommonExtendedNegotiation(sop_class_uid=STRANGE, service_class_uid=OTHER_SERVICE)


class Answering(Net):
    """Answers what it is asked about queries, nothing about the rest, and stores what is said to be storage."""

    def supports_described(
        self, described: CommonExtendedNegotiation
    ) -> SupportedAbstractSyntax | ContextResult:
        self.journal.note("described", described)
        if described.service_class_uid == STORAGE_SERVICE:
            return self.supports(CT_STORAGE)
        return super().supports_described(described)

    def answer_extended_negotiation(self, asked: ExtendedNegotiation) -> bytes | None:
        self.journal.note("asked", asked)
        if asked.sop_class_uid == STUDY_ROOT_FIND:
            return b"\1\0\0"
        return super().answer_extended_negotiation(asked)


def asking(*classes: str) -> AssociateRequest:
    request = ask_for(classes)
    information = replace(
        request.user_information,
        extended_negotiations=(FIND, STORAGE),
        common_extended_negotiations=(DESCRIBED, ELSEWHERE),
    )
    return replace(request, user_information=information)


def test_both_sides_know_what_was_asked_and_answered() -> None:
    server, client = Answering(), Net()
    request = asking(VERIFICATION, STUDY_ROOT_FIND, CT_STORAGE)
    with serving(server) as address, associated(client, address, request):
        assert client.association is not None
        assert client.association.extended_negotiations == {STUDY_ROOT_FIND: b"\1\0\0"}
        (theirs,) = server.journal.wait_for("associated")
    assert isinstance(theirs, NegotiatedAssociation)
    assert theirs.extended_negotiations == {STUDY_ROOT_FIND: b"\1\0\0"}
    assert theirs.peer.extended_negotiations == (FIND, STORAGE)
    assert server.journal.of("asked") == [FIND, STORAGE]
    assert server.journal.of("described") == [], "no class was unknown"


def test_refused_class_is_not_asked_for() -> None:
    server, client = Answering(), Net()
    with serving(server) as address, associated(client, address, asking(VERIFICATION)):
        assert client.association is not None
        assert client.association.extended_negotiations == {}
    assert server.journal.of("asked") == []


def test_by_default_nothing_is_answered() -> None:
    client = Net()
    with serving(Net()) as address, associated(client, address, asking(STUDY_ROOT_FIND, PRIVATE)):
        assert client.association is not None
        assert client.association.extended_negotiations == {}
        assert [each.abstract_syntax for each in client.association.presentation_contexts.values()] == [
            STUDY_ROOT_FIND
        ]


def test_unknown_class_is_stored_for_its_service_class() -> None:
    server, client = Answering(), Net()
    with (
        serving(server) as address,
        associated(client, address, asking(PRIVATE, STRANGE, CT_STORAGE, "1.2.3.9")),
    ):
        assert client.association is not None
        accepted = [each.abstract_syntax for each in client.association.presentation_contexts.values()]
        assert accepted == [PRIVATE, CT_STORAGE]
        assert client.c_store(client.context_for(PRIVATE), "1.2.3.1", b"\0" * 100).status == 0x0000
    assert server.journal.of("described") == [DESCRIBED, ELSEWHERE]
    assert server.objects == {"1.2.3.1": b"\0" * 100}


def test_associate_object_carries_them() -> None:
    request = DicomAssociate.default(called_ae_title="ARCHIVE", calling_ae_title="MODALITY")
    request.add_presentation_context(STUDY_ROOT_FIND)
    request.add_presentation_context(PRIVATE)
    request.extended_negotiations.append(FIND)
    request.common_extended_negotiations.append(DESCRIBED)
    server, client = Answering(), Net()
    with serving(server) as address, client:
        client.connect(*address)
        agreed = client.associate(request)
        assert agreed.extended_negotiations == {STUDY_ROOT_FIND: b"\1\0\0"}
        assert len(agreed.presentation_contexts) == 2


# pynetdicom as SCU.


def extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = uid
    item.service_class_application_information = information
    return item


def common(uid: str, service_class: str, *related: str) -> SOPClassCommonExtendedNegotiation:
    item = SOPClassCommonExtendedNegotiation()
    item.sop_class_uid = uid
    item.service_class_uid = service_class
    item.related_general_sop_class_identification = list(related)
    return item


def test_pynetdicom_is_answered() -> None:
    server = Answering()
    items = [
        extended(STUDY_ROOT_FIND, FIND.information),
        extended(CT_STORAGE, STORAGE.information),
        common(CT_STORAGE, STORAGE_SERVICE, PRIVATE),
    ]
    with serving(server) as address, scu(address, ext_neg=items) as association:
        assert association.acceptor.sop_class_extended == {STUDY_ROOT_FIND: b"\1\0\0"}
        (theirs,) = server.journal.wait_for("associated")
    assert isinstance(theirs, NegotiatedAssociation)
    assert theirs.peer.extended_negotiations == (FIND, STORAGE)
    assert theirs.peer.common_extended_negotiation_of(CT_STORAGE) == CommonExtendedNegotiation(
        sop_class_uid=CT_STORAGE, service_class_uid=STORAGE_SERVICE, related_general_sop_class_uids=(PRIVATE,)
    )


# pynetdicom as SCP.


class Told:
    """What pynetdicom was asked, and what it answers."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.extended: dict[str, bytes] = {}
        self.common: dict[str, SOPClassCommonExtendedNegotiation] = {}

    def on_extended(self, event: evt.Event) -> dict[str, bytes]:
        self.extended = {str(uid): information for uid, information in event.app_info.items()}
        return self.answers

    def on_common(self, event: evt.Event) -> dict[str, SOPClassCommonExtendedNegotiation]:
        self.common = {str(uid): item for uid, item in event.items.items()}
        return event.items

    @contextmanager
    def serving(self) -> Iterator[tuple[str, int]]:
        entity = AE(ae_title="ARCHIVE")
        for uid in (STUDY_ROOT_FIND, CT_STORAGE, PRIVATE):
            entity.add_supported_context(uid, EXPLICIT)
        handlers = [
            (evt.EVT_SOP_EXTENDED, self.on_extended),
            (evt.EVT_SOP_COMMON, self.on_common),
            (evt.EVT_C_STORE, lambda _: 0x0000),
        ]
        listener = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert listener is not None
        try:
            yield listener.socket.getsockname()
        finally:
            listener.shutdown()


@pytest.mark.parametrize("answers", [{}, {STUDY_ROOT_FIND: b"\1\1\0"}])
def test_pynetdicom_answers(answers: dict[str, bytes]) -> None:
    # It answers whatever its handler says, even for a class that nobody has proposed.
    told, client = Told({**answers, VERIFICATION: b"\1"}), Net()
    with (
        told.serving() as address,
        associated(client, address, asking(STUDY_ROOT_FIND, CT_STORAGE, PRIVATE)),
    ):
        assert client.association is not None
        assert client.association.extended_negotiations == answers
        assert store(client, "1.2.3.1", b"\0" * 100) == 0x0000
    assert told.extended == {STUDY_ROOT_FIND: FIND.information, CT_STORAGE: STORAGE.information}
    assert told.common[PRIVATE].service_class_uid == STORAGE_SERVICE
    assert told.common[PRIVATE].related_general_sop_class_identification == [CT_STORAGE]
