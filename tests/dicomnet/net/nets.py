"""DicomNets to test with: a server that serves everything and writes down what happened, and its clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, IMPLICIT, STUDY_ROOT_FIND, VERIFICATION

from dicomnet import (
    AssociateRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    ContextResult,
    CStoreRequest,
    DicomNet,
    NegotiatedAssociation,
    NetConfiguration,
    PresentationContext,
    ProposedPresentationContext,
    ReceivedDataset,
    RoleSelection,
    Status,
    SupportedAbstractSyntax,
    Timeouts,
    own_user_information,
)
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import CCancelRequest

STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
SOP_CLASSES = (VERIFICATION, CT_STORAGE, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET)
WITHIN = 20.0
"""Seconds after which a test gives up waiting; nothing that works takes a tenth of it."""
MANY = 100_000
"""More answers than any test takes; a cancelled operation never comes to their end."""

CONFIGURATION = NetConfiguration(timeouts=Timeouts(artim=10, association=10, dimse=10, idle=20, write=10))


class Journal:
    """What happened on the server's threads, for the test's thread to wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[tuple[str, object]] = []

    def note(self, what: str, detail: object = None) -> None:
        with self._changed:
            self._entries.append((what, detail))
            self._changed.notify_all()

    @property
    def entries(self) -> list[tuple[str, object]]:
        """All entries so far, in order."""
        with self._changed:
            return list(self._entries)

    def pause(self, seconds: float) -> None:
        """Wait until something happens, but not for longer."""
        with self._changed:
            self._changed.wait(seconds)

    def of(self, what: str) -> list[object]:
        """Return the details of all entries of a kind."""
        with self._changed:
            return [detail for name, detail in self._entries if name == what]

    def wait_for(self, what: str, count: int = 1) -> list[object]:
        """Return the details once there are `count` entries of a kind."""
        deadline = time.monotonic() + WITHIN
        with self._changed:
            while True:
                details = [detail for name, detail in self._entries if name == what]
                if len(details) >= count:
                    return details
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"{count} of {what!r} did not happen: {self._entries}")


