"""N-services (PS3.7 §10): those that no SOP class here has are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

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
    Request,
    Status,
)

__all__ = ["refuse_unrecognized"]

_log = structlog.get_logger()

_REFUSAL: Final = Status.UNRECOGNIZED_OPERATION
"""PS3.7 §C.5.24 (0211H): the context is accepted, and its SOP class does not have the operation."""
_RESPONSES: Final[Mapping[type[Request], Callable[..., None]]] = MappingProxyType(
    {
        NEventReportRequest: DicomNet.send_n_report_response,
        NGetRequest: DicomNet.send_n_get_response,
        NSetRequest: DicomNet.send_n_set_response,
        NActionRequest: DicomNet.send_n_action_response,
        NCreateRequest: DicomNet.send_n_create_response,
        NDeleteRequest: DicomNet.send_n_delete_response,
    }
)


def refuse_unrecognized(net: DicomNet, context: PresentationContext, request: Any) -> None:
    """Refuse a request that no service here has, and log it; a data set is passed over."""
    _log.warning(
        "operation-refused",
        operation=type(request).__name__.removesuffix("Request"),
        status=f"{_REFUSAL:04X}",
        comment="no SOP class here has this operation",
    )
    _RESPONSES[type(request)](net, context, request, status=_REFUSAL)
