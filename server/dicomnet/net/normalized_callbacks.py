"""What a DicomNet calls when a message of an N-service arrives (PS3.7 §10.1); override what you serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet.dimse.messages import (
    NActionRequest,
    NActionResponse,
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NDeleteResponse,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NGetResponse,
    NSetRequest,
    NSetResponse,
)
from dicomnet.dimse.status import Status
from dicomnet.net.normalized_messaging import NormalizedMessaging
from dicomnet.upper_layer.negotiation import PresentationContext

if TYPE_CHECKING:
    from dicomnet.net.received_dataset import ReceivedDataset

__all__ = ["NormalizedCallbacks"]


class NormalizedCallbacks(NormalizedMessaging):
    """The N-services' part of the `on_*` half: requests are refused, responses taken note of."""

    # Requests; `dataset` must be read before the answer goes out, and is empty where none came.

    def on_receive_n_report_request(
        self, context: PresentationContext, request: NEventReportRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-EVENT-REPORT (PS3.7 §10.1.1)."""
        self.send_n_report_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
        """Answer an N-GET (PS3.7 §10.1.2)."""
        self.send_n_get_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def on_receive_n_set_request(
        self, context: PresentationContext, request: NSetRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-SET (PS3.7 §10.1.3)."""
        self.send_n_set_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def on_receive_n_action_request(
        self, context: PresentationContext, request: NActionRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-ACTION (PS3.7 §10.1.4)."""
        self.send_n_action_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def on_receive_n_create_request(
        self, context: PresentationContext, request: NCreateRequest, dataset: ReceivedDataset
    ) -> None:
        """Answer an N-CREATE (PS3.7 §10.1.5)."""
        self.send_n_create_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    def on_receive_n_delete_request(self, context: PresentationContext, request: NDeleteRequest) -> None:
        """Answer an N-DELETE (PS3.7 §10.1.6)."""
        self.send_n_delete_response(context, request, status=Status.NO_SUCH_SOP_CLASS)

    # Responses that no `n_*` call waits for; `dataset` is None where none came.

    def on_receive_n_report_response(
        self, context: PresentationContext, response: NEventReportResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-EVENT-REPORT (PS3.7 §10.3.1.2)."""
        self._leave_unawaited(response)

    def on_receive_n_get_response(
        self, context: PresentationContext, response: NGetResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-GET (PS3.7 §10.3.2.2)."""
        self._leave_unawaited(response)

    def on_receive_n_set_response(
        self, context: PresentationContext, response: NSetResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-SET (PS3.7 §10.3.3.2)."""
        self._leave_unawaited(response)

    def on_receive_n_action_response(
        self, context: PresentationContext, response: NActionResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-ACTION (PS3.7 §10.3.4.2)."""
        self._leave_unawaited(response)

    def on_receive_n_create_response(
        self, context: PresentationContext, response: NCreateResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of the answer to an N-CREATE (PS3.7 §10.3.5.2)."""
        self._leave_unawaited(response)

    def on_receive_n_delete_response(self, context: PresentationContext, response: NDeleteResponse) -> None:
        """Take note of the answer to an N-DELETE (PS3.7 §10.3.6.2)."""
        self._leave_unawaited(response)