class Net(DicomNet):
    """A DicomNet of either role; as a server it answers all services out of `objects`."""

    def __init__(
        self, configuration: NetConfiguration = CONFIGURATION, *, objects: dict[str, bytes] | None = None
    ) -> None:
        super().__init__(configuration)
        self.journal = Journal()
        self.objects = {} if objects is None else objects
        """Data sets by SOP Instance UID: what was stored, and what FIND, GET and MOVE answer with."""
        self.endless = False
        """C-FIND answers until it is cancelled."""
        self.destinations: dict[str, tuple[str, int]] = {}

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        client = type(self)(self.configuration, objects=self.objects)
        client.journal = self.journal
        client.endless = self.endless
        client.destinations = self.destinations
        return client

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        if abstract_syntax in SOP_CLASSES:
            return SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT, IMPLICIT), requestor_as_scp=True)
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED

    def on_connect(self, error: Exception | None) -> None:
        self.journal.note("connected", error)

    def on_associated(self, association: NegotiatedAssociation) -> None:
        self.journal.note("associated", association)

    def on_disassociated(self, error: Exception | None) -> None:
        self.journal.note("disassociated", error)

    def on_close(self, error: Exception | None) -> None:
        self.journal.note("closed", error)

    def on_receive_abort(self, source: int, reason: int) -> None:
        self.journal.note("aborted", (source, reason))

    def on_receive_c_cancel_request(self, context: PresentationContext, request: CCancelRequest) -> None:
        self.journal.note("cancel", request.message_id_being_responded_to)

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        self.objects[request.affected_sop_instance_uid] = b"".join(map(bytes, dataset))
        self.journal.note("stored", request)
        self.send_c_store_response(context, request, status=Status.SUCCESS)

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("find", dataset.read(1 << 20))
        matches = list(self.objects.values())
        for match in matches * (MANY if self.endless else 1):
            if self.is_cancelled(request):
                self.send_c_find_response(context, request, status=Status.CANCEL)
                return
            self.send_c_find_response(context, request, status=Status.PENDING, identifier=match)
        self.send_c_find_response(context, request, status=Status.SUCCESS)

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("get", dataset.read(1 << 20))
        (storage,) = self._storage_contexts(self)
        completed, total = 0, len(self.objects)
        for uid, content in list(self.objects.items()):
            if self.is_cancelled(request):
                self.send_c_get_response(
                    context,
                    request,
                    status=Status.CANCEL,
                    number_of_remaining_suboperations=total - completed,
                    number_of_completed_suboperations=completed,
                )
                return
            response = self.c_store(storage, uid, content)
            completed += response.status == Status.SUCCESS
            self.send_c_get_response(
                context,
                request,
                status=Status.PENDING,
                number_of_remaining_suboperations=total - completed,
                number_of_completed_suboperations=completed,
            )
        self.send_c_get_response(
            context, request, status=Status.SUCCESS, number_of_completed_suboperations=completed
        )

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        self.journal.note("move", dataset.read(1 << 20))
        association = self.association
        assert association is not None
        address = self.destinations.get(request.move_destination)
        if address is None:
            comment = f"unknown move destination {request.move_destination}"
            self.send_c_move_response(context, request, status=0xA801, error_comment=comment)
            return
        originator = (association.calling_ae_title, request.message_id)
        completed, status = 0, Status.SUCCESS
        with associated(Net(self.configuration), address) as destination:
            (storage,) = self._storage_contexts(destination)
            for uid, content in list(self.objects.items()):
                if self.is_cancelled(request):
                    status = Status.CANCEL
                    break
                destination.c_store(storage, uid, content, move_originator=originator)
                completed += 1
                self.send_c_move_response(
                    context, request, status=Status.PENDING, number_of_completed_suboperations=completed
                )
        self.send_c_move_response(
            context, request, status=status, number_of_completed_suboperations=completed
        )

    @staticmethod
    def _storage_contexts(net: DicomNet) -> list[PresentationContext]:
        return net.association.contexts_of(CT_STORAGE) if net.association else []


def ask_for(
    sop_classes: Iterable[str] = SOP_CLASSES, *, as_storage_scp: bool = False, maximum_length: int = 262144
) -> AssociateRequest:
    """Return a request for one context of each SOP class, in Explicit and Implicit VR Little Endian."""
    roles = (RoleSelection(sop_class_uid=CT_STORAGE, scu_role=True, scp_role=True),)
    return AssociateRequest(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=tuple(
            ProposedPresentationContext(
                context_id=2 * place + 1, abstract_syntax=uid, transfer_syntaxes=(EXPLICIT, IMPLICIT)
            )
            for place, uid in enumerate(sop_classes)
        ),
        user_information=own_user_information(
            maximum_length=maximum_length, roles=roles if as_storage_scp else ()
        ),
    )


@contextmanager
def serving(net: DicomNet) -> Iterator[tuple[str, int]]:
    """Let a net listen on a free port of this host; at the end nothing of it is left."""
    address = net.listen()
    try:
        yield address
    finally:
        net.close()


@contextmanager
def associated(
    net: DicomNet, address: tuple[str, int], request: AssociateRequest | None = None
) -> Iterator[DicomNet]:
    """Connect and associate; released at the end, aborted where the test fails."""
    with net:
        net.connect(*address)
        net.associate(request or ask_for())
        yield net


def store(net: DicomNet, uid: str, dataset: Dataset) -> int:
    """C-STORE one object as CT; return the status."""
    return net.c_store(net.context_for(CT_STORAGE), uid, dataset).status


def ended_with(journal: Journal, count: int = 1) -> list[type]:
    """Wait for `count` ends of connections; return what each ended with."""
    errors = journal.wait_for("closed", count)

    return [type(error) for error in errors]
