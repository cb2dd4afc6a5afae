"""C-FIND as SCP (PS3.4 §C.4.1): from the identifier to matches, and from each match to a response."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Final, NamedTuple

from dicomnet import CFindRequest, Status
from pacsd.dataset.identifier import Element, Identifier, read_identifier
from pacsd.dataset.identifier_writer import IdentifierWriter
from pacsd.errors import IdentifierInvalid
from pacsd.model import FindQuery, QueryLevel
from pacsd.query.hierarchy import NOT_MATCHED
from pacsd.query.information_models import FIND_MODELS
from pacsd.scp.operation import Operation
from pacsd.scp.statuses import Answer, limited_answer
from pacsd.services.query import Queries

__all__ = ["FindHandler", "Matches", "query_level"]

_RETRIEVE_AE_TITLE: Final = 0x00080054
_ENCODERS_REMEMBERED: Final = 256
_MOST_KEYS_REMEMBERED: Final = 100
"""Of one encoder, which has some hundred bytes for each."""
_BYTES_HELD: Final = 1 << 18
"""Of encoded matches, which then go out before the rest of their page."""


class Matches(NamedTuple):
    """Some matches on their way to the peer."""

    status: Status
    """Pending; which of the two is the same for all matches of a query."""
    identifiers: Sequence[bytes]
    are_last: bool
    """The final response follows at once."""


class FindHandler:
    """Answers queries; all entities found can be retrieved from `ae_title`."""

    def __init__(self, queries: Queries, *, ae_title: str) -> None:
        self._queries = queries
        self._ae_title = ae_title

    def answer(self, operation: Operation) -> None:
        """Answer a query; the last matches leave in one write with the final response."""
        net, context = operation.net, operation.context
        request: CFindRequest = operation.request
        last: list[Matches] = []

        def send(matches: Matches) -> None:
            with net.gathering():
                for identifier in matches.identifiers:
                    net.send_c_find_response(context, request, status=matches.status, identifier=identifier)

        def send_or_hold(matches: Matches) -> None:
            if matches.are_last:
                last.append(matches)
            else:
                send(matches)

        def respond(answer: Answer) -> None:
            with net.gathering():
                for matches in last:
                    send(matches)
                net.send_c_find_response(context, request, status=answer.status, **answer.explanation)

        operation.run(lambda: self._matched(operation, send_or_hold), respond)

    def _matched(self, operation: Operation, send_matches: Callable[[Matches], None]) -> Answer:
        """Send the matches by `send_matches`, a page at once; return the final response.

        Raises as `Queries.find` does.
        """
        context, admission = operation.context, operation.net.admission
        rules = admission.answers
        identifier = read_identifier(
            operation.read_identifier(),
            context.transfer_syntax,
            default_character_set=admission.default_character_set,
        )
        query = FindQuery(
            model=FIND_MODELS[context.abstract_syntax],
            level=query_level(identifier),
            keys={keyword: value for keyword, value in identifier.keys.items() if keyword not in NOT_MATCHED},
            options=operation.options,
        )
        encoder = _remembered_encoder if len(identifier.elements) <= _MOST_KEYS_REMEMBERED else _AnswerEncoder
        answers = encoder(
            tuple([(element.tag, element.vr) for element in identifier.elements]),
            query.level.value,
            context.transfer_syntax,
            ae_title=self._ae_title,
            requested_character_set=identifier.specific_character_set,
            forced_character_set=rules.character_set,
        )
        # Private and unknown attributes have no keyword, and so they are not among the query's keys.
        has_unknown_keys = not all(element.keyword for element in identifier.elements)
        has_unsupported_keys = self._queries.has_unsupported_keys(query, has_unknown_keys=has_unknown_keys)
        pending = Status.PENDING_WITH_UNSUPPORTED_KEYS if has_unsupported_keys else Status.PENDING
        is_limited = False
        with closing(self._queries.find(query, operation.new_effort(), most=rules.max_matches)) as pages:
            for page in pages:
                encoded: list[bytes] = []
                held = 0
                for match in page.matches:
                    if held > _BYTES_HELD:
                        send_matches(Matches(pending, encoded, are_last=False))
                        encoded, held = [], 0
                    encoded.append(answers.encode(match))
                    held += len(encoded[-1])
                send_matches(Matches(pending, encoded, are_last=page.is_last))
                is_limited = page.is_limited
        return limited_answer(rules.max_matches) if is_limited else Answer(Status.SUCCESS)


class _AnswerEncoder:
    """Turns matches into identifiers (PS3.4 §C.4.1.1.3.2), for all queries with the same keys.

    They answer exactly the keys asked for, and say where the entity can be got.
    """

    def __init__(
        self,
        asked: Sequence[tuple[int, str]],
        level: str,
        transfer_syntax: str,
        *,
        ae_title: str,
        requested_character_set: str | None,
        forced_character_set: str | None,
    ) -> None:
        own = {"QueryRetrieveLevel": level, "RetrieveAETitle": ae_title, "InstanceAvailability": "ONLINE"}
        attributes = sorted((dict(asked) | {_RETRIEVE_AE_TITLE: "AE"}).items())
        keywords = [Element(tag, vr, "").keyword for tag, vr in attributes]
        self._keys = [(keyword, own.get(keyword, "")) for keyword in keywords]
        self._writer = IdentifierWriter(
            attributes,
            transfer_syntax,
            requested_character_set=requested_character_set,
            forced_character_set=forced_character_set,
        )

    def encode(self, match: Mapping[str, str]) -> bytes:
        """Return the identifier for one match; what is ours to say is in no match."""
        return self._writer.write([match.get(keyword, otherwise) for keyword, otherwise in self._keys])


# Clients ask few sorts of question, and to prepare for one takes as long as to answer it with two matches.
_remembered_encoder = lru_cache(maxsize=_ENCODERS_REMEMBERED)(_AnswerEncoder)


def query_level(identifier: Identifier) -> QueryLevel:
    """Return the level of a query or retrieve; raises IdentifierInvalid where there is none of PS3.4 §C.3."""
    value = identifier.value("QueryRetrieveLevel")
    try:
        return QueryLevel(value)
    except ValueError:
        said = "missing" if not value else "none of PATIENT, STUDY, SERIES, IMAGE"
        raise IdentifierInvalid(f"Query/Retrieve Level is {said}", keywords=("QueryRetrieveLevel",)) from None
