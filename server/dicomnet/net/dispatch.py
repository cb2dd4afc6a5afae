"""Which method serves which request."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from dicomnet.dimse import messages
from dicomnet.net.callbacks import Callbacks
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.upper_layer.negotiation import PresentationContext

__all__ = ["HOOKS", "dispatch_request"]

HOOKS: Final[Mapping[type[messages.Request], str]] = MappingProxyType(
    {
        messages.CEchoRequest: "on_receive_c_echo_request",
        messages.CStoreRequest: "on_receive_c_store_request",
        messages.CFindRequest: "on_receive_c_find_request",
        messages.CGetRequest: "on_receive_c_get_request",
        messages.CMoveRequest: "on_receive_c_move_request",
        messages.UnrecognizedRequest: "on_receive_unknown",
    }
)
_WITHOUT_DATASET: Final = (messages.CEchoRequest, messages.UnrecognizedRequest)


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
