"""SOP class extended negotiation (56H, PS3.4 §B.3.1 and §C.5): what is answered is what is really done, no more."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pacsd.model import QueryOptions, Service

__all__ = ["STORAGE_SERVICE_CLASS", "application_information", "negotiated_options"]

STORAGE_SERVICE_CLASS: Final = "1.2.840.10008.4.2"
"""As common extended negotiation names it (57H, PS3.4 §B.3.1.3)."""

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
_OPTIONS: Final[Mapping[Service, tuple[str | None, ...]]] = MappingProxyType(
    {Service.FIND: _FIND_OPTIONS, Service.MOVE: _RETRIEVE_OPTIONS, Service.GET: _RETRIEVE_OPTIONS}
)
"""What each byte is about, as a field of `QueryOptions`; None for what we don't do."""


def application_information(service: Service, offered: bytes) -> bytes | None:
    """Return the service-class application information that answers `offered`, None where there is none.

    For a query or retrieve each byte is 1 where 1 is offered and we do it; there are never more than were offered
    (PS3.4 §C.5.1.1, §C.5.2.1, §C.5.3.1). Of storage it is always the same six bytes (PS3.4 Table B.3-2).
    """
    if service is Service.STORE:
        return _FULL_STORAGE
    options = _OPTIONS.get(service)
    if options is None or not offered:
        return None
    return bytes(wanted == 1 and option is not None for wanted, option in zip(offered, options, strict=False))


@lru_cache(maxsize=64)
def negotiated_options(service: Service, answered: bytes) -> QueryOptions:
    """Return what `application_information` turned on; nothing is where nothing was answered."""
    options = zip(_OPTIONS[service], answered, strict=False)
    return QueryOptions(**{option: bool(on) for option, on in options if option is not None})
