"""N-services (PS3.7 §10): none of the SOP classes that we serve has any."""

from __future__ import annotations

from typing import Final

import structlog

from dicomnet import (
    DicomNet,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
    PresentationContext,
    ReceivedDataset,
    Request,
    Status,
)

__all__ = ["NoNormalizedServices"]

_log = structlog.get_logger()

_REFUSAL: Final = Status.UNRECOGNIZED_OPERATION
"""PS3.7 §C.5.24 (0211H): the context is accepted, and its SOP class does not have the operation."""


class NoNormalizedServices(DicomNet):
    """A connection on which every N-service is refused."""

    def on_receive_n_report_request(
        self,
        context: PresentationContext,
        request: NEventReportRequest,
        dataset: ReceivedDataset,  # noqa: ARG002 - it is passed over
    ) -> None:
        """Refuse an N-EVENT-REPORT."""
        _note(request)
        self.send_n_report_response(context, request, status=_REFUSAL)

    def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
        """Refuse an N-GET."""
        _note(request)
        self.send_n_get_response(context, request, status=_REFUSAL)

    def on_receive_n_set_request(
        self,
        context: PresentationContext,
        request: NSetRequest,
        dataset: ReceivedDataset,  # noqa: ARG002 - it is passed over
    ) -> None:
        """Refuse an N-SET."""
        _note(request)
        self.send_n_set_response(context, request, status=_REFUSAL)

    def on_receive_n_action_request(
        self,
        context: PresentationContext,
        request: NActionRequest,
        dataset: ReceivedDataset,  # noqa: ARG002 - it is passed over
    ) -> None:
        """Refuse an N-ACTION."""
        _note(request)
        self.send_n_action_response(context, request, status=_REFUSAL)

    def on_receive_n_create_request(
        self,
        context: PresentationContext,
        request: NCreateRequest,
        dataset: ReceivedDataset,  # noqa: ARG002 - it is passed over
    ) -> None:
        """Refuse an N-CREATE."""
        _note(request)
        self.send_n_create_response(context, request, status=_REFUSAL)

    def on_receive_n_delete_request(self, context: PresentationContext, request: NDeleteRequest) -> None:
        """Refuse an N-DELETE."""
        _note(request)
        self.send_n_delete_response(context, request, status=_REFUSAL)


def _note(request: Request) -> None:
    _log.warning(
        "operation-refused",
        operation=type(request).__name__.removesuffix("Request"),
        status=f"{_REFUSAL:04X}",
        comment="no SOP class here has N-services",
    )
