"""The N-services judged by pynetdicom, as their SCU and as their SCP (PS3.7 §10.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from tests.dicomnet.net.gate import in_background
from tests.dicomnet.net.nets import WITHIN, Net, associated, serving
from tests.dicomnet.net.test_pynetdicom_as_scu import encoded
from tests.dicomnet.pair import EXPLICIT

from dicomnet import (
    AssociateRequest,
    ContextResult,
    DicomNet,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
    PresentationContext,
    ProposedPresentationContext,
    ReceivedDataset,
    RoleSelection,
    SupportedAbstractSyntax,
    own_user_information,
)

PROCEDURE_STEP = "1.2.840.10008.5.1.4.34.6.1"
"""UPS Push: in its context pynetdicom performs all N-services but N-DELETE."""
FILM_SESSION = "1.2.840.10008.5.1.1.1"
"""Here it performs that."""
INSTANCE = "1.2.3.4"
DRAWN = "1.2.3.99"
PATIENT_ID = 0x00100020


def a_dataset(patient_id: str) -> Dataset:
    dataset = Dataset()
    dataset.PatientID = patient_id
    return dataset


SENT, ANSWERED = a_dataset("SENT"), a_dataset("ANSWERED")


# pynetdicom as SCU.


class Performer(Net):
    """Performs all N-services: notes what was asked for, and answers with `ANSWERED`."""

    reply = encoded(ANSWERED)

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        return SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,), requestor_as_scp=True)

    def on_receive_n_report_request(
        self, context: PresentationContext, request: NEventReportRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("asked", (request, dataset.read(1000)))
        self.send_n_report_response(context, request, status=0, dataset=self.reply)

    def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
        self.journal.note("asked", (request, b""))
        self.send_n_get_response(context, request, status=0, dataset=self.reply)

    def on_receive_n_set_request(
        self, context: PresentationContext, request: NSetRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("asked", (request, dataset.read(1000)))
        self.send_n_set_response(
            context, request, status=0x0107, dataset=self.reply, attribute_identifier_list=(PATIENT_ID,)
        )

    def on_receive_n_action_request(
        self, context: PresentationContext, request: NActionRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("asked", (request, dataset.read(1000)))
        self.send_n_action_response(context, request, status=0, dataset=self.reply)

    def on_receive_n_create_request(
        self, context: PresentationContext, request: NCreateRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("asked", (request, dataset.read(1000)))
        self.send_n_create_response(
            context, request, status=0, dataset=self.reply, affected_sop_instance_uid=DRAWN
        )

    def on_receive_n_delete_request(self, context: PresentationContext, request: NDeleteRequest) -> None:
        self.journal.note("asked", (request, b""))
        self.send_n_delete_response(context, request, status=0x0110, error_comment="no", error_id=0xA710)


@contextmanager
def scu(address: tuple[str, int]) -> Iterator[Association]:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(PROCEDURE_STEP, EXPLICIT)
    role = build_role(PROCEDURE_STEP, scu_role=True, scp_role=True)
    association = entity.associate(*address, ext_neg=[role])
    try:
        assert association.is_established
        yield association
        association.release()
        assert association.is_released
    finally:
        association.abort()
        entity.shutdown()


ASKING = {
    "n_event_report": lambda scu: scu.send_n_event_report(SENT, 7, PROCEDURE_STEP, INSTANCE),
    "n_get": lambda scu: scu.send_n_get([PATIENT_ID], PROCEDURE_STEP, INSTANCE),
    "n_set": lambda scu: scu.send_n_set(SENT, PROCEDURE_STEP, INSTANCE),
    "n_action": lambda scu: scu.send_n_action(SENT, 7, PROCEDURE_STEP, INSTANCE),
    "n_create": lambda scu: scu.send_n_create(SENT, PROCEDURE_STEP),
}
CONTENT = encoded(SENT)
REQUESTED = {"requested_sop_class_uid": PROCEDURE_STEP, "requested_sop_instance_uid": INSTANCE}
ASKED = {
    "n_event_report": (
        NEventReportRequest(
            message_id=1,
            affected_sop_class_uid=PROCEDURE_STEP,
            affected_sop_instance_uid=INSTANCE,
            event_type_id=7,
        ),
        CONTENT,
    ),
    "n_get": (NGetRequest(message_id=1, attribute_identifier_list=(PATIENT_ID,), **REQUESTED), b""),
    "n_set": (NSetRequest(message_id=1, **REQUESTED), CONTENT),
    "n_action": (NActionRequest(message_id=1, action_type_id=7, **REQUESTED), CONTENT),
    "n_create": (NCreateRequest(message_id=1, affected_sop_class_uid=PROCEDURE_STEP), CONTENT),
}


@pytest.mark.parametrize("service", ASKING)
def test_pynetdicom_asks(service: str) -> None:
    server = Performer()
    with serving(server) as address, scu(address) as association:
        status, reply = ASKING[service](association)
    assert server.journal.of("asked") == [ASKED[service]]
    assert status.Status == (0x0107 if service == "n_set" else 0x0000)
    assert reply == ANSWERED


def test_pynetdicom_asks_for_a_deletion() -> None:
    server = Performer()
    with serving(server) as address, scu(address) as association:
        status = association.send_n_delete(PROCEDURE_STEP, INSTANCE)
    assert server.journal.of("asked") == [(NDeleteRequest(message_id=1, **REQUESTED), b"")]
    assert (status.Status, status.ErrorComment, status.ErrorID) == (0x0110, "no", 0xA710)


class Refuser(Net):
    """Accepts the context and serves nothing in it."""

    supports = Performer.supports


@pytest.mark.parametrize("service", ASKING)
def test_pynetdicom_is_refused(service: str) -> None:
    with serving(Refuser()) as address, scu(address) as association:
        status, _ = ASKING[service](association)
    assert status.Status == 0x0118


# pynetdicom as SCP.


class Printer:
    """pynetdicom's handlers: they note what was asked for, and answer with `ANSWERED`."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.handlers = [
            (evt.EVT_N_EVENT_REPORT, self.report),
            (evt.EVT_N_GET, self.get),
            (evt.EVT_N_SET, self.set),
            (evt.EVT_N_ACTION, self.action),
            (evt.EVT_N_CREATE, self.create),
            (evt.EVT_N_DELETE, self.delete),
        ]

    def report(self, event: evt.Event) -> tuple[int, Dataset]:
        request = event.request
        self.asked.append((request.AffectedSOPInstanceUID, event.event_type, event.event_information))
        return 0x0000, ANSWERED

    def get(self, event: evt.Event) -> tuple[int, Dataset]:
        self.asked.append((event.request.RequestedSOPInstanceUID, *event.attribute_identifiers))
        return 0x0000, ANSWERED

    def set(self, event: evt.Event) -> tuple[int, Dataset]:
        self.asked.append((event.request.RequestedSOPInstanceUID, event.modification_list))
        return 0x0000, ANSWERED

    def action(self, event: evt.Event) -> tuple[int, Dataset]:
        request = event.request
        self.asked.append((request.RequestedSOPInstanceUID, event.action_type, event.action_information))
        return 0x0000, ANSWERED

    def create(self, event: evt.Event) -> tuple[int, Dataset]:
        self.asked.append((event.request.AffectedSOPInstanceUID, event.attribute_list))
        answered = a_dataset("ANSWERED")
        answered.AffectedSOPInstanceUID = DRAWN
        return 0x0000, answered

    def delete(self, event: evt.Event) -> Dataset:
        self.asked.append((event.request.RequestedSOPInstanceUID,))
        status = Dataset()
        status.Status, status.ErrorComment, status.ErrorID = 0x0110, "no", 0xA710
        return status

    @contextmanager
    def serving(self) -> Iterator[tuple[str, int]]:
        entity = AE(ae_title="PRINTER")
        entity.add_supported_context(PROCEDURE_STEP, [EXPLICIT], scu_role=True, scp_role=True)
        entity.add_supported_context(FILM_SESSION, [EXPLICIT])
        listener = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=self.handlers)
        assert listener is not None
        try:
            yield listener.socket.getsockname()
        finally:
            listener.shutdown()


