"""The services that we provide, a row each: a new one is a row here, and the handler that the row names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from dicomnet import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    ContextResult,
    CStoreRequest,
    PresentationContext,
    Request,
    Status,
    SupportedAbstractSyntax,
)
from dicomnet.uids import VERIFICATION_SOP_CLASS
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES, STORAGE_TRANSFER_SYNTAXES
from pacsd.model import Service
from pacsd.query.information_models import FIND_MODELS, GET_MODELS, MOVE_MODELS
from pacsd.scp.echo import answer_echo
from pacsd.scp.find import answer_find
from pacsd.scp.get import answer_get
from pacsd.scp.move import answer_move
from pacsd.scp.sop_classes import STORAGE_SOP_CLASSES, may_be_storage
from pacsd.scp.statuses import CANNOT_PROCESS, OUT_OF_RESOURCES, UNABLE_TO_COUNT_MATCHES
from pacsd.scp.store import answer_store

if TYPE_CHECKING:
    from pacsd.scp.access import Admission
    from pacsd.scp.pacs_net import PacsNet

__all__ = ["SERVICES", "ServiceRow", "row_for", "service_of"]


def _supports(row: ServiceRow, admission: Admission) -> SupportedAbstractSyntax | ContextResult:
    if row.service not in admission.services:
        return ContextResult.USER_REJECTION
    return SupportedAbstractSyntax(transfer_syntaxes=NATIVE_TRANSFER_SYNTAXES)


def _supports_storage(_row: ServiceRow, admission: Admission) -> SupportedAbstractSyntax | ContextResult:
    """Storage contexts serve two: the peer's C-STOREs, and ours when the peer does a C-GET."""
    may_store, may_get = Service.STORE in admission.services, Service.GET in admission.services
    if not (may_store or may_get):
        return ContextResult.USER_REJECTION
    unknown = admission.unknown_transfer_syntaxes
    return SupportedAbstractSyntax(
        transfer_syntaxes=STORAGE_TRANSFER_SYNTAXES | unknown if unknown else STORAGE_TRANSFER_SYNTAXES,
        requestor_as_scu=may_store,
        requestor_as_scp=may_get,
    )


# Compared and hashed as the one object that it is.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServiceRow:
    """One service, as SCP."""

    service: Service
    """As it is permitted, counted and logged."""
    sop_classes: Collection[str]
    """The abstract syntaxes of its presentation contexts."""
    requests: tuple[type[Request], ...]
    """What is asked in these contexts."""
    answer: Callable[[PacsNet, ServiceRow, PresentationContext, Any, Any], None]
    """The handler: it answers a request in a context of the service, with its data set or None."""
    supports: Callable[[ServiceRow, Admission], SupportedAbstractSyntax | ContextResult] = _supports
    """How a SOP class is supported for who has been admitted; USER_REJECTION where it is not for this one."""
    options: tuple[str | None, ...] = ()
    """What each byte of extended negotiation turns on, a field of `QueryOptions`; None for what we don't do."""
    information: bytes = b""
    """What extended negotiation is answered with, whatever is offered; b"": by `options`."""
    asks_index: bool = False
    """Its answers lack something while the index is incomplete."""
    status_without_index: int = OUT_OF_RESOURCES
    status_of_unexpected: int = CANNOT_PROCESS


_FULL_STORAGE: Final = bytes((2, 0, 3, 0, 0, 0))
"""Level 2 (full), signature level 3 (bit preserving), no element coercion: data sets are kept byte for byte, and given
back so to whoever takes the transfer syntax in which they came (PS3.4 §B.4.1)."""

_FIND_OPTIONS: Final = (
    "relational",
    "combined_date_time",
    # Fuzzy matching of names: literally, but for case and accents. What sounds alike is another matter in each
    # language, and would find other people.
    None,
    # Timezone query adjustment: dates and times are matched as they were stored. Most instances don't say their zone,
    # and a guessed one would move studies to another day.
    None,
    None,  # enhanced multi-frame image conversion: instances are found as they were stored
    "empty_values",
    "multiple_values",
)
_RETRIEVE_OPTIONS: Final = (
    "relational",
    None,  # enhanced multi-frame image conversion: instances are sent as they were stored
)

_ROWS: Final = (
    ServiceRow(
        service=Service.ECHO,
        sop_classes=(VERIFICATION_SOP_CLASS,),
        requests=(CEchoRequest,),
        answer=answer_echo,
    ),
    ServiceRow(
        service=Service.STORE,
        sop_classes=STORAGE_SOP_CLASSES,
        requests=(CStoreRequest,),
        answer=answer_store,
        supports=_supports_storage,
        information=_FULL_STORAGE,
        status_of_unexpected=Status.PROCESSING_FAILURE,
    ),
    ServiceRow(
        service=Service.FIND,
        sop_classes=FIND_MODELS,
        requests=(CFindRequest,),
        answer=answer_find,
        options=_FIND_OPTIONS,
        asks_index=True,
    ),
    ServiceRow(
        service=Service.MOVE,
        sop_classes=MOVE_MODELS,
        requests=(CMoveRequest,),
        answer=answer_move,
        options=_RETRIEVE_OPTIONS,
        asks_index=True,
        status_without_index=UNABLE_TO_COUNT_MATCHES,
    ),
    ServiceRow(
        service=Service.GET,
        sop_classes=GET_MODELS,
        requests=(CGetRequest,),
        answer=answer_get,
        options=_RETRIEVE_OPTIONS,
        asks_index=True,
        status_without_index=UNABLE_TO_COUNT_MATCHES,
    ),
)
SERVICES: Final[Mapping[Service, ServiceRow]] = MappingProxyType({row.service: row for row in _ROWS})

_BY_SOP_CLASS: Final = {uid: row.service for row in _ROWS for uid in row.sop_classes}
_BY_REQUEST: Final = {
    request: [row for row in _ROWS if request in row.requests] for row in _ROWS for request in row.requests
}


def service_of(abstract_syntax: str, *, accept_unknown: bool) -> Service | None:
    """Return the service that a context's SOP class belongs to, None where we serve none.

    With `accept_unknown`, a class that nobody is known to use otherwise counts as storage: a private one, or one that
    the Standard has added among its storage SOP classes.
    """
    known = _BY_SOP_CLASS.get(abstract_syntax)
    if known is None and accept_unknown and may_be_storage(abstract_syntax):
        return Service.STORE
    return known


def row_for(request: Request, service: Service | None) -> ServiceRow | None:
    """Return who answers a request in a context of a service; None where no service here has such requests.

    One that is in the wrong context goes to a service that has such requests, which refuses it.
    """
    rows = _BY_REQUEST.get(type(request))
    if rows is None:
        return None
    return next((row for row in rows if row.service is service), rows[0])
