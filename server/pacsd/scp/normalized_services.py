"""N-services (PS3.7 §10): none of the SOP classes that we serve has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from dicomnet import DicomNet, PresentationContext, ReceivedDataset, Request, Status

__all__ = ["NoNormalizedServices"]

_log = structlog.get_logger()

_REFUSAL: Final = Status.UNRECOGNIZED_OPERATION
"""PS3.7 §C.5.24 (0211H): the context is accepted, and its SOP class does not have the operation."""


def _refuse_by(respond: Callable[..., None]) -> Callable[..., None]:
    """Return a callback that refuses a request by this response, and logs it; a data set is passed over."""

    def refuse(
        net: Any, context: PresentationContext, request: Request, _dataset: ReceivedDataset | None = None
    ) -> None:
        _log.warning(
            "operation-refused",
            operation=type(request).__name__.removesuffix("Request"),
            status=f"{_REFUSAL:04X}",
            comment="no SOP class here has N-services",
        )
        respond(net, context, request, status=_REFUSAL)

    return refuse


class NoNormalizedServices(DicomNet):
    """A connection on which every N-service is refused."""

    on_receive_n_report_request = _refuse_by(DicomNet.send_n_report_response)
    on_receive_n_get_request = _refuse_by(DicomNet.send_n_get_response)
    on_receive_n_set_request = _refuse_by(DicomNet.send_n_set_response)
    on_receive_n_action_request = _refuse_by(DicomNet.send_n_action_response)
    on_receive_n_create_request = _refuse_by(DicomNet.send_n_create_response)
    on_receive_n_delete_request = _refuse_by(DicomNet.send_n_delete_response)
