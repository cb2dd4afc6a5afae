"""C-GET and C-MOVE as SCU (PS3.4 §C.4.2, §C.4.3): asking, following the sub-operations, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dicomnet import DicomNet, StatusClass, SubOperationResponse
from pacsd.dataset.identifier import Element, read_identifier, write_identifier
from pacsd.errors import IdentifierInvalid
from pacsd.model import QueryLevel, QueryModel
from pacsd.query.information_models import INFORMATION_MODELS
from pacsd.scu.keys import level_element
from pacsd.scu.verdicts import RequestFailed, verdict

__all__ = ["Counts", "Retrieved", "get", "move"]


@dataclass(frozen=True, slots=True)
class Counts:
    """The sub-operations as a response counts them; None = not stated."""

    remaining: int | None
    completed: int | None
    failed: int | None
    warning: int | None

    @classmethod
    def of(cls, response: SubOperationResponse) -> Counts:
        """Return what a response says."""
        return cls(
            response.number_of_remaining_suboperations,
            response.number_of_completed_suboperations,
            response.number_of_failed_suboperations,
            response.number_of_warning_suboperations,
        )

    @property
    def done(self) -> int:
        """How many have ended, however."""
        return (self.completed or 0) + (self.failed or 0) + (self.warning or 0)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The end of a retrieve."""

    verdict: str
    """Final status, meaning and comment."""
    status_class: StatusClass
    counts: Counts
    failed_sop_instance_uids: Sequence[str]

    @property
    def is_complete(self) -> bool:
        """Nothing failed; warnings of a receiver about single instances are no failures."""
        return self.status_class in (StatusClass.SUCCESS, StatusClass.WARNING) and not (
            self.counts.failed or self.failed_sop_instance_uids
        )


def get(
    net: DicomNet,
    model: QueryModel,
    level: QueryLevel,
    keys: Sequence[Element],
    *,
    on_pending: Callable[[Counts], None],
) -> Retrieved:
    """Have a selection sent on this association; `net` receives it (see `receiving`). Raises what `c_get` does."""
    context = net.context_for(INFORMATION_MODELS[model].get)
    identifier = write_identifier([level_element(level), *keys], context.transfer_syntax)
    return _follow(net.c_get(context, identifier), context.transfer_syntax, on_pending)


def move(
    net: DicomNet,
    model: QueryModel,
    level: QueryLevel,
    keys: Sequence[Element],
    *,
    destination: str,
    on_pending: Callable[[Counts], None],
) -> Retrieved:
    """Have a selection sent to the AE titled `destination`. Raises what `DicomNet.c_move` does."""
    context = net.context_for(INFORMATION_MODELS[model].move)
    identifier = write_identifier([level_element(level), *keys], context.transfer_syntax)
    responses = net.c_move(context, identifier, move_destination=destination)
    return _follow(responses, context.transfer_syntax, on_pending)


def _follow(
    responses: Iterable[tuple[SubOperationResponse, bytes | None]],
    transfer_syntax: str,
    on_pending: Callable[[Counts], None],
) -> Retrieved:
    for response, data in responses:
        if response.status_class is StatusClass.PENDING:
            on_pending(Counts.of(response))
            continue
        failed = _failed_uids(data, transfer_syntax) if data else ()
        return Retrieved(verdict(response), response.status_class, Counts.of(response), failed)
    raise RequestFailed("the peer gave no final response")


def _failed_uids(data: bytes, transfer_syntax: str) -> tuple[str, ...]:
    """Return the Failed SOP Instance UID List; a final response that went wrong there counts all the same."""
    try:
        value = read_identifier(data, transfer_syntax).value("FailedSOPInstanceUIDList")
    except IdentifierInvalid:
        return ()
    return tuple(uid for uid in value.split("\\") if uid)
