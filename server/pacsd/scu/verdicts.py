"""DIMSE statuses in words (PS3.7 Annex C; PS3.4 §B.2.3, §C.4), for those who asked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dicomnet import CEchoResponse, CFindResponse, CStoreResponse, Response, SubOperationResponse
from pacsd.errors import PacsdError

__all__ = ["RequestFailed", "meaning", "verdict"]


class RequestFailed(PacsdError):
    """The peer answered with a final status that is not what was asked for."""


_GENERAL: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x0000: "success",
        0x0001: "warning: requested optional attributes are not supported",
        0x0105: "no such attribute",
        0x0106: "invalid attribute value",
        0x0107: "warning: attribute list error",
        0x0110: "processing failure",
        0x0111: "duplicate SOP instance",
        0x0112: "no such SOP instance",
        0x0113: "no such event type",
        0x0114: "no such argument",
        0x0115: "invalid argument value",
        0x0116: "warning: attribute value out of range",
        0x0117: "invalid SOP instance",
        0x0118: "no such SOP class",
        0x0119: "class-instance conflict",
        0x0120: "missing attribute",
        0x0121: "missing attribute value",
        0x0122: "refused: SOP class not supported",
        0x0123: "no such action type",
        0x0124: "refused: not authorized",
        0x0210: "duplicate invocation",
        0x0211: "unrecognized operation",
        0x0212: "mistyped argument",
        0x0213: "resource limitation",
        0xFE00: "cancelled",
        0xFF00: "pending",
        0xFF01: "pending, but optional keys are not supported",
    }
)
_STORE: Final[Mapping[int, str]] = MappingProxyType(
    {
        0xB000: "warning: coercion of data elements",
        0xB006: "warning: elements discarded",
        0xB007: "warning: data set does not match SOP class",
    }
)
_FIND: Final[Mapping[int, str]] = MappingProxyType(
    {0xB001: "warning: the peer's limit of responses is reached"}
)
_RETRIEVE: Final[Mapping[int, str]] = MappingProxyType(
    {
        0xA701: "refused: out of resources, unable to calculate the number of matches",
        0xA702: "refused: out of resources, unable to perform sub-operations",
        0xA801: "refused: move destination unknown",
        0xB000: "warning: sub-operations complete, one or more failures or warnings",
    }
)
_BY_SERVICE: Final[Mapping[type[Response], Mapping[int, str]]] = MappingProxyType(
    {
        CEchoResponse: MappingProxyType({}),
        CStoreResponse: _STORE,
        CFindResponse: _FIND,
        SubOperationResponse: _RETRIEVE,
    }
)


def meaning(response: Response) -> str:
    """Return what a response's status means in its service; never empty."""
    for response_type, meanings in _BY_SERVICE.items():
        if isinstance(response, response_type) and response.status in meanings:
            return meanings[response.status]
    return _GENERAL.get(response.status) or _of_range(response)


def _of_range(response: Response) -> str:
    match response.status >> 8:
        case 0xA7:
            return "refused: out of resources"
        case 0xA9 if isinstance(response, CStoreResponse):
            return "error: data set does not match SOP class"
        case 0xA9:
            return "error: identifier does not match SOP class"
    match response.status >> 12:
        case 0xC if isinstance(response, CStoreResponse):
            return "error: cannot understand"
        case 0xC:
            return "failed: unable to process"
        case 0xB:
            return "warning"
    return "unknown status"


def verdict(response: Response) -> str:
    """Return status, meaning and the peer's comment in one line, as `A700 refused: out of resources (disk full)`."""
    said = f"{response.status:04X} {meaning(response)}"
    return f"{said} ({response.error_comment})" if response.error_comment else said