def ask_for_both_roles() -> AssociateRequest:
    return AssociateRequest(
        called_ae_title="PRINTER",
        calling_ae_title="WORKSTATION",
        presentation_contexts=tuple(
            ProposedPresentationContext(
                context_id=context_id, abstract_syntax=abstract_syntax, transfer_syntaxes=(EXPLICIT,)
            )
            for context_id, abstract_syntax in ((1, PROCEDURE_STEP), (3, FILM_SESSION))
        ),
        user_information=own_user_information(
            maximum_length=16384,
            roles=(RoleSelection(sop_class_uid=PROCEDURE_STEP, scu_role=True, scp_role=True),),
        ),
    )


@contextmanager
def asking(printer: Printer) -> Iterator[tuple[DicomNet, PresentationContext]]:
    with printer.serving() as address, associated(Net(), address, ask_for_both_roles()) as client:
        yield client, client.context_for(PROCEDURE_STEP)


PERFORMED = {
    "n_event_report": (
        lambda net, context: net.n_event_report(context, INSTANCE, 7, CONTENT),
        (INSTANCE, 7, SENT),
    ),
    "n_get": (lambda net, context: net.n_get(context, INSTANCE, (PATIENT_ID,)), (INSTANCE, PATIENT_ID)),
    "n_set": (lambda net, context: net.n_set(context, INSTANCE, CONTENT), (INSTANCE, SENT)),
    "n_action": (lambda net, context: net.n_action(context, INSTANCE, 7, CONTENT), (INSTANCE, 7, SENT)),
    "n_create": (lambda net, context: net.n_create(context, dataset=CONTENT), (None, SENT)),
}


