"""Which method serves which message."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from dicomnet.dimse import messages
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.upper_layer.negotiation import PresentationContext

__all__ = ["HOOKS", "dispatch_request", "dispatch_response"]

HOOKS: Final[Mapping[type[messages.Message], str]] = MappingProxyType(
    {
        messages.CEchoRequest: "on_receive_c_echo_request",
        messages.CEchoResponse: "on_receive_c_echo_response",
        messages.CStoreRequest: "on_receive_c_store_request",
        messages.CStoreResponse: "on_receive_c_store_response",
        messages.CFindRequest: "on_receive_c_find_request",
        messages.CFindResponse: "on_receive_c_find_response",
        messages.CGetRequest: "on_receive_c_get_request",
        messages.CGetResponse: "on_receive_c_get_response",
        messages.CMoveRequest: "on_receive_c_move_request",
        messages.CMoveResponse: "on_receive_c_move_response",
        messages.NEventReportRequest: "on_receive_n_report_request",
        messages.NEventReportResponse: "on_receive_n_report_response",
        messages.NGetRequest: "on_receive_n_get_request",
        messages.NGetResponse: "on_receive_n_get_response",
        messages.NSetRequest: "on_receive_n_set_request",
        messages.NSetResponse: "on_receive_n_set_response",
        messages.NActionRequest: "on_receive_n_action_request",
        messages.NActionResponse: "on_receive_n_action_response",
        messages.NCreateRequest: "on_receive_n_create_request",
        messages.NCreateResponse: "on_receive_n_create_response",
        messages.NDeleteRequest: "on_receive_n_delete_request",
        messages.NDeleteResponse: "on_receive_n_delete_response",
        messages.UnrecognizedRequest: "on_receive_unknown",
    }
)
_WITHOUT_DATASET: Final = (
    messages.CEchoRequest,
    messages.CEchoResponse,
    messages.CStoreResponse,
    messages.NGetRequest,
    messages.NDeleteRequest,
    messages.NDeleteResponse,
    messages.UnrecognizedRequest,
)


def dispatch_request(
    net: Callbacks,
    context: PresentationContext,
    request: messages.Request,
    dataset: ReceivedDataset | None,
) -> None:
    """Call the method that serves a request; a service's data set that did not come is an empty one."""
    hook: Any = getattr(net, HOOKS[type(request)])
    if isinstance(request, _WITHOUT_DATASET):
        hook(context, request)
    else:
        hook(context, request, dataset or ReceivedDataset.of(b"", context.transfer_syntax))


def dispatch_response(
    net: Callbacks,
    context: PresentationContext,
    response: messages.Response,
    dataset: ReceivedDataset | None,
) -> None:
    """Call the method that takes note of a response that nobody waits for."""
    hook: Any = getattr(net, HOOKS[type(response)])
    if isinstance(response, _WITHOUT_DATASET):
        hook(context, response)
    else:
        hook(context, response, dataset)
