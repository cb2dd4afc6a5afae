"""Outcomes to DIMSE statuses: the only place that knows which error is which number (PS3.4 §B.2.3, §C.4; PS3.7 §C).

Of the ranges that the Standard leaves to the implementation we use: C000 data set not understood, C001 unexpected
failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from pydicom.datadict import tag_for_keyword

from dicomnet import DatasetTooLong, ResponseFields, Status, SubOperationFields
from pacsd.errors import (
    DatasetInvalid,
    DestinationUnreachable,
    DuplicateInstance,
    IdentifierInvalid,
    IndexIncomplete,
    IndexUnavailable,
    OperationCancelled,
    OperationTooCostly,
    RightsWithdrawn,
    StorageFull,
    StorageUnavailable,
    UnknownDestination,
)
from pacsd.services.retrieve import Progress

__all__ = [
    "UNABLE_TO_COUNT_MATCHES",
    "Answer",
    "ServiceStatuses",
    "answer_for",
    "limited_answer",
    "retrieve_answer",
]

OUT_OF_RESOURCES: Final = 0xA700
UNABLE_TO_COUNT_MATCHES: Final = 0xA701
UNABLE_TO_PERFORM_SUBOPERATIONS: Final = 0xA702
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
DATASET_DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
CANNOT_PROCESS: Final = 0xC001
DUPLICATE_SOP_INSTANCE: Final = 0x0111
SUBOPERATIONS_COMPLETE_WITH_FAILURES: Final = 0xB000
RESPONSE_LIMIT_REACHED: Final = 0xB001
"""The warning that PS3.4 §C.4.1.1.4 has for Repository Query. It is used for the other queries too, which have none:
clients that know it say what it means (pynetdicom), others keep the matches and show the number (findscu). A700 would
call the query refused. Orthanc as a client shows no matches with any final status but Success."""

_LARGEST_COUNT: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Answer:
    """The final response to a request: status, what explains it, and the identifier if one goes with it."""

    status: int
    fields: SubOperationFields = field(default_factory=SubOperationFields)
    identifier: bytes | None = None

    @property
    def explanation(self) -> ResponseFields:
        """The fields that any response may have: those of a C-STORE or C-FIND."""
        explanation = ResponseFields()
        if "error_comment" in self.fields:
            explanation["error_comment"] = self.fields["error_comment"]
        if "offending_element" in self.fields:
            explanation["offending_element"] = self.fields["offending_element"]
        return explanation


class ServiceStatuses(NamedTuple):
    """What each service has of its own."""

    without_index: int = OUT_OF_RESOURCES
    of_unexpected: int = CANNOT_PROCESS


_BY_ERROR: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {
        StorageFull: OUT_OF_RESOURCES,
        StorageUnavailable: OUT_OF_RESOURCES,
        DuplicateInstance: DUPLICATE_SOP_INSTANCE,
        IdentifierInvalid: DATASET_DOES_NOT_MATCH,
        DatasetTooLong: DATASET_DOES_NOT_MATCH,
        UnknownDestination: MOVE_DESTINATION_UNKNOWN,
        DestinationUnreachable: UNABLE_TO_PERFORM_SUBOPERATIONS,
        RightsWithdrawn: Status.NOT_AUTHORIZED,
    }
)


def answer_for(statuses: ServiceStatuses, error: Exception) -> Answer:
    """Return the final response that tells the peer of an error; unknown ones only that there was one."""
    if isinstance(error, DatasetInvalid):
        return _explained(
            DATASET_DOES_NOT_MATCH if error.mismatch else CANNOT_UNDERSTAND, error, error.keywords
        )
    if isinstance(error, OperationCancelled):
        return Answer(Status.CANCEL)
    if isinstance(error, IndexUnavailable | IndexIncomplete | OperationTooCostly):
        return _explained(statuses.without_index, error)
    status = _BY_ERROR.get(type(error))
    if status is None:
        return Answer(
            statuses.of_unexpected,
            SubOperationFields(error_comment="unexpected error, see the server's log"),
        )
    keywords = error.keywords if isinstance(error, IdentifierInvalid) else ()
    return _explained(status, error, keywords)


def limited_answer(max_matches: int) -> Answer:
    """Return the final response to a query that has more matches than were sent."""
    comment = f"only the first {max_matches} matches were sent, there are more"
    return Answer(RESPONSE_LIMIT_REACHED, SubOperationFields(error_comment=comment))


def _explained(status: int, error: Exception, keywords: tuple[str, ...] = ()) -> Answer:
    tags = tuple(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)
    return Answer(status, SubOperationFields(error_comment=_comment(str(error)), offending_element=tags))


def _comment(text: str) -> str:
    """Return a text as one value of VR LO, in which a backslash would begin another."""
    return text.replace("\\", "/")


def counts(progress: Progress, *, with_remaining: bool) -> SubOperationFields:
    """Return the sub-operation counts of a response; those that do not fit into 16 bits are left out."""
    fields = SubOperationFields(
        number_of_completed_suboperations=_fitting(progress.completed),
        number_of_failed_suboperations=_fitting(progress.failed),
        number_of_warning_suboperations=_fitting(progress.warning),
    )
    if with_remaining:
        fields["number_of_remaining_suboperations"] = _fitting(progress.remaining)
    return fields


def _fitting(count: int) -> int | None:
    return count if count <= _LARGEST_COUNT else None


def retrieve_answer(progress: Progress, *, cancelled: bool, failed_list: bytes | None) -> Answer:
    """Return the final response to a C-MOVE or C-GET whose sub-operations have ended (PS3.4 §C.4.2.1.5)."""
    if cancelled:
        status = int(Status.CANCEL)
    elif not progress.failed and not progress.warning:
        status = int(Status.SUCCESS)
    elif not progress.completed and not progress.warning:
        status = UNABLE_TO_PERFORM_SUBOPERATIONS
    else:
        status = SUBOPERATIONS_COMPLETE_WITH_FAILURES
    fields = counts(progress, with_remaining=cancelled)
    if progress.reason:
        fields["error_comment"] = _comment(progress.reason)
    return Answer(status, fields, failed_list)
