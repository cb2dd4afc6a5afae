"""PacsNet: the archive's side of one connection. It routes requests to their handlers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dicomnet import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NetConfiguration,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
    PresentationContext,
    ReceivedDataset,
    Request,
)
from pacsd.model import Service
from pacsd.scp.admitting_net import AdmittingNet
from pacsd.scp.bandwidth import Meter
from pacsd.scp.normalized_services import refuse_unrecognized
from pacsd.scp.operation import Handler, Operation, logger_of_association
from pacsd.scp.routes import Routes
from pacsd.scp.service_table import SERVICES, row_for

__all__ = ["PacsNet"]


class PacsNet(AdmittingNet):
    """One connection to the archive, or its listener."""

    def __init__(
        self,
        configuration: NetConfiguration,
        routes: Routes,
        handlers: Mapping[Service, Handler],
        meter: Meter | None = None,
    ) -> None:
        """`handlers` has one for each service of the table, else ValueError."""
        super().__init__(configuration, routes, meter)
        if not SERVICES.keys() <= handlers.keys():
            raise ValueError("there is a service without a handler")
        self._handlers = handlers
        self._operations_log = logger_of_association()

    def on_accept(self, peer_address: tuple[str, int]) -> PacsNet:
        """Serve each connection by an object of its own."""
        self.routes.note_connection()
        if self.routes.bandwidth is None:
            return PacsNet(self.configuration, self.routes, self._handlers)
        meter = self.routes.bandwidth.meter(self.configuration.while_waiting)
        return PacsNet(replace(self.configuration, while_waiting=meter), self.routes, self._handlers, meter)

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        """Have the handler of its service answer a C-ECHO; so all that follow."""
        self._answer(context, request)

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-STORE."""
        self._answer(context, request, dataset)

    def on_receive_c_find_request(
        self, context: PresentationContext, request: CFindRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-FIND."""
        self._answer(context, request, dataset)

    def on_receive_c_move_request(
        self, context: PresentationContext, request: CMoveRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-MOVE."""
        self._answer(context, request, dataset)

    def on_receive_c_get_request(
        self, context: PresentationContext, request: CGetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer a C-GET."""
        self._answer(context, request, dataset)

    def on_receive_n_report_request(
        self, context: PresentationContext, request: NEventReportRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-EVENT-REPORT."""
        self._answer(context, request, dataset)

    def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
        """Answer an N-GET."""
        self._answer(context, request)

    def on_receive_n_set_request(
        self, context: PresentationContext, request: NSetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-SET."""
        self._answer(context, request, dataset)

    def on_receive_n_action_request(
        self, context: PresentationContext, request: NActionRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-ACTION."""
        self._answer(context, request, dataset)

    def on_receive_n_create_request(
        self, context: PresentationContext, request: NCreateRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-CREATE."""
        self._answer(context, request, dataset)

    def on_receive_n_delete_request(self, context: PresentationContext, request: NDeleteRequest) -> None:
        """Answer an N-DELETE."""
        self._answer(context, request)

    def _answer(
        self, context: PresentationContext, request: Request, dataset: ReceivedDataset | None = None
    ) -> None:
        service = self.admission.service_of(context.abstract_syntax)
        row = row_for(request, service)
        if row is None:
            refuse_unrecognized(self, context, request)
        else:
            operation = Operation(self, row, service, context, request, dataset, self._operations_log)
            self._handlers[row.service](operation)
