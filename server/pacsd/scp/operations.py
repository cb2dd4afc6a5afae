"""How one operation ends: what goes wrong becomes its answer, and the log hears of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from dicomnet import AssociationEnded, CStoreRequest, DatasetTooLong, Request, StatusClass, status_class
from pacsd.errors import PacsdError
from pacsd.model import Service
from pacsd.scp.statuses import Answer, answer_for

if TYPE_CHECKING:
    from pacsd.scp.service_table import ServiceRow

__all__ = ["log_operation", "logger_of_association", "safely"]

_log = structlog.get_logger()
_levels = logging.getLogger()

_FREQUENT: Final = (Service.ECHO, Service.STORE)
_FRAMES_LOGGED: Final = 6

Outcome = TypeVar("Outcome")


def safely(row: ServiceRow, perform: Callable[[], Outcome]) -> Outcome | Answer:
    """Return what `perform` does, or the answer that tells of its error; AssociationEnded alone is raised."""
    try:
        return perform()
    except AssociationEnded:
        raise
    except (PacsdError, DatasetTooLong) as error:
        return answer_for(row, error)
    except Exception as error:
        _log.error(
            "unexpected-error", service=row.service.value, error=type(error).__name__, where=_where(error)
        )
        return answer_for(row, error)


def _where(error: Exception) -> list[str]:
    """Return the innermost places that an exception passed."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
    return [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames]


def logger_of_association() -> structlog.typing.FilteringBoundLogger:
    """Return a logger for `log_operation`, made ready once: that takes as long as half of a line does."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__).bind()
    return bound


def log_operation(
    log: structlog.typing.FilteringBoundLogger,
    service: Service,
    request: Request,
    answer: Answer,
    seconds: float,
) -> None:
    """Log a finished operation: what is refused or incomplete as a warning with its reason.

    The thousands of ordinary stores are logged for debugging only.
    """
    comment = answer.fields.get("error_comment")
    is_ordinary = service in _FREQUENT and not comment
    if is_ordinary and not _levels.isEnabledFor(logging.DEBUG):
        return  # before anything is made of it: a line that nobody sees would cost more than the answer
    facts: dict[str, Any] = {
        "service": service.value,
        "status": f"{answer.status:04X}",
        "milliseconds": round(seconds * 1000, 1),
    }
    if comment:
        if isinstance(request, CStoreRequest):
            facts["sop_instance_uid"] = request.affected_sop_instance_uid
        is_warning = status_class(answer.status) is StatusClass.WARNING
        event = "operation-incomplete" if is_warning else "operation-refused"
        log.warning(event, comment=comment, **facts)
    else:
        (log.debug if is_ordinary else log.info)("operation", **facts)
