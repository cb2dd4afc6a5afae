"""C-FIND as SCU (PS3.4 §C.4.1): asking, and reading the matches as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from dicomnet import DicomNet, StatusClass
from pacsd.dataset.identifier import Element, Identifier, read_identifier, write_identifier
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES
from pacsd.model import QueryLevel, QueryModel
from pacsd.query.information_models import INFORMATION_MODELS
from pacsd.scu.keys import level_element
from pacsd.scu.outgoing import AbstractAndTransferSyntaxes
from pacsd.scu.verdicts import RequestFailed, verdict

__all__ = ["RELATIONAL", "find", "query_proposals", "require_relational"]

RELATIONAL: Final = b"\1"
"""To offer for a query's SOP class: the unique keys of the levels above may be missing (PS3.4 §C.5.1.1)."""


def query_proposals(sop_class_uid: str) -> list[AbstractAndTransferSyntaxes]:
    """Return what to propose for a query or retrieve: its SOP class in the syntaxes that identifiers can have."""
    return [(sop_class_uid, NATIVE_TRANSFER_SYNTAXES)]


def require_relational(net: DicomNet, sop_class_uid: str) -> None:
    """Raise RequestFailed where the peer has not taken what `RELATIONAL` offers: its answer would be a refusal."""
    answered = net.association.extended_negotiations if net.association else {}
    if answered.get(sop_class_uid, b"")[:1] != RELATIONAL:
        raise RequestFailed(
            "C-FIND: the peer has no relational queries: it needs the keys of the levels above"
        )


def find(
    net: DicomNet,
    model: QueryModel,
    level: QueryLevel,
    keys: Iterable[Element],
    *,
    limit: int | None = None,
) -> Iterator[Identifier]:
    """Yield the matches of a query; after `limit` of them the rest are cancelled (C-CANCEL).

    Raises RequestFailed where the peer refuses or breaks off, IdentifierInvalid for a match that is no data set, and
    what `DicomNet.c_find` does.
    """
    context = net.context_for(INFORMATION_MODELS[model].find)
    identifier = write_identifier([level_element(level), *keys], context.transfer_syntax)
    responses = net.c_find(context, identifier)
    count = 0
    with closing(responses):
        for response, data in responses:
            if response.status_class is StatusClass.PENDING:
                if data is None:
                    raise RequestFailed("C-FIND: the peer sent a match without an identifier")
                yield read_identifier(data, context.transfer_syntax)
                count += 1
                if count == limit:
                    return
            elif response.status_class is not StatusClass.SUCCESS:
                # A warning too: it says that there are more matches than have come.
                raise RequestFailed(f"C-FIND: {verdict(response)}")
