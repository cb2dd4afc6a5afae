"""The services that we provide, a row each: a new one is a row here, and a handler that `app` has for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from dicomnet import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    ContextResult,
    CStoreRequest,
    Request,
    Status,
    SupportedAbstractSyntax,
)
from dicomnet.uids import VERIFICATION_SOP_CLASS
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES, STORAGE_TRANSFER_SYNTAXES
from pacsd.model import QueryOptions, Service
from pacsd.query.information_models import FIND_MODELS, GET_MODELS, MOVE_MODELS
from pacsd.scp.sop_classes import STORAGE_SOP_CLASSES, may_be_storage
from pacsd.scp.statuses import UNABLE_TO_COUNT_MATCHES, ServiceStatuses

__all__ = ["SERVICES", "STORAGE_SERVICE_CLASS", "ServiceRow", "row_for", "service_of"]


STORAGE_SERVICE_CLASS: Final = "1.2.840.10008.4.2"
"""As common extended negotiation names it (57H, PS3.4 §B.3.1.3)."""

Supports = Callable[[Collection[Service], frozenset[str]], SupportedAbstractSyntax | ContextResult]
"""How a SOP class is supported for who may have some services, and may store in some unknown transfer syntaxes."""


def _if_permitted(service: Service) -> Supports:
    def supports(
        permitted: Collection[Service], _: frozenset[str]
    ) -> SupportedAbstractSyntax | ContextResult:
        if service not in permitted:
            return ContextResult.USER_REJECTION
        return SupportedAbstractSyntax(transfer_syntaxes=NATIVE_TRANSFER_SYNTAXES)

    return supports


def _as_storage(
    permitted: Collection[Service], unknown_transfer_syntaxes: frozenset[str]
) -> SupportedAbstractSyntax | ContextResult:
    """Storage contexts serve two: the peer's C-STOREs, and ours when the peer does a C-GET."""
    may_store, may_get = Service.STORE in permitted, Service.GET in permitted
    if not (may_store or may_get):
        return ContextResult.USER_REJECTION
    return SupportedAbstractSyntax(
        transfer_syntaxes=STORAGE_TRANSFER_SYNTAXES | unknown_transfer_syntaxes
        if unknown_transfer_syntaxes
        else STORAGE_TRANSFER_SYNTAXES,
        requestor_as_scu=may_store,
        requestor_as_scp=may_get,
    )


_USUAL: Final = ServiceStatuses()


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
    supports: Supports
    """Says USER_REJECTION where the SOP class is supported, but not for this one."""
    options: tuple[str | None, ...] = ()
    """What each byte of extended negotiation turns on, a field of `QueryOptions`; None for what we don't do."""
    information: bytes = b""
    """What extended negotiation is answered with, whatever is offered; b"": by `options`."""
    asks_index: bool = False
    """Its answers lack something while the index is incomplete."""
    statuses: ServiceStatuses = _USUAL

    def application_information(self, offered: bytes) -> bytes | None:
        """Return the service-class application information that answers `offered` (56H), None where there is none.

        What is answered is what is really done, no more: for a query or retrieve each byte is 1 where 1 is offered and
        we do it, and there are never more than were offered (PS3.4 §C.5.1.1, §C.5.2.1, §C.5.3.1). Of storage it is
        always the same six bytes (PS3.4 Table B.3-2).
        """
        if self.information:
            return self.information
        if not self.options or not offered:
            return None
        return bytes(
            wanted == 1 and option is not None for wanted, option in zip(offered, self.options, strict=False)
        )

    def negotiated_options(self, answered: bytes) -> QueryOptions:
        """Return what `application_information` turned on; nothing is where nothing was answered."""
        return _query_options(self.options, answered)


@lru_cache(maxsize=64)
def _query_options(options: tuple[str | None, ...], answered: bytes) -> QueryOptions:
    turned_on = zip(options, answered, strict=False)
    return QueryOptions(**{option: bool(on) for option, on in turned_on if option is not None})


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
        supports=_if_permitted(Service.ECHO),
    ),
    ServiceRow(
        service=Service.STORE,
        sop_classes=STORAGE_SOP_CLASSES,
        requests=(CStoreRequest,),
        supports=_as_storage,
        information=_FULL_STORAGE,
        statuses=ServiceStatuses(of_unexpected=Status.PROCESSING_FAILURE),
    ),
    ServiceRow(
        service=Service.FIND,
        sop_classes=FIND_MODELS,
        requests=(CFindRequest,),
        supports=_if_permitted(Service.FIND),
        options=_FIND_OPTIONS,
        asks_index=True,
    ),
    ServiceRow(
        service=Service.MOVE,
        sop_classes=MOVE_MODELS,
        requests=(CMoveRequest,),
        supports=_if_permitted(Service.MOVE),
        options=_RETRIEVE_OPTIONS,
        asks_index=True,
        statuses=ServiceStatuses(without_index=UNABLE_TO_COUNT_MATCHES),
    ),
    ServiceRow(
        service=Service.GET,
        sop_classes=GET_MODELS,
        requests=(CGetRequest,),
        supports=_if_permitted(Service.GET),
        options=_RETRIEVE_OPTIONS,
        asks_index=True,
        statuses=ServiceStatuses(without_index=UNABLE_TO_COUNT_MATCHES),
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
