"""C-FIND as SCP (PS3.4 §C.4.1): from the identifier to matches, and from each match to a response."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from dicomnet import Limits, PresentationContext, ReceivedDataset, Status
from pacsd.dataset.identifier import Element, Identifier, read_identifier
from pacsd.dataset.identifier_writer import IdentifierWriter
from pacsd.dataset.indexed_attributes import CAN_BE_LONG
from pacsd.effort import Effort
from pacsd.errors import IdentifierInvalid, OperationTooCostly
from pacsd.model import LONGER_THAN_KEPT, UNIQUE_KEYS, FindQuery, QueryLevel, QueryOptions
from pacsd.query.hierarchy import NOT_MATCHED
from pacsd.query.information_models import FIND_MODELS
from pacsd.scp.access import AnswerRules
from pacsd.scp.statuses import Answer, limited_answer

__all__ = ["FindHandler", "FindIndex", "FoundMatches", "LongValuesOf", "Matches", "query_level"]

_IDENTIFIER_LENGTH: Final = Limits().identifier_length
_RETRIEVE_AE_TITLE: Final = 0x00080054
_ENCODERS_REMEMBERED: Final = 256
_MOST_KEYS_REMEMBERED: Final = 100
"""Of one encoder, which has some hundred bytes for each."""
_BYTES_HELD: Final = 1 << 20
"""Of encoded matches, which then go out before the rest of their page."""

LongValuesOf = Callable[[QueryLevel, str, Collection[str]], Mapping[str, str]]
"""Returns values of an entity, which its unique key names, that are too long for the index."""


class FoundMatches(Protocol):
    """A query's matches by pages, each with a value for every key that is known; see `index.answers.Matches`."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the last page has been given."""

    def __iter__(self) -> Iterator[Sequence[Mapping[str, str]]]:
        """Yield the pages."""

    def close(self) -> None:
        """Read no more."""


class FindIndex(Protocol):
    """What answers queries; see `index.repository.Index`."""

    def find(self, query: FindQuery, effort: Effort, /) -> FoundMatches:
        """Look for the matches, as long as `effort` lets it."""

    def unsupported_keys(self, query: FindQuery, /) -> tuple[str, ...]:
        """Return the keys that cannot be matched or answered."""


class Matches(NamedTuple):
    """Some matches on their way to the peer."""

    status: Status
    """Pending; which of the two is the same for all matches of a query."""
    identifiers: Sequence[bytes]
    are_last: bool
    """The final response follows at once."""


class FindHandler:
    """Answers queries; all entities found can be retrieved from `ae_title`."""

    def __init__(
        self,
        index: FindIndex,
        *,
        ae_title: str,
        long_values: LongValuesOf,
        answer_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`answer_seconds` is how long a peer may take for all matches of a query."""
        self._index = index
        self._ae_title = ae_title
        self._long_values = long_values
        self._answer_seconds = answer_seconds
        self._clock = clock

    def handle(
        self,
        context: PresentationContext,
        dataset: ReceivedDataset,
        *,
        send_matches: Callable[[Matches], None],
        effort: Effort,
        options: QueryOptions,
        rules: AnswerRules,
        default_character_set: str = "",
    ) -> Answer:
        """Send the matches by `send_matches`, a page at once; return the final response.

        Raises OperationCancelled, and OperationTooCostly also where the peer takes too long for the matches.
        """
        identifier = read_identifier(
            dataset.read(_IDENTIFIER_LENGTH),
            context.transfer_syntax,
            default_character_set=default_character_set,
        )
        level = query_level(identifier)
        keys = {keyword: value for keyword, value in identifier.keys.items() if keyword not in NOT_MATCHED}
        if can_be_long := not CAN_BE_LONG.isdisjoint(keys):
            keys.setdefault(UNIQUE_KEYS[level], "")  # to know where the values are
        query = FindQuery(
            model=FIND_MODELS[context.abstract_syntax],
            level=level,
            keys=keys,
            options=options,
        )
        # Private and unknown attributes have no keyword, and so they are not among the query's keys.
        unsupported = self._index.unsupported_keys(query) or not all(
            element.keyword for element in identifier.elements
        )
        pending = Status.PENDING_WITH_UNSUPPORTED_KEYS if unsupported else Status.PENDING
        encoder = _remembered_encoder if len(identifier.elements) <= _MOST_KEYS_REMEMBERED else _AnswerEncoder
        answers = encoder(
            tuple([(element.tag, element.vr) for element in identifier.elements]),
            query.level.value,
            context.transfer_syntax,
            ae_title=self._ae_title,
            requested_character_set=identifier.specific_character_set,
            forced_character_set=rules.character_set,
        )
        left = rules.max_matches or sys.maxsize
        deadline = self._clock() + self._answer_seconds
        with closing(self._index.find(query, effort)) as pages:
            for page in pages:
                # Whoever asked for so little that it is all here waits no longer; and to look takes a while.
                if not pages.is_exhausted and effort.look():
                    effort.raise_if_over()
                if self._clock() > deadline:
                    raise OperationTooCostly(
                        f"the matches were not taken in {self._answer_seconds:g} s; ask for less"
                    )
                encoded: list[bytes] = []
                held = 0
                for match in page[:left]:
                    if can_be_long:
                        effort.check()  # it may be read from files
                    if held > _BYTES_HELD:
                        send_matches(Matches(pending, encoded, are_last=False))
                        encoded, held = [], 0
                    whole = self._with_long_values(match, level) if can_be_long else match
                    encoded.append(answers.encode(whole))
                    held += len(encoded[-1])
                left -= len(page)
                send_matches(Matches(pending, encoded, are_last=left < 0 or pages.is_exhausted))
                if left < 0:
                    return limited_answer(rules.max_matches)
                if pages.is_exhausted:
                    break
        return Answer(Status.SUCCESS)

    def _with_long_values(self, match: Mapping[str, str], level: QueryLevel) -> Mapping[str, str]:
        missing = [keyword for keyword, value in match.items() if value == LONGER_THAN_KEPT]
        if not missing:
            return match
        unread = dict.fromkeys(missing, "")
        return {**match, **unread, **self._long_values(level, match[UNIQUE_KEYS[level]], missing)}


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
