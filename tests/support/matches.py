"""The matches of a query, past the pages that they come by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pacsd.model import FindQuery
    from pacsd.services.ports import QueryCatalogue


def matches_of(index: QueryCatalogue, query: FindQuery) -> Iterator[Mapping[str, str]]:
    """Yield them one by one."""
    for page in index.find(query):
        yield from page
