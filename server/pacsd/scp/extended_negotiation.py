"""SOP class extended negotiation (56H, PS3.4 §B.3.1 and §C.5): what is answered is what is really done, no more."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pacsd.model import QueryOptions

if TYPE_CHECKING:
    from pacsd.scp.service_table import ServiceRow

__all__ = ["STORAGE_SERVICE_CLASS", "application_information", "negotiated_options"]

STORAGE_SERVICE_CLASS: Final = "1.2.840.10008.4.2"
"""As common extended negotiation names it (57H, PS3.4 §B.3.1.3)."""


def application_information(row: ServiceRow, offered: bytes) -> bytes | None:
    """Return the service-class application information that answers `offered`, None where there is none.

    For a query or retrieve each byte is 1 where 1 is offered and we do it; there are never more than were offered
    (PS3.4 §C.5.1.1, §C.5.2.1, §C.5.3.1). Of storage it is always the same six bytes (PS3.4 Table B.3-2).
    """
    if row.information:
        return row.information
    if not row.options or not offered:
        return None
    return bytes(
        wanted == 1 and option is not None for wanted, option in zip(offered, row.options, strict=False)
    )


@lru_cache(maxsize=64)
def negotiated_options(row: ServiceRow, answered: bytes) -> QueryOptions:
    """Return what `application_information` turned on; nothing is where nothing was answered."""
    options = zip(row.options, answered, strict=False)
    return QueryOptions(**{option: bool(on) for option, on in options if option is not None})