@pytest.mark.parametrize("service", PERFORMED)
def test_pynetdicom_performs(service: str) -> None:
    printer = Printer()
    ask, asked = PERFORMED[service]
    with asking(printer) as (client, context):
        response, reply = ask(client, context)
    assert printer.asked == [asked]
    assert (response.status, reply) == (0x0000, encoded(ANSWERED))
    assert response.affected_sop_instance_uid == (DRAWN if service == "n_create" else INSTANCE)


def test_pynetdicom_performs_a_deletion() -> None:
    printer = Printer()
    with asking(printer) as (client, _):
        response = client.n_delete(client.context_for(FILM_SESSION), INSTANCE)
    assert printer.asked == [(INSTANCE,)]
    assert (response.status, response.error_comment, response.error_id) == (0x0110, "no", 0xA710)


# pynetdicom as SCP that has something to report.


class Reporter(Printer):
    """Reports an event to who has asked for the association: by `report_to`, or before it answers an N-ACTION."""

    def __init__(self) -> None:
        super().__init__()
        self.established: SimpleQueue[Association] = SimpleQueue()
        self.answers: SimpleQueue[tuple[Dataset, Dataset | None]] = SimpleQueue()
        self.handlers += [(evt.EVT_ESTABLISHED, lambda event: self.established.put(event.assoc))]

    def report_to(self, association: Association) -> None:
        self.answers.put(association.send_n_event_report(SENT, 3, PROCEDURE_STEP, INSTANCE))

    def action(self, event: evt.Event) -> tuple[int, Dataset]:
        in_background(lambda: self.report_to(event.assoc)).join(WITHIN)
        return super().action(event)


@pytest.mark.parametrize("when", ["nothing is asked", "an answer is awaited"])
def test_pynetdicom_reports_an_event_to_the_requestor(when: str) -> None:
    """Whoever is SCU of the SOP class performs N-EVENT-REPORT (PS3.7 §10.1.1): here the association's requestor."""
    reporter, client = Reporter(), Performer()
    with reporter.serving() as address, associated(client, address, ask_for_both_roles()):
        if when == "nothing is asked":
            association = reporter.established.get(timeout=WITHIN)
            in_background(lambda: reporter.report_to(association))
            assert client.receive()
        else:
            response, reply = client.n_action(client.context_for(PROCEDURE_STEP), INSTANCE, 7, CONTENT)
            assert (response.status, reply) == (0x0000, encoded(ANSWERED))
        status, reply = reporter.answers.get(timeout=WITHIN)
    assert (status.Status, reply) == (0x0000, ANSWERED)
    ((request, content),) = client.journal.of("asked")
    assert isinstance(request, NEventReportRequest)
    assert (request.affected_sop_instance_uid, request.event_type_id, content) == (INSTANCE, 3, CONTENT)
